"""Values as VAPI writes them, read one at a time; a value of the wrong type is None, not an error.

Knows value forms and how long each may be; it must not know where in a body a value stands.
"""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

JsonObject = Mapping[str, Any]

NAME_LIMIT = 200
NUMBER_LIMIT = 64
EMAIL_LIMIT = 320
CODE_LIMIT = 300
URL_LIMIT = 4_096
SUMMARY_LIMIT = 100_000
TRANSCRIPT_LIMIT = 2_000_000
STRUCTURED_DATA_LIMIT = 200_000
"""All limits are characters, but this last one: bytes of JSON."""
DEEPEST = 32
"""Levels of objects and lists that are kept of a value of any form."""

_LARGEST_INTEGER = 2**63 - 1
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_LATEST = datetime(2100, 1, 1, tzinfo=UTC)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_TEXT = re.compile(r"\d{10}(\.\d+)?|\d{13}")
_WEB_ADDRESS = re.compile(r"https?://[^\s/@\\?#]+([/?#]\S*)?", re.IGNORECASE)
# NUL, what may have been a number that is none, and integers of more than 63 bits.
_NEEDS_A_LOOK = re.compile(rb"\\u0000|null|\d{19}")
_CONTACT_ID = re.compile(r"[1-9][0-9]{0,19}")


def clean(text: str) -> str:
    """The text without NUL and with every lone surrogate replaced, so that it is valid UTF-8."""
    if "\x00" in text:
        text = text.replace("\x00", "")
    return text if text.isascii() else whole(text)


def whole(text: str) -> str:
    """The text with every lone surrogate replaced."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def to_object(value: object) -> JsonObject:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def to_text(value: object, limit: int) -> str | None:
    """The text cut to `limit` characters, or None where it is blank or no text."""
    if not isinstance(value, str):
        return None
    text = clean(value)
    return text[:limit] if text and not text.isspace() else None


def to_token(value: object, limit: int) -> str | None:
    """A name, code or number on one line, or None where it is longer than `limit` characters.

    A cut identifier would be another identifier.
    """
    if not isinstance(value, str):
        return None
    token = value.strip()
    if not (token.isascii() and token.isprintable()):
        token = clean(token).strip()
        if not token.isprintable():
            return None
    return token if 0 < len(token) <= limit else None


def to_web_address(value: object) -> str | None:
    """An http(s) address without a user part, or None."""
    address = to_token(value, URL_LIMIT)
    return address if address is not None and _WEB_ADDRESS.fullmatch(address) else None


def to_contact_id(value: object) -> str | None:
    """A HubSpot contact id (digits), written as text or as a whole number, or None."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    token = to_token(value, 20)
    return token if token is not None and _CONTACT_ID.fullmatch(token) else None


def to_number(value: object) -> float | None:
    """A finite number that is not negative, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def to_moment(value: object) -> datetime | None:
    """An aware UTC time from ISO 8601 text or epoch seconds or milliseconds, 2000 to 2099.

    Text without an offset is taken as UTC; VAPI writes `Z`.
    """
    try:
        moment = _parse_text(value) if isinstance(value, str) else _parse_epoch(to_number(value))
    except (ValueError, OverflowError):
        return None
    return moment if moment is not None and _EARLIEST <= moment < _LATEST else None


def _parse_text(told: str) -> datetime | None:
    text = told.strip().upper()
    if _EPOCH_TEXT.fullmatch(text):
        return _parse_epoch(float(text))
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is UTC:
        return moment
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _parse_epoch(number: float | None) -> datetime | None:
    if number is None:
        return None
    since = timedelta(milliseconds=number) if number >= 1e11 else timedelta(seconds=number)
    return _EPOCH + since


def to_iso(moment: datetime) -> str:
    """ISO 8601 in UTC with milliseconds and `Z`, the one form of a time in a call record."""
    in_utc = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    return in_utc.isoformat(timespec="milliseconds")[:23] + "Z"


def to_json_object(value: JsonObject) -> dict[str, Any]:
    """The object with clean text all through, and only as many members as the limit allows."""
    return dict(value) if _is_plain(value) else _plain_members(value)


def _is_plain(value: JsonObject) -> bool:
    """Whether nothing of it needs changing, as far as its JSON tells at a glance."""
    try:
        encoded = msgspec.json.encode(value)
    except (UnicodeEncodeError, RecursionError):
        return False
    return (
        len(encoded) + len(value) <= STRUCTURED_DATA_LIMIT
        and encoded.count(b"{") + encoded.count(b"[") <= DEEPEST
        and not _NEEDS_A_LOOK.search(encoded)
    )


def _plain_members(value: JsonObject) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    room = STRUCTURED_DATA_LIMIT
    for name, member in value.items():
        plain = _to_json(member, DEEPEST)
        room -= len(msgspec.json.encode({clean(name): plain}))
        if room < 0:
            break
        kept[clean(name)] = plain
    return kept


def _to_json(value: object, levels: int) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict | list) and not levels:
        return None
    if isinstance(value, dict):
        return {clean(str(name)): _to_json(member, levels - 1) for name, member in value.items()}
    if isinstance(value, list):
        return [_to_json(member, levels - 1) for member in value]
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return value if abs(value) <= _LARGEST_INTEGER else str(value)
    return value if isinstance(value, float) and math.isfinite(value) else None
