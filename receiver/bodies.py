"""Reading a request's body within bounds of bytes and time.

Knows ASGI messages and nothing of what a body says.
"""

from __future__ import annotations

import asyncio

from starlette.types import Message, Receive

from receiver.answers import Refusal
from receiver.in_flight import Reservation

_DRAIN_BYTES = 16 * 1024 * 1024
_DRAIN_S = 2.0


class SenderGone(Exception):
    """The sender hung up before its body was whole."""


async def read_body(
    receive: Receive,
    *,
    max_bytes: int,
    timeout_s: float,
    reservation: Reservation | None = None,
) -> bytes:
    """The whole body; what of it is in memory is covered by `reservation`.

    Raises SenderGone, or Refusal: 413 past `max_bytes`, 408 past `timeout_s`, 503 without room.
    Time runs from the first piece on, since most bodies are one piece and a timer costs as much as
    the rest of reading it; a sender that sends none is the connection's business (protocol.py).
    """
    piece, more = _piece_of(await receive(), 0, max_bytes, reservation)
    if not more:
        return piece
    pieces, size = [piece], len(piece)
    try:
        async with asyncio.timeout(timeout_s):
            while more:
                piece, more = _piece_of(await receive(), size, max_bytes, reservation)
                pieces.append(piece)
                size += len(piece)
    except TimeoutError:
        raise Refusal(
            408, "body_timeout", f"The body did not arrive within {timeout_s:g} seconds."
        ) from None
    return b"".join(pieces)


def _piece_of(
    message: Message, size: int, max_bytes: int, reservation: Reservation | None
) -> tuple[bytes, bool]:
    """The next piece of a body of which `size` bytes are there, and whether more follows."""
    if message["type"] != "http.request":
        raise SenderGone
    piece: bytes = message.get("body", b"")
    size += len(piece)
    if size > max_bytes:
        raise body_too_large(max_bytes)
    if reservation is not None:
        reservation.cover(size)
    return piece, message.get("more_body", False)


def body_too_large(max_bytes: int) -> Refusal:
    """The refusal of a body of more than `max_bytes`."""
    return Refusal(413, "body_too_large", f"The body has more than {max_bytes} bytes.")


async def drain(receive: Receive) -> None:
    """Throws away what a refused sender still sends, for a little while.

    Closing at once would reset the connection, and the sender would never see the answer.
    """
    left = _DRAIN_BYTES
    try:
        async with asyncio.timeout(_DRAIN_S):
            while left > 0:
                message = await receive()
                if message["type"] != "http.request" or not message.get("more_body", False):
                    return
                left -= len(message.get("body", b""))
    except TimeoutError:
        return
