"""uvicorn, set up quietly and so that a connection can be reset on purpose.

It knows nothing of what is served.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Sequence

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class ResettableProtocol(HttpToolsProtocol):
    """uvicorn's own protocol, which also hands its transport to the application."""

    def on_message_begin(self) -> None:
        """Starts a request, with the transport among the extensions of its scope."""
        super().on_message_begin()
        self.scope["extensions"] = {"simulator": {"transport": self.transport}}


class PromptServer(uvicorn.Server):
    """A server that stops within milliseconds, whatever it is in the middle of."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None

    def stop(self) -> None:
        """Asks the server to end; may be called from any thread."""
        self.should_exit = True
        if self._loop is not None and self._stopping is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stopping.set)

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Listens until stopped. Unlike uvicorn's own it logs nothing and takes no signals."""
        self.config.load()
        self.lifespan = self.config.lifespan_class(self.config)
        await self.startup(sockets)
        await self.main_loop()
        await self.shutdown(sockets)

    def _log_started_message(self, listeners: Sequence[socket.SocketType]) -> None:
        return

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listens."""
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        await super().startup(sockets)

    async def main_loop(self) -> None:
        """Waits for the end, and keeps the date of answers right meanwhile."""
        while self._stopping is not None and not await self.on_tick(0):
            try:
                await asyncio.wait_for(self._stopping.wait(), timeout=0.5)
            except TimeoutError:
                continue

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Closes every connection, in use or not."""
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        for connection in list(self.server_state.connections):
            if isinstance(connection, ResettableProtocol):
                connection.transport.abort()
        for task in list(self.server_state.tasks):
            task.cancel()
        await asyncio.sleep(0)


def build_server(app: ASGIApp, host: str, port: int) -> PromptServer:
    """A server that logs nothing and stops at once."""

    async def until_stopped(scope: Scope, receive: Receive, send: Send) -> None:
        # Cancelled means that the server stops: nobody is left to answer or to tell.
        with contextlib.suppress(asyncio.CancelledError):
            await app(scope, receive, send)

    return PromptServer(
        uvicorn.Config(
            until_stopped,
            host=host,
            port=port,
            # uvloop's sockets take no linger option, and resets need it.
            loop="asyncio",
            http=ResettableProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level=None,
            access_log=False,
            server_header=False,
            backlog=512,
        )
    )
