"""Numbers as people write them."""

from __future__ import annotations

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from target_hubspot_calls.errors import InvalidPhoneNumber, NoPhoneNumber
from target_hubspot_calls.phone import (
    NumberMatch,
    PhoneNumber,
    display_number,
    number_match,
    parse_number,
)

WRITTEN = {
    "E.164": ("+14155550123", "US", "+14155550123"),
    "national US with brackets": ("(415) 555-0123", "US", "+14155550123"),
    "dots and an extension": ("415.555.0144 ext 5", "US", "+14155550144"),
    "UK national with trunk zero": ("020 7946 0123", "GB", "+442079460123"),
    "UK international with bracketed zero": ("+44 (0)20 7946 0123", "US", "+442079460123"),
    "00 prefix, from Germany": ("0044 20 7946 0123", "DE", "+442079460123"),
    "011 prefix, from the US": ("011 49 30 23125105", "US", "+493023125105"),
    "full-width digits": ("+1 415 555 0123", "US", "+14155550123"),
    "sip address with a number": ("sip:+14155550123@sip.example.test", "US", "+14155550123"),
    "spaces around": ("  +1 415 555 0123 ", "US", "+14155550123"),
}
UNUSABLE = {
    "a fragment": "+1",
    "a word": "anonymous",
    "too short": "55",
    "too long": "+141555501234567890",
    "no such country": "+9991234567",
    "a very long text": "1" * 5000,
    "only a plus": "+",
}


@pytest.mark.parametrize(("written", "region", "e164"), WRITTEN.values(), ids=WRITTEN.keys())
def test_a_number_written_any_way_is_read(written: str, region: str, e164: str) -> None:
    assert parse_number(written, region).e164 == e164


def test_the_national_form_has_no_trunk_zero_and_no_country_code() -> None:
    assert parse_number("020 7946 0123", "GB").national == "2079460123"


@pytest.mark.parametrize("written", UNUSABLE.values(), ids=UNUSABLE.keys())
def test_what_nobody_could_dial_is_no_number(written: str) -> None:
    with pytest.raises(InvalidPhoneNumber) as caught:
        parse_number(written, "US")

    assert written not in str(caught.value)


@pytest.mark.parametrize("written", [None, "", "   "], ids=["none", "empty", "blank"])
def test_nothing_written_is_told_apart_from_nonsense(written: str | None) -> None:
    with pytest.raises(NoPhoneNumber):
        parse_number(written, "US")


@given(st.text(max_size=60))
def test_any_text_is_a_number_or_a_clear_refusal(written: str) -> None:
    try:
        number = parse_number(written, "US")
    except (InvalidPhoneNumber, NoPhoneNumber):
        return

    assert parse_number(number.e164, "US") == number
    assert number.e164 == f"+{phonenumbers.parse(number.e164).country_code}{number.national}"


@given(st.integers(0, 199), st.sampled_from(["({a}) {b}-{c}", "{a}.{b}.{c}", "+1{a}{b}{c}"]))
def test_all_ways_to_write_one_number_are_one_number(last: int, form: str) -> None:
    written = form.format(a="415", b="555", c=f"0{last:03d}")

    assert parse_number(written, "US").e164 == f"+14155550{last:03d}"


NUMBER = PhoneNumber("+14155550123", "4155550123")
HITS = {
    "calculated value says so": (["+14155550123"], [], NumberMatch.EXACT),
    "typed value says so": ([None], ["(415) 555-0123"], NumberMatch.EXACT),
    "mobile says so, phone is another": (["+14155550199", "+14155550123"], [], NumberMatch.EXACT),
    "same digits in another country": (["+494155550123"], [], NumberMatch.DIFFERENT),
    "everything masked": (["***0123"], ["******0123", None], NumberMatch.UNREADABLE),
    "nothing shown at all": ([None], [None, ""], NumberMatch.UNREADABLE),
    "masked beside another number": (["***0123"], ["+493023125105"], NumberMatch.DIFFERENT),
}


@pytest.mark.parametrize(("calculated", "written", "expected"), HITS.values(), ids=HITS.keys())
def test_a_hit_of_the_search_is_checked_in_e164(
    calculated: list[str | None], written: list[str | None], expected: NumberMatch
) -> None:
    actual = number_match(NUMBER, calculated=calculated, written=written, default_region="US")

    assert actual == expected


def test_a_number_is_shown_as_people_read_it() -> None:
    assert display_number(NUMBER) == "+1 415-555-0123"
