"""Pages and API of a receiver whose history several hosts share in PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hubspot_calls.receiver_app.conftest import ADA, GRACE, WholeReceiver, start_receiver
from tests.target_hubspot_calls.store.postgresql_server import PostgreSQLServer

LOGS = "/api/hubspot/sync-logs"


@pytest.fixture(scope="module")
def shared(
    postgresql: PostgreSQLServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WholeReceiver]:
    """Two workspaces with two calls each; nobody writes here."""
    directory = tmp_path_factory.mktemp("shared") / "data"
    url = postgresql.new_database()
    receiver, stop = start_receiver(directory, HUBSPOT_CALLS_DATABASE_URL=url)
    yield receiver
    stop()


@pytest.mark.parametrize(
    ("path", "shows"),
    [
        (LOGS, "canary-missed"),
        (f"{LOGS}?q=CANARY+message", "canary-missed"),
        (f"{LOGS}?q=0177&status=success", "canary-written"),
        (f"{LOGS}.csv", "canary-written"),
        (f"{LOGS}/summary", "contact_not_found"),
        (f"{LOGS}/days", "2026-11-20"),
        ("/api/hubspot/unmatched-numbers", "+12025550177"),
        ("/api/hubspot/calls/canary-written", "canary-contact"),
        ("/history", "canary-missed"),
        ("/history?number=5550177", "canary-written"),
        ("/history?q=message", "canary-missed"),
        ("/history/chart?from=2026-11-15&to=2026-11-25", "Nov"),
        ("/numbers", "+12025550177"),
        ("/calls/canary-missed", "Skipped: no contact with this number"),
    ],
)
def test_everybody_sees_their_own_rows_at_once_and_nobody_elses(
    shared: WholeReceiver, path: str, shows: str
) -> None:
    own, others = shared.ask("GET", path), shared.ask("GET", path, of=GRACE)

    assert (own.status_code, own.text.count("hers-")) == (200, 0)
    assert shows in own.text
    assert others.status_code in (200, 404)
    assert "canary" not in others.text.replace(path, "").replace("canary-missed", "").replace(
        "CANARY message", ""
    )


def test_a_page_stays_pinned_while_rows_arrive(shared: WholeReceiver) -> None:
    first = shared.ask("GET", f"{LOGS}?limit=1").json()

    second = shared.ask("GET", f"{LOGS}?limit=1&offset=1&as_of={first['asOf']}").json()

    assert (first["total"], second["total"]) == (2, 2)
    assert first["logs"][0]["id"] != second["logs"][0]["id"]


def test_the_mark_of_what_is_new_is_the_row_written_last(shared: WholeReceiver) -> None:
    newest = shared.ask("GET", LOGS).json()["asOf"]

    assert shared.ask("GET", "/history/mark").json() == {"mark": newest}


def test_a_row_can_be_retried(shared: WholeReceiver) -> None:
    (row,) = shared.ask("GET", f"{LOGS}?call_id=canary-missed").json()["logs"]

    of_another = shared.ask("POST", f"{LOGS}/{row['id']}/retry", of=GRACE)
    own = shared.ask("POST", f"{LOGS}/{row['id']}/retry")

    assert of_another.status_code == 404
    assert (own.status_code, own.json()["queued"]) == (200, 1)


def test_the_receiver_makes_no_file_of_its_own(shared: WholeReceiver) -> None:
    assert shared.ask("GET", "/history").status_code == 200
    assert not Path(shared.store.settings.sync_log).exists()


def test_metrics_tell_of_rows_that_wait_for_the_file(shared: WholeReceiver) -> None:
    figures: Any = shared.ask("GET", "/metrics", of=None)

    assert figures.status_code == 200
    assert "hubspot_calls_sync_log_outbox_rows 4.0" in figures.text
    assert ADA.user_id not in figures.text
