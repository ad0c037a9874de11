"""Contacts as HubSpot writes them, and searches packed full of numbers.

It must not know which contact is the right one; it neither sends nor waits.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx

from target_hubspot_calls.hubspot import wire

MAX_SEARCH_BODY = 3_000
MAX_SEARCH_RESULTS = 10_000
PAGE = 200
# HubSpot states no most for IN; 100 is what integrations are known to send.
MAX_VALUES = 100
SEARCHABLE = (
    "hs_searchable_calculated_phone_number",
    "hs_searchable_calculated_mobile_number",
)
CONTACT_PROPERTIES = (
    "firstname",
    "lastname",
    "email",
    "phone",
    "mobilephone",
    "hs_calculated_phone_number",
    "hs_calculated_mobile_number",
    "createdate",
)
# What tells whose number it is and whose contact is older; every name costs room for numbers.
SEARCH_PROPERTIES = (
    "phone",
    "mobilephone",
    "hs_calculated_phone_number",
    "hs_calculated_mobile_number",
    *SEARCHABLE,
    "createdate",
)
_NATIONAL = re.compile(r"[0-9]{1,20}\Z")


@dataclass(frozen=True, slots=True)
class Contact:
    """A contact of the portal; a field not asked for, left empty or masked is None."""

    id: str
    phone: str | None = None
    mobilephone: str | None = None
    calculated_phone: str | None = None
    calculated_mobile: str | None = None
    searchable_phone: str | None = None
    searchable_mobile: str | None = None
    firstname: str | None = None
    lastname: str | None = None
    email: str | None = None
    created_at: datetime | None = None


def read_contact(item: Mapping[str, Any]) -> Contact:
    """A contact from one result. Raises MalformedReply."""
    values = wire.properties(item)
    return Contact(
        id=wire.identifier(item),
        phone=values.get("phone"),
        mobilephone=values.get("mobilephone"),
        calculated_phone=values.get("hs_calculated_phone_number"),
        calculated_mobile=values.get("hs_calculated_mobile_number"),
        searchable_phone=values.get(SEARCHABLE[0]),
        searchable_mobile=values.get(SEARCHABLE[1]),
        firstname=values.get("firstname"),
        lastname=values.get("lastname"),
        email=values.get("email"),
        created_at=_moment(values.get("createdate") or item.get("createdAt")),
    )


def read_page(response: httpx.Response) -> tuple[list[Contact], str | None]:
    """A page of a search and where the next one starts. Raises MalformedReply."""
    body = wire.read_object(response)
    after = wire.next_after(body)
    if after is not None and not (after.isascii() and after.isdigit()):
        raise wire.MalformedReply("the next page has no number")
    return [read_contact(item) for item in wire.results(body)], after


def search_body(numbers: Sequence[str], after: str | None = None) -> bytes:
    """The bytes of a search for contacts with one of these national numbers, oldest first.

    Raises ValueError where HubSpot would refuse: a body past 3,000 characters, or no number.
    """
    if not numbers or any(not _NATIONAL.match(number) for number in numbers):
        raise ValueError("a search needs national numbers, digits only")
    body = _search_body(numbers, after)
    if len(body) > MAX_SEARCH_BODY or len(numbers) > MAX_VALUES:
        raise ValueError("too many numbers for one search; pack them first")
    return body


def pack_numbers(numbers: Iterable[str]) -> list[list[str]]:
    """The distinct numbers in as few searches as they fit, in the order they came.

    Room for a page's `after` is kept. Source: HubSpot docs, search, 3,000 characters. Raises
    ValueError on anything but national numbers of up to 20 digits.
    """
    distinct = list(dict.fromkeys(numbers))
    if any(not _NATIONAL.match(number) for number in distinct):
        raise ValueError("a search needs national numbers, digits only")
    empty = len(_search_body([], after=str(MAX_SEARCH_RESULTS)))
    packs: list[list[str]] = []
    left = 0
    for number in distinct:
        cost = len(SEARCHABLE) * (len(number) + len('"",'))
        if not packs or cost > left or len(packs[-1]) == MAX_VALUES:
            packs.append([])
            # No comma stands behind the last number of either list.
            left = MAX_SEARCH_BODY - empty + len(SEARCHABLE)
        packs[-1].append(number)
        left -= cost
    return packs


def _search_body(numbers: Sequence[str], after: str | None) -> bytes:
    body: dict[str, Any] = {
        "filterGroups": [
            {"filters": [{"propertyName": name, "operator": "IN", "values": list(numbers)}]}
            for name in SEARCHABLE
        ],
        "properties": SEARCH_PROPERTIES,
        "sorts": [{"propertyName": "createdate", "direction": "ASCENDING"}],
        "limit": PAGE,
    }
    if after is not None:
        body["after"] = after
    return wire.encode(body)


def _moment(written: object) -> datetime | None:
    if not isinstance(written, str):
        return None
    try:
        moment = datetime.fromisoformat(written)
    except ValueError:
        return None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
