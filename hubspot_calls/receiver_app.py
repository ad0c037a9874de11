"""The receiver's application as `serve` runs it: every part with what it works with.

The one place that knows all parts of the receiver and all doors of the store; it must not know how
the application is served.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from call_stream.stream import EventLoopWriter
from hubspot_calls.front import build_front
from hubspot_calls.keyring import open_keyring
from hubspot_calls.pages import build_pages
from hubspot_calls.rooms import Store, open_sync_log
from hubspot_calls.settings import Settings
from hubspot_calls.shared_figures import shared_figures
from receiver.access import Doorkeeper
from receiver.app import Receiver, create_app
from receiver.connections import TurnedAway
from receiver.metrics import (
    ConnectionFigures,
    Figures,
    MetricsDesk,
    ReceiverMetrics,
    StreamBacklog,
    metrics_routes,
)
from receiver.openapi.document import openapi_routes
from receiver.raw_reports import RawReports
from receiver.recordings import RecordingDesk
from receiver.retries import RetryDesk, retry_routes
from receiver.settings import ReceiverSettings
from receiver.sync_logs import HistoryDesk, history_routes
from receiver.threads import WorkerThreads
from receiver.webhook_counts import WebhookTally
from receiver.webhooks import WebhookDesk
from target_hubspot_calls.recordings.vapi_links import VapiLinks
from target_hubspot_calls.store.call_states import CallStates
from target_hubspot_calls.store.figures import load_figures

# A page waits for another program to let go of the sync log, and then says that it is busy.
_SYNC_LOG_WAIT_S = 2.0


def build_receiver(
    settings: Settings,
    store: Store,
    stream: EventLoopWriter,
    *,
    load_backlog: Callable[[], StreamBacklog] | None = None,
    turned_away: Mapping[TurnedAway, int] | None = None,
) -> Receiver:
    """The application; shutting it down closes `stream`.

    Its metrics tell of the connections that the server counts in `turned_away`.
    """
    front = build_front(settings, store, open_keyring(store), load_backlog=load_backlog)
    door = front.door
    threads = WorkerThreads("api")
    metrics = ReceiverMetrics()
    metrics.registry.register(Figures(metrics, lambda: load_figures(store.engine), load_backlog))
    for figures in shared_figures(settings, store.engine):
        metrics.registry.register(figures)
    if turned_away is not None:
        metrics.registry.register(ConnectionFigures(turned_away))
    sync_log = open_sync_log(settings, wait_s=_SYNC_LOG_WAIT_S, store=store)
    token = settings.metrics_token
    pages = build_pages(settings, store, front, sync_log=sync_log, threads=threads)
    tally = WebhookTally(store.webhook_counts.add)
    raw_reports = _raw_reports(settings, store)
    return create_app(
        ReceiverSettings(
            public_url=settings.public_url,
            allowed_origins=settings.allowed_origins or (),
            data_dir=settings.data_dir,
        ),
        stream=stream,
        webhooks=store.webhooks,
        recordings=_recording_desk(settings, store, door),
        routes=[
            *front.routes,
            *pages.routes,
            *openapi_routes(settings.public_url),
            *history_routes(HistoryDesk(door, sync_log, CallStates(store.engine), threads)),
            *retry_routes(RetryDesk(door, sync_log, store.retries, threads)),
            *metrics_routes(
                MetricsDesk(metrics, threads, token.get_secret_value() if token else None)
            ),
        ],
        door_routes=pages.door_routes,
        beside=[*front.beside, threads, tally, *([raw_reports] if raw_reports else ())],
        on_answered=metrics.on_answered,
        error_page=pages.error_page,
        webhook_desk=WebhookDesk(
            on_event=[metrics.on_event, tally.count],
            keep_raw=raw_reports.keep if raw_reports else None,
        ),
    )


def _raw_reports(settings: Settings, store: Store) -> RawReports | None:
    """What keeps raw reports for support; None unless the settings ask for it."""
    days = settings.keep_raw_reports_days
    if days is None:
        return None
    return RawReports(settings.raw_reports_dir, store.open_vault(create=True), days=days)


def _recording_desk(settings: Settings, store: Store, door: Doorkeeper) -> RecordingDesk:
    """What links to recordings need. A person waits there, so VAPI is asked briefly."""
    key = settings.vapi_api_key
    vapi = None
    if key is not None:
        vapi = VapiLinks(key.get_secret_value(), settings.vapi_api_url, tries=2, try_s=8.0)
    return RecordingDesk(door=door, ledger=store.ledger, vapi=vapi)
