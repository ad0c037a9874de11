"""The API in this process, over a real store and a real sync log, asked by two workspaces.

Tests of the history are run with a DuckDB file and with PostgreSQL, but for those that look at the
file.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from starlette.testclient import TestClient
from uuid_utils import uuid7

from call_stream.stream import open_writer
from receiver.access import FrontDoor
from receiver.app import create_app
from receiver.metrics import Figures, MetricsDesk, ReceiverMetrics, metrics_routes
from receiver.request_log import Answered
from receiver.retries import RetryDesk, retry_routes
from receiver.settings import ReceiverSettings
from receiver.sync_logs import HistoryDesk, history_routes
from receiver.threads import WorkerThreads
from receiver.webhooks import WebhookDesk
from target_hubspot_calls.call import Workspace, parse_call
from target_hubspot_calls.errors import Reason, Status
from target_hubspot_calls.outcome import Outcome
from target_hubspot_calls.store.call_states import CallStates
from target_hubspot_calls.store.database import open_database
from target_hubspot_calls.store.figures import load_figures
from target_hubspot_calls.store.keys import AccessKeys
from target_hubspot_calls.store.ledger import Ledger
from target_hubspot_calls.store.outbox import Outbox
from target_hubspot_calls.store.retries import Retries
from target_hubspot_calls.store.webhooks import Webhooks
from target_hubspot_calls.sync_log.log import SyncLog, drain
from tests.target_hubspot_calls.shared_history.written import WrittenHistory

ADA = Workspace("ada", "analytics")
GRACE = Workspace("grace", "compilers")
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@dataclass
class Api:
    """The application, a client of it with ada's key, and what lies behind it."""

    client: TestClient
    engine: Engine
    sync_log: SyncLog | WrittenHistory
    webhooks: Webhooks
    metrics: ReceiverMetrics
    keys: dict[Workspace, str]
    answered: list[Answered] = field(default_factory=list)

    def get(self, path: str, *, of: Workspace = ADA, **options: Any) -> Any:
        return self.request("GET", path, of=of, **options)

    def post(self, path: str, *, of: Workspace = ADA, **options: Any) -> Any:
        return self.request("POST", path, of=of, **options)

    def request(self, method: str, path: str, *, of: Workspace = ADA, **options: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.keys[of]}"} | options.pop("headers", {})
        return self.client.request(method, path, headers=headers, **options)

    def log(self, *rows: dict[str, Any]) -> None:
        self.sync_log.append(list(rows))

    def stands(self, call_id: str, outcome: Outcome | None, **fields: Any) -> None:
        """Brings a call to an outcome in the ledger and in the sync log."""
        ledger = Ledger(self.engine)
        record = {"id": call_id, "customer_number": "+12025550143", **fields}
        call = parse_call(record, fields.pop("workspace", ADA))
        ledger.accept([call], now=NOON)
        if outcome is not None:
            claims = ledger.claim(call.workspace, holder="run/1", limit=1, for_s=60, now=NOON)
            ledger.settle(
                [(claims[0], outcome)], holder="run/1", kind="note", run_id="run", now=NOON
            )
            drain(Outbox(self.engine), self.sync_log)


NOT_FOUND = Outcome(
    Status.SKIPPED, Reason.CONTACT_NOT_FOUND, message="No contact in HubSpot has this number."
)
REJECTED = Outcome(Status.ERROR, Reason.REJECTED, message="HubSpot refused.")
CREATED = Outcome(
    Status.SUCCESS,
    Reason.CREATED,
    contact_id="101",
    contact_match="phone number",
    engagement_id="9001",
    delivered_digest="d",
    portal_id=4_000_000_000,
)


@pytest.fixture
def outcomes() -> dict[str, Outcome]:
    return {"created": CREATED, "rejected": REJECTED, "contact_not_found": NOT_FOUND}


def start_api(
    directory: Path,
    settings: ReceiverSettings | None = None,
    *,
    metrics_token: str | None = None,
    wait_s: float = 0.1,
    threads: WorkerThreads | None = None,
    load_backlog: Callable[[], Any] | None = None,
    shared_url: str | None = None,
) -> Api:
    engine = open_database(shared_url or f"sqlite:///{directory}/store.db")
    keys, webhooks = AccessKeys(engine), Webhooks(engine)
    sync_log: SyncLog | WrittenHistory = SyncLog(directory / "sync_log.duckdb", wait_s=wait_s)
    if shared_url is not None:
        sync_log = WrittenHistory(engine)
    door = FrontDoor(keys, public_url="http://127.0.0.1:8000")
    threads = threads or WorkerThreads("api")
    metrics, answered = ReceiverMetrics(), []
    metrics.registry.register(Figures(metrics, lambda: load_figures(engine), load_backlog))

    def hear(told: Answered) -> None:
        answered.append(told)
        metrics.on_answered(told)

    app = create_app(
        settings or ReceiverSettings(),
        stream=open_writer(f"file:{directory}/stream"),
        webhooks=webhooks,
        routes=[
            *history_routes(HistoryDesk(door, sync_log, CallStates(engine), threads)),
            *retry_routes(RetryDesk(door, sync_log, Retries(engine), threads)),
            *metrics_routes(MetricsDesk(metrics, threads, metrics_token)),
        ],
        beside=[threads],
        on_answered=hear,
        webhook_desk=WebhookDesk(on_event=[metrics.on_event]),
    )
    client = TestClient(app, base_url="http://127.0.0.1:8000", raise_server_exceptions=False)
    texts = {owner: keys.create(owner.user_id, owner.workspace_id)[1] for owner in (ADA, GRACE)}
    return Api(client, engine, sync_log, webhooks, metrics, texts, answered)


@pytest.fixture
def serve_api(tmp_path: Path) -> Iterator[Callable[..., Api]]:
    """Starts the API with settings of the test's own."""
    running: list[Api] = []
    before = set(threading.enumerate())

    def start(**options: Any) -> Api:
        api = start_api(tmp_path, **options)
        api.client.__enter__()
        running.append(api)
        return api

    yield start
    for api in running:
        api.client.__exit__(None, None, None)
        api.engine.dispose()
    left = set(threading.enumerate()) - before
    assert not [thread for thread in left if thread.name.startswith("call-stream")]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "kept_in" in metafunc.fixturenames:
        named = inspect.signature(metafunc.function).parameters
        in_file = metafunc.module.__name__ != "test_sync_logs" or "tmp_path" in named
        metafunc.parametrize("kept_in", ["duckdb"] if in_file else ["duckdb", "postgresql"])


@pytest.fixture
def api(serve_api: Callable[..., Api], kept_in: str, request: pytest.FixtureRequest) -> Api:
    if kept_in == "duckdb":
        return serve_api()
    return serve_api(shared_url=request.getfixturevalue("shared_url"))


@pytest.fixture
def a_row() -> Callable[..., dict[str, Any]]:
    """Builds a row of the sync log, of ada's workspace at noon."""

    def build(*, hours: float = 0.0, of: Workspace = ADA, **changes: Any) -> dict[str, Any]:
        return {
            "id": str(uuid7()),
            "user_id": of.user_id,
            "workspace_id": of.workspace_id,
            "call_id": "call-1",
            "contact_id": "501",
            "engagement_id": "9001",
            "engagement_type": "note",
            "file_id": None,
            "status": "success",
            "reason": "created",
            "retryable": False,
            "error_message": None,
            "phone_number": "+12025550142",
            "recording_status": "none",
            "contact_match": "phone",
            "attempt": 1,
            "correlation_id": None,
            "portal_id": 4_000_000_000,
            "call_started_at": "2026-03-01T11:58:00+00:00",
            "created_at": (NOON + timedelta(hours=hours)).isoformat(),
            "run_id": "run-1",
        } | changes

    return build
