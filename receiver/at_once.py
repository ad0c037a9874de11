"""A request that came in one piece, and that is taken without a task of its own.

A task, and what uvicorn makes around it, costs a webhook a fifth of its time. Knows what uvicorn's
protocol reads of the request in hand (tests/receiver/test_uvicorn.py holds it); must not know what
a request asks for.
"""

from __future__ import annotations

from typing import Any, Protocol

from receiver.one_write import own_fields

_CLOSE = b"connection: close\r\n"


class AtOnce(Protocol):
    """Who takes whole requests: a path that begins so, and what to do with one."""

    @property
    def path_prefix(self) -> bytes:
        """What the paths of its requests begin with."""

    def take(self, request: WholeRequest, body: bytes, /) -> bool:
        """Whether it was taken, to be answered later; else it goes the ordinary way, untouched.

        Who does not hold on to the body leaves its memory, warm, to that of the next request.
        """


class Connection(Protocol):
    """What a whole request needs of the connection that it came by."""

    transport: Any
    server_state: Any

    def on_response_complete(self) -> None:
        """Goes on with the connection's next request."""


class _Nobody:
    """Nobody waits for what becomes of a whole request but the one who took it."""

    def set(self) -> None:
        """Wakes nobody."""


_NOBODY = _Nobody()


class WholeRequest:
    """A POST that came in one piece, in the place of uvicorn's cycle until it is answered."""

    __slots__ = (
        "_connection",
        "disconnected",
        "keep_alive",
        "path",
        "response_complete",
        "response_started",
        "scope",
    )

    more_body = False
    message_event = _NOBODY

    def __init__(self, connection: Connection, path: str, scope: dict[str, Any]) -> None:
        self._connection: Connection | None = connection
        self.path = path
        self.scope = scope
        self.disconnected = False
        self.keep_alive = True
        self.response_started = False
        self.response_complete = False

    def answer(self, status_line: bytes, fields_and_body: bytes) -> None:
        """Sends the answer, both parts as they stand in HTTP/1.1. To be called once.

        The server's own fields come between them. Of a sender that is gone nothing is heard.
        """
        connection, self._connection = self._connection, None  # it holds on to this request, too
        self.response_started = self.response_complete = True
        if connection is None or self.disconnected:
            return
        fields = own_fields(connection.server_state.default_headers)
        if self.keep_alive:
            connection.transport.write(status_line + fields + fields_and_body)
        else:
            connection.transport.write(status_line + fields + _CLOSE + fields_and_body)
            connection.transport.close()
        connection.on_response_complete()
