"""Which contact a call belongs to, and why that one.

Asks HubSpot for many calls at once; knows nothing of the ledger. A hit of HubSpot's search is
believed only after its number has been read again as E.164.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from target_hubspot_calls.call import Call
from target_hubspot_calls.delivery.together import all_or_first_error
from target_hubspot_calls.errors import (
    AmbiguousContact,
    CallOutcomeError,
    ContactNotFound,
    SkipCall,
)
from target_hubspot_calls.hubspot.contacts import Contact, pack_numbers
from target_hubspot_calls.phone import NumberMatch, PhoneNumber, number_match, parse_number

# How long an answer about a number is believed, in seconds: a found contact rarely goes away, a
# missing one may be created any minute.
KEEP_FOUND_S = 600.0
KEEP_MISSING_S = 30.0
MOST_NUMBERS_KEPT = 20_000


@dataclass(frozen=True)
class Match:
    """The chosen contact; `rule` says in words why this one and how many others were possible."""

    contact_id: str
    rule: str


class ContactDirectory(Protocol):
    """What matching asks of HubSpot."""

    async def search_contacts(self, national_numbers: Sequence[str]) -> Sequence[Contact]:
        """Contacts with one of the numbers, in any country."""

    async def read_contacts(
        self, *, ids: Iterable[str] | None = None, emails: Iterable[str] | None = None
    ) -> Sequence[Contact]:
        """The contacts that exist, by id or by e-mail."""


class ContactMaker(Protocol):
    """What matching asks for where missing contacts are to be created."""

    async def make(
        self, callers: Mapping[PhoneNumber, Call]
    ) -> dict[PhoneNumber, str | CallOutcomeError]:
        """For each number without a contact, the id of its new contact or why there is none."""

    async def forget(self, number: PhoneNumber) -> None:
        """Forgets the contact of a number, as it has gone."""


@dataclass(frozen=True)
class MatchRules:
    """The settings that decide: region of numbers without country code, and who wins."""

    default_region: str
    ambiguous_contact: str


class Matcher:
    """Finds contacts for calls of one portal and remembers its answers for a while."""

    def __init__(
        self,
        directory: ContactDirectory,
        rules: MatchRules,
        monotonic: Callable[[], float],
        maker: ContactMaker | None = None,
    ) -> None:
        self._directory = directory
        self._maker = maker
        self._rules = rules
        self._monotonic = monotonic
        self._asking = asyncio.Lock()
        # By E.164 number; of each contact only what the choice needs, as there may be thousands.
        self._known: dict[str, tuple[float, tuple[Contact, ...]]] = {}

    async def match(self, calls: Sequence[Call]) -> dict[str, Match | CallOutcomeError]:
        """By call id, the contact of each call or why it has none.

        Ways in, in order: the contact id the call names, its number, its e-mail address; last, a
        new contact, where a maker was given. Raises HubSpotError when HubSpot cannot be asked.
        """
        matches: dict[str, Match | CallOutcomeError] = {}
        matches |= await self._by_contact_id(calls)
        matches |= await self._by_number([call for call in calls if call.id not in matches])
        unmatched = [call for call in calls if not isinstance(matches[call.id], Match)]
        matches |= await self._by_email(unmatched)
        missing = [call for call in calls if isinstance(matches[call.id], ContactNotFound)]
        return matches | await self._by_making(missing)

    async def forget(self, calls: Iterable[Call]) -> None:
        """Forgets the contacts of these calls' numbers, as they have gone from HubSpot."""
        for call in calls:
            number = self._parsed(call.customer_number)
            if isinstance(number, PhoneNumber):
                self._known.pop(number.e164, None)
                if self._maker is not None:
                    await self._maker.forget(number)

    def ask_again(self, calls: Iterable[Call]) -> None:
        """Forgets that these calls' numbers had no contact: somebody may have made one since."""
        for call in calls:
            number = self._parsed(call.customer_number)
            if isinstance(number, PhoneNumber) and number.e164 in self._known:
                _, contacts = self._known[number.e164]
                if not contacts:
                    del self._known[number.e164]

    async def _by_contact_id(self, calls: Sequence[Call]) -> dict[str, Match]:
        hints = {
            call.id: call.hubspot_contact_id
            for call in calls
            if call.hubspot_contact_id and call.hubspot_contact_id.isdecimal()
        }
        if not hints:
            return {}
        existing = {
            contact.id
            for contact in await self._directory.read_contacts(ids=sorted(set(hints.values())))
        }
        return {
            call_id: Match(contact_id, "contact id given by the call")
            for call_id, contact_id in hints.items()
            if contact_id in existing
        }

    async def _by_number(self, calls: Sequence[Call]) -> dict[str, Match | SkipCall]:
        numbers = {call.id: self._parsed(call.customer_number) for call in calls}
        contacts = await self._look_up({n for n in numbers.values() if isinstance(n, PhoneNumber)})
        return {
            call_id: number if isinstance(number, SkipCall) else self._choose(contacts[number])
            for call_id, number in numbers.items()
        }

    async def _by_email(self, calls: Sequence[Call]) -> dict[str, Match]:
        addresses = {
            call.id: call.customer_email.strip().lower()
            for call in calls
            if call.customer_email and "@" in call.customer_email
        }
        if not addresses:
            return {}
        contacts = await self._directory.read_contacts(emails=sorted(set(addresses.values())))
        by_email = {contact.email.lower(): contact for contact in contacts if contact.email}
        return {
            call_id: Match(by_email[address].id, "e-mail address")
            for call_id, address in addresses.items()
            if address in by_email
        }

    async def _by_making(self, calls: Sequence[Call]) -> dict[str, Match | CallOutcomeError]:
        if self._maker is None or not calls:
            return {}
        numbers = {
            call.id: number
            for call in calls
            if isinstance(number := self._parsed(call.customer_number), PhoneNumber)
        }
        callers = {numbers[call.id]: call for call in calls if call.id in numbers}
        made = await self._maker.make(callers)
        return {
            call_id: contact
            if isinstance(contact := made[number], CallOutcomeError)
            else Match(contact, "contact created for this number")
            for call_id, number in numbers.items()
        }

    async def _look_up(self, numbers: set[PhoneNumber]) -> dict[PhoneNumber, tuple[Contact, ...]]:
        # One at a time, so that two rounds with the same caller ask once. What is known now is
        # taken along: while we ask for the others, it may be forgotten.
        async with self._asking:
            known = {n: self._known[n.e164][1] for n in numbers if self._is_known(n)}
            return known | await self._ask_for(numbers - known.keys())

    async def _ask_for(self, unknown: set[PhoneNumber]) -> dict[PhoneNumber, tuple[Contact, ...]]:
        if not unknown:
            return {}
        packs = pack_numbers(sorted({number.national for number in unknown}))
        pages = await all_or_first_error(self._directory.search_contacts(pack) for pack in packs)
        by_national = _by_national(contact for page in pages for contact in page)
        if len(self._known) > MOST_NUMBERS_KEPT:
            self._known.clear()
        now = self._monotonic()
        found = {number: self._with_number(number, by_national) for number in unknown}
        self._known |= {number.e164: (now, contacts) for number, contacts in found.items()}
        return found

    def _is_known(self, number: PhoneNumber) -> bool:
        if number.e164 not in self._known:
            return False
        asked_at, contacts = self._known[number.e164]
        return self._monotonic() - asked_at < (KEEP_FOUND_S if contacts else KEEP_MISSING_S)

    def _with_number(
        self, number: PhoneNumber, by_national: Mapping[str | None, Sequence[Contact]]
    ) -> tuple[Contact, ...]:
        # A contact whose searchable values are not shown may be the hit of any number asked.
        candidates = {
            contact.id: contact
            for key in (number.national, None)
            for contact in by_national.get(key, ())
        }
        strength = {
            contact.id: number_match(
                number,
                calculated=(contact.calculated_phone, contact.calculated_mobile),
                written=(contact.phone, contact.mobilephone),
                default_region=self._rules.default_region,
            )
            for contact in candidates.values()
        }
        best = max(strength.values(), default=NumberMatch.DIFFERENT)
        if best is NumberMatch.DIFFERENT:
            return ()
        if best is NumberMatch.UNREADABLE:
            # Masked values prove nothing by themselves: only the searched property does.
            candidates = {contact.id: contact for contact in by_national.get(number.national, ())}
        return tuple(
            Contact(c.id, created_at=c.created_at)
            for c in candidates.values()
            if strength[c.id] is best
        )

    def _choose(self, contacts: Sequence[Contact]) -> Match | SkipCall:
        if not contacts:
            return ContactNotFound("No contact in HubSpot has this number.")
        if len(contacts) == 1:
            return Match(contacts[0].id, "phone number, the only contact with it")
        if self._rules.ambiguous_contact == "skip":
            return AmbiguousContact(f"{len(contacts)} contacts in HubSpot have this number.")
        by_age = sorted(contacts, key=_age)
        chosen = by_age[-1] if self._rules.ambiguous_contact == "recent" else by_age[0]
        word = "newest" if self._rules.ambiguous_contact == "recent" else "oldest"
        return Match(chosen.id, f"phone number, {word} of {len(contacts)} contacts with it")

    def _parsed(self, written: str | None) -> PhoneNumber | SkipCall:
        try:
            return parse_number(written, self._rules.default_region)
        except SkipCall as err:
            return err


def _by_national(contacts: Iterable[Contact]) -> dict[str | None, list[Contact]]:
    grouped: dict[str | None, list[Contact]] = {}
    for contact in contacts:
        shown = {contact.searchable_phone, contact.searchable_mobile} - {None}
        for key in shown or {None}:
            grouped.setdefault(key, []).append(contact)
    return grouped


def _age(contact: Contact) -> tuple[datetime, int, str]:
    """Sorts oldest first; ids grow with time and settle ties."""
    created_at = contact.created_at or datetime.max.replace(tzinfo=UTC)
    return (created_at, int(contact.id) if contact.id.isdecimal() else 0, contact.id)
