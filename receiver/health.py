"""GET /healthz and /readyz: whether the process lives, and whether it could take a call now.

Public, so they name parts and states, never addresses, paths or reasons.
"""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from call_stream.stream import CallStreamWriter, StreamUnavailable
from receiver.lookups import WebhookLookup
from target_hubspot_calls.errors import StoreUnavailable

_NO_WEBHOOK = "readyz"
_STORE_ANSWER_S = 5.0


def health_routes(stream: CallStreamWriter, lookup: WebhookLookup) -> list[Route]:
    """The two routes, asking what the webhook route itself depends on."""

    async def healthz(request: Request) -> JSONResponse:
        return JSONResponse({"status": "ok"})

    async def readyz(request: Request) -> JSONResponse:
        states = {"store": await _store_state(lookup), "stream": _stream_state(stream)}
        ready = all(state == "ok" for state in states.values())
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


def _stream_state(stream: CallStreamWriter) -> str:
    try:
        stream.check()
    except StreamUnavailable:
        return "unavailable"
    return "ok"
