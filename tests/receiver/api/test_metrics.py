"""/metrics: what Prometheus is told, who may ask, and what is never in it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import event, insert

from call_stream.stream import Backlog
from receiver.connections import TurnedAway
from receiver.metrics import ConnectionFigures, Figures, ReceiverMetrics
from target_hubspot_calls.store.database import writing
from target_hubspot_calls.store.figures import StoreFigures, load_figures
from target_hubspot_calls.store.schema import connections, outbox

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def samples(answer):
    """Every sample by its name and its labels."""
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_figures_of_the_store_are_told(api, outcomes):
    api.stands("a", outcomes["created"])
    api.stands("b", outcomes["contact_not_found"])
    api.stands("c", None)
    with writing(api.engine) as connection:
        connection.execute(insert(outbox).values(id="x", row={}, created_at=NOON))
        connection.execute(insert(connections).values(**a_connection("1", "active")))
        connection.execute(insert(connections).values(**a_connection("2", "reconnect_required")))

    told = samples(api.client.get("/metrics"))

    def calls(state, status, reason):
        labels = {"state": state, "status": status, "reason": reason}
        return told["hubspot_calls_calls", *sorted(labels.items())]

    assert calls("settled", "success", "created") == 1
    assert calls("settled", "skipped", "contact_not_found") == 1
    assert calls("due", "", "") == 1
    assert told[("hubspot_calls_sync_log_outbox_rows",)] == 1
    assert told[("hubspot_calls_oldest_open_call_age_seconds",)] > 3600
    assert told["hubspot_calls_connections", ("kind", "oauth"), ("state", "active")] == 1
    assert (
        told["hubspot_calls_connections", ("kind", "oauth"), ("state", "reconnect_required")] == 1
    )
    assert told[("hubspot_calls_next_token_expiry_seconds",)] < 0
    assert ("process_resident_memory_bytes",) in told


def a_connection(connection_id, state):
    return {
        "id": connection_id,
        "user_id": f"user-{connection_id}",
        "workspace_id": "w",
        "kind": "oauth",
        "tokens": b"sealed",
        "scopes": [],
        "state": state,
        "expires_at": NOON,
        "created_at": NOON,
        "updated_at": NOON,
    }


def test_webhooks_and_requests_are_counted_with_their_times(api):
    webhook, secret = api.webhooks.create("ada", "analytics")
    path = f"/api/webhooks/{webhook.id}"
    api.client.post(path, json={"message": {"type": "status-update"}},
                    headers={"X-Vapi-Secret": secret})  # fmt: skip
    api.client.post(path, json={})
    api.client.post("/api/webhooks/nobody", json={})
    api.client.get("/api/hubspot/calls/a-call")
    api.client.get("/nowhere/else")

    told = samples(api.client.get("/metrics"))

    def webhooks(outcome, status):
        return told["hubspot_calls_webhook_seconds_count", ("outcome", outcome), ("status", status)]

    def requests(route, status):
        labels = {"method": "GET", "route": route, "status": status}
        return told["hubspot_calls_request_seconds_count", *sorted(labels.items())]

    assert webhooks("ignored", "200") == 1
    assert webhooks("unauthorized", "401") == 1
    assert webhooks("unknown_webhook", "404") == 1
    assert requests("/api/hubspot/calls/{call_id:path}", "401") == 1
    assert requests("-", "404") == 1
    assert told[("hubspot_calls_webhook_body_bytes_count",)] >= 1


def test_connections_turned_away_are_told_by_reason(api):
    turned_away = Counter({TurnedAway.SLOW_HEAD: 2})
    api.metrics.registry.register(ConnectionFigures(turned_away))
    turned_away[TurnedAway.TOO_MANY] += 1

    told = samples(api.client.get("/metrics"))

    name = "hubspot_calls_connections_turned_away_total"
    counts = {key[1][1]: value for key, value in told.items() if key[0] == name}
    assert counts == {why.value: 0 for why in TurnedAway} | {
        "slow_head": 2,
        "too_many_connections": 1,
    }


@dataclass
class ABacklog:
    end: int = 900
    size_bytes: int = 500
    oldest_at: datetime | None = None


def test_the_backlog_of_the_stream_is_told(serve_api):
    half_an_hour_ago = datetime.now(UTC) - timedelta(minutes=30)
    api = serve_api(load_backlog=lambda: ABacklog(oldest_at=half_an_hour_ago))

    told = samples(api.client.get("/metrics"))

    assert told[("hubspot_calls_stream_end_bytes",)] == 900
    assert told[("hubspot_calls_stream_backlog_bytes",)] == 500
    assert 1800 <= told[("hubspot_calls_stream_oldest_unread_age_seconds",)] < 1900


def test_figures_that_cannot_be_had_are_left_out_and_counted(serve_api):
    def fail():
        raise OSError("/a/secret/path")

    api = serve_api(load_backlog=fail)

    answer = api.client.get("/metrics")
    again = samples(api.client.get("/metrics"))

    assert answer.status_code == 200
    assert "/a/secret/path" not in answer.text
    assert ("hubspot_calls_stream_end_bytes",) not in again
    assert again["hubspot_calls_scrape_failures_total", ("part", "stream")] >= 1
    assert ("hubspot_calls_sync_log_outbox_rows",) in again


def test_no_name_number_or_id_becomes_a_label(api, outcomes):
    api.stands("call-canary", outcomes["created"], customer_number="+12025550177")
    webhook, _ = api.webhooks.create("ada", "analytics")
    api.client.post(f"/api/webhooks/{webhook.id}", json={"canary": 1})
    api.get("/api/hubspot/sync-logs?q=%2B12025550177&call_id=call-canary")

    text = api.client.get("/metrics").text

    canaries = ("ada", "analytics", "call-canary", "5550177", webhook.id, *api.keys.values())
    assert [canary for canary in canaries if canary in text] == []


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (None, 401),
        ("Bearer wrong", 401),
        ("Basic a-token-for-metrics", 401),
        ("Bearer", 401),
        ("Bearer \xe9\xff", 401),
        ("bearer a-token-for-metrics", 200),
        ("Bearer a-token-for-metrics", 200),
    ],
    ids=str,
)
def test_a_token_keeps_strangers_out(serve_api, header, status):
    api = serve_api(metrics_token="a-token-for-metrics")

    headers = {"Authorization": header.encode("latin-1")} if header is not None else {}
    answer = api.client.get("/metrics", headers=headers)

    assert answer.status_code == status
    assert "a-token-for-metrics" not in answer.text
    if status == 401:
        assert answer.json()["code"] == "unauthorized"
        assert "hubspot_calls_calls" not in answer.text


def test_the_store_is_asked_once_in_a_while_however_often_metrics_are(engine_counting):
    engine, asked = engine_counting
    seconds = [0.0]
    metrics = ReceiverMetrics()
    figures = Figures(metrics, lambda: load_figures(engine), clock=lambda: seconds[0])

    for _ in range(50):
        list(figures.collect())
    once = len(asked)
    seconds[0] = 5.1
    list(figures.collect())

    assert 0 < once <= 8
    assert len(asked) == 2 * once


def test_a_slow_answer_is_kept_for_longer(api):
    seconds, asked = [0.0], []

    def slow():
        asked.append(1)
        seconds[0] += 2.0
        return load_figures(api.engine)

    figures = Figures(ReceiverMetrics(), slow, clock=lambda: seconds[0])
    list(figures.collect())
    seconds[0] += 39
    list(figures.collect())
    kept = len(asked)
    seconds[0] += 2
    list(figures.collect())

    assert (kept, len(asked)) == (1, 2)


@pytest.fixture
def engine_counting(api):
    asked = []

    def note(conn, cursor, statement, *more):
        if statement.lstrip().upper().startswith("SELECT"):
            asked.append(statement)

    event.listen(api.engine, "before_cursor_execute", note)
    yield api.engine, asked
    event.remove(api.engine, "before_cursor_execute", note)


def test_no_age_is_negative_when_the_clock_jumps_back():
    later = NOON + timedelta(hours=1)
    figures = Figures(
        ReceiverMetrics(),
        lambda: StoreFigures((), later, 0, {}, None),
        lambda: Backlog(end=9, position=1, size_bytes=8, oldest_at=later),
        now=lambda: NOON,
    )

    ages = {
        metric.name: metric.samples[0].value
        for metric in figures.collect()
        if metric.name.endswith("_age_seconds")
    }

    assert ages == {
        "hubspot_calls_oldest_open_call_age_seconds": 0,
        "hubspot_calls_stream_oldest_unread_age_seconds": 0,
    }
