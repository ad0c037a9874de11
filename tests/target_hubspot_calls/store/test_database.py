"""Opening the store and its transactions, on real files and with real processes."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import sqlite3
import stat
import subprocess
import time
import traceback
from datetime import UTC, datetime, timedelta, timezone

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import func, insert, inspect, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import StatementError
from sqlalchemy.schema import CreateIndex, CreateTable

from target_hubspot_calls.errors import StoreUnavailable
from target_hubspot_calls.store import database
from target_hubspot_calls.store.database import open_database, reading, writing
from target_hubspot_calls.store.schema import calls, metadata, outbox

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
on_sqlite_only = pytest.mark.usefixtures("store_path")

OPEN = """
import sys
from target_hubspot_calls.store.database import open_database
print("ready", flush=True)
sys.stdin.readline()
open_database(sys.argv[1]).dispose()
"""

COUNT_UP = """
import sys
from sqlalchemy import select, update
from target_hubspot_calls.store.database import open_database, writing
from target_hubspot_calls.store.schema import outbox
engine = open_database(sys.argv[1])
for _ in range(40):
    with writing(engine) as connection:
        count = connection.scalar(select(outbox.c.row))["count"]
        connection.execute(update(outbox).values(row={"count": count + 1}))
engine.dispose()
"""

WRITE_ON_AND_ON = """
import itertools, sys
from datetime import UTC, datetime
from sqlalchemy import insert
from target_hubspot_calls.store.database import open_database, writing
from target_hubspot_calls.store.schema import outbox
engine = open_database(sys.argv[1])
for number in itertools.count():
    with writing(engine) as connection:
        for half in "ab":
            connection.execute(insert(outbox).values(
                id=f"{number:06}{half}", row={}, created_at=datetime.now(UTC)))
    print(number, flush=True)
"""


def test_file_and_directory_are_private_whatever_the_umask(url, store_path):
    previous = os.umask(0)
    try:
        engine = open_database(url)
        with writing(engine) as connection:
            connection.execute(insert(outbox).values(id="1", row={}, created_at=NOW))
            modes = {
                path.name: stat.S_IMODE(path.stat().st_mode) for path in store_path.parent.iterdir()
            }
        engine.dispose()
    finally:
        os.umask(previous)

    assert stat.S_IMODE(store_path.parent.stat().st_mode) == 0o700
    assert modes == {
        "store.sqlite": 0o600,
        "store.sqlite-shm": 0o600,
        "store.sqlite-wal": 0o600,
    }


@on_sqlite_only
@pytest.mark.parametrize(
    ("setting", "value"),
    [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1), ("busy_timeout", 30_000)],
)
def test_each_connection_has_the_settings_that_keep_data_safe(engine, setting, value):
    with reading(engine) as connection:
        actual = connection.exec_driver_sql(f"PRAGMA {setting}").scalar()

    assert actual == value


def test_the_migrations_make_exactly_the_tables_of_the_schema(engine):
    # The history of several hosts is PostgreSQL's own, and tested where it is written.
    options = {"include_name": lambda name, *_: not str(name).startswith("hubspot_sync_log")}
    with reading(engine) as connection:
        context = MigrationContext.configure(connection, opts=options)
        differences = compare_metadata(context, metadata)

    assert differences == []


@pytest.mark.parametrize("table", metadata.sorted_tables, ids=str)
def test_the_schema_is_good_for_postgresql_too(table):
    statements = [CreateTable(table), *map(CreateIndex, table.indexes)]

    compiled = [str(one.compile(dialect=postgresql.dialect())) for one in statements]

    assert compiled[0].strip().startswith("CREATE TABLE")


def test_opening_a_store_again_keeps_what_is_in_it(url, engine):
    with writing(engine) as connection:
        connection.execute(insert(outbox).values(id="1", row={"a": 1}, created_at=NOW))

    again = open_database(url)
    with reading(again) as connection:
        rows = connection.execute(select(outbox.c.row)).scalars().all()
    again.dispose()

    assert rows == [{"a": 1}]


def test_processes_that_open_a_new_store_at_once_all_succeed(new_url, start_python):
    processes = [start_python(OPEN, new_url) for _ in range(4)]
    for process in processes:
        process.stdout.readline()

    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    errors = [process.communicate()[1] for process in processes]

    assert errors == ["", "", "", ""]


def test_reading_then_writing_never_loses_to_another_process(url, engine, start_python):
    with writing(engine) as connection:
        connection.execute(insert(outbox).values(id="1", row={"count": 0}, created_at=NOW))

    processes = [start_python(COUNT_UP, url) for _ in range(3)]
    errors = [process.communicate()[1] for process in processes]

    with reading(engine) as connection:
        row = connection.scalar(select(outbox.c.row))
    assert (errors, row) == (["", "", ""], {"count": 120})


def test_a_committed_transaction_survives_kill_9_and_a_torn_one_is_undone(
    url, engine, start_python
):
    writer = start_python(WRITE_ON_AND_ON, url)
    acknowledged = [int(writer.stdout.readline()) for _ in range(30)]

    writer.send_signal(signal.SIGKILL)
    acknowledged += [int(line) for line in writer.communicate()[0].split()]

    with reading(engine) as connection:
        ids = connection.execute(select(outbox.c.id)).scalars().all()
    halves = [sum(row_id.endswith(half) for row_id in ids) for half in "ab"]
    assert {f"{number:06}a" for number in acknowledged} <= set(ids)
    assert halves[0] == halves[1]


def test_a_transaction_that_raises_is_undone(engine):
    def write_and_fail() -> None:
        with writing(engine) as connection:
            connection.execute(insert(outbox).values(id="1", row={}, created_at=NOW))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_and_fail()

    with reading(engine) as connection:
        count = connection.scalar(select(func.count()).select_from(outbox))
    assert count == 0


def test_a_reading_transaction_cannot_write(engine):
    with pytest.raises(StoreUnavailable), reading(engine) as connection:
        connection.execute(insert(outbox).values(id="1", row={}, created_at=NOW))


def test_a_reader_sees_one_moment_and_is_not_held_up_by_a_writer(engine):
    count = select(func.count()).select_from(outbox)
    with reading(engine) as reader:
        before = reader.scalar(count)
        with writing(engine) as writer:
            writer.execute(insert(outbox).values(id="1", row={}, created_at=NOW))
        after = reader.scalar(count)

    assert (before, after) == (0, 0)


def test_a_store_that_stays_locked_says_so(url, store_path, monkeypatch):
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0)
    engine = open_database(url)
    holder = sqlite3.connect(store_path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")

    with pytest.raises(StoreUnavailable, match="held by another writer"), writing(engine):
        pass

    holder.close()
    engine.dispose()


def test_a_store_that_somebody_else_writes_for_too_long_says_so(url, engine, monkeypatch):
    other = open_database(url)
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 1)
    engine.dispose()
    impatient = open_database(url)

    with (
        writing(other),
        pytest.raises(StoreUnavailable, match="held by another writer for more than 1 s"),
        writing(impatient),
    ):
        pass

    impatient.dispose()
    other.dispose()


def test_a_schema_newer_than_the_code_is_refused(new_url):
    engine = open_database(new_url)
    with writing(engine) as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    engine.dispose()

    with pytest.raises(StoreUnavailable, match=r"newer version of this program \(schema 9999\)"):
        open_database(new_url)


def test_a_migration_that_fails_leaves_nothing_behind(url, store_path):
    store_path.parent.mkdir()
    with sqlite3.connect(store_path) as made_by_somebody_else:
        made_by_somebody_else.execute("CREATE TABLE outbox (something TEXT)")
    made_by_somebody_else.close()

    with pytest.raises(StoreUnavailable, match="already exists"):
        open_database(url)

    with sqlite3.connect(store_path) as after:
        tables = after.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    after.close()
    assert tables == [("outbox",)]


def test_a_directory_in_place_of_the_file_is_said(url, store_path):
    store_path.mkdir(parents=True)

    with pytest.raises(StoreUnavailable, match="unable to open database file"):
        open_database(url)


def test_a_file_in_place_of_the_directory_is_said(url, store_path):
    store_path.parent.write_text("in the way")

    with pytest.raises(StoreUnavailable, match="cannot be opened: File exists; check"):
        open_database(url)


def test_a_file_that_is_no_database_is_said(url, store_path):
    store_path.parent.mkdir()
    store_path.write_bytes(b"not a database, but long enough to be looked at" * 100)

    with pytest.raises(StoreUnavailable, match="is damaged"):
        open_database(url)


@pytest.mark.parametrize(
    ("wrong_url", "says"),
    [
        ("store.sqlite", "cannot be read"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("mysql://cara:canary@127.0.0.1/calls", "names mysql"),
        ("sqlite://cara:canary@127.0.0.1/calls", "for SQLite"),
        ("postgresql://cara:canary@127.0.0.1:nonsense/calls", "cannot be read"),
        ("postgresql://cara:x@127.0.0.1:9,canary/calls", "cannot be read"),
        ("postgresql://cara:my@canary@127.0.0.1:9/calls", "an '@' too many"),
        ("postgresql://cara:my/own@canary@127.0.0.1:9/calls", "an '@' too many"),
        ("postgresql://cara:my@own/canary@127.0.0.1:9/calls", "an '@' too many"),
        ("postgresql://cara:my@own?canary@127.0.0.1:9/calls", "an '@' too many"),
        ("postgresql://ca/ra:canary@127.0.0.1:9/calls", "an '@' too many"),
    ],
)
def test_a_wrong_url_is_refused_without_its_password(wrong_url, says):
    with pytest.raises(StoreUnavailable, match=says) as raised:
        open_database(wrong_url)

    assert "canary" not in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize("character", ["/", "#", "?", "[", ":", " ", "%zz", "\u2100", "%40", "&x="])
def test_whatever_stands_in_a_password_no_part_of_it_is_shown(character):
    url = f"postgresql://cara:my{character}canary@127.0.0.1:9/calls"

    with pytest.raises(StoreUnavailable, match=r"PostgreSQL calls on 127\.0\.0\.1\)") as raised:
        open_database(url)

    assert "canary" not in "".join(traceback.format_exception(raised.value))


def test_postgresql_without_its_driver_or_server_says_what_to_do():
    with pytest.raises(StoreUnavailable, match=r"pip install|PostgreSQL calls on") as raised:
        open_database("postgresql://cara:canary@127.0.0.1:9/calls")

    assert "canary" not in str(raised.value)


def test_a_refused_statement_shows_no_values(engine):
    row = {"id": "1", "row": {"number": "canary"}, "created_at": NOW}
    with writing(engine) as connection:
        connection.execute(insert(outbox).values(row))

    with pytest.raises(StoreUnavailable) as raised, writing(engine) as connection:
        connection.execute(insert(outbox).values(row))

    assert re.search("UNIQUE constraint failed|with UniqueViolation", str(raised.value))
    assert "canary" not in f"{raised.value} {raised.value.__cause__}"


def test_a_time_of_any_zone_comes_back_as_the_same_moment_in_utc(engine):
    in_india = datetime(2026, 3, 1, 17, 30, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    with writing(engine) as connection:
        connection.execute(insert(outbox).values(id="1", row={}, created_at=in_india))

    with reading(engine) as connection:
        stored = connection.scalar(select(outbox.c.created_at))

    assert (stored, stored.tzinfo) == (NOW, UTC)


def test_a_time_without_a_zone_is_our_mistake_and_not_the_stores(engine):
    naive = datetime(2026, 3, 1)

    with pytest.raises(StatementError, match="without a time zone"), writing(engine) as connection:
        connection.execute(insert(outbox).values(id="1", row={}, created_at=naive))


def test_openings_take_turns(url, store_path, engine, start_python):
    directory = os.open(store_path.parent, os.O_RDONLY)
    fcntl.flock(directory, fcntl.LOCK_EX)
    process = start_python(OPEN, url)
    process.stdout.readline()
    process.stdin.write("go\n")
    process.stdin.flush()

    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.3)

    os.close(directory)
    assert process.communicate()[1] == ""


def test_opening_waits_for_a_slow_writer(url, engine, start_python):
    process = start_python(OPEN, url)
    process.stdout.readline()

    with writing(engine) as connection:
        process.stdin.write("go\n")
        process.stdin.flush()
        time.sleep(0.3)
        connection.execute(insert(outbox).values(id="1", row={}, created_at=NOW))

    assert process.communicate()[1] == ""


@on_sqlite_only
def test_finding_the_calls_that_are_due_uses_the_index(engine):
    due = select(calls).where(calls.c.state == "due", calls.c.due_at <= NOW)
    query = str(due.compile(engine, compile_kwargs={"literal_binds": False}))

    with reading(engine) as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}", ("due", "2026")).all()

    assert "ix_calls_state_due_at" in plan[0][-1]
    assert inspect(engine).get_pk_constraint("calls")["constrained_columns"] == [
        "user_id",
        "workspace_id",
        "call_id",
    ]
