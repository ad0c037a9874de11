"""One run of several fills the DuckDB file of its host; the others leave theirs alone."""

from __future__ import annotations

import signal
import subprocess
from datetime import UTC, datetime, timedelta

import pytest

from target_hubspot_calls.shared_history import filling
from target_hubspot_calls.shared_history.filling import OFFICE, Filler
from target_hubspot_calls.store.database import writing
from target_hubspot_calls.store.elections import Elections
from target_hubspot_calls.store.held_outbox import HeldOutbox, OfficeLost
from target_hubspot_calls.store.outbox import Outbox, append_to_outbox
from target_hubspot_calls.sync_log.log import SyncLog, SyncLogBusy, SyncLogUnavailable

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

HOLD = """
import duckdb, sys
connection = duckdb.connect(sys.argv[1])
print("open", flush=True)
sys.stdin.readline()
connection.close()
"""

DIES = """
import os, signal, sys
from datetime import UTC, datetime
from target_hubspot_calls.shared_history.filling import Filler
from target_hubspot_calls.store.database import open_database
from target_hubspot_calls.store.held_outbox import HeldOutbox
from target_hubspot_calls.sync_log.log import SyncLog
HeldOutbox.delete = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
Filler(open_database(sys.argv[1]), SyncLog(sys.argv[2]), "dead-run",
       now=lambda: datetime.now(UTC), is_dead=lambda holder: False).fill()
"""


class Time:
    """A clock that stands until it is moved."""

    def __init__(self):
        self.at = 1000.0

    def __call__(self):
        return self.at


@pytest.fixture
def time():
    return Time()


@pytest.fixture
def dead():
    """The runs that everybody knows to be over."""
    return set()


@pytest.fixture
def a_filler(engine, time, dead, tmp_path):
    """A run on a host of its own."""

    def build(name, log=None):
        return Filler(
            engine,
            log or SyncLog(tmp_path / name / "sync_log.duckdb", wait_s=0.0),
            name,
            now=lambda: datetime.now(UTC),
            is_dead=dead.__contains__,
            clock=time,
        )

    return build


@pytest.fixture
def settle(engine, a_row):
    """Writes rows as the ledger does: into the history, and into the outbox."""

    def write(*call_ids):
        at = NOON + timedelta(seconds=len(call_ids[0]))
        rows = [a_row(call_id=call_id, created_at=at.isoformat()) for call_id in call_ids]
        with writing(engine, by_rows=True) as connection:
            append_to_outbox(connection, rows, NOON)

    return write


@pytest.fixture
def filled(tmp_path):
    """The call ids in the file of a host."""

    def look(name):
        rows = SyncLog(tmp_path / name / "sync_log.duckdb").history(limit=10_000).rows
        return sorted(row["call_id"] for row in rows)

    return look


def test_the_elected_run_writes_what_waits_and_the_others_touch_no_file(
    engine, a_filler, settle, filled, tmp_path
):
    settle("a", "b")
    first, second = a_filler("first"), a_filler("second")

    first.fill()
    second.fill()

    assert (filled("first"), Outbox(engine).count()) == (["a", "b"], 0)
    assert not (tmp_path / "second").exists()
    assert Elections(engine).holder_of(OFFICE) == "first"


def test_a_run_that_leaves_is_followed_by_one_whose_file_gets_all_there_is(
    engine, a_filler, settle, filled, time
):
    first, second = a_filler("first"), a_filler("second")
    settle("a")
    first.fill()
    second.fill()
    first.leave()
    settle("b")

    time.at += filling.ASK_S
    second.fill()

    assert (filled("second"), filled("first"), Outbox(engine).count()) == (["a", "b"], ["a"], 0)


def test_a_run_that_comes_back_to_the_office_has_what_was_written_in_between(
    a_filler, settle, filled, time
):
    first, second = a_filler("first"), a_filler("second")
    for office, call_id in ((first, "a"), (second, "b"), (first, "c")):
        settle(call_id)
        time.at += filling.ASK_S
        office.fill()
        office.leave()

    assert filled("first") == ["a", "b", "c"]


def test_a_run_that_was_believed_dead_for_a_moment_has_what_others_wrote_meanwhile(
    a_filler, settle, filled, time, dead
):
    stopped, other = a_filler("stopped"), a_filler("other")
    settle("a")
    stopped.fill()
    time.at += 12
    dead.add("stopped")
    settle("b")
    other.fill()
    other.leave()
    dead.clear()

    # Its own time has not run out: it renews, and does not know that it lost anything.
    for _ in range(3):
        stopped.fill()
        time.at += filling.RENEW_S

    assert time.at - filling.RENEW_S * 3 < 1000 + filling.OFFICE_S
    assert (filled("stopped"), filled("other")) == (["a", "b"], ["a", "b"])


def test_a_dead_run_is_followed_at_once(a_filler, settle, filled, dead):
    settle("a")
    a_filler("first").fill()
    settle("b")
    dead.add("first")

    a_filler("second").fill()

    assert filled("second") == ["a", "b"]


def test_what_a_run_that_lost_the_office_still_has_in_hand_is_not_deleted(
    engine, a_filler, settle, filled, dead
):
    settle("a")
    a_filler("first").fill()
    settle("b")
    in_hand = HeldOutbox(engine, OFFICE, "first")
    loaded = in_hand.load(9)
    dead.add("first")
    second = a_filler("second")
    second.fill()
    settle("c")

    with pytest.raises(OfficeLost):
        in_hand.delete([row["id"] for row in [*loaded, *Outbox(engine).load(9)]])
    second.fill()

    assert (filled("second"), Outbox(engine).count()) == (["a", "b", "c"], 0)


def test_a_run_that_loses_the_office_while_it_writes_stops_and_says_nothing(
    engine, a_filler, settle, filled, dead
):
    settle("a")
    second = a_filler("second")

    class Interrupted(SyncLog):
        def append(self, rows):
            super().append(rows)
            if "second" not in dead:
                dead.add("second")
                a_filler("third").fill()

    log = Interrupted(second._log._file.path, wait_s=0.0)
    a_filler("second", log).fill()

    assert filled("third") == ["a"]
    assert Elections(engine).holder_of(OFFICE) == "third"


def test_the_office_is_renewed_in_time_and_kept(engine, a_filler, settle, filled, time):
    first, second = a_filler("first"), a_filler("second")

    for number in range(6):
        settle("a" * (number + 1))
        time.at += filling.ASK_S
        first.fill()
        second.fill()

    assert len(filled("first")) == 6
    assert Elections(engine).holder_of(OFFICE) == "first"


def test_a_file_that_somebody_has_open_delays_rows_and_loses_none(
    engine, a_filler, settle, filled, start_python, tmp_path
):
    first = a_filler("first")
    settle("a")
    first.fill()
    holder = start_python(HOLD, tmp_path / "first" / "sync_log.duckdb")
    holder.stdout.readline()
    settle("b")

    with pytest.raises(SyncLogBusy):
        first.fill()
    waiting = Outbox(engine).count()
    holder.communicate("go\n")
    first.fill()

    assert (waiting, filled("first"), Outbox(engine).count()) == (1, ["a", "b"], 0)


def test_a_file_that_is_busy_when_its_run_is_elected_is_compared_later(
    a_filler, settle, filled, start_python, tmp_path
):
    path = tmp_path / "second" / "sync_log.duckdb"
    settle("a")
    first, second = a_filler("first"), a_filler("second")
    first.fill()
    first.leave()
    path.parent.mkdir()
    holder = start_python(HOLD, path)
    holder.stdout.readline()

    with pytest.raises(SyncLogBusy):
        second.fill()
    holder.communicate("go\n")
    second.fill()

    assert filled("second") == ["a"]


def test_a_host_whose_file_cannot_be_used_lets_another_fill(
    engine, a_filler, settle, filled, time, tmp_path
):
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / "sync_log.duckdb").write_bytes(b"no database at all" * 100)
    settle("a")
    first, second = a_filler("first"), a_filler("second")

    with pytest.raises(SyncLogUnavailable):
        first.fill()
    second.fill()
    time.at += filling.STEP_BACK_S
    first.fill()

    assert (filled("second"), Outbox(engine).count()) == (["a"], 0)


def test_killed_between_file_and_outbox_no_row_is_lost_or_doubled(
    shared_url, a_filler, settle, filled, start_python, tmp_path, dead
):
    settle("a", "b")
    process: subprocess.Popen[str] = start_python(
        DIES, shared_url, tmp_path / "next" / "sync_log.duckdb"
    )
    _, errors = process.communicate()
    dead.add("dead-run")

    a_filler("next").fill()

    assert (process.returncode, errors) == (-signal.SIGKILL, "")
    assert filled("next") == ["a", "b"]


def test_a_long_way_behind_a_run_comes_up_a_few_seconds_at_a_time(
    engine, a_filler, settle, filled, time, monkeypatch
):
    settle(*(f"call-{n}" for n in range(30)))
    monkeypatch.setattr(filling, "_LOADED_ROWS", 10)
    first = a_filler("first")

    class Slow(SyncLog):
        def append(self, rows):
            super().append(rows)
            time.at += filling.FILLING_S

    slow = a_filler("first", Slow(first._log._file.path))
    slow.fill()
    copied, waiting = len(filled("first")), Outbox(engine).count()
    counts = []
    for _ in range(4):
        slow.fill()
        counts.append(Outbox(engine).count())

    assert (copied, waiting) == (30, 30)
    assert counts[-1] == 0
    assert len(set(counts)) >= 3
