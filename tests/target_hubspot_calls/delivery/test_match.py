"""Which contact a call belongs to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from target_hubspot_calls.call import Call
from target_hubspot_calls.delivery.match import KEEP_MISSING_S, Match, Matcher, MatchRules
from target_hubspot_calls.errors import (
    AmbiguousContact,
    CallOutcomeError,
    ContactNotFound,
    InvalidPhoneNumber,
    NoPhoneNumber,
    SkipCall,
)
from target_hubspot_calls.hubspot.contacts import Contact


class Directory:
    """Contacts held in memory, searched the way HubSpot searches: without country codes."""

    def __init__(self, *contacts: Contact) -> None:
        self.contacts = list(contacts)
        self.searches: list[list[str]] = []

    async def search_contacts(self, national_numbers: Sequence[str]) -> Sequence[Contact]:
        self.searches.append(list(national_numbers))
        return [
            contact
            for contact in self.contacts
            if {contact.searchable_phone, contact.searchable_mobile} & set(national_numbers)
        ]

    async def read_contacts(
        self, *, ids: Iterable[str] | None = None, emails: Iterable[str] | None = None
    ) -> Sequence[Contact]:
        wanted_ids, wanted_emails = set(ids or ()), set(emails or ())
        return [c for c in self.contacts if c.id in wanted_ids or c.email in wanted_emails]


def a_contact(contact_id: str = "101", **fields: Any) -> Contact:
    return Contact(
        **{
            "id": contact_id,
            "phone": "(415) 555-0123",
            "calculated_phone": "+14155550123",
            "searchable_phone": "4155550123",
            "created_at": datetime(2026, 1, 1, tzinfo=UTC),
            **fields,
        }
    )


def match_one(
    directory: Directory, call: Call, ambiguous_contact: str = "oldest"
) -> Match | SkipCall:
    matcher = Matcher(directory, MatchRules("US", ambiguous_contact), lambda: 0.0)
    return asyncio.run(matcher.match([call]))[call.id]


def test_the_only_contact_with_the_number_is_the_one(a_call: Callable[..., Call]) -> None:
    match = match_one(Directory(a_contact()), a_call())

    assert match == Match("101", "phone number, the only contact with it")


def test_a_mobile_number_counts_as_well(a_call: Callable[..., Call]) -> None:
    contact = a_contact(
        phone="+1 212 555 0100",
        calculated_phone="+12125550100",
        searchable_phone="2125550100",
        mobilephone="415.555.0123",
        searchable_mobile="4155550123",
    )

    assert match_one(Directory(contact), a_call()) == Match(
        "101", "phone number, the only contact with it"
    )


def test_the_same_digits_in_another_country_are_somebody_else(a_call: Callable[..., Call]) -> None:
    stranger = a_contact(phone="+41 55 550 123 4", calculated_phone="+494155550123")

    assert isinstance(match_one(Directory(stranger), a_call()), ContactNotFound)


def test_of_several_contacts_the_policy_chooses_and_says_so(a_call: Callable[..., Call]) -> None:
    directory = Directory(
        a_contact("103", created_at=datetime(2026, 3, 1, tzinfo=UTC)),
        a_contact("102", created_at=datetime(2025, 3, 1, tzinfo=UTC)),
        a_contact("104", created_at=None),
    )

    assert match_one(directory, a_call(), "oldest") == Match(
        "102", "phone number, oldest of 3 contacts with it"
    )
    assert match_one(directory, a_call(), "recent") == Match(
        "104", "phone number, newest of 3 contacts with it"
    )
    assert isinstance(match_one(directory, a_call(), "skip"), AmbiguousContact)


def test_a_contact_whose_values_are_masked_is_found_by_the_searched_property(
    a_call: Callable[..., Call],
) -> None:
    masked = a_contact(phone="******0123", calculated_phone=None)

    assert match_one(Directory(masked), a_call()) == Match(
        "101", "phone number, the only contact with it"
    )


def test_a_readable_contact_beats_a_masked_one(a_call: Callable[..., Call]) -> None:
    directory = Directory(a_contact("101", phone="***", calculated_phone=None), a_contact("102"))

    assert match_one(directory, a_call()) == Match("102", "phone number, the only contact with it")


def test_the_contact_id_a_call_names_wins_over_its_number(a_call: Callable[..., Call]) -> None:
    directory = Directory(a_contact("101"), a_contact("555", searchable_phone="1"))

    assert match_one(directory, a_call(hubspot_contact_id="555")) == Match(
        "555", "contact id given by the call"
    )


def test_a_contact_id_that_does_not_exist_falls_back_to_the_number(
    a_call: Callable[..., Call],
) -> None:
    match = match_one(Directory(a_contact()), a_call(hubspot_contact_id="999"))

    assert match == Match("101", "phone number, the only contact with it")


def test_a_web_call_is_matched_by_e_mail(a_call: Callable[..., Call]) -> None:
    call = a_call(customer_number=None, customer_email=" Dana.Ruiz@example.com ")

    assert match_one(Directory(a_contact(email="dana.ruiz@example.com")), call) == Match(
        "101", "e-mail address"
    )


def test_why_there_is_no_contact_is_told_apart(a_call: Callable[..., Call]) -> None:
    directory = Directory(a_contact())

    assert isinstance(match_one(directory, a_call(customer_number=None)), NoPhoneNumber)
    assert isinstance(match_one(directory, a_call(customer_number="+1")), InvalidPhoneNumber)
    assert isinstance(match_one(directory, a_call(customer_number="+12025550199")), ContactNotFound)


def test_many_calls_are_matched_with_few_searches(a_call: Callable[..., Call]) -> None:
    directory = Directory()
    calls = [a_call(id=f"c{i}", customer_number=f"+1415555{i:04d}") for i in range(200)]
    matcher = Matcher(directory, MatchRules("US", "oldest"), lambda: 0.0)

    asyncio.run(matcher.match(calls))

    assert [len(numbers) for numbers in directory.searches] == [96, 96, 8]


def test_a_number_asked_before_is_not_asked_again(a_call: Callable[..., Call]) -> None:
    directory = Directory(a_contact())
    matcher = Matcher(directory, MatchRules("US", "oldest"), lambda: 0.0)

    asyncio.run(matcher.match([a_call(id="c1"), a_call(id="c2")]))
    asyncio.run(matcher.match([a_call(id="c3")]))

    assert directory.searches == [["4155550123"]]


def test_a_missing_contact_is_looked_for_again_after_a_while(a_call: Callable[..., Call]) -> None:
    directory = Directory()
    now = [0.0]
    matcher = Matcher(directory, MatchRules("US", "oldest"), lambda: now[0])
    asyncio.run(matcher.match([a_call(id="c1")]))
    now[0] = KEEP_MISSING_S
    directory.contacts.append(a_contact())

    again = asyncio.run(matcher.match([a_call(id="c2")]))

    assert again["c2"] == Match("101", "phone number, the only contact with it")


def test_a_number_forgotten_while_others_are_searched_for_still_has_its_answer(
    a_call: Callable[..., Call],
) -> None:
    known, other = a_call(id="a"), a_call(id="b", customer_number="+14155550199")

    class Meanwhile(Directory):
        async def search_contacts(self, national_numbers: Sequence[str]) -> Sequence[Contact]:
            matcher.ask_again([known])
            return await super().search_contacts(national_numbers)

    directory = Meanwhile()
    matcher = Matcher(directory, MatchRules("US", "oldest"), lambda: 0.0)

    async def match() -> dict[str, Match | CallOutcomeError]:
        await matcher.match([known])
        return await matcher.match([known, other])

    matches = asyncio.run(match())

    assert [type(each) for each in matches.values()] == [ContactNotFound, ContactNotFound]


def test_numbers_dropped_to_keep_memory_small_still_have_their_answer(
    a_call: Callable[..., Call], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("target_hubspot_calls.delivery.match.MOST_NUMBERS_KEPT", 0)
    known, other = a_call(id="a"), a_call(id="b", customer_number="+14155550199")
    matcher = Matcher(Directory(a_contact()), MatchRules("US", "oldest"), lambda: 0.0)

    async def match() -> dict[str, Match | CallOutcomeError]:
        await matcher.match([known])
        return await matcher.match([known, other])

    matches = asyncio.run(match())

    assert isinstance(matches["a"], Match)
