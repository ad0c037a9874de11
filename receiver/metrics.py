"""GET /metrics: what Prometheus is told, in a registry of its own.

Counts words and times; no workspace, person, call or address ever becomes a label.
"""

from __future__ import annotations

import hmac
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, Protocol, TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from receiver.answers import Refusal
from receiver.connections import TurnedAway
from receiver.event_log import Event
from receiver.quick_histogram import QuickHistogram
from receiver.request_log import Answered
from receiver.threads import WorkerThreads
from target_hubspot_calls.errors import CallSyncError
from target_hubspot_calls.store.figures import StoreFigures

logger = logging.getLogger("receiver")

_PREFIX = "hubspot_calls"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20)
_BYTES = (1_000, 4_000, 16_000, 64_000, 256_000, 1_000_000, 4_000_000, 10_000_000)
_KEPT_S = 5.0
# Counting a long ledger takes a while; it may cost a twentieth of the time and no more.
_SHARE_OF_TIME = 20

T = TypeVar("T")


class StreamBacklog(Protocol):
    """How far the call stream has been read; positions are bytes of the stream."""

    @property
    def end(self) -> int:
        """Where the stream ends."""

    @property
    def size_bytes(self) -> int:
        """What lies on disk behind what is in the ledger."""

    @property
    def oldest_at(self) -> datetime | None:
        """When the first entry behind that was received, None where there is none."""


class ReceiverMetrics:
    """What the receiver counts as it goes; its methods are handed to those who know."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._webhook_seconds = QuickHistogram(
            f"{_PREFIX}_webhook_seconds",
            "Time to answer a webhook request, in seconds, by what became of it.",
            _SECONDS,
            ("outcome", "status"),
        )
        self._webhook_bytes = QuickHistogram(
            f"{_PREFIX}_webhook_body_bytes", "Size of webhook bodies that were read.", _BYTES
        )
        self.registry.register(self._webhook_seconds)
        self.registry.register(self._webhook_bytes)
        self._request_seconds = Histogram(
            "request_seconds",
            "Time to answer a request that is no webhook's, in seconds, by the route's template.",
            ("method", "route", "status"),
            namespace=_PREFIX,
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._scrape_failures = Counter(
            "scrape_failures",
            "How often a part of these figures could not be had.",
            ("part",),
            namespace=_PREFIX,
            registry=self.registry,
        )

    def on_event(self, event: Event, seconds: float) -> None:
        """Counts a webhook's request; a body of no bytes was not read."""
        self._webhook_seconds.add(seconds, event.outcome, event.status)
        if event.body_bytes:
            self._webhook_bytes.add(event.body_bytes)

    def on_answered(self, answered: Answered) -> None:
        """Counts any other request."""
        labels = self._request_seconds.labels(answered.method, answered.route, str(answered.status))
        labels.observe(answered.seconds)

    def failed(self, part: str) -> None:
        """Counts figures that could not be had."""
        self._scrape_failures.labels(part).inc()


class Figures(Collector):
    """What store and stream say of themselves, asked when Prometheus asks and kept for a while."""

    def __init__(
        self,
        metrics: ReceiverMetrics,
        load_store: Callable[[], StoreFigures],
        load_backlog: Callable[[], StreamBacklog] | None = None,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._metrics = metrics
        self._store = _Kept(load_store, clock)
        self._backlog = _Kept(load_backlog, clock) if load_backlog is not None else None
        self._now = now

    def collect(self) -> Iterator[Metric]:
        """The figures; those that cannot be had are left out and counted."""
        try:
            yield from _store_metrics(self._store.get(), self._now())
        except CallSyncError as err:
            self._fail("store", err)
        if self._backlog is None:
            return
        try:
            yield from _stream_metrics(self._backlog.get(), self._now())
        except Exception as err:  # noqa: BLE001  any trouble with the stream leaves the rest whole
            self._fail("stream", err)

    def describe(self) -> Iterator[Metric]:
        """Nothing, so that registering asks neither store nor stream."""
        return iter(())

    def _fail(self, part: str, err: Exception) -> None:
        logger.warning("metrics: figures of the %s cannot be had: %s", part, type(err).__name__)
        self._metrics.failed(part)


class ConnectionFigures(Collector):
    """How many connections the server has ended by itself, read where the server counts them."""

    def __init__(self, turned_away: Mapping[TurnedAway, int]) -> None:
        self._turned_away = turned_away

    def collect(self) -> Iterator[Metric]:
        """One count for each reason, 0 included."""
        family = CounterMetricFamily(
            f"{_PREFIX}_connections_turned_away",
            "Connections that the receiver ended, by why.",
            labels=("reason",),
        )
        for why in TurnedAway:
            family.add_metric((why.value,), self._turned_away.get(why, 0))
        yield family


class _Kept(Generic[T]):
    """An answer, asked for again once it is some seconds old; a slow one is kept longer."""

    def __init__(self, load: Callable[[], T], clock: Callable[[], float]) -> None:
        self._load = load
        self._clock = clock
        self._lock = threading.Lock()
        self._answer: tuple[float, T] | None = None

    def get(self) -> T:
        """The answer. Raises what asking for it raises."""
        with self._lock:
            if self._answer is not None and self._clock() < self._answer[0]:
                return self._answer[1]
            asked = self._clock()
            answer = self._load()
            answered = self._clock()
            keep_s = max(_KEPT_S, (answered - asked) * _SHARE_OF_TIME)
            self._answer = (answered + keep_s, answer)
            return answer


@dataclass(frozen=True)
class MetricsDesk:
    """All that the route needs; with a `token` it is asked for as a bearer token."""

    metrics: ReceiverMetrics
    threads: WorkerThreads
    token: str | None = None


def metrics_routes(desk: MetricsDesk) -> list[Route]:
    """The one route."""

    async def metrics(request: Request) -> Response:
        if desk.token is not None and not _shows(request, desk.token):
            sentence = "The metrics need their token, as a bearer token."
            headers = {"WWW-Authenticate": 'Bearer realm="hubspot-calls metrics"'}
            raise Refusal(401, "unauthorized", sentence, headers)
        text = await desk.threads.run(generate_latest, desk.metrics.registry)
        return Response(text, media_type=CONTENT_TYPE_LATEST)

    return [Route("/metrics", metrics)]


def _shows(request: Request, token: str) -> bool:
    scheme, _, shown = request.headers.get("authorization", "").partition(" ")
    same = hmac.compare_digest(shown.strip().encode(), token.encode())
    return same and scheme.lower() == "bearer"


def _store_metrics(figures: StoreFigures, now: datetime) -> Iterator[Metric]:
    calls = GaugeMetricFamily(
        f"{_PREFIX}_calls",
        "Calls in the ledger: due, waiting (for a person), settled, or forgotten on request.",
        labels=("state", "status", "reason"),
    )
    for each in figures.calls:
        calls.add_metric((each.state, each.status or "", each.reason or ""), each.count)
    yield calls
    yield _gauge(
        "oldest_open_call_age_seconds",
        "How long the call has waited that has no lasting outcome and came first; 0 without one.",
        _age_s(figures.oldest_open_at, now),
    )
    yield _gauge(
        "sync_log_outbox_rows",
        "Outcomes that are not in the sync log yet.",
        figures.outbox_rows,
    )
    connections = GaugeMetricFamily(
        f"{_PREFIX}_connections",
        "Connected portals by kind and state; reconnect_required takes a person.",
        labels=("kind", "state"),
    )
    for (kind, state), count in figures.connections.items():
        connections.add_metric((kind, state), count)
    yield connections
    if figures.token_expires_at is not None:
        yield _gauge(
            "next_token_expiry_seconds",
            "Time until the first access token in use dies; it is renewed well before.",
            (figures.token_expires_at - now).total_seconds(),
        )


def _stream_metrics(backlog: StreamBacklog, now: datetime) -> Iterator[Metric]:
    yield _gauge("stream_end_bytes", "Where the call stream ends.", backlog.end)
    yield _gauge(
        "stream_backlog_bytes",
        "How much of the call stream is not in the ledger yet.",
        backlog.size_bytes,
    )
    yield _gauge(
        "stream_oldest_unread_age_seconds",
        "How long the first entry has waited that is not in the ledger yet; 0 without one.",
        _age_s(backlog.oldest_at, now),
    )


def _gauge(name: str, says: str, value: float) -> Metric:
    return GaugeMetricFamily(f"{_PREFIX}_{name}", says, value=value)


def _age_s(moment: datetime | None, now: datetime) -> float:
    return 0.0 if moment is None else max(0.0, (now - moment).total_seconds())
