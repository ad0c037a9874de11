"""The receiver as one ASGI application: the hot webhook route, and Starlette for the rest.

Wires what it is given; opens nothing itself, and closes the stream when the server stops.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from call_stream.stream import CallStreamWriter
from receiver.answers import error_content
from receiver.health import health_routes
from receiver.lookups import WebhookDirectory, WebhookLookup
from receiver.recordings import RecordingDesk, recording_routes
from receiver.settings import ReceiverSettings
from receiver.webhooks import PATH_PREFIX, WebhookRoute

_CODES = {
    404: ("not_found", "There is nothing at this address."),
    405: ("method_not_allowed", "This address does not take that method."),
}


class Receiver:
    """Sends webhooks to their own route and everything else to Starlette."""

    def __init__(self, webhooks: ASGIApp, others: ASGIApp) -> None:
        self._webhooks = webhooks
        self._others = others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, or runs the lifespan."""
        if scope["type"] == "http" and scope["path"].startswith(PATH_PREFIX):
            await self._webhooks(scope, receive, send)
        else:
            await self._others(scope, receive, send)


def create_app(
    settings: ReceiverSettings,
    *,
    stream: CallStreamWriter,
    webhooks: WebhookDirectory,
    recordings: RecordingDesk | None = None,
) -> Receiver:
    """The receiver's application, without links to recordings if there is no desk for them.

    It owns `stream` and `recordings` from now on: shutting down closes them.
    """
    lookup = WebhookLookup(
        webhooks, keep_s=settings.webhook_cache_s, most=settings.webhook_cache_size
    )

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(stream.close)
        if recordings is not None:
            await recordings.aclose()

    others = Starlette(
        routes=[
            *health_routes(stream, lookup),
            *(recording_routes(recordings) if recordings is not None else ()),
        ],
        lifespan=lifespan,
        exception_handlers={HTTPException: _http_error, Exception: _internal_error},
    )
    others.router.redirect_slashes = False
    return Receiver(WebhookRoute(settings, stream=stream, lookup=lookup), others)


async def _http_error(request: Request, err: Exception) -> Response:
    assert isinstance(err, HTTPException)  # noqa: S101  registered for nothing else
    code, sentence = _CODES.get(err.status_code, ("http_error", err.detail))
    return JSONResponse(error_content(code, sentence), err.status_code, headers=err.headers)


async def _internal_error(request: Request, err: Exception) -> Response:
    sentence = "The receiver failed; the log says where."
    return JSONResponse(error_content("internal_error", sentence), 500)
