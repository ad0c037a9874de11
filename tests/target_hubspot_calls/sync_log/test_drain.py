"""From a real outbox to a real log, with a kill -9 wherever it could hurt."""

from __future__ import annotations

import random
import signal
import time
from datetime import UTC, datetime

import pytest
from sqlalchemy import insert
from uuid_utils import uuid7

from target_hubspot_calls.store.database import open_database, writing
from target_hubspot_calls.store.outbox import Outbox
from target_hubspot_calls.store.schema import outbox as table
from target_hubspot_calls.sync_log.log import SyncLog, SyncLogBusy, SyncLogUnavailable, drain

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

DRAIN = """
import os, signal, sys
from target_hubspot_calls.store.database import open_database
from target_hubspot_calls.store.outbox import Outbox
from target_hubspot_calls.sync_log.log import SyncLog, drain
database_url, log_path, deletions = sys.argv[1], sys.argv[2], int(sys.argv[3])
class DiesBeforeDeletion(Outbox):
    left = deletions
    def delete(self, ids):
        if not self.left:
            os.kill(os.getpid(), signal.SIGKILL)
        self.left -= 1
        super().delete(ids)
print("ready", flush=True)
drain(DiesBeforeDeletion(open_database(database_url)), SyncLog(log_path), limit=10)
"""


@pytest.fixture
def log(path):
    return SyncLog(path)


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'store.sqlite'}"


@pytest.fixture
def engine(url):
    engine = open_database(url)
    yield engine
    engine.dispose()


@pytest.fixture
def outbox(engine):
    return Outbox(engine)


@pytest.fixture
def fill(engine, a_row):
    def fill(count: int) -> None:
        rows = [a_row(id=str(uuid7()), call_id=f"call-{number}") for number in range(count)]
        with writing(engine) as connection:
            connection.execute(
                insert(table), [{"id": row["id"], "row": row, "created_at": NOW} for row in rows]
            )

    return fill


def logged(log, count):
    page = log.history(limit=count + 10)
    return sorted(row["call_id"] for row in page.rows)


def expected(count):
    return sorted(f"call-{number}" for number in range(count))


def test_all_rows_move_over_several_loads(outbox, log, fill):
    fill(25)

    drained = drain(outbox, log, limit=10)

    assert (drained, outbox.count(), logged(log, 25)) == (25, 0, expected(25))


def test_an_empty_outbox_does_not_even_make_the_file(outbox, log, path):
    assert drain(outbox, log) == 0
    assert not path.exists()


@pytest.mark.parametrize("deletions", [0, 1, 2])
def test_killed_between_append_and_delete_no_row_is_lost_or_doubled(
    url, outbox, log, path, fill, start_python, deletions
):
    fill(25)
    process = start_python(DRAIN, url, path, deletions)
    _, errors = process.communicate()
    waiting = outbox.count()

    drain(outbox, log, limit=10)

    assert (process.returncode, errors) == (-signal.SIGKILL, "")
    assert waiting == 25 - 10 * deletions
    assert (outbox.count(), logged(log, 25)) == (0, expected(25))


def test_killed_at_any_moment_no_row_is_lost_or_doubled(url, outbox, log, path, fill, start_python):
    fill(120)
    for _ in range(6):
        process = start_python(DRAIN, url, path, 1000)
        process.stdout.readline()
        time.sleep(random.uniform(0.02, 0.25))
        process.kill()
        process.communicate()

    drain(outbox, log)

    assert (outbox.count(), logged(log, 120)) == (0, expected(120))


def test_two_drains_at_once_neither_lose_nor_double_a_row(
    url, outbox, log, path, fill, start_python
):
    fill(120)
    processes = [start_python(DRAIN, url, path, 1000) for _ in range(2)]

    errors = [process.communicate()[1] for process in processes]

    assert errors == ["", ""]
    assert (outbox.count(), logged(log, 120)) == (0, expected(120))


@pytest.mark.parametrize("error", [SyncLogBusy, SyncLogUnavailable])
def test_rows_wait_while_the_log_cannot_take_them(outbox, fill, error):
    class Refuses:
        def append(self, rows):
            raise error("no")

    fill(3)

    with pytest.raises(error):
        drain(outbox, Refuses())

    assert outbox.count() == 3
