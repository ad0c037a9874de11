"""GET /healthz and /readyz: whether the process lives, and whether it could take a call now.

Public, so they name parts and states, never addresses, paths or reasons.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from call_stream.stream import EventLoopWriter, StreamUnavailable
from receiver.event_log import Event
from receiver.lookups import WebhookLookup
from target_hubspot_calls.errors import StoreUnavailable

_NO_WEBHOOK = "readyz"
_STORE_ANSWER_S = 5.0
_REFUSAL_COUNTS_S = 10.0


class StreamWatch:
    """Whether calls can be stored, by what the stream says and by what became of the last ones.

    A queue that is full to a few bytes says that it has room, and has none for a call.
    """

    def __init__(
        self, stream: EventLoopWriter, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = stream
        self._clock = clock
        self._refused_at: float | None = None

    def on_event(self, event: Event, seconds: float) -> None:
        """Hears of each webhook request."""
        if event.outcome in ("stored", "quarantined"):
            self._refused_at = None
        elif event.outcome == "stream_unavailable":
            self._refused_at = self._clock()

    def state(self) -> str:
        """`ok` or `unavailable`."""
        try:
            self._stream.check()
        except StreamUnavailable:
            return "unavailable"
        refused_at = self._refused_at
        if refused_at is not None and self._clock() - refused_at < _REFUSAL_COUNTS_S:
            return "unavailable"
        return "ok"


def space_left(data_dir: Path, low_bytes: int) -> str:
    """`ok`, or `low` while there is still space but an operator should act."""
    status = os.statvfs(data_dir)
    return "low" if status.f_bavail * status.f_frsize < low_bytes else "ok"


def health_routes(
    stream: StreamWatch, lookup: WebhookLookup, disk: Callable[[], str] | None = None
) -> list[Route]:
    """The two routes, asking what the webhook route itself depends on.

    A `disk` that is low is told and keeps nobody out: calls can still be stored.
    """

    async def healthz(request: Request) -> JSONResponse:
        return JSONResponse({"status": "ok"})

    async def readyz(request: Request) -> JSONResponse:
        states = {"store": await _store_state(lookup), "stream": stream.state()}
        ready = all(state == "ok" for state in states.values())
        if disk is not None:
            states["disk"] = _disk_state(disk)
        return JSONResponse(states, status_code=200 if ready else 503)

    return [Route("/healthz", healthz), Route("/readyz", readyz)]


async def _store_state(lookup: WebhookLookup) -> str:
    try:
        # Through the lookup, so that strangers cannot ask the database more often than it does.
        async with asyncio.timeout(_STORE_ANSWER_S):
            await lookup.find(_NO_WEBHOOK)
    except (StoreUnavailable, TimeoutError):
        return "unavailable"
    return "ok"


def _disk_state(disk: Callable[[], str]) -> str:
    try:
        return disk()
    except OSError:
        return "unknown"
