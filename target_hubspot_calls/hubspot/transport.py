"""The HTTP client of one portal: one host, bounded answers, no environment, nothing in logs.

It must not know tokens, objects or what an answer means.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from functools import cache

import httpx

from target_hubspot_calls.hubspot.api import (
    CONNECT_S,
    DEADLINE,
    DEADLINES_S,
    USER_AGENT,
    checked_base_url,
)
from target_hubspot_calls.hubspot.pace import Pace, PacedTransport

MAX_ANSWER_BYTES = 20 * 1024 * 1024
_KEPT_CONNECTIONS = 32
# Below the 5 s after which common servers hang up: a create sent into that moment loses its answer.
_KEPT_S = 3.0


class AnswerTooLarge(httpx.ReadError):
    """The answer is bigger than anything HubSpot sends."""


def open_http(
    api_url: str,
    auth: httpx.Auth | None = None,
    pace: Pace | None = None,
    *,
    transport: httpx.AsyncBaseTransport | None = None,
    max_answer_bytes: int = MAX_ANSWER_BYTES,
) -> httpx.AsyncClient:
    """The only kind of HTTP client of this room. Raises SettingsError on an unfit address.

    How many connections are open is bounded by the pace, whose slots are held in flight.
    """
    base_url = checked_base_url(api_url)
    _quieten_http_logs()
    if transport is None:
        transport = httpx.AsyncHTTPTransport(
            verify=_tls(),
            trust_env=False,
            retries=0,
            limits=httpx.Limits(
                max_connections=None,
                max_keepalive_connections=_KEPT_CONNECTIONS,
                keepalive_expiry=_KEPT_S,
            ),
        )
    bounded: httpx.AsyncBaseTransport = BoundedTransport(transport, base_url, max_answer_bytes)
    if pace is not None:
        bounded = PacedTransport(bounded, pace)
    return httpx.AsyncClient(
        base_url=base_url,
        auth=auth,
        transport=bounded,
        trust_env=False,
        follow_redirects=False,
        timeout=httpx.Timeout(None, connect=CONNECT_S),
        headers={
            "User-Agent": USER_AGENT,
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
        },
    )


class BoundedTransport(httpx.AsyncBaseTransport):
    """Whole answers of one host only, within a deadline from sending to last byte and a size."""

    def __init__(
        self, inner: httpx.AsyncBaseTransport, base_url: httpx.URL, max_answer_bytes: int
    ) -> None:
        self._inner = inner
        self._home = _origin(base_url)
        self._max_answer_bytes = max_answer_bytes

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The answer, read to its end. Raises httpx.ReadTimeout, AnswerTooLarge, ValueError."""
        if _origin(request.url) != self._home:
            raise ValueError("a request for another host than the API's is never sent")
        deadline_s = float(request.extensions.get(DEADLINE, DEADLINES_S["read"]))
        try:
            async with asyncio.timeout(deadline_s):
                response = await self._inner.handle_async_request(request)
                try:
                    return await self._whole(response)
                finally:
                    await response.aclose()
        except TimeoutError as err:
            raise httpx.ReadTimeout(f"no whole answer within {deadline_s:g} s") from err

    async def aclose(self) -> None:
        """Closes the transport beneath."""
        await self._inner.aclose()

    async def _whole(self, response: httpx.Response) -> httpx.Response:
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > self._max_answer_bytes:
                raise AnswerTooLarge(f"the answer passes {self._max_answer_bytes} bytes")
        dropped = ("content-encoding", "content-length", "transfer-encoding")
        headers = [(name, value) for name, value in response.headers.raw if _keep(name, dropped)]
        return httpx.Response(
            response.status_code,
            headers=headers,
            content=bytes(body),
            extensions={
                name: value
                for name, value in response.extensions.items()
                if name in ("http_version", "reason_phrase")
            },
        )


def _keep(name: bytes, dropped: tuple[str, ...]) -> bool:
    return name.decode("latin-1").lower() not in dropped


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


@cache
def _tls() -> ssl.SSLContext:
    """One context for all portals: reading the certificates takes longer than a request."""
    return httpx.create_ssl_context(trust_env=False)


def _quieten_http_logs() -> None:
    """Keeps addresses, headers and bodies of the HTTP libraries out of every log."""
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)
