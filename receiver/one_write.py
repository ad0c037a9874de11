"""The head of an answer goes to the network together with the first piece of its body.

Uvicorn hands them to the transport one by one, and each is a system call: on the webhook's route a
second one costs a fifth of all time. Knows how uvicorn writes an answer, and nothing of what is in
it; tests/receiver/test_uvicorn.py holds what it counts on.
"""

from __future__ import annotations

import asyncio

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
