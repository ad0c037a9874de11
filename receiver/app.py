"""The receiver as one ASGI application: the hot webhook route, and Starlette for the rest.

Wires what it is given; opens nothing itself, and closes the stream when the server stops.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial

from starlette.applications import Starlette
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from call_stream.stream import EventLoopWriter
from receiver.failures import ErrorPage, failure_handlers
from receiver.health import StreamWatch, health_routes, space_left
from receiver.lookups import WebhookDirectory, WebhookLookup
from receiver.recordings import RecordingDesk, recording_routes
from receiver.request_log import OnAnswered, RequestLog
from receiver.security_headers import SecurityHeaders
from receiver.settings import ReceiverSettings
from receiver.webhooks import PATH_PREFIX, WebhookDesk, WebhookRoute


class Receiver:
    """Sends webhooks to their own route and everything else to Starlette."""

    def __init__(
        self, webhooks: WebhookRoute, others: ASGIApp, routes: Sequence[BaseRoute]
    ) -> None:
        self._webhooks = webhooks
        self.at_once = webhooks.at_once
        """Takes the webhooks' requests that come in one piece."""
        self._others = others
        self.routes = tuple(routes)
        """The routes beside that of the webhooks."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, or runs the lifespan."""
        if scope["type"] == "http" and scope["path"].startswith(PATH_PREFIX):
            await self._webhooks(scope, receive, send)
        else:
            await self._others(scope, receive, send)


def create_app(
    settings: ReceiverSettings,
    *,
    stream: EventLoopWriter,
    webhooks: WebhookDirectory,
    recordings: RecordingDesk | None = None,
    routes: Sequence[BaseRoute] = (),
    door_routes: Callable[[WebhookRoute], Sequence[BaseRoute]] | None = None,
    beside: Sequence[AbstractAsyncContextManager[object]] = (),
    on_answered: OnAnswered | None = None,
    webhook_desk: WebhookDesk | None = None,
    error_page: ErrorPage | None = None,
) -> Receiver:
    """The receiver's application: webhooks, health, links to recordings, `routes`.

    `door_routes` makes the routes that work with the webhooks' own door. It owns `stream` and
    `recordings` from now on: shutting down closes them. What is `beside` runs for as long as the
    application does; `on_answered` hears of each request but the webhooks'; `error_page` shows
    people what fails.
    """
    lookup = WebhookLookup(
        webhooks, keep_s=settings.webhook_cache_s, most=settings.webhook_cache_size
    )
    watch = StreamWatch(stream)
    desk = webhook_desk or WebhookDesk()
    desk = replace(desk, on_event=(watch.on_event, *desk.on_event))
    door = WebhookRoute(settings, stream=stream, lookup=lookup, desk=desk)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as running:
            for part in beside:
                await running.enter_async_context(part)
            yield
        stream.close()
        if recordings is not None:
            await recordings.aclose()

    others = Starlette(
        routes=[
            *health_routes(watch, lookup, _disk_check(settings)),
            *(recording_routes(recordings) if recordings is not None else ()),
            *routes,
            *(door_routes(door) if door_routes is not None else ()),
        ],
        lifespan=lifespan,
        exception_handlers=failure_handlers(error_page),
    )
    others.router.redirect_slashes = False
    guarded = SecurityHeaders(
        RequestLog(others, others.routes, on_answered=on_answered),
        https=settings.https,
        allowed_origins=settings.allowed_origins,
    )
    return Receiver(door, guarded, others.routes)


def _disk_check(settings: ReceiverSettings) -> Callable[[], str] | None:
    if settings.data_dir is None:
        return None
    return partial(space_left, settings.data_dir, settings.low_disk_bytes)
