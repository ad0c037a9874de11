"""Appending to a call stream on JetStream: many publishes under way, each acknowledged by name.

Callers' threads put entries in line, one thread with an event loop publishes them and settles
their futures; it knows no payload's meaning and reads nothing back.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import threading
import time
from collections.abc import Callable
from types import TracebackType

from nats.aio.client import Client
from nats.js import JetStreamContext, api

from call_stream.jetstream_connection import JetStreamConnection
from call_stream.jetstream_errors import SLOW, in_our_words
from call_stream.jetstream_layout import context, ensure_stream, load_info
from call_stream.jetstream_publishing import Publishing, Waiting
from call_stream.jetstream_url import JetStreamUrl, parse_jetstream_url
from call_stream.settling import EntryFuture
from call_stream.stream import (
    DEFAULT_OWNER,
    MAX_PAYLOAD_BYTES,
    EntryKind,
    Owner,
    StreamError,
    StreamUnavailable,
)

PATIENCE_S = 15.0
"""How long an entry waits for its acknowledgement before it is refused.

A cluster takes 5 to 11 s to replace a leader that was killed (measured, servers 2.9 and 2.15), and
VAPI waits 20 s for an answer and does not report again unless it is told to.
"""
MAX_QUEUED_BYTES = 64 * 1024 * 1024
_TICK_S = 0.25
_FIRST_TRY_S, _FIRST_ANSWER_S = 10.0, 5.0
_PROBE_S = 1.0
_TRY_AGAIN_S = 0.5

logger = logging.getLogger("call_stream")


class JetStreamWriter:
    """One of any number of writers of a JetStream stream; see `open_jetstream_writer`."""

    def __init__(
        self,
        url: JetStreamUrl,
        *,
        retention_days: float | None = None,
        max_queued_bytes: int = MAX_QUEUED_BYTES,
        patience_s: float = PATIENCE_S,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._url = url
        self._retention_days = retention_days
        self._max_queued_bytes = max_queued_bytes
        self._patience_s = patience_s
        self._clock_ns = clock_ns
        self._lock = threading.Lock()
        self._queued_bytes = 0
        self._closed = False
        self._rung = False
        self._refusal: str | None = "The call stream's servers have not been reached yet."
        """Why entries are refused at once; None while they are taken."""
        self._fault: StreamError | None = None
        self._down_since = time.monotonic()
        self._settled_start = threading.Event()
        self._publishing = Publishing(url.stream, patience_s=patience_s, on_done=self._done)
        self._connection = JetStreamConnection(url, name="call-stream-writer", on_up=self._greet)
        self._bell: asyncio.Event
        self._work: concurrent.futures.Future[None]

    def start(self) -> None:
        """Connects. Raises StreamError where waiting would not help."""
        self._connection.start()
        ready = concurrent.futures.Future[None]()
        self._work = asyncio.run_coroutine_threadsafe(self._publish_all(ready), self._loop)
        ready.result()
        self._connection.tried.wait(_FIRST_TRY_S)
        if self._connection.is_connected:
            self._settled_start.wait(_FIRST_ANSWER_S)
        fault = self._fault
        if self._connection.is_refused:
            fault = self._connection.unavailable()
        if fault is not None:
            self.close()
            raise fault
        if self._refusal is not None:
            logger.warning("%s Calls are refused until then.", self._why_down())

    def __enter__(self) -> JetStreamWriter:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def append(
        self, kind: EntryKind, payload: bytes, *, owner: Owner = DEFAULT_OWNER
    ) -> concurrent.futures.Future[int]:
        """A future of the entry's position, done only when the servers have acknowledged it.

        Raises StreamUnavailable at once when refusal is already known, else through the future;
        then the entry may be stored all the same. Raises ValueError for an empty payload or one
        over MAX_PAYLOAD_BYTES.
        """
        future: concurrent.futures.Future[int] = concurrent.futures.Future()
        self._enqueue(kind, payload, owner, future, None)
        return future

    def append_async(
        self, kind: EntryKind, payload: bytes, *, owner: Owner = DEFAULT_OWNER
    ) -> asyncio.Future[int]:
        """The same as `append` for a running event loop, woken once for what comes together."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[int] = loop.create_future()
        self._enqueue(kind, payload, owner, future, loop)
        return future

    def check(self) -> None:
        """Returns when entries can be stored. Raises StreamUnavailable with the reason if not."""
        if self._closed:
            raise StreamUnavailable("The call stream is closed.")
        if self._refusal is not None:
            raise StreamUnavailable(self._why_down())
        if self._queued_bytes >= self._max_queued_bytes:
            raise StreamUnavailable("The call stream's servers are too slow: too much waits.")

    def close(self) -> None:
        """Stores what was taken, then lets go of the servers. May be called twice."""
        with self._lock:
            self._closed = True
        self._connection.call_soon(self._ring_in_loop)
        concurrent.futures.wait([self._work])
        self._connection.close()

    @property
    def _loop(self) -> asyncio.AbstractEventLoop:
        return self._connection.loop

    def _why_down(self) -> str:
        if self._fault is None and not self._connection.is_connected:
            return str(self._connection.unavailable())
        return self._refusal or SLOW

    def _enqueue(
        self,
        kind: EntryKind,
        payload: bytes,
        owner: Owner,
        future: EntryFuture,
        loop: asyncio.AbstractEventLoop | None,
    ) -> None:
        size = len(payload)
        if not 0 < size <= MAX_PAYLOAD_BYTES:
            raise ValueError(f"a payload has 1 to {MAX_PAYLOAD_BYTES} bytes, this one {size}")
        waiting = Waiting(int(kind), self._clock_ns(), payload, owner, future, loop)
        with self._lock:
            if self._closed:
                raise StreamUnavailable("The call stream is closed.")
            if self._refusal is not None:
                raise StreamUnavailable(self._why_down())
            if self._queued_bytes and self._queued_bytes + size > self._max_queued_bytes:
                raise StreamUnavailable(
                    "The call stream's servers are too slow: too much waits for them already."
                )
            self._queued_bytes += size
            self._publishing.line.append(waiting)
            if self._rung:
                return
            self._rung = True
        self._connection.call_soon(self._bell.set)

    def _done(self, size: int, last: int | StreamUnavailable | None) -> None:
        """Hears of each burst of entries that were settled, and how the last of them fared.

        What befell a single entry, such as a payload too large, refuses no other.
        """
        with self._lock:
            self._queued_bytes -= size
        if last is not None:
            self._refusal = None if isinstance(last, int) else str(last)
        if self._publishing.line or self._closed:
            self._bell.set()

    def _ring_in_loop(self) -> None:
        self._bell.set()

    async def _publish_all(self, ready: concurrent.futures.Future[None]) -> None:
        """Publishes whatever is put in line, until the stream is closed and all is settled."""
        self._bell = asyncio.Event()
        ready.set_result(None)
        ticking = asyncio.ensure_future(self._tick())
        try:
            while not (self._closed and self._publishing.is_empty):
                await self._bell.wait()
                self._bell.clear()
                with self._lock:
                    self._rung = False
                await self._publishing.send()
        finally:
            ticking.cancel()
            await asyncio.gather(ticking, return_exceptions=True)

    async def _tick(self) -> None:
        """Repeats what was not acknowledged, gives up what waits too long, looks who answers."""
        probed_at = 0.0
        while True:
            await asyncio.sleep(_TICK_S)
            now = time.monotonic()
            if self._publishing.client is not None:
                self._down_since = now
            elif now - self._down_since > self._patience_s and self._refusal is None:
                self._refusal = self._why_down()
            await self._publishing.repeat(now)
            self._publishing.give_up(now, self._why_down)
            client = self._publishing.client
            if self._refusal is not None and client is not None and now - probed_at > _PROBE_S:
                probed_at = now
                await self._probe(client)

    async def _probe(self, client: Client) -> None:
        """Takes entries again once the stream's leader answers; only a leader with most others."""
        try:
            with in_our_words():
                if await load_info(context(client), self._url) is not None:
                    self._refusal = None
                else:
                    await self._prepare(context(client))
        except StreamError as err:
            self._refusal = str(err)

    async def _greet(self, client: Client) -> None:
        """Makes sure of the stream on a new connection, then publishes what is not acknowledged."""
        while True:
            try:
                with in_our_words():
                    info = await self._prepare(context(client))
                    await self._publishing.attach(client, info.config)
                break
            except StreamUnavailable as err:
                self._refusal = self._refusal and str(err)
            except StreamError as err:
                self._fault, self._refusal = err, str(err)
            self._settled_start.set()
            await asyncio.sleep(_TRY_AGAIN_S)
        self._fault = self._refusal = None
        self._settled_start.set()
        self._bell.set()
        try:
            await asyncio.Event().wait()  # until the connection is lost
        finally:
            self._publishing.detach()

    async def _prepare(self, js: JetStreamContext) -> api.StreamInfo:
        return await ensure_stream(js, self._url, self._retention_days)


def open_jetstream_writer(
    url: str,
    *,
    retention_days: float | None = None,
    max_queued_bytes: int = MAX_QUEUED_BYTES,
    patience_s: float = PATIENCE_S,
    clock_ns: Callable[[], int] = time.time_ns,
) -> JetStreamWriter:
    """The started writer of the stream at `url`, which is made if it is missing.

    Entries are refused while no server answers. Raises UnsupportedStreamUrl, StreamUnavailable
    where the servers refuse the credentials, and StreamError for a stream that cannot hold calls.
    """
    writer = JetStreamWriter(
        parse_jetstream_url(url),
        retention_days=retention_days,
        max_queued_bytes=max_queued_bytes,
        patience_s=patience_s,
        clock_ns=clock_ns,
    )
    writer.start()
    return writer
