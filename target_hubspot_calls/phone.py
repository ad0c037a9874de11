"""Written phone numbers of any country as E.164, and whether a contact really has one.

Pure: libphonenumber's rules and nothing of ours but the error family. A value that has not been
through here is a *written* number.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat, ValidationResult

from target_hubspot_calls.errors import InvalidPhoneNumber, NoPhoneNumber

MASK_CHARACTERS = frozenset("*•#xX…")
# Longest thing anybody writes for a number, extension and words included; libphonenumber's own
# bound is 250.
LONGEST_WRITTEN_NUMBER = 100


@dataclass(frozen=True)
class PhoneNumber:
    """One subscriber number.

    `e164` is "+14155550123"; `national` is the national significant number "4155550123", the form
    of HubSpot's hs_searchable_calculated_* properties.
    """

    e164: str
    national: str
    # The parsed form, so that showing the number needs no second parsing; no part of its identity.
    parsed: phonenumbers.PhoneNumber | None = field(default=None, repr=False, compare=False)


class NumberMatch(IntEnum):
    """How surely a contact has the number, weakest first."""

    DIFFERENT = 0
    UNREADABLE = 1
    EXACT = 2


def parse_number(written_number: str | None, default_region: str) -> PhoneNumber:
    """The number that was written; `default_region` ("US") is for those without a country code.

    Raises NoPhoneNumber for nothing at all, InvalidPhoneNumber for what no country could dial:
    a fragment such as "+1", a SIP word such as "anonymous", too many digits.
    """
    text = (written_number or "").strip()
    if not text:
        raise NoPhoneNumber("The call has no number of the other party.")
    number = _parsed(text.removeprefix("sip:").partition("@")[0], default_region)
    if number is None:
        raise InvalidPhoneNumber("The other party's number is no phone number of any country.")
    return number


def number_match(
    number: PhoneNumber,
    *,
    calculated: Iterable[str | None],
    written: Iterable[str | None],
    default_region: str,
) -> NumberMatch:
    """How surely a contact that HubSpot's search returned has `number`.

    HubSpot searches national numbers, so the same digits in another country come back too.
    `calculated` are its E.164 properties, `written` what people typed. UNREADABLE is a contact
    whose every value is missing or masked: some portals mask numbers for some users.
    """
    readable = False
    for value in (*calculated, *written):
        text = (value or "").strip()
        if text == number.e164:
            return NumberMatch.EXACT
        if not text or is_masked(text):
            continue
        theirs = _parsed(text, default_region)
        if theirs is None:
            continue
        if theirs.e164 == number.e164:
            return NumberMatch.EXACT
        readable = True
    return NumberMatch.DIFFERENT if readable else NumberMatch.UNREADABLE


def is_masked(text: str) -> bool:
    """True for a value whose digits were hidden, such as "******0123"; extensions are not masks."""
    digits_end = max((i for i, char in enumerate(text) if char.isdigit()), default=-1)
    masks = [i for i, char in enumerate(text[: digits_end + 1]) if char in MASK_CHARACTERS]
    return len(masks) >= 2 or digits_end == -1


@lru_cache(maxsize=4096)
def display_number(number: PhoneNumber) -> str:
    """The number as people read it: "+1 415-555-0123"."""
    parsed = number.parsed or phonenumbers.parse(number.e164)
    return phonenumbers.format_number(parsed, PhoneNumberFormat.INTERNATIONAL)


# The same number is read several times for one call, and again for each call of a caller.
@lru_cache(maxsize=4096)
def _parsed(text: str, default_region: str) -> PhoneNumber | None:
    if len(text) > LONGEST_WRITTEN_NUMBER:
        return None
    try:
        parsed = phonenumbers.parse(text, default_region)
    except NumberParseException:
        return None
    if phonenumbers.is_possible_number_with_reason(parsed) != ValidationResult.IS_POSSIBLE:
        return None
    return PhoneNumber(
        e164=phonenumbers.format_number(parsed, PhoneNumberFormat.E164),
        national=phonenumbers.national_significant_number(parsed),
        parsed=parsed,
    )
