"""What we ask of HubSpot, one method an action.

It must not know calls, contacts' rules or stores; it says what HubSpot said, or raises an error
of ours saying what comes next.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import httpx

from target_hubspot_calls.errors import Rejected, Unavailable
from target_hubspot_calls.hubspot import api, batches, contacts, engagements, files, wire
from target_hubspot_calls.hubspot.batches import BatchResult
from target_hubspot_calls.hubspot.contacts import CONTACT_PROPERTIES, Contact
from target_hubspot_calls.hubspot.engagements import (
    CALL_ID_PROPERTY,
    MAX_BATCH,
    ChangedEngagement,
    Engagement,
    EngagementKind,
    NewEngagement,
)
from target_hubspot_calls.hubspot.exchange import BeforeSending, Exchange
from target_hubspot_calls.hubspot.files import FileUpload, UploadedFile
from target_hubspot_calls.hubspot.pace import Pace
from target_hubspot_calls.hubspot.retry import RetryPolicy, is_worth_another_try
from target_hubspot_calls.hubspot.transport import MAX_ANSWER_BYTES, open_http

Json = dict[str, Any]

MAX_ASSOCIATION_READ = 1_000


@dataclass(frozen=True)
class Account:
    """The portal behind a connection."""

    portal_id: int
    time_zone: str | None = None


def open_client(
    api_url: str,
    auth: httpx.Auth,
    pace: Pace | None = None,
    *,
    retry: RetryPolicy | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    rng: random.Random | None = None,
    max_answer_bytes: int = MAX_ANSWER_BYTES,
) -> HubSpotClient:
    """A client of one portal, to be used in `async with`. Raises SettingsError on the address."""
    http = open_http(
        api_url,
        auth,
        pace or Pace(),
        transport=transport,
        max_answer_bytes=max_answer_bytes,
    )
    return HubSpotClient(http, retry=retry or RetryPolicy(), sleep=sleep, rng=rng)


class HubSpotClient:
    """One portal's HubSpot. Every method raises the HubSpotError family, or what its store does.

    Reads and updates are tried again on anything transient, creates only where HubSpot has
    certainly not acted; a create without an answer raises AnswerLost. A write may have to wait
    for the pace: its `before_sending` is awaited when it leaves, and what that raises stops it.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        *,
        retry: RetryPolicy,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        rng: random.Random | None = None,
    ) -> None:
        self._http = http
        self._exchange = Exchange(http, retry=retry, sleep=sleep, rng=rng or random.Random())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def fetch_account(self) -> Account:
        """The portal's id and time zone."""
        return await self._exchange.ask(api.READ, "GET", api.ACCOUNT_PATH, read=_account)

    async def search_contacts(self, national_numbers: Sequence[str]) -> list[Contact]:
        """Contacts with one of the numbers as phone or mobile, oldest first, every page of them.

        Over-inclusive: HubSpot compares without country codes. Raises ValueError if the numbers
        do not fit one search (see `pack_numbers`).
        """
        found: list[Contact] = []
        after: str | None = None
        while True:
            body = contacts.search_body(national_numbers, after)
            page, following = await self._exchange.ask(
                api.SEARCH,
                "POST",
                api.object_path("contacts", "search"),
                body,
                read=contacts.read_page,
            )
            found += page
            if following is None:
                return found
            if int(following) <= int(after or 0):
                raise Unavailable("HubSpot's search pages run backwards")
            after = following
            if int(after) >= contacts.MAX_SEARCH_RESULTS:
                return await self._search_halves(national_numbers, found)

    async def read_contacts(
        self, *, ids: Iterable[str] | None = None, emails: Iterable[str] | None = None
    ) -> list[Contact]:
        """The contacts with these ids, or with these e-mail addresses; absent ones are left out."""
        if (ids is None) == (emails is None):
            raise ValueError("read contacts by ids or by emails")
        if emails is not None:
            wanted, id_property = [email.strip().lower() for email in emails], "email"
        else:
            wanted, id_property = list(ids or ()), None
        items = await self._read_batch("contacts", wanted, CONTACT_PROPERTIES, id_property)
        return [contacts.read_contact(item) for item in items]

    async def create_contact(
        self, properties: Mapping[str, str], *, before_sending: BeforeSending | None = None
    ) -> Contact:
        """The new contact; Rejected with http_status 409 if its e-mail address is taken."""
        body = wire.encode({"properties": dict(properties), "associations": []})
        return await self._exchange.ask(
            api.CREATE,
            "POST",
            api.object_path("contacts"),
            body,
            read=lambda r: contacts.read_contact(wire.read_object(r)),
            before_sending=before_sending,
        )

    async def create_engagements(
        self,
        kind: EngagementKind,
        inputs: Sequence[NewEngagement],
        *,
        before_sending: BeforeSending | None = None,
    ) -> BatchResult:
        """What became of each of up to 100 new engagements; Rejected if all are refused."""
        return await self._write_batch(
            api.CREATE,
            api.object_path(kind.object_name, "batch/create"),
            engagements.create_body(kind, inputs),
            [item.trace_id for item in inputs],
            before_sending,
        )

    async def update_engagements(
        self,
        kind: EngagementKind,
        inputs: Sequence[ChangedEngagement],
        *,
        before_sending: BeforeSending | None = None,
    ) -> BatchResult:
        """What became of each of up to 100 changes; Rejected if all are refused."""
        return await self._write_batch(
            api.UPDATE,
            api.object_path(kind.object_name, "batch/update"),
            engagements.update_body(inputs),
            [item.trace_id for item in inputs],
            before_sending,
        )

    async def read_engagements(
        self, kind: EngagementKind, ids: Iterable[str], properties: Sequence[str]
    ) -> list[Engagement]:
        """The engagements with these ids; absent ones are left out."""
        items = await self._read_batch(kind.object_name, ids, properties)
        return [engagements.read_engagement(item) for item in items]

    async def read_engagements_by_call_id(
        self, kind: EngagementKind, call_ids: Iterable[str], properties: Sequence[str] = ()
    ) -> list[Engagement]:
        """The engagements with these call ids, which each one's properties name."""
        names = list(dict.fromkeys([CALL_ID_PROPERTY, *properties]))
        items = await self._read_batch(kind.object_name, call_ids, names, CALL_ID_PROPERTY)
        return [engagements.read_engagement(item) for item in items]

    async def read_contact_engagement_ids(
        self, kind: EngagementKind, contact_ids: Iterable[str]
    ) -> dict[str, list[str]]:
        """For every contact, the ids of its engagements of one kind, every page of them."""
        found: dict[str, list[str]] = {contact_id: [] for contact_id in contact_ids}
        path = api.associations_path("contacts", kind.object_name, "batch/read")
        waiting: list[Json] = [{"id": contact_id} for contact_id in found]
        while waiting:
            inputs, waiting = waiting[:MAX_ASSOCIATION_READ], waiting[MAX_ASSOCIATION_READ:]
            body = wire.encode({"inputs": inputs})
            items = await self._exchange.ask(
                api.READ, "POST", path, body, read=batches.read_associations
            )
            for contact_id, engagement_ids, after in items:
                if contact_id not in found:
                    continue
                new = [item for item in engagement_ids if item not in found[contact_id]]
                found[contact_id] += new
                if after is not None and new:
                    waiting.append({"id": contact_id, "after": after})
        return found

    async def fetch_property(self, kind: EngagementKind, name: str) -> Json | None:
        """The definition of a property, None if the portal has no such one."""
        path = api.properties_path(kind.object_name, name)
        try:
            return await self._exchange.ask(api.READ, "GET", path, read=wire.read_object)
        except Rejected as err:
            if err.http_status == 404:
                return None
            raise

    async def create_call_id_property(self, kind: EngagementKind) -> Json:
        """The definition of the unique call-id property, made if it was not there.

        Look at `hasUniqueValue`: a property somebody made by hand may not be unique.
        """
        body = wire.encode(
            {
                "name": CALL_ID_PROPERTY,
                "label": "VAPI call id",
                "type": "string",
                "fieldType": "text",
                "groupName": await self._property_group(kind),
                "hasUniqueValue": True,
            }
        )
        path = api.properties_path(kind.object_name)
        try:
            # Repeatable: a property's name is its key, so a second one is a 409.
            return await self._exchange.ask(api.UPDATE, "POST", path, body, read=wire.read_object)
        except Rejected as err:
            if err.http_status != 409:
                raise
            existing = await self.fetch_property(kind, CALL_ID_PROPERTY)
            if existing is None:
                raise
            return existing

    async def upload_file(self, upload: FileUpload) -> UploadedFile:
        """The private file in its folder. An error of the content's own source passes through.

        A content that can be read only once is sent once: then RateLimited, Locked and
        Unavailable come back at the first refusal.
        """
        worth = is_worth_another_try if upload.replayable else _never
        try:
            return await self._exchange.ask(
                api.UPLOAD,
                "POST",
                api.FILES_PATH,
                lambda: files.UploadBody(upload),
                read=lambda r: files.read_file(wire.read_object(r)),
                worth=worth,
            )
        except files.ContentFailed as err:
            if isinstance(err.__cause__, httpx.StreamConsumed):
                raise Unavailable("the upload must start over and its content is used up") from None
            raise err.__cause__ or err from None

    async def _search_halves(self, numbers: Sequence[str], found: list[Contact]) -> list[Contact]:
        """HubSpot shows 10,000 results of a search and no more; one number alone has enough."""
        if len(numbers) == 1:
            return found
        middle = len(numbers) // 2
        halves = [await self.search_contacts(part) for part in (numbers[:middle], numbers[middle:])]
        return list({item.id: item for half in halves for item in half}.values())

    async def _property_group(self, kind: EngagementKind) -> str:
        path = api.properties_path(kind.object_name, "groups")
        try:
            listed = await self._exchange.ask(
                api.READ, "GET", path, read=lambda r: wire.results(wire.read_object(r))
            )
        except Rejected:
            return kind.property_group
        names = [name for group in listed if isinstance(name := group.get("name"), str)]
        return names[0] if names and kind.property_group not in names else kind.property_group

    async def _write_batch(
        self,
        kind: api.RequestKind,
        path: str,
        body: bytes,
        trace_ids: Sequence[str],
        before_sending: BeforeSending | None = None,
    ) -> BatchResult:
        return await self._exchange.ask(
            kind,
            "POST",
            path,
            body,
            read=lambda r: batches.read_batch(wire.read_object(r), trace_ids),
            before_sending=before_sending,
        )

    async def _read_batch(
        self,
        object_name: str,
        wanted: Iterable[str],
        properties: Sequence[str],
        id_property: str | None = None,
    ) -> list[Json]:
        distinct = list(dict.fromkeys(wanted))
        path = api.object_path(object_name, "batch/read")
        found: list[Json] = []
        for start in range(0, len(distinct), MAX_BATCH):
            body: Json = {
                "inputs": [{"id": value} for value in distinct[start : start + MAX_BATCH]],
                "properties": list(properties),
            }
            if id_property is not None:
                body["idProperty"] = id_property
            found += await self._exchange.ask(
                api.READ, "POST", path, wire.encode(body), read=batches.read_found
            )
        return found


def _never(_: BaseException) -> bool:
    return False


def _account(response: httpx.Response) -> Account:
    body = wire.read_object(response)
    zone = body.get("timeZone")
    try:
        portal_id = int(wire.identifier(body, "portalId"))
    except ValueError as err:
        raise wire.MalformedReply("portalId is not a number") from err
    return Account(portal_id, zone if isinstance(zone, str) else None)
