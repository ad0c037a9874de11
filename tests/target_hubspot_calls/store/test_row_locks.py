"""Writing by rows, beside others: in one order, without waiting for what is not needed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, select, text, update

from target_hubspot_calls.call import Call, Workspace
from target_hubspot_calls.errors import (
    CallOutcomeError,
    NotConnected,
    StoreUnavailable,
    Unavailable,
)
from target_hubspot_calls.outcome import outcome_of_error
from target_hubspot_calls.store import database
from target_hubspot_calls.store.database import open_database, reading, server_time, writing
from target_hubspot_calls.store.ledger import Ledger
from target_hubspot_calls.store.ledger_conditions import lock_calls
from target_hubspot_calls.store.outbox import Outbox
from target_hubspot_calls.store.retries import Retries, RetryFilter
from target_hubspot_calls.store.row_locks import insert_if_new
from target_hubspot_calls.store.schema import calls, elections, outbox
from tests.target_hubspot_calls.store.postgresql_server import PostgreSQLServer

HARBOR = Workspace("dana", "harbor-dental")
# Written in the reverse order of their keys, so that who takes them as they lie takes them so.
IDS = [f"c{n}" for n in range(9, 0, -1)]


@pytest.fixture
def shared(postgresql: PostgreSQLServer) -> Iterator[Engine]:
    """A store that locks rows."""
    engine = open_database(postgresql.url("ours"))
    yield engine
    engine.dispose()
    postgresql.empty("ours")


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


@pytest.fixture
def many(shared: Engine, a_call: Callable[..., Call], noon: datetime) -> list[Call]:
    """Nine due calls."""
    reports = [a_call(id=call_id) for call_id in IDS]
    for report in reports:
        Ledger(shared).accept([report], now=noon)
    return reports


def wait_until_somebody_waits(engine: Engine) -> None:
    """Returns when a transaction waits for a lock of another."""
    waiting = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    give_up_at = time.monotonic() + 10
    while True:
        with reading(engine) as connection:
            if connection.execute(waiting).scalar_one():
                return
        assert time.monotonic() < give_up_at
        time.sleep(0.01)


def settle_all_with(
    ledger: Ledger, error: CallOutcomeError, retry_at: datetime | None, noon: datetime
) -> None:
    claims = ledger.claim(HARBOR, holder="me/0", limit=20, for_s=60, now=noon)
    outcome = outcome_of_error(error, retry_at=retry_at)
    ledger.settle(
        [(claim, outcome) for claim in claims],
        holder="me/0",
        kind="note",
        run_id="me",
        now=noon,
    )


@pytest.mark.parametrize(
    "what", ["accept", "announce", "hasten", "release", "retry", "settle", "wake"]
)
def test_several_calls_are_locked_in_the_order_of_their_keys(
    shared: Engine, many: list[Call], noon: datetime, pool: ThreadPoolExecutor, what: str
) -> None:
    ledger = Ledger(shared)
    if what in ("hasten", "retry"):
        settle_all_with(ledger, Unavailable("Down."), noon + timedelta(hours=1), noon)
    if what == "wake":
        settle_all_with(ledger, NotConnected("Connect first."), None, noon)
    claims = ledger.claim(HARBOR, holder="me/1", limit=20, for_s=60, now=noon)
    by_id = {claim.call.id: claim for claim in claims}
    late = outcome_of_error(Unavailable("Down."), retry_at=noon)
    many_at_once: dict[str, Callable[[], Any]] = {
        "accept": lambda: ledger.accept(many, now=noon, nobodys=Workspace("default", "default")),
        "announce": lambda: ledger.announce(by_id, {}, "update", holder="me/1", for_s=60, now=noon),
        "hasten": lambda: ledger.hasten(HARBOR, "unavailable", now=noon),
        "release": lambda: ledger.release(claims, holder="me/1", now=noon),
        "retry": lambda: Retries(shared).put_back(RetryFilter(), now=noon),
        "settle": lambda: ledger.settle(
            [(claim, late) for claim in claims], holder="me/1", kind="note", run_id="me", now=noon
        ),
        "wake": lambda: ledger.wake(HARBOR, now=noon),
    }

    with writing(shared, by_rows=True) as connection:
        lock_calls(connection, [(HARBOR, "c1")])
        other = pool.submit(many_at_once[what])
        wait_until_somebody_waits(shared)
        last = lock_calls(connection, [(HARBOR, "c9")])
    other.result(timeout=10)

    assert list(last) == [(HARBOR, "c9")]


def test_calls_that_somebody_has_in_hand_are_passed_over_by_who_claims(
    shared: Engine, many: list[Call], noon: datetime
) -> None:
    ledger = Ledger(shared)

    with writing(shared, by_rows=True) as connection:
        lock_calls(connection, [(HARBOR, call_id) for call_id in IDS[:4]])
        claims = ledger.claim(HARBOR, holder="me/1", limit=20, for_s=60, now=noon)

    assert {claim.call.id for claim in claims} == set(IDS[4:])


def test_what_a_dead_one_still_has_in_hand_is_freed_later(
    shared: Engine, many: list[Call], noon: datetime
) -> None:
    ledger = Ledger(shared)
    ledger.claim(HARBOR, holder="dead/1", limit=20, for_s=60, now=noon)

    with writing(shared, by_rows=True) as connection:
        lock_calls(connection, [(HARBOR, "c1")])
        freed = ledger.free("dead/1", now=noon)
        left = ledger.holders(now=noon)
    freed_later = ledger.free("dead/1", now=noon)

    assert (freed, left, freed_later) == (8, ["dead/1"], 1)


def test_a_call_claimed_while_another_looked_is_not_claimed_again(
    shared: Engine, many: list[Call], noon: datetime, pool: ThreadPoolExecutor
) -> None:
    ledger, together = Ledger(shared), threading.Barrier(4)

    def claim(holder: str) -> list[str]:
        together.wait()
        claims = ledger.claim(HARBOR, holder=holder, limit=5, for_s=60, now=noon)
        return [claim.call.id for claim in claims]

    given = [call_id for ids in pool.map(claim, [f"r{n}/1" for n in range(4)]) for call_id in ids]

    assert len(given) == len(set(given))
    assert set(given) <= set(IDS)


def test_who_writes_by_rows_waits_for_no_other_writer(
    shared: Engine, many: list[Call], noon: datetime
) -> None:
    with writing(shared) as connection:
        connection.execute(select(outbox))
        claims = Ledger(shared).claim(HARBOR, holder="me/1", limit=20, for_s=60, now=noon)

    assert len(claims) == len(many)


def test_a_report_settled_meanwhile_is_merged_with_what_was_settled(
    shared: Engine, many: list[Call], noon: datetime, pool: ThreadPoolExecutor
) -> None:
    ledger = Ledger(shared)

    with writing(shared, by_rows=True) as connection:
        lock_calls(connection, [(HARBOR, "c1")])
        accepted = pool.submit(ledger.accept, many, now=noon)
        wait_until_somebody_waits(shared)
        connection.execute(
            update(calls).where(calls.c.call_id == "c1").values(record_digest="settled meanwhile")
        )
    accepted.result(timeout=10)

    with reading(shared) as connection:
        digest = connection.scalar(select(calls.c.record_digest).where(calls.c.call_id == "c1"))
    assert digest != "settled meanwhile"


def test_rows_that_another_deletes_now_are_left_to_it(shared: Engine, noon: datetime) -> None:
    with writing(shared) as connection:
        rows = [{"id": f"r{n}", "row": {}, "created_at": noon} for n in range(3)]
        connection.execute(outbox.insert(), rows)

    with writing(shared, by_rows=True) as connection:
        connection.execute(select(outbox).where(outbox.c.id == "r1").with_for_update())
        Outbox(shared).delete(["r2", "r1", "r0"])
        left = Outbox(shared).load(10)

    assert [row["id"] for row in left] == ["r1"]


def test_of_two_that_insert_the_same_row_one_does(engine: Engine, noon: datetime) -> None:
    row = {"office": "reader", "holder": "first", "expires_at": noon}

    with writing(engine, by_rows=True) as connection:
        both = [
            insert_if_new(connection, elections, row),
            insert_if_new(connection, elections, row | {"holder": "second"}),
        ]

    with reading(engine) as connection:
        holder = connection.scalar(select(elections.c.holder))
    assert (both, holder) == ([True, False], "first")


def test_a_row_that_somebody_holds_for_too_long_is_said(
    shared: Engine, many: list[Call], noon: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0.2)
    impatient = open_database(shared.url.render_as_string(hide_password=False))

    with writing(shared, by_rows=True) as connection:
        lock_calls(connection, [(HARBOR, "c1")])
        with pytest.raises(StoreUnavailable, match="held by another writer"):
            Ledger(impatient).accept(many, now=noon)

    impatient.dispose()


def test_a_process_that_stops_within_a_transaction_lets_go_of_its_rows(
    shared: Engine, many: list[Call], noon: datetime
) -> None:
    stopped = open_database(
        shared.url.update_query_dict(
            {"options": "-c idle_in_transaction_session_timeout=200ms"}
        ).render_as_string(hide_password=False)
    )

    def hold() -> None:
        with writing(stopped, by_rows=True) as connection:
            lock_calls(connection, [(HARBOR, call_id) for call_id in IDS])
            Ledger(shared).accept(many, now=noon)

    with pytest.raises(StoreUnavailable):
        hold()

    stopped.dispose()


def test_only_a_shared_store_has_a_clock_of_its_own(engine: Engine, database: str) -> None:
    with writing(engine) as connection:
        told = server_time(connection)

    assert (told is not None) == (database == "postgresql")
    if told is not None:
        assert abs((told - datetime.now(told.tzinfo)).total_seconds()) < 5


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("lock_timeout", "30s"),
        ("statement_timeout", "1min"),
        ("idle_in_transaction_session_timeout", "10s"),
        ("transaction_isolation", "read committed"),
    ],
)
def test_each_connection_to_a_server_has_its_bounds(
    shared: Engine, setting: str, value: str
) -> None:
    with writing(shared, by_rows=True) as connection:
        told = connection.execute(text(f"SHOW {setting}")).scalar_one()

    assert told == value
