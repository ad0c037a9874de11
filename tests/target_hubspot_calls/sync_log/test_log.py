"""Appending to and reading a real DuckDB file."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone

import duckdb
import pytest

from target_hubspot_calls.sync_log.log import HistoryPage, SyncLog, SyncLogBusy, SyncLogUnavailable

in_a_file_only = pytest.mark.usefixtures("path")

CONTRACT_COLUMNS = [
    "id",
    "user_id",
    "workspace_id",
    "call_id",
    "contact_id",
    "engagement_id",
    "engagement_type",
    "file_id",
    "status",
    "reason",
    "retryable",
    "error_message",
    "phone_number",
    "recording_status",
    "contact_match",
    "attempt",
    "correlation_id",
    "portal_id",
    "call_started_at",
    "created_at",
    "run_id",
]

HOLD = """
import duckdb, sys
connection = duckdb.connect(sys.argv[1], read_only=sys.argv[2] == "to read")
print("open", flush=True)
sys.stdin.readline()
connection.close()
print("closed", flush=True)
"""


def at(minute: int) -> datetime:
    return datetime(2026, 3, 1, 12, minute, tzinfo=UTC)


def query(path, sql):
    with duckdb.connect(path, read_only=True) as connection:
        found = connection.execute(sql)
        names = [column[0] for column in found.description]
        return [dict(zip(names, values, strict=True)) for values in found.fetchall()]


def call_ids(page):
    return [row["call_id"] for row in page.rows]


def test_a_row_comes_back_as_it_was_written(log, a_row):
    row = a_row()

    log.append([row])

    assert log.history().rows == [
        row
        | {
            "call_started_at": datetime(2026, 3, 1, 11, 58, tzinfo=UTC),
            "created_at": datetime(2026, 3, 1, 12, 0, tzinfo=UTC),
        }
    ]


def test_the_table_has_the_columns_of_the_contract_in_that_order(log, path, a_row):
    log.append([a_row()])

    described = query(path, "DESCRIBE hubspot_sync_logs")

    types = {column["column_name"]: column["column_type"] for column in described}
    assert list(types) == CONTRACT_COLUMNS
    assert types["created_at"] == types["call_started_at"] == "TIMESTAMP"
    assert types["portal_id"] == "BIGINT"


def test_times_are_stored_in_utc_whatever_their_zone(log, path, a_row):
    in_india = datetime(2026, 3, 1, 17, 30, tzinfo=timezone(timedelta(hours=5, minutes=30)))

    log.append([a_row(created_at=in_india)])

    stored = query(path, "SELECT created_at FROM hubspot_sync_logs")
    assert stored == [{"created_at": datetime(2026, 3, 1, 12, 0)}]


def test_the_file_is_one_that_duckdb_1_5_can_open(log, path, a_row):
    log.append([a_row()])
    log.append([a_row()])

    (database,) = query(path, "SELECT tags FROM duckdb_databases() WHERE NOT internal")

    assert database["tags"]["storage_version"].startswith("v1.5.0")


def test_the_file_is_private_whatever_the_umask_and_nothing_else_is_left(log, path, a_row):
    previous = os.umask(0o022)
    try:
        log.append([a_row()])
        log.append([a_row()])
        restored = os.umask(0o022)
    finally:
        os.umask(previous)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert list(path.parent.iterdir()) == [path]
    assert restored == 0o022


def test_appending_again_adds_only_the_rows_that_are_not_there(log, a_row):
    first, second = a_row(call_id="call-1"), a_row(call_id="call-2")
    log.append([first])

    log.append([first, second])
    log.append([second, first, second])

    assert call_ids(log.history()) == ["call-2", "call-1"]


@in_a_file_only
def test_all_rows_of_an_append_are_written_or_none(log, a_row):
    log.append([a_row()])

    with pytest.raises(SyncLogUnavailable, match="ConversionException"):
        log.append([a_row(), a_row(portal_id=10**30)])

    assert log.history().total == 1


@in_a_file_only
def test_half_a_surrogate_pair_does_not_hold_up_the_log(log, a_row):
    log.append([a_row(error_message="cut \ud83d here", contact_match="nul \x00")])

    (row,) = log.history().rows
    assert (row["error_message"], row["contact_match"]) == ("cut ? here", "nul \x00")


def test_values_are_never_taken_for_sql(log, a_row):
    nasty = "'); DROP TABLE hubspot_sync_logs; --"
    log.append([a_row(call_id=nasty, error_message=nasty)])

    found = log.history(call_id=nasty, query=nasty)

    assert call_ids(found) == [nasty]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"id": None}, "a sync log row has no id"),
        ({"created_at": "yesterday, canary"}, "created_at is not an ISO 8601 time"),
        ({"call_started_at": "2026-03-01T12:00:00"}, "call_started_at has no time zone"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_row_nobody_could_find_again_is_our_mistake(log, a_row, changes, says):
    with pytest.raises(ValueError, match=says) as raised:
        log.append([a_row(**changes)])

    assert "canary" not in str(raised.value)


def test_a_missing_file_is_an_empty_history_and_stays_missing(log, path):
    assert log.history() == HistoryPage([], 0)
    assert log.call_status() == []
    assert not path.parent.exists()


def test_a_file_without_the_table_is_an_empty_history(log, path, a_row):
    path.parent.mkdir()
    duckdb.connect(path, config={"storage_compatibility_version": "v1.5.0"}).close()

    empty = log.history()
    log.append([a_row()])

    assert (empty, log.history().total) == (HistoryPage([], 0), 1)


def test_history_is_newest_first_and_stable_within_a_moment(log, a_row):
    rows = [
        a_row(id="b", call_id="2"),
        a_row(id="a", call_id="1"),
        a_row(id="c", call_id="3", created_at=at(0)),
        a_row(id="0", call_id="4", created_at=at(1)),
    ]

    log.append(rows)

    assert call_ids(log.history()) == ["4", "3", "2", "1"]


def test_history_comes_in_pages_with_the_whole_count(log, a_row):
    log.append([a_row(call_id=str(minute), created_at=at(minute)) for minute in range(5)])

    pages = [log.history(limit=2, offset=offset) for offset in (0, 2, 4, 6)]

    assert [call_ids(page) for page in pages] == [["4", "3"], ["2", "1"], ["0"], []]
    assert [page.total for page in pages] == [5, 5, 5, 5]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"user_id": "bob"}, ["bob"]),
        ({"workspace_id": "support"}, ["support"]),
        ({"status": "skipped"}, ["skipped"]),
        ({"reason": "contact_not_found"}, ["skipped"]),
        ({"call_id": "late"}, ["late"]),
        ({"call_id": "lat"}, []),
        ({"since": at(1)}, ["late"]),
        ({"until": at(0)}, []),
        ({"until": at(1)}, ["text", "skipped", "support", "bob"]),
        ({"since": at(0), "until": at(1), "user_id": "bob"}, ["bob"]),
        ({"query": "SKIP"}, ["skipped"]),
        ({"query": "555-0177"}, ["bob"]),
        ({"query": "(202) 555-0177"}, ["bob"]),
        ({"query": "100% OF"}, ["text"]),
        ({"query": "%"}, ["text"]),
        ({"query": "_"}, []),
        ({"query": "777"}, ["support"]),
        ({"query": "  "}, ["late", "text", "skipped", "support", "bob"]),
        ({"query": "+ -"}, []),
        ({"query": "nobody"}, []),
    ],
    ids=str,
)
def test_history_can_be_filtered(log, a_row, filters, found):
    log.append(
        [
            a_row(call_id="bob", user_id="bob", phone_number="+12025550177"),
            a_row(call_id="support", workspace_id="support", contact_id="777000"),
            a_row(call_id="skipped", status="skipped", reason="contact_not_found"),
            a_row(call_id="text", error_message="100% of the quota is used."),
            a_row(call_id="late", created_at=at(1)),
        ]
    )

    page = log.history(**filters)

    assert (call_ids(page), page.total) == (found, len(found))


def test_call_status_has_the_latest_row_of_each_call_of_each_workspace(log, a_row):
    log.append(
        [
            a_row(call_id="1", status="error", attempt=1, created_at=at(0)),
            a_row(call_id="1", status="success", attempt=2, created_at=at(2)),
            a_row(call_id="2", status="skipped", created_at=at(1)),
            a_row(call_id="1", workspace_id="support", status="error", created_at=at(3)),
        ]
    )

    latest = [(row["workspace_id"], row["call_id"], row["status"]) for row in log.call_status()]

    assert latest == [
        ("support", "1", "error"),
        ("sales", "1", "success"),
        ("sales", "2", "skipped"),
    ]
    assert [row["call_id"] for row in log.call_status(status="skipped")] == ["2"]
    assert log.call_status(workspace_id="sales", call_id="1", status="error") == []


def test_the_daily_summary_counts_attempts_and_calls(log, path, a_row):
    log.append(
        [
            a_row(call_id="1", status="error", reason="unavailable"),
            a_row(call_id="1", status="error", reason="unavailable", created_at=at(5)),
            a_row(call_id="1", created_at=at(6)),
            a_row(call_id="2", created_at="2026-03-02T00:00:00+00:00"),
        ]
    )

    summary = query(path, "SELECT * FROM daily_summary ORDER BY day, status")

    shown = [(str(row["day"]), row["reason"], row["attempts"], row["calls"]) for row in summary]
    assert shown == [
        ("2026-03-01", "unavailable", 2, 1),
        ("2026-03-01", "created", 1, 1),
        ("2026-03-02", "created", 1, 1),
    ]


def test_unmatched_numbers_are_those_that_are_no_contacts_now(log, path, a_row):
    unmatched = {"status": "skipped", "reason": "contact_not_found", "contact_id": None}
    log.append(
        [
            a_row(call_id="1", phone_number="+12025550101", **unmatched),
            a_row(call_id="1", phone_number="+12025550101", created_at=at(9)),
            a_row(call_id="2", phone_number="+12025550102", call_started_at=at(1).isoformat())
            | unmatched,
            a_row(call_id="3", phone_number="+12025550102", call_started_at=at(4).isoformat())
            | unmatched,
            a_row(call_id="4", phone_number="+12025550102", workspace_id="support") | unmatched,
            a_row(call_id="5", status="skipped", reason="ambiguous_contact"),
        ]
    )

    numbers = query(path, "SELECT * FROM unmatched_numbers ORDER BY workspace_id")

    assert numbers == [
        {
            "user_id": "ada",
            "workspace_id": "sales",
            "phone_number": "+12025550102",
            "calls": 2,
            "first_call_at": datetime(2026, 3, 1, 12, 1),
            "last_call_at": datetime(2026, 3, 1, 12, 4),
        },
        {
            "user_id": "ada",
            "workspace_id": "support",
            "phone_number": "+12025550102",
            "calls": 1,
            "first_call_at": datetime(2026, 3, 1, 11, 58),
            "last_call_at": datetime(2026, 3, 1, 11, 58),
        },
    ]


@pytest.mark.parametrize("held", ["to read", "to write"])
def test_an_append_waits_for_another_program_and_then_gives_up(path, a_row, start_python, held):
    SyncLog(path).append([a_row()])
    holder = start_python(HOLD, path, held)
    holder.stdout.readline()
    sleeps: list[float] = []
    log = SyncLog(path, wait_s=5, clock=lambda: sum(sleeps), sleep=sleeps.append)

    with pytest.raises(SyncLogBusy, match=rf"open in another program \(PID {holder.pid}\)"):
        log.append([a_row()])

    assert sum(sleeps) >= 5
    assert all(0.002 <= pause <= 0.05 for pause in sleeps)
    assert len(set(sleeps)) > 10


def test_an_append_goes_on_once_the_other_program_is_done(path, a_row, start_python):
    SyncLog(path).append([a_row()])
    holder = start_python(HOLD, path, "to write")
    holder.stdout.readline()

    def let_go(_: float) -> None:
        if holder.poll() is None:
            holder.communicate("go\n")

    log = SyncLog(path, sleep=let_go)
    log.append([a_row()])

    assert log.history().total == 2


def test_history_is_read_while_another_program_reads(path, a_row, start_python):
    log = SyncLog(path, wait_s=0)
    log.append([a_row()])
    start_python(HOLD, path, "to read").stdout.readline()

    assert log.history().total == 1


def test_history_says_busy_while_another_program_writes(path, a_row, start_python):
    log = SyncLog(path, wait_s=0)
    log.append([a_row()])
    start_python(HOLD, path, "to write").stdout.readline()

    with pytest.raises(SyncLogBusy, match="history rows wait until it is closed"):
        log.history()


def test_threads_of_one_process_may_write_and_read_at_once(path, a_row):
    same = [a_row(call_id=str(number)) for number in range(20)]

    def write() -> int:
        for _ in range(5):
            SyncLog(path, wait_s=30).append([*same, a_row()])
        return SyncLog(path, wait_s=30).history().total

    def read() -> int:
        totals = [SyncLog(path, wait_s=30).history().total for _ in range(5)]
        assert all(total == 0 or total > 20 for total in totals)
        return max(totals)

    with ThreadPoolExecutor() as threads:
        running = [threads.submit(work) for work in (write, read, write, read)]
        totals = [one.result() for one in running]

    assert max(totals) <= SyncLog(path).history().total == 20 + 10


@pytest.mark.parametrize("work", ["append", "history"])
@pytest.mark.parametrize(
    "refusal",
    [
        duckdb.ConnectionException(
            "Connection Error: Can't open a connection to same database file with a different"
            " configuration than existing connections"
        ),
        duckdb.OperationalError(
            "Resource In Use Error: Unique file handle conflict: Cannot attach"
            ' "sync_log" - the database file "sync_log.duckdb" is already attached by database'
            ' "sync_log"'
        ),
    ],
    ids=["opened otherwise", "closing"],
)
def test_a_file_that_another_thread_just_closes_is_waited_for(
    path, a_row, monkeypatch, work, refusal
):
    SyncLog(path).append([a_row()])
    connect, refusals = duckdb.connect, [refusal, refusal]
    sleeps: list[float] = []

    def connect_later(*args, **options):
        if refusals:
            raise refusals.pop()
        return connect(*args, **options)

    monkeypatch.setattr(duckdb, "connect", connect_later)
    log = SyncLog(path, sleep=sleeps.append)

    log.append([a_row()]) if work == "append" else log.history()

    assert len(sleeps) == 2
    assert log.history().total == (2 if work == "append" else 1)


@pytest.mark.parametrize("work", ["append", "history"])
def test_a_directory_in_place_of_the_file_is_said(path, a_row, work):
    path.mkdir(parents=True)
    log = SyncLog(path)

    with pytest.raises(SyncLogUnavailable, match="Is a directory; check its path"):
        log.append([a_row()]) if work == "append" else log.history()


def test_a_file_in_place_of_the_directory_is_said(log, path, a_row):
    path.parent.write_text("in the way")

    with pytest.raises(SyncLogUnavailable, match="File exists; check its path"):
        log.append([a_row()])


@pytest.mark.parametrize("work", ["append", "history"])
def test_a_file_that_is_no_database_is_said(path, a_row, work):
    path.parent.mkdir()
    path.write_bytes(b"not a database" * 1000)
    log = SyncLog(path)

    with pytest.raises(SyncLogUnavailable, match="not a valid DuckDB database file; put it aside"):
        log.append([a_row()]) if work == "append" else log.history()


def test_ctrl_c_in_the_middle_of_a_statement_is_ctrl_c(tmp_path):
    program = """
import duckdb, os, pathlib, signal, threading
from target_hubspot_calls.sync_log.opening import SyncLogFile

endless = "SELECT count(*) FROM range(100_000_000_000) AS r(n) WHERE n % 7 = 3"
alone = duckdb.connect(config={"threads": 1})  # with more it looks at signals less often
threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGINT]).start()
try:
    with SyncLogFile(pathlib.Path("none"), wait_s=1).reading():
        alone.execute(endless)
except KeyboardInterrupt:
    print("pressed")
"""

    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=30
    )

    assert (ended.stdout, ended.stderr) == ("pressed\n", "")


@in_a_file_only
def test_an_error_quotes_no_value(log, a_row):
    with pytest.raises(SyncLogUnavailable) as raised:
        log.append([a_row(attempt="canary")])

    assert "canary" not in str(raised.value)
