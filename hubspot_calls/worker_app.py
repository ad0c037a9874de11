"""What a worker tells of itself over HTTP: that it lives, whether it can work, and its figures.

Public, so it names parts and states, never addresses, paths or reasons. It takes nothing in.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from call_stream.stream import CallStreamReader, StreamError, open_reader
from hubspot_calls.rooms import Store
from hubspot_calls.settings import READER_NAME, Settings
from hubspot_calls.shared_figures import shared_figures
from receiver.failures import failure_handlers
from receiver.metrics import Figures, MetricsDesk, ReceiverMetrics, metrics_routes
from receiver.security_headers import SecurityHeaders
from receiver.threads import WorkerThreads
from target_hubspot_calls.errors import CallSyncError
from target_hubspot_calls.store.database import reading
from target_hubspot_calls.store.figures import load_figures

_ANSWER_S = 5.0
_KEPT_S = 2.0


def build_worker_app(
    settings: Settings, store: Store, *, is_running: Callable[[], bool]
) -> ASGIApp:
    """The application: /healthz, /readyz and /metrics.

    `is_running` says whether calls are delivered now.
    """
    threads = WorkerThreads("health")
    reader = open_reader(settings.stream_url)
    metrics = ReceiverMetrics()
    load_backlog = partial(reader.load_backlog, READER_NAME)
    metrics.registry.register(Figures(metrics, lambda: load_figures(store.engine), load_backlog))
    for figures in shared_figures(settings, store.engine):
        metrics.registry.register(figures)
    token = settings.metrics_token

    async def healthz(request: Request) -> JSONResponse:
        return JSONResponse({"status": "ok"})

    checks = {
        "store": Kept(lambda: _check_store(store)),
        "stream": Kept(lambda: _check_stream(reader)),
    }

    async def readyz(request: Request) -> JSONResponse:
        states = {name: await _state(threads, check) for name, check in checks.items()}
        states["delivery"] = "ok" if is_running() else "unavailable"
        ready = all(state == "ok" for state in states.values())
        return JSONResponse(states, status_code=200 if ready else 503)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with threads:
            yield

    app = Starlette(
        routes=[
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            *metrics_routes(
                MetricsDesk(metrics, threads, token.get_secret_value() if token else None)
            ),
        ],
        lifespan=lifespan,
        exception_handlers=failure_handlers(),
    )
    app.router.redirect_slashes = False
    return SecurityHeaders(app, https=False, allowed_origins=())


class Kept:
    """Whether a check found nothing wrong, asked again once that is some seconds ago."""

    def __init__(
        self, check: Callable[[], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._check = check
        self._clock = clock
        self._lock = threading.Lock()
        self._until = -math.inf
        self._is_well = False

    def is_well(self) -> bool:
        """The answer, now or of a moment ago."""
        with self._lock:
            if self._clock() >= self._until:
                try:
                    self._check()
                    self._is_well = True
                except (CallSyncError, StreamError, OSError):
                    self._is_well = False
                self._until = self._clock() + _KEPT_S
            return self._is_well


async def _state(threads: WorkerThreads, check: Kept) -> str:
    try:
        async with asyncio.timeout(_ANSWER_S):
            return "ok" if await threads.run(check.is_well) else "unavailable"
    except TimeoutError:
        return "unavailable"


def _check_store(store: Store) -> None:
    with reading(store.engine) as connection:
        connection.exec_driver_sql("SELECT 1")


def _check_stream(reader: CallStreamReader) -> None:
    reader.end()
