"""The phone properties that a portal calculates for a contact.

It knows `phonenumbers` and nothing of stores or requests.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

import phonenumbers

_SOURCES = (("phone", "phone_number"), ("mobilephone", "mobile_number"))

CALCULATED_NAMES: tuple[str, ...] = tuple(
    name
    for _, stem in _SOURCES
    for name in (
        f"hs_calculated_{stem}",
        f"hs_calculated_{stem}_country_code",
        f"hs_calculated_{stem}_area_code",
        f"hs_calculated_{stem}_region_code",
        f"hs_searchable_calculated_{stem}",
        f"hs_searchable_calculated_international_{stem}",
    )
)


def calculated_properties(properties: Mapping[str, str], region: str) -> dict[str, str]:
    """Every calculated phone property of a contact; absent ones have nothing to say."""
    found: dict[str, str] = {}
    for source, stem in _SOURCES:
        written = properties.get(source, "")
        if written:
            found.update({name: text for name, text in _parts(written, stem, region) if text})
    return found


@lru_cache(maxsize=50_000)
def _parts(written: str, stem: str, region: str) -> tuple[tuple[str, str], ...]:
    try:
        number = phonenumbers.parse(written, region)
    except phonenumbers.NumberParseException:
        return _junk(written, stem)
    if not phonenumbers.is_possible_number(number):
        return _junk(written, stem)
    national = phonenumbers.national_significant_number(number)
    area = national[: phonenumbers.length_of_geographical_area_code(number)]
    e164 = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    country = phonenumbers.region_code_for_number(number) or ""
    return (
        (f"hs_calculated_{stem}", e164),
        (f"hs_calculated_{stem}_country_code", country),
        (f"hs_calculated_{stem}_area_code", area),
        (f"hs_calculated_{stem}_region_code", country),
        (f"hs_searchable_calculated_{stem}", national),
        (f"hs_searchable_calculated_international_{stem}", e164),
    )


def _junk(written: str, stem: str) -> tuple[tuple[str, str], ...]:
    # Observed on a live portal: "00004" is searchable as "4"; junk stays junk.
    digits = re.sub(r"\D", "", written).lstrip("0")
    return ((f"hs_searchable_calculated_{stem}", digits),)
