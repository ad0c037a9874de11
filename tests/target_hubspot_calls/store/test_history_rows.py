"""Rows of the shared history: written with the ledger, in an order that pages can rely on."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, inspect, text
from uuid_utils import uuid7

from target_hubspot_calls.call import Workspace, parse_call
from target_hubspot_calls.errors import Reason, Status
from target_hubspot_calls.outcome import Outcome
from target_hubspot_calls.shared_history.history import SharedHistory
from target_hubspot_calls.store.database import open_database, reading, writing
from target_hubspot_calls.store.history_rows import LONGEST_NUMBER, append_history
from target_hubspot_calls.store.ledger import Ledger
from target_hubspot_calls.store.ledger_rows import RefusedRecord
from target_hubspot_calls.store.outbox import Outbox, append_to_outbox
from target_hubspot_calls.sync_log.filters import HistoryFilter
from target_hubspot_calls.sync_log.rows import COLUMNS

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ADA = Workspace("ada", "sales")
GRACE = Workspace("grace", "sales")
CREATED = Outcome(Status.SUCCESS, Reason.CREATED, contact_id="1", engagement_id="2")


@pytest.fixture
def engine(shared_url: str) -> Iterator[Engine]:
    engine = open_database(shared_url)
    yield engine
    engine.dispose()


def a_row(owner: Workspace = ADA, **changes: object) -> dict[str, object]:
    return {
        "id": str(uuid7()),
        "user_id": owner.user_id,
        "workspace_id": owner.workspace_id,
        "call_id": "call-1",
        "status": "success",
        "reason": "created",
        "created_at": NOON.isoformat(),
    } | changes


def append(engine: Engine, *rows: dict[str, object]) -> None:
    with writing(engine, by_rows=True) as connection:
        append_history(connection, rows)


def stored(engine: Engine, columns: str = "id") -> list[tuple[object, ...]]:
    with reading(engine) as connection:
        found = connection.execute(
            text(f"SELECT {columns} FROM hubspot_sync_logs ORDER BY position")
        )
        return [tuple(row) for row in found]


def settle(engine: Engine, call_id: str, owner: Workspace = ADA) -> None:
    ledger = Ledger(engine)
    ledger.accept([parse_call({"id": call_id}, owner)], now=NOON)
    claims = ledger.claim(owner, holder="run/1", limit=9, for_s=60, now=NOON)
    ledger.settle(
        [(claim, CREATED) for claim in claims], holder="run/1", kind="note", run_id="run", now=NOON
    )


def test_a_settled_call_is_in_the_history_at_once_and_waits_for_the_file(engine):
    settle(engine, "call-1")

    (row,) = SharedHistory(engine).page(HistoryFilter("ada", "sales")).rows
    (waiting,) = Outbox(engine).load(9)
    assert (row["call_id"], row["contact_id"], row["created_at"]) == ("call-1", "1", NOON)
    assert row["id"] == waiting["id"]


def test_what_is_undone_leaves_a_row_in_neither(engine):
    def fail() -> None:
        with writing(engine, by_rows=True) as connection:
            append_to_outbox(connection, [a_row()], NOON)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()

    assert (stored(engine), Outbox(engine).count()) == ([], 0)


def test_a_record_that_is_refused_again_has_one_row_however_far_the_first_has_come(engine):
    refused = RefusedRecord("refused-1", ADA, "The record has no id.")
    for _ in range(2):
        Ledger(engine).accept([], now=NOON, refused=[refused])
        Outbox(engine).delete(["refused-1"])

    assert stored(engine) == [("refused-1",)]


def test_on_sqlite_nothing_is_written_and_there_is_no_table(tmp_path):
    engine = open_database(f"sqlite:///{tmp_path / 'store.db'}")

    settle(engine, "call-1")

    assert Outbox(engine).count() == 1
    assert not inspect(engine).has_table("hubspot_sync_logs")
    engine.dispose()


def test_the_table_has_the_columns_of_the_sync_log_and_two_of_its_own(engine):
    columns = [column["name"] for column in inspect(engine).get_columns("hubspot_sync_logs")]

    assert columns == [*COLUMNS, "position", "superseded_at"]


@pytest.mark.parametrize("view", ["call_status", "daily_summary", "unmatched_numbers"])
def test_the_views_of_the_file_are_there_too(engine, view):
    missed = {"status": "skipped", "reason": "contact_not_found", "phone_number": "+12025550142"}
    append(engine, a_row(attempt=1), a_row(attempt=2, **missed))

    with reading(engine) as connection:
        (row,) = (
            connection.execute(text(f"SELECT * FROM {view} WHERE reason <> 'created'")).mappings()
            if view == "daily_summary"
            else connection.execute(text(f"SELECT * FROM {view}")).mappings()
        )

    told = {"call_status": "attempt", "daily_summary": "attempts", "unmatched_numbers": "calls"}
    assert row[told[view]] == (2 if view == "call_status" else 1)
    assert {"position", "superseded_at"}.isdisjoint(row)


def test_a_text_that_postgresql_cannot_keep_is_kept_as_well_as_it_can_be(engine):
    append(engine, a_row(error_message="cut \ud83d here", contact_match="nul \x00 | \u00fc"))

    assert stored(engine, "error_message, contact_match") == [("cut ? here", "nul \ufffd | \u00fc")]


def test_a_number_too_long_for_an_index_is_cut_and_holds_nothing_up(engine):
    number = "".join(random.Random(1).choices("0123456789abcdef", k=20_000))

    append(engine, a_row(phone_number=number))

    assert stored(engine, "phone_number") == [(number[:LONGEST_NUMBER],)]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"id": None}, "a sync log row has no id"),
        ({"created_at": "yesterday, canary"}, "created_at is not an ISO 8601 time"),
        ({"call_started_at": "2026-03-01T12:00:00"}, "call_started_at has no time zone"),
    ],
    ids=["no id", "no time", "no zone"],
)
def test_a_row_nobody_could_find_again_is_our_mistake(engine, changes, says):
    with pytest.raises(ValueError, match=says) as raised:
        append(engine, a_row(**changes))

    assert "canary" not in str(raised.value)


def test_whoever_writes_a_workspaces_rows_waits_for_the_one_before_it_to_commit(engine):
    written = threading.Event()

    def write_second() -> None:
        append(engine, a_row(id="second"))
        written.set()

    second = threading.Thread(target=write_second)
    with writing(engine, by_rows=True) as connection:
        append_history(connection, [a_row(id="first")])
        second.start()
        waited = not written.wait(0.3)
        append(engine, a_row(GRACE, id="hers"))
        newest = SharedHistory(engine).newest_id("ada", "sales")
    second.join()

    assert waited
    assert newest is None
    assert stored(engine) == [("first",), ("hers",), ("second",)]


def test_a_pinned_page_stays_as_it_is_whoever_commits_when(engine):
    history = SharedHistory(engine)
    ended = threading.Event()

    def write(number: int) -> None:
        dice = random.Random(number)
        while not ended.is_set():
            with writing(engine, by_rows=True) as connection:
                rows = [a_row(dice.choice((ADA, GRACE))) for _ in range(3)]
                append_history(connection, rows)
                time.sleep(dice.uniform(0, 0.01))

    with ThreadPoolExecutor() as threads:
        writers = [threads.submit(write, number) for number in range(4)]
        pinned, changed = [], 0
        for _ in range(25):
            pinned.append(history.page(HistoryFilter("ada", "sales"), limit=5))
            for page in pinned[-8:]:
                again = history.page(HistoryFilter("ada", "sales"), as_of=page.as_of, limit=5)
                changed += page.as_of is not None and again != page
        ended.set()
        for writer in writers:
            writer.result()

    assert pinned[-1].total > pinned[0].total
    assert changed == 0


@pytest.mark.parametrize("seed", range(4))
def test_each_row_knows_when_the_next_of_its_call_came_in_whatever_order_they_came(engine, seed):
    dice = random.Random(seed)
    rows = [
        a_row(
            dice.choice((ADA, GRACE)),
            call_id=dice.choice(["call-1", "call-2", None]),
            created_at=(NOON + timedelta(minutes=dice.randrange(9))).isoformat(),
        )
        for _ in range(40)
    ]

    while rows:
        some = rows[: dice.randrange(1, 9)]
        del rows[: len(some)]
        append(engine, *some, *some[:2])

    found = stored(engine, "user_id, call_id, created_at, position, superseded_at")
    assert len(found) == 40
    for user_id, call_id, created_at, position, superseded_at in found:
        behind = [
            (at, place)
            for whose, call, at, place, _ in found
            if (whose, call) == (user_id, call_id) and (at, place) > (created_at, position)
        ]
        assert superseded_at == (min(behind)[0] if behind and call_id else None)


def test_the_counts_that_are_kept_are_right_whoever_adds_or_deletes_rows(engine):
    dice, history = random.Random(3), SharedHistory(engine)
    outcomes = [("success", "created"), ("error", "locked"), ("error", "rejected"), (None, None)]
    ids: list[str] = []
    for _ in range(12):
        chosen = [(dice.choice((ADA, GRACE)), dice.choice(outcomes)) for _ in range(9)]
        rows = [a_row(whose, status=one, reason=why) for whose, (one, why) in chosen]
        append(engine, *rows, *rows[:3])
        ids += [str(row["id"]) for row in rows]
    pin = history.page(HistoryFilter("ada", "sales"))
    append(engine, a_row(), a_row(status="error"))
    with writing(engine) as connection:
        old = {"old": ids[:90:7]}
        connection.execute(text("DELETE FROM hubspot_sync_logs WHERE id = ANY(:old)"), old)

    for user_id in ("ada", "grace", None):
        wanted = HistoryFilter(user_id, status="error")
        told = history.outcome_counts(HistoryFilter(user_id))
        # Asked so, every row is looked at.
        counted = history.outcome_counts(HistoryFilter(user_id, until=NOON + timedelta(days=1)))
        assert told == counted
        assert history.page(wanted).total == sum(c.count for c in told if c.status == "error")
    again = history.view(HistoryFilter("ada", "sales"), as_of=pin.as_of, limit=1_000)
    assert sum(again.by_status.values()) == again.page.total == len(again.page.rows)
    assert again.newer == 2


def test_a_batch_of_a_size_no_run_has_is_linked_without_statistics_of_the_server(engine):
    begun = time.monotonic()

    append(engine, *(a_row(call_id=f"call-{n % 4_000}") for n in range(5_000)))

    assert time.monotonic() - begun < 20
    (superseded,) = stored(engine, "count(superseded_at) OVER () AS n")[:1]
    assert superseded == (1_000,)


def test_without_the_right_to_an_extension_all_works_and_searches_have_no_index(postgresql):
    postgresql.run("CREATE ROLE plain LOGIN")
    postgresql.run("CREATE DATABASE plain")
    postgresql.run("GRANT ALL ON SCHEMA public TO plain", "plain")
    address = postgresql.url("plain")
    user = address.partition("://")[2].partition("@")[0]
    engine = open_database(address.replace(f"//{user}@", "//plain@"))
    append(engine, a_row(error_message="No owner."), a_row(call_id="other"))

    with reading(engine) as connection:
        index = connection.scalar(text("SELECT to_regclass('ix_hubspot_sync_logs_text')"))
    page = SharedHistory(engine).page(HistoryFilter("ada", "sales", query="OWNER"))
    engine.dispose()

    assert index is None
    assert [row["error_message"] for row in page.rows] == ["No owner."]
