"""What goes over the connection: bodies read to their end, answers written, spoiled or cut off.

It knows nothing of operations or limits.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator

from starlette.types import Receive, Scope, Send

from .answers import Answer, HubSpotError
from .faults import Fault
from .request_log import LoggedRequest

_LINGER_ZERO = struct.pack("ii", 1, 0)
_MAX_BODY_BYTES = 64 * 1024 * 1024


class ConnectionDropped(Exception):
    """The connection is to be reset and no more said."""


class RequestBody:
    """The body of one request, read once and to its end."""

    def __init__(self, receive: Receive, entry: LoggedRequest) -> None:
        self._receive = receive
        self._entry = entry
        self._is_read = False

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body in pieces. Raises ConnectionDropped where the client has gone."""
        while not self._is_read:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ConnectionDropped
            self._is_read = not message.get("more_body", False)
            chunk: bytes = message.get("body", b"")
            self._entry.body_size += len(chunk)
            yield chunk

    async def whole(self) -> bytes:
        """The body at once. Raises a 413 where it is longer than any JSON ought to be."""
        pieces = []
        async for chunk in self.chunks():
            if self._entry.body_size <= _MAX_BODY_BYTES:
                pieces.append(chunk)
        if self._entry.body_size > _MAX_BODY_BYTES:
            raise HubSpotError(413, "Request entity too large", "PAYLOAD_TOO_LARGE")
        return b"".join(pieces)

    async def drain(self) -> None:
        """Reads what is left: an unread body would make the server close the connection."""
        async for _ in self.chunks():
            pass


async def send_answer(
    send: Send, answer: Answer, headers: dict[str, str], entry: LoggedRequest
) -> None:
    """Writes an answer whole."""
    entry.status = answer.status
    await _send_start(send, answer, headers, len(answer.body))
    await send({"type": "http.response.body", "body": answer.body})


async def _send_start(send: Send, answer: Answer, headers: dict[str, str], length: int) -> None:
    written = {**headers, **answer.headers}
    if answer.status != 204:
        written = {"Content-Type": answer.content_type, "Content-Length": str(length), **written}
    await send(
        {
            "type": "http.response.start",
            "status": answer.status,
            "headers": [
                (name.lower().encode("latin-1"), value.encode("latin-1"))
                for name, value in written.items()
            ],
        }
    )


async def send_faulty(
    send: Send, fault: Fault, answer: Answer, headers: dict[str, str], entry: LoggedRequest
) -> None:
    """Writes an answer as a fault would have it. Raises ConnectionDropped where it cuts it off."""
    if fault.delay_after_s:
        await asyncio.sleep(fault.delay_after_s)
    if fault.action == "reset_after":
        raise ConnectionDropped
    spoiled = fault.spoil(answer) if fault.is_processed else answer
    if fault.action == "reset_during":
        await _send_start(send, spoiled, headers, len(spoiled.body))
        half = spoiled.body[: len(spoiled.body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})
        await asyncio.sleep(0.02)
        raise ConnectionDropped
    if fault.action == "drip":
        await _drip(send, spoiled, headers, entry, fault.drip_s)
        return
    await send_answer(send, spoiled, headers, entry)


async def _drip(
    send: Send, answer: Answer, headers: dict[str, str], entry: LoggedRequest, pause_s: float
) -> None:
    entry.status = answer.status
    await _send_start(send, answer, headers, len(answer.body))
    for position in range(len(answer.body)):
        byte = answer.body[position : position + 1]
        await send({"type": "http.response.body", "body": byte, "more_body": True})
        await asyncio.sleep(pause_s)
    await send({"type": "http.response.body", "body": b""})


async def drop(scope: Scope, receive: Receive) -> None:
    """Resets the connection, as a dying proxy does."""
    transport: asyncio.Transport | None = (
        scope.get("extensions", {}).get("simulator", {}).get("transport")
    )
    if transport is None or transport.is_closing():
        return
    connection = transport.get_extra_info("socket")
    if connection is not None:
        # Lingering for zero seconds turns the close into a reset.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
    transport.abort()
    while (await receive())["type"] != "http.disconnect":
        continue
