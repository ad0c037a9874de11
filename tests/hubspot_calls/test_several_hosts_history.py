"""`serve`, `history` and `doctor` with a history in PostgreSQL, and the file that one run fills."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import duckdb
import pytest

from hubspot_calls.rooms import open_store
from hubspot_calls.settings import Settings, settings_from
from hubspot_simulator.simulator import Simulator
from target_hubspot_calls.call import Workspace, parse_call
from target_hubspot_calls.errors import Reason, Status
from target_hubspot_calls.outcome import Outcome
from target_hubspot_calls.store.elections import Elections
from tests.hubspot_calls.test_serve import REPORT, Start, listening_at, post, rest_of, wait_for

HubSpotCalls = Callable[..., Any]


@pytest.fixture
def shared_settings(
    settings: Settings, shared_url: str, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    monkeypatch.setenv("HUBSPOT_CALLS_DATABASE_URL", shared_url)
    return settings_from(
        {
            "HUBSPOT_CALLS_DATA_DIR": str(settings.data_dir),
            "HUBSPOT_CALLS_DATABASE_URL": shared_url,
        }
    )


def rows_of_the_file(settings: Settings) -> list[str]:
    if not settings.sync_log.exists():
        return []
    try:
        with duckdb.connect(settings.sync_log, read_only=True) as connection:
            found = connection.execute("SELECT reason FROM hubspot_sync_logs").fetchall()
    except duckdb.Error:
        return []
    return [reason for (reason,) in found]


def test_a_call_is_in_the_history_of_every_host_and_in_the_file_of_one(
    start: Start,
    hubspot_calls: HubSpotCalls,
    shared_settings: Settings,
    shared_url: str,
    portal: Simulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HUBSPOT_CALLS_DATABASE_URL", shared_url)
    portal.add_service_key(key="pat-na1-invented")
    portal.seed_contacts([{"email": "dana.ruiz@example.com", "phone": "(415) 555-0123"}])
    with open_store(shared_settings) as store:
        store.connections.add_service_key("default", "default", "pat-na1-invented")
        webhook, secret = store.webhooks.create("default", "default")
    process = start(
        "serve",
        "--port",
        "0",
        HUBSPOT_API_URL=portal.url,
        HUBSPOT_CALLS_BATCH_WAIT_S="0.1",
        HUBSPOT_CALLS_DATABASE_URL=shared_url,
    )
    url = listening_at(process)

    answer = post(url, {"id": webhook.id, "secret": secret}, REPORT.read_bytes())
    wait_for(lambda: "created" in rows_of_the_file(shared_settings))
    told = json.loads(hubspot_calls("history", "--json", "--status", "success").out)
    process.send_signal(signal.SIGTERM)
    err = rest_of(process)

    assert answer.status_code == 200
    assert [row["reason"] for row in told["logs"]][-1:] == ["created"]
    assert "Traceback" not in err
    with open_store(shared_settings) as store:
        assert store.outbox.count() == 0
        assert Elections(store.engine).holder_of("sync_log") is None


def test_history_and_doctor_tell_of_rows_that_no_run_has_written_to_a_file_yet(
    hubspot_calls: HubSpotCalls, shared_settings: Settings
) -> None:
    owner = Workspace("default", "default")
    with open_store(shared_settings) as store:
        call = parse_call({"id": "call-1", "customer_number": "+14155550123"}, owner)
        at = datetime(2026, 11, 20, 12, tzinfo=UTC)
        store.ledger.accept([call], now=at)
        claims = store.ledger.claim(owner, holder="r/1", limit=9, for_s=9, now=at)
        missed = Outcome(Status.SKIPPED, Reason.CONTACT_NOT_FOUND, message="No contact.")
        store.ledger.settle([(claims[0], missed)], holder="r/1", kind="note", run_id="r", now=at)

    told = json.loads(hubspot_calls("history", "--json").out)
    examined = json.loads(hubspot_calls("doctor", "--offline", "--json").out)

    assert [(row["call_id"], row["reason"]) for row in told["logs"]] == [
        ("call-1", "contact_not_found")
    ]
    (found,) = [each for each in examined["findings"] if each["check"] == "sync log"]
    assert "1 row in the database" in found["said"]
    assert "no process fills a DuckDB file now, 1 row still to come" in found["said"]
    assert not shared_settings.sync_log.exists()
