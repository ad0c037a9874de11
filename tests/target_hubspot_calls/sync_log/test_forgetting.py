"""Rows that tell of nobody any more, in a file that has nothing left of what they said."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from target_hubspot_calls.sync_log.filters import HistoryFilter
from target_hubspot_calls.sync_log.forgetting import forget_rows
from target_hubspot_calls.sync_log.log import SyncLog, SyncLogBusy
from target_hubspot_calls.sync_log.opening import SyncLogFile

NUMBER = "+12025550177"
CALL = ("ada", "sales", "call-7")

APPEND = """
import sys
from target_hubspot_calls.sync_log.log import SyncLog
print("ready", flush=True)
for number in range(int(sys.argv[2])):
    row = {"id": f"late-{number:04}", "user_id": "ada", "workspace_id": "sales", "call_id": "c"}
    SyncLog(sys.argv[1], wait_s=20).append([row])
"""

KILLED = """
import os, signal, sys
from pathlib import Path
from target_hubspot_calls.sync_log import forgetting
from target_hubspot_calls.sync_log.log import SyncLog
def die(*_arguments):
    os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[2] == "before":
    forgetting._take_place = die
else:
    forgetting.forget_rows.__kwdefaults__["sleep"] = die
SyncLog(sys.argv[1]).forget([("ada", "sales", "call-7")])
"""


@pytest.fixture
def filled(path: Path, a_row: Callable[..., dict[str, Any]]) -> SyncLog:
    """Many rows of many callers, written bit by bit, and three of one caller."""
    log = SyncLog(path)
    for batch in range(3):
        rows = [
            a_row(call_id=f"other-{batch}-{n}", phone_number=f"+1202555{n:04}") for n in range(60)
        ]
        told = a_row(
            call_id="call-7",
            phone_number=NUMBER,
            contact_id="60177",
            error_message="Quincunx is no contact.",
            contact_match="phone, 1 of 3 Quincunxes",
        )
        log.append([*rows, told])
    return log


def rows_of(log: SyncLog) -> list[dict[str, Any]]:
    return log.page(HistoryFilter(), limit=1000).rows


def test_the_rows_stay_and_say_nothing_of_a_person(filled: SyncLog, path: Path) -> None:
    before = rows_of(filled)
    counted = filled.count_telling([CALL])

    done = filled.forget([CALL])
    again = filled.forget([CALL])

    empty = {"contact_id": None, "error_message": None, "phone_number": None, "contact_match": None}
    assert (counted, done, again) == (3, 3, 0)
    assert rows_of(filled) == [row | empty if row["call_id"] == "call-7" else row for row in before]
    assert filled.count_telling([CALL]) == 0


def test_nothing_of_it_is_left_in_any_byte_of_the_folder(filled: SyncLog, path: Path) -> None:
    words = (b"5550177", b"Quincunx", b"60177")
    before = path.read_bytes()

    filled.forget([CALL])

    after = b"".join(each.read_bytes() for each in path.parent.iterdir())
    assert all(word in before for word in words)
    assert not any(word in after for word in words)
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_order_of_rows_and_what_others_made_in_the_file_stay(
    filled: SyncLog, path: Path
) -> None:
    with duckdb.connect(path) as connection:
        connection.execute("CREATE TABLE notes (id INTEGER, word VARCHAR)")
        connection.execute("INSERT INTO notes VALUES (1, 'mine')")
        connection.execute("CREATE VIEW per_day AS SELECT * FROM daily_summary")
        order = connection.execute("SELECT id FROM hubspot_sync_logs ORDER BY rowid").fetchall()

    filled.forget([CALL])

    with duckdb.connect(path, read_only=True) as connection:
        after = connection.execute("SELECT id FROM hubspot_sync_logs ORDER BY rowid").fetchall()
        notes = connection.execute("SELECT * FROM notes").fetchall()
        per_day = connection.execute("SELECT sum(attempts) FROM per_day").fetchall()
        tags = connection.execute("SELECT tags FROM duckdb_databases() WHERE path = ?", [str(path)])
        version = tags.fetchall()
    assert after == order
    assert (notes, per_day) == ([(1, "mine")], [(183,)])
    assert "v1.5.0" in str(version)


def test_calls_are_found_by_number_however_it_is_written(
    path: Path, a_row: Callable[..., dict[str, Any]]
) -> None:
    log = SyncLog(path)
    none_yet = log.calls_of_number("2025550177", lambda written: True)
    log.append(
        [
            a_row(call_id="call-7", phone_number="(202) 555-0177"),
            a_row(call_id="call-8", phone_number="+442025550177"),
            a_row(call_id="call-9", phone_number="+12025550178"),
            a_row(call_id=None, phone_number=NUMBER),
        ]
    )

    found = log.calls_of_number("2025550177", lambda written: not written.startswith("+44"))

    assert none_yet == set()
    assert found == {CALL}


def test_a_history_without_such_a_call_is_not_written_anew(filled: SyncLog, path: Path) -> None:
    before = path.stat().st_ino

    done = filled.forget([("ada", "sales", "unknown"), ("bob", "sales", "call-7")])
    nothing = filled.forget([])
    nowhere = SyncLog(path.with_name("none.duckdb")).forget([CALL])

    assert (done, nothing, nowhere) == (0, 0, 0)
    assert path.stat().st_ino == before


def test_a_file_that_somebody_has_open_is_left_alone(filled: SyncLog, path: Path) -> None:
    before = path.read_bytes()

    with duckdb.connect(path, read_only=True), pytest.raises(SyncLogBusy):
        SyncLog(path, wait_s=0.05).forget([CALL])

    assert path.read_bytes() == before


@pytest.mark.parametrize("moment", ["before", "after"])
def test_whoever_is_killed_leaves_a_whole_file_and_the_next_ends_it(
    filled: SyncLog, path: Path, start_python: Callable[..., Any], moment: str
) -> None:
    process = start_python(KILLED, path, moment)
    process.communicate(timeout=30)
    counted = len(rows_of(filled))

    filled.forget([CALL])

    assert process.returncode == -9
    assert counted == 183
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    assert b"Quincunx" not in path.read_bytes()


def test_rows_that_others_write_meanwhile_are_all_there(
    filled: SyncLog, path: Path, start_python: Callable[..., Any]
) -> None:
    process = start_python(APPEND, path, 6)
    assert process.stdout.readline() == "ready\n"
    file = SyncLogFile(path, wait_s=20)
    while process.poll() is None:
        forget_rows(file, [CALL], sleep=lambda seconds: time.sleep(0.01))

    _, errors = process.communicate()

    assert errors == ""
    late = [row for row in rows_of(filled) if row["id"].startswith("late-")]
    assert len(late) == 6
