"""Fetches a recording as a stream: hop by hop over checked links, bounded in bytes and seconds.

It must not know calls, stores or where the bytes go; it never holds more than a piece of them.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Self, TypeVar

import httpx

from target_hubspot_calls.recordings.formats import HEAD_BYTES, AudioFormat, format_of
from target_hubspot_calls.recordings.links import HostList, Link, parse_link
from target_hubspot_calls.recordings.network import (
    CheckedNetwork,
    Resolver,
    open_transport,
    resolve,
)
from target_hubspot_calls.recordings.retry import Sleep, with_retry
from target_hubspot_calls.recordings.status import RecordingError, RecordingStatus, unreachable

T = TypeVar("T")

MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# What stores answer once a presigned link has died, or to a link that never was one
# (400 InvalidArgument: Cloudflare R2, unsigned).
_EXPIRED = frozenset({400, 403, 404, 410})
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})


class RecordingFetcher:
    """Opens recordings of public hosts, or of `hosts` alone where some are given.

    `max_bytes` bounds a recording; `total_s`, in seconds, how long its source may keep us waiting
    in all, from the first look-up to the last byte; the reader's own pauses do not count.
    Raises SettingsError on an unfit host.
    """

    def __init__(
        self,
        hosts: Iterable[str] = (),
        *,
        max_bytes: int = 100_000_000,
        total_s: float = 300.0,
        tries: int = 3,
        resolver: Resolver = resolve,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Sleep = asyncio.sleep,
        rng: random.Random | None = None,
    ) -> None:
        self._network = CheckedNetwork(
            HostList(hosts), resolver=resolver, transport=transport or open_transport()
        )
        self._max_bytes = max_bytes
        self._total_s = total_s
        self._tries = tries
        self._sleep = sleep
        self._rng = rng or random.Random()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._network.aclose()

    @asynccontextmanager
    async def open(self, url: str) -> AsyncIterator[Recording]:
        """The recording behind the link, known by its first bytes, the rest yet to be read.

        Raises RecordingError, here or while it is read.
        """
        recording = Recording(await self._start(url), lambda: self._start(url))
        try:
            yield recording
        finally:
            await recording.aclose()

    async def _start(self, url: str) -> _Source:
        patience = _Patience(self._total_s)

        async def once() -> _Source:
            response = await self._follow(parse_link(url))
            try:
                return await _source(response, patience, self._max_bytes)
            except BaseException:
                await response.aclose()
                raise

        tried = with_retry(once, tries=self._tries, sleep=self._sleep, rng=self._rng)
        return await patience.wait_for(tried)

    async def _follow(self, link: Link) -> httpx.Response:
        """The answer at the end of the redirects, each hop checked like the first."""
        for _ in range(MAX_REDIRECTS + 1):
            response = await self._network.get(link)
            if response.status_code == 200:
                return response
            await response.aclose()
            if response.status_code not in _REDIRECTS:
                raise _refusal(response, link)
            link = _next_link(response, link)
        raise unreachable(f"The recording's link redirects more than {MAX_REDIRECTS} times.")


class Recording:
    """A recording to be read piece by piece; `size` in bytes where its source states it.

    Reading it anew fetches it anew, so an upload of it can be retried.
    """

    def __init__(self, source: _Source, again: Callable[[], Awaitable[_Source]]) -> None:
        self._source = source
        self._again = again
        self._is_read = False
        self.content_type = source.format.content_type
        self.extension = source.format.extension
        self.size = source.size

    async def __aiter__(self) -> AsyncGenerator[bytes]:
        if self._is_read:
            await self._start_over()
        self._is_read = True
        async with aclosing(self._source.pieces()) as pieces:
            async for piece in pieces:
                yield piece

    async def aclose(self) -> None:
        """Gives the connection up."""
        await self._source.response.aclose()

    async def _start_over(self) -> None:
        await self.aclose()
        source = await self._again()
        if (source.format, source.size) != (self._source.format, self._source.size):
            await source.response.aclose()
            raise unreachable("The recording is another one than a moment ago.")
        self._source = source


class _Patience:
    """The seconds a source may still keep us waiting; ours to use up in pieces."""

    def __init__(self, total_s: float) -> None:
        self._total_s = total_s
        self._left_s = total_s

    async def wait_for(self, answer: Awaitable[T]) -> T:
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            async with asyncio.timeout(max(0.0, self._left_s)):
                return await answer
        except TimeoutError as err:
            raise unreachable(f"The recording took longer than {self._total_s:g} s.") from err
        finally:
            self._left_s -= loop.time() - started


@dataclass(frozen=True)
class _Source:
    """An open answer whose first bytes are read and say what it is."""

    response: httpx.Response
    rest: AsyncIterator[bytes]
    head: bytes
    format: AudioFormat
    size: int | None
    patience: _Patience
    max_bytes: int

    async def pieces(self) -> AsyncGenerator[bytes]:
        """The bytes, from the first on, until the end or a bound. Raises RecordingError."""
        arrived = len(self.head)
        piece: bytes | None = self.head
        while piece is not None:
            if arrived > self.max_bytes:
                raise _too_large(self.max_bytes)
            yield piece
            piece = await self.patience.wait_for(_next_piece(self.rest))
            arrived += len(piece or b"")


async def _source(response: httpx.Response, patience: _Patience, max_bytes: int) -> _Source:
    """The answer as a recording. Raises RecordingError if it is too large or something else."""
    size = _stated_size(response)
    if size is not None and size > max_bytes:
        raise _too_large(max_bytes)
    # Raw: a body that was packed on its way is not unpacked here, it could be a bomb.
    rest = response.aiter_raw()
    head = b""
    while len(head) < HEAD_BYTES:
        piece = await _next_piece(rest)
        if piece is None:
            break
        head += piece
    found = format_of(head)
    if found is None:
        raise RecordingError(
            RecordingStatus.UNSUPPORTED_TYPE, "What the link gives is no recording HubSpot plays."
        )
    return _Source(response, rest, head, found, size, patience, max_bytes)


async def _next_piece(rest: AsyncIterator[bytes]) -> bytes | None:
    try:
        return await anext(rest, None)
    except httpx.HTTPError as err:
        name = type(err).__name__
        raise unreachable(f"The recording broke off ({name}).", retryable=True) from err


def _stated_size(response: httpx.Response) -> int | None:
    written = response.headers.get("content-length", "")
    is_stated = written.isascii() and written.isdigit() and len(written) < 20
    if not is_stated or "transfer-encoding" in response.headers:
        return None
    return int(written)


def _next_link(response: httpx.Response, link: Link) -> Link:
    location = response.headers.get("location")
    if not location:
        raise unreachable(f"{link.host} redirects to nowhere.")
    return link.join(location)


def _refusal(response: httpx.Response, link: Link) -> RecordingError:
    status = response.status_code
    if status in _EXPIRED:
        message = f"The recording's link no longer works: {link.host} answers {status}."
        return RecordingError(RecordingStatus.EXPIRED, message)
    return unreachable(f"{link.host} answers {status}.", retryable=status in _PASSING)


def _too_large(max_bytes: int) -> RecordingError:
    message = f"The recording is larger than {max_bytes / 1_000_000:g} MB."
    return RecordingError(RecordingStatus.TOO_LARGE, message)
