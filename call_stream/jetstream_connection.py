"""One connection to NATS servers, kept by a thread with an event loop of its own.

Connects anew by itself whenever a connection is lost; knows servers, secrets and threads, and
nothing of streams.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import random
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from nats import errors
from nats.aio.client import Client

from call_stream.jetstream_client import connect, leave, options_of
from call_stream.jetstream_errors import (
    CredentialsRefused,
    in_our_words,
    is_refusal,
    why_no_connection,
)
from call_stream.jetstream_url import JetStreamUrl
from call_stream.stream import StreamUnavailable

T = TypeVar("T")
OnUp = Callable[[Client], Awaitable[None]]

ASKING_PATIENCE_S = 5.0
"""How long servers may be away before whoever asks something is told so."""

_LOOK_S = 0.25
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.1, 2.0


class JetStreamConnection:
    """The connection of one reader or writer; `run` is for other threads, the rest for its own."""

    def __init__(self, url: JetStreamUrl, *, name: str, on_up: OnUp | None = None) -> None:
        self.url = url
        self.reason = "none of them has answered yet"
        """Why there is no connection; of the last attempt."""
        self.is_refused = False
        """Whether the servers answer, and do not let us in."""
        self.was_up = False
        """Whether there has been a connection."""
        self.tried = threading.Event()
        """Set when every server has been tried once, or one has let us in."""
        self._name = name
        self._on_up = on_up
        self._client: Client | None = None
        self.servers = list(url.servers)
        """Those of the URL, and those that they have told us of."""
        self.options: dict[str, Any] = {}
        """How each is spoken to."""
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.loop: asyncio.AbstractEventLoop
        self._news: asyncio.Event
        self._stop: asyncio.Event

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection now."""
        return self._client is not None and self._client.is_connected

    def start(self) -> None:
        """Starts the thread, which goes on trying. Raises StreamError for unusable files."""
        self.options = options_of(self.url)
        self._thread.start()
        self._ready.wait()

    def run(self, coroutine: Coroutine[Any, Any, T], *, timeout_s: float) -> T:
        """What the coroutine gives, run in the loop. Raises StreamError."""
        try:
            future = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        except RuntimeError as err:
            coroutine.close()
            raise StreamUnavailable("The call stream is closed.") from err
        try:
            with in_our_words():
                return future.result(timeout_s)
        except concurrent.futures.CancelledError as err:
            raise StreamUnavailable("The call stream is closed.") from err
        finally:
            future.cancel()

    def call_soon(self, callback: Callable[..., object], *args: object) -> None:
        """Has the loop call this, if it still runs."""
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(callback, *args)

    def run_soon(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Has the loop run this, if it still runs; nobody waits for it."""
        try:
            asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        except RuntimeError:
            coroutine.close()

    async def client(self, patience_s: float = ASKING_PATIENCE_S) -> Client:
        """The connected client, waiting for one. Raises StreamUnavailable."""
        with suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                while not self.is_connected and not self.is_refused:
                    self._news.clear()
                    await self._news.wait()
        client = self._client
        if client is None or not client.is_connected:
            raise self.unavailable()
        return client

    def unavailable(self) -> StreamUnavailable:
        """Why there is no connection, to be raised."""
        kind = CredentialsRefused if self.is_refused else StreamUnavailable
        return kind(f"The call stream's servers cannot be used: {self.reason}.")

    def close_soon(self) -> None:
        """Lets go of the servers, some time soon and from any thread."""
        if self._thread.is_alive():
            self.call_soon(self._stop.set)

    def close(self) -> None:
        """Lets go of the servers. May be called twice."""
        self.close_soon()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        asyncio.run(self._live())

    async def _live(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._news, self._stop = asyncio.Event(), asyncio.Event()
        self._ready.set()
        keeping = self.loop.create_task(self._keep_connected())
        await self._stop.wait()
        # Where a connection fails just then, the driver keeps the first cancelling to itself.
        while not keeping.done():
            keeping.cancel()
            await asyncio.wait([keeping], timeout=_LOOK_S)
        self.reason = "the call stream is closed"
        self._news.set()

    async def _keep_connected(self) -> None:
        wait_s = _FIRST_WAIT_S
        while True:
            client = await self._connect_to_any()
            self.tried.set()
            self._client = client
            self._news.set()
            if client is None:
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
                continue
            wait_s = _FIRST_WAIT_S
            try:
                await self._use(client)
            finally:
                self._client = None
                self.reason = "the connection was lost"
                await leave(client)

    async def _use(self, client: Client) -> None:
        """Returns when the connection is lost."""
        greeting = None
        if self._on_up is not None:
            greeting = asyncio.ensure_future(self._on_up(client))
        try:
            # The client says so at once, yet tells nobody while a dead peer's socket lingers.
            while client.is_connected:  # noqa: ASYNC110
                await asyncio.sleep(_LOOK_S)
        finally:
            if greeting is not None:
                greeting.cancel()
                await asyncio.gather(greeting, return_exceptions=True)

    async def _connect_to_any(self) -> Client | None:
        reasons = []
        refused = 0
        for host, port in random.sample(self.servers, len(self.servers)):
            try:
                client = await connect(host, port, self.url, self.options, name=self._name)
            except (errors.Error, OSError, TimeoutError) as err:
                refused += is_refusal(err)
                why = "it refuses the credentials" if is_refusal(err) else why_no_connection(err)
                reasons.append(f"{host}:{port}: {why}")
                continue
            self._learn_of_others(client)
            self.is_refused = False
            self.was_up = True
            return client
        self.reason = "; ".join(sorted(reasons)[:5])
        self.is_refused = refused == len(self.servers)
        return None

    def _learn_of_others(self, client: Client) -> None:
        """Servers of the cluster that the URL does not name can take over, too."""
        if self.url.tls:
            return  # they are told by address, and certificates are made out to names
        for told in client.discovered_servers:
            if told.hostname and told.port and (told.hostname, told.port) not in self.servers:
                self.servers.append((told.hostname, told.port))
        del self.servers[len(self.url.servers) + 16 :]
