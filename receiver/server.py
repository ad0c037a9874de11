"""Serving the receiver with uvicorn: bounds, graceful shutdown, and a word when it listens.

Knows sockets and uvicorn, nothing of webhooks.
"""

from __future__ import annotations

import dataclasses
import logging
import socket
from collections import Counter
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp

from receiver.at_once import AtOnce
from receiver.connections import ConnectionBounds, Door, TurnedAway
from receiver.open_files import allow_open_files
from receiver.protocol import bounded_protocol

logger = logging.getLogger("receiver.connections")

OnListening = Callable[[str], None]

GRACEFUL_S = 8
_BACKLOG = 2048
_OTHER_FILES = 256


class CannotListen(Exception):
    """The address cannot be listened on; the text says which and why."""


class ReceiverServer(uvicorn.Server):
    """A uvicorn server on a socket of its own, which also knows its address when port 0 was asked.

    `run()` serves until a signal, or until another thread sets `should_exit`.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        listener: socket.socket,
        on_listening: OnListening | None,
        door: Door,
    ) -> None:
        super().__init__(config)
        self.door = door
        self._listener = listener
        self._on_listening = on_listening
        host, port = listener.getsockname()[:2]
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serves until told to stop; requests under way are answered first."""
        super().run(sockets=sockets or [self._listener])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts listening, and says so."""
        await super().startup(sockets=sockets)
        if self.started and self._on_listening is not None:
            self._on_listening(self.url)


def build_server(
    app: ASGIApp,
    host: str,
    port: int,
    *,
    on_listening: OnListening | None = None,
    bounds: ConnectionBounds | None = None,
    turned_away: Counter[TurnedAway] | None = None,
    at_once: AtOnce | None = None,
) -> ReceiverServer:
    """A server bound to host and port (0: any free one), not yet running. Raises CannotListen.

    It counts in `turned_away` the connections that it ends, by reason. What comes whole goes to
    `at_once` first, which is the application's own if it has one.
    """
    if not 0 <= port <= 65535:
        raise CannotListen(f"The receiver cannot listen on {host}:{port}: no such port.")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as err:
        reason = str(err.strerror or err).partition(" (while")[0]
        raise CannotListen(f"The receiver cannot listen on {host}:{port}: {reason}.") from err
    door = Door(_within_open_files(bounds or ConnectionBounds()), turned_away)
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=bounded_protocol(door, at_once or getattr(app, "at_once", None)),
        ws="none",  # a connection that is upgraded would leave our bounds
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=door.bounds.keep_alive_s,
        timeout_graceful_shutdown=GRACEFUL_S,
    )
    return ReceiverServer(config, listener, on_listening, door)


def _within_open_files(bounds: ConnectionBounds) -> ConnectionBounds:
    """The bounds, with fewer connections where the system does not allow so many open files."""
    wanted = bounds.max_connections + bounds.surplus + _OTHER_FILES
    allowed = allow_open_files(wanted)
    if allowed >= wanted:
        return bounds
    fewer = max(1, (allowed - _OTHER_FILES) * 8 // 9)
    logger.warning(
        "the system allows %d open files: %d connections are served at once, and not %d;"
        " raise `ulimit -n`",
        allowed,
        fewer,
        bounds.max_connections,
    )
    return dataclasses.replace(bounds, max_connections=fewer)


def serve(app: ASGIApp, host: str, port: int, *, on_listening: OnListening | None = None) -> None:
    """Serves until SIGINT or SIGTERM, then answers what is under way. Raises CannotListen."""
    build_server(app, host, port, on_listening=on_listening).run()
