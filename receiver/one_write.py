"""An answer goes to the network in one write, and one that is always the same without ado.

Uvicorn hands head and body to the transport one by one, and each is a system call: on the webhook's
route a second one costs a fifth of all time. Knows how uvicorn writes an answer, and nothing of
what is in it; tests/receiver/test_uvicorn.py holds what it counts on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class AnswerTransport:
    """A connection's transport as one answer sees it.

    Not for an answer to HEAD: no body follows its head, so nothing would be written.
    """

    __slots__ = ("_begun", "_head", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._begun = False
        self._head = b""

    def write(self, piece: bytes) -> None:
        """Writes, or keeps the head until there is more to write."""
        if self._head:
            self._transport.write(self._head + piece)
            self._head = b""
        elif self._begun or piece == _CONTINUE:
            self._transport.write(piece)
        else:
            self._begun = True
            self._head = piece

    def close(self) -> None:
        """Closes the connection, with all that was written."""
        if self._head:
            self._transport.write(self._head)
            self._head = b""
        self._transport.close()

    def is_closing(self) -> bool:
        """Whether the connection is closed or being closed."""
        return self._transport.is_closing()


def send_whole(
    cycle: RequestResponseCycle,
    transport: asyncio.Transport,
    status_line: bytes,
    fields_and_body: bytes,
) -> bool:
    """Whether the answer was sent; if not, it has to go the ordinary way.

    Both parts are as they stand in HTTP/1.1; the server's own fields come between them. Does what
    uvicorn's `send` does for a head and its body, but for looking at each field.
    """
    if cycle.response_started or cycle.disconnected or not cycle.keep_alive:
        return False
    if cycle.flow.write_paused:
        return False
    cycle.response_started = cycle.response_complete = True
    cycle.waiting_for_100_continue = False
    transport.write(status_line + own_fields(cycle.default_headers) + fields_and_body)
    cycle.message_event.set()
    cycle.on_response()
    return True


class _OwnFields:
    """The server's own header fields, as uvicorn's list of them and as bytes."""

    seen: Sequence[tuple[bytes, bytes]] | None = None
    written = b""


def own_fields(fields: Sequence[tuple[bytes, bytes]]) -> bytes:
    """The lines of the server's own fields; uvicorn makes a new list of them every second."""
    if fields is not _OwnFields.seen:
        _OwnFields.written = b"".join(b"%s: %s\r\n" % field for field in fields)
        _OwnFields.seen = fields
    return _OwnFields.written
