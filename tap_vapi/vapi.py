"""VAPI's REST API over HTTP: calls by when they last changed, and our own numbers by their id.

Knows no Singer, no bookmark and no call record. Source: VAPI API reference, `GET /call` and
`GET /phone-number/{id}`, read 2026-11-22.
"""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import metadata
from ipaddress import ip_address
from types import TracebackType
from typing import Any, Self

import httpx
import msgspec
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt

VAPI_API_URL = "https://api.vapi.ai"
MOST_CALLS = 1000
"""The most calls that VAPI lists at once."""

# VAPI's firewall turns away the names that HTTP libraries give themselves.
_USER_AGENT = f"target-hubspot-calls/{metadata.version('target-hubspot-calls')}"
_TIMEOUT = httpx.Timeout(90.0, connect=10.0)
_TRIES = 6
_LONGEST_WAIT_S = 30.0
_LONGEST_ASKED_WAIT_S = 120.0
_PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
_RETENTION = re.compile(r"retention window", re.IGNORECASE)
_KEPT_DAYS = re.compile(r"last (\d{1,5}) days", re.IGNORECASE)
_NUMBER_ID = re.compile(r"[A-Za-z0-9_-]{1,200}")
_KEY = re.compile(r"[\x21-\x7e]+")

Sleep = Callable[[float], None]

logger = logging.getLogger("tap-vapi")


class VapiError(Exception):
    """VAPI could not be read; the text is a sentence for whoever runs the tap."""


class BeyondRetention(VapiError):
    """Calls so old are no longer kept; `days` is how many are, None where VAPI did not say."""

    def __init__(self, days: int | None) -> None:
        super().__init__("VAPI no longer keeps calls that old.")
        self.days = days


class VapiUnreachable(VapiError):
    """Nothing of VAPI's answers from here: the network's business, or a wrong address."""


class _Passing(VapiError):
    """What may be over in a moment, or in `after_s` seconds where VAPI named a time."""

    def __init__(self, sentence: str, after_s: float | None = None) -> None:
        super().__init__(sentence)
        self.after_s = after_s


class Vapi:
    """The REST API of one VAPI organization; every method may raise VapiError."""

    def __init__(
        self,
        api_key: str,
        api_url: str = VAPI_API_URL,
        *,
        tries: int = _TRIES,
        transport: httpx.BaseTransport | None = None,
        sleep: Sleep = time.sleep,
        rng: random.Random | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        # Addresses in these logs have nobody's number, but every page of them would be a line.
        for name in ("httpx", "httpcore"):
            logging.getLogger(name).setLevel(logging.WARNING)
        self._http = httpx.Client(
            base_url=api_url,
            headers={"Authorization": f"Bearer {api_key}", "User-Agent": _USER_AGENT},
            transport=transport,
            trust_env=False,
            follow_redirects=False,
            timeout=_TIMEOUT,
        )
        self._host = self._http.base_url.netloc.decode("ascii")
        self._tries = tries
        self._clock = clock
        self._rng = rng or random.Random()
        self._retrying = Retrying(
            retry=retry_if_exception_type(_Passing),
            stop=stop_after_attempt(tries),
            wait=self._wait_s,
            sleep=sleep,
            reraise=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def list_calls(
        self,
        *,
        updated_ge: datetime,
        updated_le: datetime,
        created_le: datetime | None = None,
        limit: int,
    ) -> list[msgspec.Raw]:
        """Up to `limit` calls that changed last in this time, each as its own JSON.

        Both ends are included. Raises BeyondRetention, VapiError.
        """
        asked = {
            "limit": str(limit),
            "updatedAtGe": _to_text(updated_ge),
            "updatedAtLe": _to_text(updated_le),
        }
        if created_le is not None:
            asked["createdAtLe"] = _to_text(created_le)
        content = self._get("/call", asked)
        try:
            return msgspec.json.decode(content, type=list[msgspec.Raw])
        except msgspec.DecodeError:
            raise VapiError("VAPI's list of calls is no JSON list.") from None

    def fetch_number(self, number_id: str) -> str | None:
        """The number that is ours by this id, None where VAPI has none. Raises VapiError."""
        if not _NUMBER_ID.fullmatch(number_id):
            return None
        try:
            told: Any = msgspec.json.decode(self._get(f"/phone-number/{number_id}", {}))
        except msgspec.DecodeError:
            raise VapiError("VAPI's answer about a phone number is no JSON.") from None
        except _NotThere:
            return None
        number = told.get("number") if isinstance(told, dict) else None
        return number if isinstance(number, str) else None

    def _get(self, path: str, asked: dict[str, str]) -> bytes:
        began = self._clock()
        try:
            return self._retrying(self._ask, path, asked)
        except _NoAnswer as err:
            tried = "once" if self._tries == 1 else f"{self._tries} times"
            raise VapiUnreachable(
                f"{str(err).rstrip('.')}; it was asked {tried} within"
                f" {self._clock() - began:.0f} s. Check that this machine reaches it (network,"
                " firewall, DNS), and VAPI_API_URL (setting vapi_api_url)."
            ) from None

    def _ask(self, path: str, asked: dict[str, str]) -> bytes:
        try:
            response = self._http.get(path, params=asked)
        except httpx.HTTPError as err:
            # The request of the error carries the key, so it is not kept as its cause.
            raise _NoAnswer(
                f"VAPI could not be asked at {self._host} ({type(err).__name__})."
            ) from None
        return _checked(response)

    def _wait_s(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked_s = error.after_s if isinstance(error, _Passing) else None
        guessed_s = min(_LONGEST_WAIT_S, 2.0**state.attempt_number)
        wait_s = guessed_s if asked_s is None else min(asked_s, _LONGEST_ASKED_WAIT_S)
        logger.info("%s Asked again in %.0f s.", error, wait_s)
        return wait_s * self._rng.uniform(1.0, 1.25)


class _NoAnswer(_Passing):
    """No answer came at all."""


class _NotThere(VapiError):
    """Nothing has this id."""


def faults_of_address(api_url: str) -> list[str]:
    """What is wrong with a base address: https, unless it is this machine."""
    try:
        url = httpx.URL(api_url)
        is_here = url.host == "localhost" or ip_address(url.host.strip("[]")).is_loopback
    except httpx.InvalidURL:
        return ["must be an address like https://api.vapi.ai"]
    except ValueError:
        is_here = False
    if not url.host or url.scheme not in ("https", "http") or url.userinfo or url.query:
        return ["must be an address like https://api.vapi.ai"]
    return [] if url.scheme == "https" or is_here else ["must use https"]


def is_key(api_key: str) -> bool:
    """True if this can be sent as a key at all."""
    return _KEY.fullmatch(api_key) is not None


def _checked(response: httpx.Response) -> bytes:
    """The body of a good answer. Raises VapiError."""
    status = response.status_code
    if status == 200:
        return response.content
    if status in (401, 403):
        raise VapiError(f"VAPI refuses the private key (HTTP {status}); check vapi_api_key.")
    if status == 404:
        raise _NotThere("VAPI has nothing at this address (HTTP 404); check vapi_api_url.")
    if status == 400 and _RETENTION.search(response.text):
        days = _KEPT_DAYS.search(response.text)
        raise BeyondRetention(int(days[1]) if days else None)
    sentence = f"VAPI answers {status} to a request for calls."
    if status in _PASSING:
        raise _Passing(sentence, _retry_after_s(response))
    raise VapiError(sentence)


def _retry_after_s(response: httpx.Response) -> float | None:
    written = response.headers.get("retry-after", "")
    return float(written) if re.fullmatch(r"[0-9]{1,6}", written) else None


def _to_text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
