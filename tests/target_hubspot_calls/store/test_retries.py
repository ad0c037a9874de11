"""Calls put back in line, on a real SQLite file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, select, update

from target_hubspot_calls.call import Call, Workspace
from target_hubspot_calls.errors import Reason, Status
from target_hubspot_calls.outcome import Outcome
from target_hubspot_calls.store.database import open_database, reading, writing
from target_hubspot_calls.store.ledger import Ledger
from target_hubspot_calls.store.retries import (
    CallKey,
    CallRetry,
    NewOutcome,
    Retried,
    Retries,
    RetryFilter,
    UndoneGroup,
)
from target_hubspot_calls.store.schema import calls

HARBOR = Workspace("dana", "harbor-dental")
LAUREL = Workspace("lee", "laurel-vets")
NOT_FOUND = Outcome(Status.SKIPPED, Reason.CONTACT_NOT_FOUND, message="No contact in HubSpot.")
REJECTED = Outcome(Status.ERROR, Reason.REJECTED, message="HubSpot refused: owner is missing.")
INVALID = Outcome(Status.ERROR, Reason.INVALID_RECORD, message="The call has no time.")
CREATED = Outcome(
    Status.SUCCESS, Reason.CREATED, contact_id="101", engagement_id="9001", delivered_digest="d"
)
RECONNECT = Outcome(Status.ERROR, Reason.RECONNECT_REQUIRED, retryable=True)


@pytest.fixture
def retries(engine: Engine) -> Retries:
    return Retries(engine)


@pytest.fixture
def stands(engine: Engine, a_call: Callable[..., Call], noon: datetime) -> Callable[..., None]:
    """Brings a call to an outcome, an hour before noon."""
    ledger = Ledger(engine)

    def bring(call_id: str, outcome: Outcome | None, *, at: datetime | None = None, **fields: Any):
        at = at or noon - timedelta(hours=1)
        call = a_call(id=call_id, **fields)
        ledger.accept([call], now=at)
        if outcome is None:
            return
        claims = ledger.claim(call.workspace, holder="run/1", limit=9, for_s=60, now=at)
        (claim,) = (claim for claim in claims if claim.call.id == call_id)
        ledger.settle([(claim, outcome)], holder="run/1", kind="note", run_id="run", now=at)
        ledger.release([other for other in claims if other is not claim], holder="run/1", now=at)

    return bring


def many_undone(engine: Engine, a_call: Callable[..., Call], noon: datetime, count: int) -> None:
    ledger = Ledger(engine)
    ledger.accept([a_call(id=f"call-{n}") for n in range(count)], now=noon)
    claims = ledger.claim(HARBOR, holder="run/1", limit=count, for_s=60, now=noon)
    ledger.settle(
        [(claim, NOT_FOUND) for claim in claims], holder="run/1", kind="note", run_id="", now=noon
    )


def due_now(engine: Engine, now: datetime) -> dict[str, int]:
    """The calls that delivery would claim now, with their tries."""
    query = select(calls.c.call_id, calls.c.attempt).where(
        calls.c.state == "due", calls.c.due_at <= now
    )
    with reading(engine) as connection:
        return {row.call_id: row.attempt for row in connection.execute(query)}


@pytest.mark.parametrize(
    "outcome",
    [
        NOT_FOUND,
        REJECTED,
        INVALID,
        RECONNECT,
        Outcome(Status.SKIPPED, Reason.NOT_CONNECTED, retryable=True),
        Outcome(Status.SKIPPED, Reason.AMBIGUOUS_CONTACT),
    ],
    ids=lambda outcome: str(outcome.reason),
)
def test_an_undone_call_is_due_now_with_its_tries_counted_anew(
    retries: Retries,
    engine: Engine,
    stands: Callable[..., None],
    noon: datetime,
    outcome: Outcome,
) -> None:
    stands("call-1", outcome)
    assert due_now(engine, noon) == {}

    counts = retries.put_back(RetryFilter(), now=noon)

    assert counts == Retried(matched=1, queued=1, in_line=0)
    assert due_now(engine, noon) == {"call-1": 0}


def test_a_call_that_waits_for_its_next_try_is_due_at_once(
    retries: Retries, engine: Engine, stands: Callable[..., None], noon: datetime
) -> None:
    in_an_hour = Outcome(
        Status.ERROR, Reason.UNAVAILABLE, retryable=True, retry_at=noon + timedelta(hours=1)
    )
    stands("call-1", in_an_hour)

    counts = retries.put_back(RetryFilter(), now=noon)

    assert counts == Retried(matched=1, queued=1, in_line=0)
    assert due_now(engine, noon) == {"call-1": 0}


@pytest.mark.parametrize("outcome", [CREATED, None], ids=["written", "never tried"])
def test_a_call_that_is_written_or_was_never_tried_is_left_alone(
    retries: Retries,
    engine: Engine,
    stands: Callable[..., None],
    noon: datetime,
    outcome: Outcome | None,
) -> None:
    stands("call-1", outcome)
    before = due_now(engine, noon)

    counts = retries.put_back(RetryFilter(call_id="call-1"), now=noon)

    assert counts == Retried(matched=0, queued=0, in_line=0)
    assert due_now(engine, noon) == before


def test_asking_twice_changes_nothing_more(
    retries: Retries, engine: Engine, stands: Callable[..., None], noon: datetime
) -> None:
    stands("call-1", NOT_FOUND)
    retries.put_back(RetryFilter(), now=noon)

    later = noon + timedelta(seconds=5)
    again = retries.put_back(RetryFilter(), now=later)

    assert again == Retried(matched=1, queued=0, in_line=1)
    with reading(engine) as connection:
        assert connection.scalar(select(calls.c.due_at)) == noon


def test_a_call_that_is_being_delivered_is_left_to_its_holder(
    retries: Retries, engine: Engine, stands: Callable[..., None], noon: datetime
) -> None:
    stands("call-1", NOT_FOUND)
    retries.put_back(RetryFilter(), now=noon)
    (claim,) = Ledger(engine).claim(HARBOR, holder="run/2", limit=9, for_s=60, now=noon)

    counts = retries.put_back(RetryFilter(), now=noon + timedelta(seconds=1))

    assert counts == Retried(matched=1, queued=0, in_line=1)
    assert claim.attempt == 0


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (RetryFilter(), {"a", "b", "c", "d"}),
        (RetryFilter(status="skipped"), {"a", "d"}),
        (RetryFilter(reason="rejected"), {"b"}),
        (RetryFilter(status="skipped", reason="rejected"), set()),
        (RetryFilter(call_id="c"), {"c"}),
        (RetryFilter(user_id="lee", workspace_id="laurel-vets"), {"d"}),
        (RetryFilter(phone_number="(415) 555-0199"), {"b"}),
        (RetryFilter(query="5550123", digits="5550123"), {"a", "c", "d"}),
        (RetryFilter(query="OWNER is"), {"b"}),
        (RetryFilter(query="friday"), set()),
        (RetryFilter(query="%"), set()),
    ],
    ids=lambda value: str(sorted(value) if isinstance(value, set) else value),
)
def test_only_what_matches_is_put_back_and_counting_says_the_same_before(
    retries: Retries,
    engine: Engine,
    stands: Callable[..., None],
    noon: datetime,
    wanted: RetryFilter,
    found: set[str],
) -> None:
    stands("a", NOT_FOUND)
    stands("b", REJECTED, customer_number="(415) 555-0199")
    stands("c", INVALID)
    stands("d", NOT_FOUND, user_id=LAUREL.user_id, workspace_id=LAUREL.workspace_id)
    stands("e", CREATED)

    counted = retries.count(wanted, now=noon)
    untouched = due_now(engine, noon)
    put_back = retries.put_back(wanted, now=noon)

    assert untouched == {}
    assert counted == put_back == Retried(len(found), len(found), 0)
    assert set(due_now(engine, noon)) == found


def test_the_time_of_the_outcome_bounds_what_is_put_back(
    retries: Retries, engine: Engine, stands: Callable[..., None], noon: datetime
) -> None:
    for hours in (1, 2, 3):
        stands(f"call-{hours}", NOT_FOUND, at=noon - timedelta(hours=hours))

    wanted = RetryFilter(since=noon - timedelta(hours=2), until=noon - timedelta(hours=1))
    retries.put_back(wanted, now=noon)

    assert set(due_now(engine, noon)) == {"call-2"}


def test_many_calls_are_put_back_by_a_search_too(
    retries: Retries, engine: Engine, a_call: Callable[..., Call], noon: datetime
) -> None:
    many_undone(engine, a_call, noon, 1201)

    counts = retries.put_back(RetryFilter(query="call-"), now=noon + timedelta(seconds=1))

    assert counts == Retried(matched=1201, queued=1201, in_line=0)


@pytest.mark.parametrize(
    ("outcome", "came_to"),
    [
        (NOT_FOUND, CallRetry.QUEUED),
        (REJECTED, CallRetry.QUEUED),
        (CREATED, CallRetry.WRITTEN),
        (None, CallRetry.IN_LINE),
    ],
    ids=["skipped", "error", "success", "never tried"],
)
def test_one_call_is_put_back_unless_it_is_written(
    retries: Retries,
    engine: Engine,
    stands: Callable[..., None],
    noon: datetime,
    outcome: Outcome | None,
    came_to: CallRetry,
) -> None:
    stands("call-1", outcome)

    first = retries.put_back_call(HARBOR, "call-1", now=noon)
    second = retries.put_back_call(HARBOR, "call-1", now=noon)

    assert first is came_to
    assert second is (CallRetry.WRITTEN if came_to is CallRetry.WRITTEN else CallRetry.IN_LINE)
    assert set(due_now(engine, noon)) == (set() if outcome is CREATED else {"call-1"})


def test_another_workspaces_call_is_no_call(
    retries: Retries, engine: Engine, stands: Callable[..., None], noon: datetime
) -> None:
    stands("call-1", NOT_FOUND)

    assert retries.put_back_call(LAUREL, "call-1", now=noon) is CallRetry.UNKNOWN
    assert due_now(engine, noon) == {}


@pytest.mark.parametrize(
    ("numbers", "number_end", "found"),
    [
        (("+12025550142",), None, {"one"}),
        (("(202) 555-0142", "+12025550142"), None, {"one", "as written"}),
        (("0142",), "0142", {"one", "abroad", "as written"}),
        (("anonymous",), None, set()),
    ],
    ids=["whole", "two spellings", "its end", "nobody's"],
)
def test_calls_are_found_by_spellings_of_a_number_or_by_its_end(
    retries: Retries,
    engine: Engine,
    stands: Callable[..., None],
    noon: datetime,
    numbers: tuple[str, ...],
    number_end: str | None,
    found: set[str],
) -> None:
    stands("one", NOT_FOUND, customer_number="+12025550142")
    stands("abroad", NOT_FOUND, customer_number="+442079460142")
    stands("as written", NOT_FOUND, customer_number="(202) 555-0142")
    stands("none", NOT_FOUND, customer_number=None)
    wanted = RetryFilter(numbers=numbers, number_end=number_end)

    counted = retries.count(wanted, now=noon)
    counts = retries.put_back(wanted, now=noon)

    assert counted == counts == Retried(matched=len(found), queued=len(found), in_line=0)
    assert due_now(engine, noon).keys() == found


def test_finding_undone_calls_reads_their_index_alone(store_path: Path, engine: Engine) -> None:
    wanted = RetryFilter(user_id="dana", workspace_id="harbor-dental", numbers=("+12025550142",))
    statements = []
    event.listen(
        engine,
        "before_cursor_execute",
        lambda c, cursor, text, values, *more: statements.append((text, values)),
    )

    Retries(engine).put_back(wanted, now=datetime(2026, 11, 22, tzinfo=UTC))
    Retries(engine).put_back(RetryFilter(), now=datetime(2026, 11, 22, tzinfo=UTC))

    finding = [asked for asked in statements if asked[0].startswith("SELECT calls.user_id")]
    with reading(engine) as connection:
        plans = [
            connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values).all()[0][-1]
            for text, values in finding
        ]
    assert len(plans) == 2
    assert all("USING COVERING INDEX ix_calls_undone" in plan for plan in plans)


def test_many_calls_are_put_back_in_pieces_that_leave_room_for_other_writers(
    retries: Retries, engine: Engine, a_call: Callable[..., Call], noon: datetime
) -> None:
    many_undone(engine, a_call, noon, 1201)
    told: list[int] = []

    def somebody_else_writes(keys: Sequence[CallKey]) -> None:
        told.append(len(keys))
        with writing(engine) as connection:
            connection.execute(update(calls).values(updated_at=noon))

    counts = retries.put_back(RetryFilter(), now=noon, tell=somebody_else_writes)

    assert counts == Retried(matched=1201, queued=1201, in_line=0)
    assert told == [100] * 12 + [1]


def test_undone_calls_are_counted_by_workspace_status_and_reason(
    retries: Retries, stands: Callable[..., None], noon: datetime
) -> None:
    stands("a", NOT_FOUND)
    stands("b", NOT_FOUND)
    stands("c", REJECTED)
    stands("d", NOT_FOUND, user_id=LAUREL.user_id, workspace_id=LAUREL.workspace_id)
    stands("e", CREATED)
    retries.put_back_call(HARBOR, "b", now=noon)

    groups = retries.groups(RetryFilter(), now=noon)
    searched = retries.groups(RetryFilter(query="owner"), now=noon)

    assert groups == [
        UndoneGroup(HARBOR, "skipped", "contact_not_found", 1, 1),
        UndoneGroup(HARBOR, "error", "rejected", 1, 0),
        UndoneGroup(LAUREL, "skipped", "contact_not_found", 1, 0),
    ]
    assert searched == [UndoneGroup(HARBOR, "error", "rejected", 1, 0)]


def test_what_becomes_of_calls_that_were_put_back_can_be_asked(
    retries: Retries, engine: Engine, stands: Callable[..., None], noon: datetime
) -> None:
    stands("a", NOT_FOUND)
    stands("b", NOT_FOUND)
    keys: list[CallKey] = []
    retries.put_back(RetryFilter(), now=noon, tell=keys.extend)
    before = retries.outcomes(keys, since=noon)
    ledger = Ledger(engine)
    (claim,) = ledger.claim(HARBOR, holder="run/2", limit=1, for_s=60, now=noon)
    ledger.settle([(claim, CREATED)], holder="run/2", kind="note", run_id="", now=noon)

    after = retries.outcomes(keys, since=noon)

    assert before == []
    assert after == [
        NewOutcome(CallKey("dana", "harbor-dental", "a"), "success", "created", None, None)
    ]


def test_the_number_of_a_call_is_its_latest_and_however_long_it_is(
    retries: Retries, stands: Callable[..., None], noon: datetime
) -> None:
    endless = "sip:" + "9" * 3000
    stands("a", NOT_FOUND, customer_number=None)
    stands("b", NOT_FOUND, customer_number=endless)
    stands("a", NOT_FOUND, customer_number="+12025550142", summary="A longer summary than before.")

    found = [
        retries.count(RetryFilter(phone_number=number), now=noon).matched
        for number in ("+12025550142", endless, "sip:")
    ]

    assert found == [1, 1, 0]


def test_calls_of_an_older_store_are_found_by_their_number_too(
    url: str, engine: Engine, stands: Callable[..., None], noon: datetime
) -> None:
    stands("one", NOT_FOUND, customer_number="+12025550142")
    stands("none", NOT_FOUND, customer_number=None)
    stands("long", NOT_FOUND, customer_number="é" * 51)
    with writing(engine) as connection:
        connection.exec_driver_sql("DROP INDEX ix_calls_undone")
        connection.exec_driver_sql("ALTER TABLE calls DROP COLUMN customer_number")
        connection.exec_driver_sql("DROP INDEX ix_calls_recording_due")
        connection.exec_driver_sql("DROP INDEX ix_calls_workspace_recording_due")
        connection.exec_driver_sql(
            "CREATE INDEX ix_calls_user_id_workspace_id_recording_due_at"
            " ON calls (user_id, workspace_id, recording_due_at)"
        )
        for later in ("given_back_at", "free_after_s"):
            connection.exec_driver_sql(f"ALTER TABLE portal_leases DROP COLUMN {later}")
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0007'")

    upgraded = open_database(url)

    with reading(upgraded) as connection:
        numbers = connection.execute(select(calls.c.call_id, calls.c.customer_number)).all()
    upgraded.dispose()
    assert sorted(map(tuple, numbers)) == [
        ("long", "é" * 25),
        ("none", None),
        ("one", "+12025550142"),
    ]
