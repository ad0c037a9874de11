"""Unmatched numbers over HTTP: who called, what to do, and their calls tried again."""

from __future__ import annotations

import re
from typing import Any

import pytest

from target_hubspot_calls.tokens import TokenSet
from tests.hubspot_calls.receiver_app.visitors import (
    AT,
    HOSTILE,
    NOT_FOUND,
    REJECTED,
    Visitor,
    address,
    addresses,
    calls_on,
    due,
)

MISSED = {"status": "skipped", "reason": "contact_not_found", "contact_id": None}


@pytest.fixture
def dana(shared_whole: Any) -> Visitor:
    return Visitor(shared_whole)


def numbers_on(page: str) -> list[str]:
    return re.findall(r'<bdi class="number"[^>]*>([^<]+)<', page)


def connect(visitor: Visitor) -> None:
    tokens = TokenSet(access_token="a", refresh_token="r", expires_at=AT, portal_id=77)
    visitor.whole.store.connections.add_oauth(*vars(visitor.workspace).values(), tokens)


def test_numbers_are_shown_with_most_calls_first_and_lead_to_their_calls(dana: Visitor) -> None:
    dana.writes({"phone_number": "+12025550101", "call_id": "lone", **MISSED})
    dana.writes(*({"phone_number": "+12025550102", "call_id": f"c{n}", **MISSED} for n in range(3)))
    dana.writes({"phone_number": "+12025550103", "call_id": "found", **MISSED})
    dana.writes({"phone_number": "+12025550103", "call_id": "found"})

    page = dana.page("/numbers")

    assert numbers_on(page) == ["+12025550102", "+12025550101"]
    assert "1\N{EN DASH}2 of 2 numbers" in page
    calls = dana.page("/history?number=%2B12025550102")
    assert "/history?number=%2B12025550102" in addresses(page)
    assert set(calls_on(calls)) == {"c0", "c1", "c2"}


def test_a_new_contact_is_made_in_the_account_that_is_connected(dana: Visitor) -> None:
    dana.writes(MISSED)
    before = dana.page("/numbers")
    connect(dana)

    page = dana.page("/numbers")

    assert "connect HubSpot" in before
    assert "connect HubSpot" not in page
    assert "https://app.hubspot.com/contacts/77/objects/0-1/views/all/list" in addresses(page)


def test_nobody_unmatched_is_said(dana: Visitor) -> None:
    dana.writes({})

    assert "No unmatched numbers" in dana.page("/numbers")


def test_retry_puts_back_the_unmatched_calls_of_just_that_number(dana: Visitor) -> None:
    wanted = {dana.stands(NOT_FOUND), dana.stands(NOT_FOUND)}
    dana.stands(NOT_FOUND, customer_number="+12025550143")
    dana.stands(REJECTED)

    answer = dana.post("/numbers/retry", {"number": "+12025550142", "offset": "50"})

    assert answer.headers["location"] == "/numbers?offset=50&notice=retried&count=2"
    assert "2 calls are back in line." in dana.page(answer.headers["location"])
    assert due(dana) == wanted


@pytest.mark.parametrize("fields", [{}, {"number": ""}, {"number": "5" * 300}], ids=str)
def test_a_form_without_a_number_retries_nothing(dana: Visitor, fields: dict[str, str]) -> None:
    dana.stands(NOT_FOUND)

    answer = dana.post("/numbers/retry", fields)

    assert answer.status_code == 400
    assert "names no number" in answer.text
    assert due(dana) == set()


def test_numbers_come_in_pages(dana: Visitor) -> None:
    dana.writes(*({"phone_number": f"+1202555{n:04}", **MISSED} for n in range(60)))

    first = dana.page("/numbers")
    second = dana.page(address(first, "Fewer calls"))

    assert len({*numbers_on(first), *numbers_on(second)}) == 60
    assert "51\N{EN DASH}60 of 60 numbers" in second
    assert address(second, "More calls") == "/numbers"
    assert "nothing on this page" in dana.page("/numbers?offset=100")
    assert numbers_on(dana.page("/numbers?offset=-3")) == numbers_on(first)


def test_calls_without_a_number_are_one_line_that_cannot_be_retried(dana: Visitor) -> None:
    dana.writes({"phone_number": None, **MISSED}, {"phone_number": None, **MISSED})

    page = dana.page("/numbers")

    assert "No number" in page
    assert "/history?reason=contact_not_found" in addresses(page)
    assert "/numbers/retry" not in page


def test_a_number_from_outside_is_text(dana: Visitor) -> None:
    dana.writes({"phone_number": HOSTILE, **MISSED})

    page = dana.page("/numbers")

    assert "<script>alert" not in page
    assert calls_on(dana.page(next(a for a in addresses(page) if "number=" in a)))


def test_a_number_without_its_country_leads_to_its_own_calls_and_retries_them_alone(
    dana: Visitor,
) -> None:
    short = dana.stands(NOT_FOUND, customer_number="2025550142")
    dana.stands(NOT_FOUND, customer_number="+12025550142")
    page = dana.page("/numbers")

    (to_calls,) = [it for it in addresses(page) if "/history" in it and "%222025550142%22" in it]
    calls = dana.page(to_calls)
    again = dana.page(to_calls.replace("/history", "/history/retry"))

    assert set(calls_on(calls)) == {short}
    assert "Retry 1 call?" in again
