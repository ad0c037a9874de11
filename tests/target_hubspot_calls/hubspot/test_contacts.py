from __future__ import annotations

import json
import random
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from target_hubspot_calls.hubspot.contacts import (
    Contact,
    pack_numbers,
    read_contact,
    search_body,
)


def many_numbers(count: int, digits: int, seed: int) -> list[str]:
    """Numbers of up to so many digits; lists drawn one by one hardly ever fill a search."""
    dice = random.Random(seed)
    return [str(dice.randrange(10 ** dice.randint(1, digits))) for _ in range(count)]


NUMBERS = st.one_of(
    st.lists(st.text("0123456789", min_size=1, max_size=20), max_size=40),
    st.builds(many_numbers, st.integers(90, 400), st.integers(8, 20), st.integers(0, 2**16)),
)


@given(NUMBERS)
def test_every_number_is_packed_exactly_once(numbers: list[str]) -> None:
    packs = pack_numbers(numbers)

    packed = [number for pack in packs for number in pack]
    assert sorted(packed) == sorted(set(numbers))
    assert len(packed) == len(set(packed))


@given(NUMBERS)
def test_no_search_body_passes_3000_characters_on_any_page(numbers: list[str]) -> None:
    packs = pack_numbers(numbers)

    for pack in packs:
        assert pack
        for after in (None, "200", "10000"):
            assert len(search_body(pack, after).decode()) <= 3_000


@given(NUMBERS)
def test_a_pack_is_closed_only_when_the_next_number_does_not_fit(numbers: list[str]) -> None:
    packs = pack_numbers(numbers)

    for pack, following in pairwise(packs):
        with pytest.raises(ValueError, match="too many"):
            search_body([*pack, following[0]], after="10000")


def test_a_thousand_us_numbers_take_eleven_searches() -> None:
    numbers = [f"202555{n:04d}" for n in range(1000)]

    packs = pack_numbers(numbers)

    assert len(packs) == 11


def test_each_number_is_asked_for_in_both_phone_properties() -> None:
    body = json.loads(search_body(["2025550123", "4155550100"], after="200"))

    assert [group["filters"][0]["propertyName"] for group in body["filterGroups"]] == [
        "hs_searchable_calculated_phone_number",
        "hs_searchable_calculated_mobile_number",
    ]
    assert all(
        group["filters"][0]["values"] == ["2025550123", "4155550100"]
        and group["filters"][0]["operator"] == "IN"
        for group in body["filterGroups"]
    )
    assert body["limit"] == 200
    assert body["after"] == "200"
    assert body["sorts"] == [{"propertyName": "createdate", "direction": "ASCENDING"}]


@pytest.mark.parametrize("written", ["+12025550123", "", "202 555", "٢٠٢", "1" * 21])
def test_anything_but_a_national_number_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="national numbers"):
        pack_numbers([written])
    with pytest.raises(ValueError, match="national numbers"):
        search_body([written])


def test_a_masked_or_empty_field_of_a_contact_is_none() -> None:
    contact = read_contact(
        {
            "id": 301,
            "properties": {
                "phone": None,
                "mobilephone": "",
                "firstname": "Viola",
                "createdate": "2026-01-02T03:04:05.678Z",
            },
        }
    )

    assert contact == Contact(
        id="301",
        firstname="Viola",
        created_at=datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC),
    )
