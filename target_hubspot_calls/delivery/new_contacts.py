"""Creates a contact for a number nobody in the portal has: at most one, however often it is tried.

The announcement is in the store before HubSpot is asked, and the created id right after; whoever
comes next finds it there although HubSpot's search does not show it yet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime

from target_hubspot_calls.call import Call
from target_hubspot_calls.delivery.together import all_or_first_error
from target_hubspot_calls.errors import AnswerLost, CallOutcomeError, HubSpotError
from target_hubspot_calls.hubspot.client import HubSpotClient
from target_hubspot_calls.phone import PhoneNumber
from target_hubspot_calls.store.new_contacts import NewContact, NewContacts

# After a creation without an answer, how long until the search index is believed, in seconds.
# HubSpot says "a few moments" (docs, search); its bound is not documented.
INDEX_SETTLES_S = 120.0
CREATED_AT_ONCE = 4
# What a creation may wait between its announcement and its sending without a new announcement.
ANNOUNCED_FOR_S = 5.0


class ContactMaker:
    """Makes contacts in one portal."""

    def __init__(
        self,
        client: HubSpotClient,
        store: NewContacts,
        portal_id: int,
        now: Callable[[], datetime],
    ) -> None:
        self._client = client
        self._store = store
        self._portal_id = portal_id
        self._now = now
        self._slots = asyncio.Semaphore(CREATED_AT_ONCE)

    async def make(
        self, callers: Mapping[PhoneNumber, Call]
    ) -> dict[PhoneNumber, str | CallOutcomeError]:
        """For each number that no contact has, the id of its new contact or why there is none.

        Of several calls of one number any may be given: it says how the contact is called.
        """
        known = await asyncio.to_thread(
            self._store.load, self._portal_id, [number.e164 for number in callers]
        )
        made = await all_or_first_error(
            self._make_one(number, call, known.get(number.e164)) for number, call in callers.items()
        )
        return dict(zip(callers, made, strict=True))

    async def forget(self, number: PhoneNumber) -> None:
        """Forgets the contact of a number, as it has gone from HubSpot."""
        await asyncio.to_thread(self._store.forget, self._portal_id, number.e164)

    async def _make_one(
        self, number: PhoneNumber, call: Call, known: NewContact | None
    ) -> str | CallOutcomeError:
        if known is not None and known.contact_id is not None:
            return known.contact_id
        if known is not None:
            # The caller has just searched: once the index has settled, nothing found is nothing.
            waited_s = (self._now() - known.intended_at).total_seconds()
            if waited_s < INDEX_SETTLES_S:
                return _pending(INDEX_SETTLES_S - waited_s)
        announcement = _Announcement(self._store, self._portal_id, number.e164, self._now, known)
        try:
            async with self._slots:
                await announcement.make()
                contact = await self._client.create_contact(
                    _properties(number, call), before_sending=announcement.renew
                )
        except (AnswerLost, _TakenByAnother):
            return _pending(INDEX_SETTLES_S)
        except HubSpotError as err:
            await self.forget(number)
            return err
        await asyncio.to_thread(self._store.save, self._portal_id, number.e164, contact.id)
        return contact.id


class _TakenByAnother(Exception):
    """Another process makes this contact, or has made it."""


class _Announcement:
    """The creation of one contact in the store, at the time at which it is sent."""

    def __init__(
        self,
        store: NewContacts,
        portal_id: int,
        number: str,
        now: Callable[[], datetime],
        known: NewContact | None,
    ) -> None:
        self._store = store
        self._portal_id = portal_id
        self._number = number
        self._now = now
        self._known = known

    async def make(self) -> None:
        """Announces it, now. Raises _TakenByAnother."""
        now = self._now()
        if not await asyncio.to_thread(
            self._store.announce, self._portal_id, self._number, self._known, now
        ):
            raise _TakenByAnother
        self._known = NewContact(None, now)

    async def renew(self) -> None:
        """Announces it anew if the request was held back; it leaves now."""
        announced_at = self._known.intended_at if self._known else self._now()
        held_s = (self._now() - announced_at).total_seconds()
        if not 0 <= held_s <= ANNOUNCED_FOR_S:
            await self.make()


def _pending(retry_after_s: float) -> AnswerLost:
    return AnswerLost(
        "HubSpot did not say whether it made the contact; it is searched for before the next try.",
        retry_after_s=retry_after_s,
    )


def _properties(number: PhoneNumber, call: Call) -> dict[str, str]:
    first, _, last = (call.customer_name or "").strip().partition(" ")
    values = {
        "phone": number.e164,
        "firstname": first,
        "lastname": last.strip(),
        "email": call.customer_email,
    }
    return {name: value for name, value in values.items() if value}
