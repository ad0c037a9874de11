"""Small valid recordings for tests and the demo to fetch, slow, large or broken on request.

It knows nothing of portals.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse

_RATE = 8_000
_CHUNK = 64 * 1024
_HEADER_BYTES = 44


def wav(size: int) -> bytes:
    """A valid WAV file of near-silence: 8 kHz, 8 bit, mono, `size` bytes with its header."""
    samples = max(0, size - _HEADER_BYTES)
    return _header(samples) + b"\x80" * samples


async def serve(request: Request) -> Response:
    """GET /_simulator/recordings/{name}. Query: status, delay, size, content_type, redirect,
    chunk_delay, no_length.
    """
    query = request.query_params
    if "delay" in query:
        await asyncio.sleep(float(query["delay"]))
    if "redirect" in query:
        return RedirectResponse(query["redirect"], status_code=int(query.get("status", "302")))
    status = int(query.get("status", "200"))
    if status >= 400:
        return PlainTextResponse("no recording", status_code=status)
    size = int(query.get("size", str(_HEADER_BYTES + _RATE)))
    content_type = query.get("content_type", "audio/wav")
    headers = {} if "no_length" in query else {"Content-Length": str(size)}
    pause_s = float(query.get("chunk_delay", "0"))
    return StreamingResponse(
        _pieces(size, pause_s), status_code=status, media_type=content_type, headers=headers
    )


async def _pieces(size: int, pause_s: float) -> AsyncIterator[bytes]:
    yield _header(max(0, size - _HEADER_BYTES))[:size]
    left = size - _HEADER_BYTES
    while left > 0:
        if pause_s:
            await asyncio.sleep(pause_s)
        piece = min(left, _CHUNK)
        yield b"\x80" * piece
        left -= piece


def _header(samples: int) -> bytes:
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF",
        36 + samples,
        b"WAVE",
        b"fmt ",
        16,
        1,
        1,
        _RATE,
        _RATE,
        1,
        8,
        b"data",
        samples,
    )
