"""Parameters of a request, read with every fault named at once and no value repeated.

Knows texts, words, numbers and times; which parameters a route takes is the route's business.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import ClientDisconnect, Request

from receiver.answers import Refusal
from receiver.bodies import body_too_large

MAX_BODY_BYTES = 16 * 1024
LONGEST_TEXT = 200
_BODY_TIMEOUT_S = 10.0
_LAST_EPOCH_MS = 253_402_300_799_999  # the end of the year 9999
# As on the command line.
_LENGTH = re.compile(r"([0-9]{1,9})([mhdw])")
_UNITS_S = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.-]{1,40}")
# In an address a plus sign that was not written as %2B is a blank.
_LOST_PLUS = re.compile(r"(?<=T\d\d:\d\d)(:\d\d(?:\.\d+)?)? (?=\d\d:?\d\d$)")


class Parameters:
    """What was given, by name; each reading method takes one, and `check` refuses the faults."""

    def __init__(
        self,
        given: Mapping[str, object],
        faults: Collection[str] = (),
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        # An empty value is how forms and front ends spell "not set".
        self._given = {name: value for name, value in given.items() if value not in ("", None)}
        self._unread = {*given}
        self._now = now
        self.faults = [*faults]

    def text(self, name: str, *, longest: int = LONGEST_TEXT) -> str | None:
        """The text, None if it is not given."""
        value = self._take(name)
        if value is None:
            return None
        if not isinstance(value, str) or not _is_unicode(value):
            self._fault(f"{name} must be text")
            return None
        if len(value) > longest:
            self._fault(f"{name} must have at most {longest} characters")
            return None
        return value

    def word(self, name: str, words: Collection[str]) -> str | None:
        """One of the words, None if it is not given."""
        value = self._take(name)
        if value is None or (isinstance(value, str) and value in words):
            return value
        self._fault(f"{name} must be one of {', '.join(words)}")
        return None

    def whole(self, name: str, default: int, *, least: int, most: int) -> int:
        """The whole number within its bounds."""
        value = self._take(name)
        if value is None:
            return default
        written = str(_whole(value)) if isinstance(value, int | float | str) else ""
        if not isinstance(value, bool) and re.fullmatch(r"-?[0-9]{1,18}", written):
            number = int(written)
            if least <= number <= most:
                return number
        self._fault(f"{name} must be a whole number from {least} to {most}")
        return default

    def moment(self, name: str) -> datetime | None:
        """The time in UTC, None if it is not given.

        Written in ISO 8601 (UTC unless it says), in epoch milliseconds, or as how long ago: 24h.
        """
        value = self._take(name)
        if value is None:
            return None
        try:
            return _moment(value, self._now())
        except (ValueError, OverflowError):
            self._fault(
                f"{name} must be a time like 2026-11-22T09:30:00Z, how long ago like 30m, 24h or"
                " 7d, or milliseconds"
            )
            return None

    def truth(self, name: str) -> bool:
        """True if it is given as true; False if it is not given."""
        value = self._take(name)
        if value is None:
            return False
        known = {True: True, False: False, "true": True, "false": False}
        if isinstance(value, bool | str) and value in known:
            return known[value]
        self._fault(f"{name} must be true or false")
        return False

    def check(self) -> None:
        """Raises Refusal (400) that names every fault, parameters nobody knows among them."""
        for name in sorted(self._unread):
            shown = name if _PLAIN_NAME.fullmatch(name) else "a name that was given"
            self._fault(f"{shown} is no parameter here")
        if self.faults:
            # It begins with a name, which is said as it is written, or has none to say.
            sentence = "; ".join(dict.fromkeys(self.faults))
            if sentence.startswith("a name "):
                sentence = f"A{sentence[1:]}"
            raise Refusal(400, "invalid_parameters", f"{sentence}.")

    def _take(self, name: str) -> Any:
        self._unread.discard(name)
        return self._given.get(name)

    def _fault(self, fault: str) -> None:
        self.faults.append(fault)


def query_parameters(request: Request) -> Parameters:
    """The parameters of the address; one that is given twice is a fault."""
    items = request.query_params.multi_items()
    times = Counter(name for name, _ in items)
    twice = [name for name, count in times.items() if count > 1]
    faults = [f"{name} is given more than once" for name in twice if _PLAIN_NAME.fullmatch(name)]
    return Parameters(dict(items), faults)


async def body_parameters(request: Request) -> Parameters:
    """The fields of a small JSON object or of a form; none of an empty body. Raises Refusal."""
    body = await _read(request)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not body:
        return Parameters({})
    if kind not in ("application/json", ""):
        if body.lstrip().startswith(b"{"):
            # As curl -d does it, unless told.
            raise Refusal(
                415,
                "unsupported_media_type",
                "The body looks like JSON and is sent as something else: send the header"
                " Content-Type: application/json.",
            )
        if kind != "application/x-www-form-urlencoded":
            raise Refusal(
                415,
                "unsupported_media_type",
                "The body must be JSON or a form, and the header Content-Type must say which.",
            )
        return Parameters(_form(body))
    try:
        fields = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Refusal(400, "not_json", "The body is not JSON.") from None
    if not isinstance(fields, dict):
        raise Refusal(400, "not_an_object", "The body must be a JSON object.")
    return Parameters(fields)


async def _read(request: Request) -> bytes:
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(_BODY_TIMEOUT_S):
            async for chunk in request.stream():
                size += len(chunk)
                if size > MAX_BODY_BYTES:
                    raise body_too_large(MAX_BODY_BYTES)
                chunks.append(chunk)
    except TimeoutError:
        sentence = f"The body did not arrive within {_BODY_TIMEOUT_S:g} seconds."
        raise Refusal(408, "body_timeout", sentence) from None
    except ClientDisconnect:
        raise Refusal(400, "sender_gone", "The sender hung up.") from None
    return b"".join(chunks)


def _form(body: bytes) -> dict[str, object]:
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=100
        )
    except ValueError:
        raise Refusal(400, "not_a_form", "The form cannot be read.") from None
    return dict(pairs)


def _moment(value: object, now: datetime) -> datetime:
    """Raises ValueError, OverflowError."""
    value = _whole(value)
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError
    if isinstance(value, int) or re.fullmatch(r"-?[0-9]+", value):
        milliseconds = int(value) if len(str(value)) < 20 else _LAST_EPOCH_MS + 1
        if not 0 <= milliseconds <= _LAST_EPOCH_MS:
            raise ValueError
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    if length := _LENGTH.fullmatch(value):
        return now - timedelta(seconds=int(length[1]) * _UNITS_S[length[2]])
    moment = datetime.fromisoformat(_LOST_PLUS.sub(r"\1+", value.strip()))
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _whole(value: object) -> object:
    """The value; a number that JSON writes as 5.0 is 5."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
