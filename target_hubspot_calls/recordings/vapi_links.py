"""Asks VAPI for a link to a call's recording that works now.

It must not know where the link leads, and never follows it: the key is for VAPI alone.
"""

from __future__ import annotations

import asyncio
import random
import re
from typing import Self

import httpx

from target_hubspot_calls.errors import SettingsError
from target_hubspot_calls.recordings.links import parse_link, to_browser_link
from target_hubspot_calls.recordings.network import USER_AGENT, quieten_http_logs, tls
from target_hubspot_calls.recordings.retry import Sleep, with_retry
from target_hubspot_calls.recordings.status import RecordingError, RecordingStatus, unreachable

VAPI_API_URL = "https://api.vapi.ai"

_CALL_ID = re.compile(r"[A-Za-z0-9_-]{1,200}\Z")
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})


class VapiKeyRefused(RecordingError):
    """VAPI does not take the private key: nothing gets better until a person mends the setting."""

    def __init__(self, http_status: int) -> None:
        super().__init__(
            RecordingStatus.UNREACHABLE,
            f"VAPI refuses the private key (HTTP {http_status}); check vapi_api_key.",
        )


class VapiLinks:
    """Fresh links of one VAPI organization. Raises SettingsError on an unfit address or key.

    `try_s` bounds one question, in seconds.
    """

    def __init__(
        self,
        api_key: str,
        api_url: str = VAPI_API_URL,
        *,
        tries: int = 3,
        try_s: float = 10.0,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Sleep = asyncio.sleep,
        rng: random.Random | None = None,
    ) -> None:
        _check_settings(api_key, api_url)
        quieten_http_logs()
        self._http = httpx.AsyncClient(
            base_url=api_url,
            headers={"Authorization": f"Bearer {api_key}", "User-Agent": USER_AGENT},
            verify=tls(),
            transport=transport,
            trust_env=False,
            follow_redirects=False,
            timeout=try_s,
        )
        self._try_s = try_s
        self._tries = tries
        self._sleep = sleep
        self._rng = rng or random.Random()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def fetch_fresh_link(self, call_id: str) -> str:
        """A link to the call's mono recording, good for some minutes.

        Raises RecordingError: `none` if VAPI has no recording of the call, `expired` if it is past
        what the plan keeps, else `unreachable`. Source: VAPI API, GET /call/{id}/mono-recording.
        """
        if not _CALL_ID.match(call_id):
            raise _no_recording()
        return await with_retry(
            lambda: self._fetch(call_id), tries=self._tries, sleep=self._sleep, rng=self._rng
        )

    async def _fetch(self, call_id: str) -> str:
        try:
            async with (
                asyncio.timeout(self._try_s),
                self._http.stream("GET", f"/call/{call_id}/mono-recording") as response,
            ):
                return _link_of(response)
        except httpx.InvalidURL:  # httpx reads the Location, though it is not to follow it
            raise _unfit_link() from None
        except (httpx.HTTPError, TimeoutError) as err:
            name = type(err).__name__
            # The request of the error carries the key, so it is not kept as its cause.
            raise unreachable(f"VAPI could not be asked ({name}).", retryable=True) from None


def _link_of(response: httpx.Response) -> str:
    """Where VAPI sends us; the body is never read."""
    status = response.status_code
    if status in _REDIRECTS:
        link = to_browser_link(response.headers.get("location", ""))
        if link is None:
            raise _unfit_link()
        return link
    if status in (401, 403):
        raise VapiKeyRefused(status)
    if status == 404:
        raise _no_recording()
    if status in (400, 410):  # 400: "exceeds your retention window"
        message = f"VAPI no longer keeps the call's recording (HTTP {status})."
        raise RecordingError(RecordingStatus.EXPIRED, message)
    raise RecordingError(
        RecordingStatus.UNREACHABLE,
        f"VAPI answers {status} when asked for the recording.",
        retryable=status in _PASSING,
        retry_after_s=_retry_after_s(response),
    )


def _unfit_link() -> RecordingError:
    return unreachable("VAPI gave a link to the recording that is no https address.")


def _no_recording() -> RecordingError:
    return RecordingError(RecordingStatus.NONE, "VAPI has no recording of this call.")


def _retry_after_s(response: httpx.Response) -> float | None:
    written = response.headers.get("retry-after", "")
    return float(written) if re.fullmatch(r"[0-9]{1,6}", written) else None


def _check_settings(api_key: str, api_url: str) -> None:
    faults = []
    if not re.fullmatch(r"[\x21-\x7e]+", api_key):
        faults.append("vapi_api_key must be one word of plain characters")
    try:
        link = parse_link(api_url)
    except RecordingError:
        faults.append("vapi_api_url must be an https address without a user part")
    else:
        if link.url.scheme != "https" and not link.is_loopback:
            faults.append("vapi_api_url must use https (plain http is for this machine only)")
        if link.url.query:
            faults.append("vapi_api_url must have no query")
    if faults:
        raise SettingsError(faults)
