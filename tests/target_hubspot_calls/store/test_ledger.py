"""The ledger on a real store."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, select

from target_hubspot_calls.call import Call, Workspace
from target_hubspot_calls.errors import (
    AnswerLost,
    NotConnected,
    RateLimited,
    Reason,
    Rejected,
    Status,
    Unavailable,
)
from target_hubspot_calls.outcome import Outcome, RecordingOutcome, outcome_of_error
from target_hubspot_calls.store.database import reading
from target_hubspot_calls.store.ledger import Ledger
from target_hubspot_calls.store.ledger_rows import Accepted, Claim, RefusedRecord
from target_hubspot_calls.store.schema import UtcDateTime, calls, outbox

HARBOR = Workspace("dana", "harbor-dental")
CREATED = Outcome(
    Status.SUCCESS,
    Reason.CREATED,
    contact_id="101",
    contact_match="phone",
    engagement_id="9001",
    delivered_digest="d1",
    portal_id=77,
)


@pytest.fixture
def ledger(engine: Engine) -> Ledger:
    return Ledger(engine)


@pytest.fixture
def claim_one(ledger: Ledger, noon: datetime) -> Callable[..., Claim]:
    def claim(holder: str = "me", now: datetime | None = None) -> Claim:
        (claimed,) = ledger.claim(HARBOR, holder=holder, limit=10, for_s=60, now=now or noon)
        return claimed

    return claim


def outbox_rows(engine: Engine) -> list[dict[str, Any]]:
    with reading(engine) as connection:
        return list(connection.execute(select(outbox.c.row).order_by(outbox.c.id)).scalars())


def row_of(engine: Engine, call_id: str) -> Any:
    with reading(engine) as connection:
        return connection.execute(select(calls).where(calls.c.call_id == call_id)).one()


def test_an_accepted_call_is_due_at_once(
    ledger: Ledger, a_call: Callable[..., Call], noon: datetime
) -> None:
    call = a_call()

    accepted = ledger.accept([call], now=noon)

    assert accepted == Accepted(new=1, changed=0, unchanged=0)
    assert ledger.due_workspaces(now=noon) == [HARBOR]
    assert ledger.count_due(now=noon) == 1


def test_a_call_read_back_from_the_ledger_is_the_call_put_in(
    ledger: Ledger, a_call: Callable[..., Call], noon: datetime, claim_one: Callable[..., Claim]
) -> None:
    call = a_call(structured_data={"intent": "reschedule", "score": 4}, cost_usd=0.104)
    ledger.accept([call], now=noon)

    claim = claim_one()

    assert claim.call == call


def test_the_same_report_again_changes_nothing(
    ledger: Ledger,
    engine: Engine,
    a_call: Callable[..., Call],
    noon: datetime,
    claim_one: Callable[..., Claim],
) -> None:
    ledger.accept([a_call()], now=noon)
    settle(ledger, claim_one(), CREATED, noon)

    again = a_call(received_at="2026-11-20T15:09:00Z", updated_at="2026-11-20T15:09:00Z")
    accepted = ledger.accept([again], now=noon)

    assert accepted == Accepted(new=0, changed=0, unchanged=1)
    assert ledger.count_due(now=noon) == 0
    assert len(outbox_rows(engine)) == 1


def test_a_fuller_report_makes_a_settled_call_due_again(
    ledger: Ledger, a_call: Callable[..., Call], noon: datetime, claim_one: Callable[..., Claim]
) -> None:
    ledger.accept([a_call(summary=None)], now=noon)
    settle(ledger, claim_one(), CREATED, noon)

    accepted = ledger.accept([a_call(transcript=None)], now=noon)

    assert accepted.changed == 1
    claim = claim_one()
    assert claim.call.summary == "The caller moved a cleaning to Friday at ten."
    assert claim.call.transcript == "AI: Harbor Dental.\nUser: Friday, please."
    assert claim.engagement_id == "9001"


def test_a_claimed_call_is_nobody_elses_until_the_claim_runs_out(
    ledger: Ledger, a_call: Callable[..., Call], noon: datetime, claim_one: Callable[..., Claim]
) -> None:
    ledger.accept([a_call()], now=noon)
    claim_one("me")

    meanwhile = ledger.claim(HARBOR, holder="you", limit=10, for_s=60, now=noon)
    later = ledger.claim(HARBOR, holder="you", limit=10, for_s=60, now=noon + timedelta(seconds=61))

    assert meanwhile == []
    assert [claim.call.id for claim in later] == ["01a1f97c-7300-7aa2-9c10-5f3a2b6d8e01"]


def test_who_lost_a_claim_cannot_settle_it(
    ledger: Ledger,
    engine: Engine,
    a_call: Callable[..., Call],
    noon: datetime,
    claim_one: Callable[..., Claim],
) -> None:
    ledger.accept([a_call()], now=noon)
    mine = claim_one("me")
    claim_one("you", noon + timedelta(seconds=61))

    settled = settle(ledger, mine, CREATED, noon)

    assert settled == 0
    assert outbox_rows(engine) == []


def test_who_lost_a_claim_may_not_announce_a_write(
    ledger: Ledger, a_call: Callable[..., Call], noon: datetime, claim_one: Callable[..., Claim]
) -> None:
    ledger.accept([a_call()], now=noon)
    mine = claim_one("me")
    claim_one("you", noon + timedelta(seconds=61))

    ours = ledger.announce(
        {mine.call.id: mine}, {mine.call.id: "101"}, "create", holder="me", for_s=60, now=noon
    )

    assert ours == set()


def test_an_announced_write_without_a_result_is_known_to_the_next_holder(
    ledger: Ledger, a_call: Callable[..., Call], noon: datetime, claim_one: Callable[..., Claim]
) -> None:
    ledger.accept([a_call()], now=noon)
    mine = claim_one("me")
    ledger.announce(
        {mine.call.id: mine}, {mine.call.id: "101"}, "create", holder="me", for_s=60, now=noon
    )

    next_claim = claim_one("you", noon + timedelta(seconds=61))

    assert (next_claim.intent, next_claim.intent_contact_id) == ("create", "101")


def test_settling_writes_the_ledger_and_its_sync_log_row_together(
    ledger: Ledger,
    engine: Engine,
    a_call: Callable[..., Call],
    noon: datetime,
    claim_one: Callable[..., Claim],
) -> None:
    ledger.accept([a_call()], now=noon)

    settle(ledger, claim_one(), CREATED, noon)

    row = row_of(engine, "01a1f97c-7300-7aa2-9c10-5f3a2b6d8e01")
    assert (row.state, row.engagement_id, row.intent) == ("settled", "9001", None)
    (logged,) = outbox_rows(engine)
    assert logged | {"id": "x"} == {
        "id": "x",
        "user_id": "dana",
        "workspace_id": "harbor-dental",
        "call_id": "01a1f97c-7300-7aa2-9c10-5f3a2b6d8e01",
        "contact_id": "101",
        "engagement_id": "9001",
        "engagement_type": "note",
        "file_id": None,
        "status": "success",
        "reason": "created",
        "retryable": False,
        "error_message": None,
        "phone_number": "+14155550123",
        "recording_status": None,
        "contact_match": "phone",
        "attempt": 1,
        "correlation_id": None,
        "portal_id": 77,
        "call_started_at": "2026-11-20T15:04:06+00:00",
        "created_at": "2026-11-20T12:00:00+00:00",
        "run_id": "run",
    }


def test_a_report_that_comes_while_its_call_is_written_makes_it_due_again(
    ledger: Ledger, a_call: Callable[..., Call], noon: datetime, claim_one: Callable[..., Claim]
) -> None:
    ledger.accept([a_call(summary=None)], now=noon)
    claim = claim_one()
    ledger.accept([a_call()], now=noon)

    settle(ledger, claim, CREATED, noon)

    again = claim_one()
    assert again.engagement_id == "9001"
    assert again.call.summary == "The caller moved a cleaning to Friday at ten."


def test_a_transient_error_is_due_again_at_its_time(
    ledger: Ledger, a_call: Callable[..., Call], noon: datetime, claim_one: Callable[..., Claim]
) -> None:
    ledger.accept([a_call()], now=noon)
    error = Unavailable("HubSpot answered 503.")

    settle(
        ledger, claim_one(), outcome_of_error(error, retry_at=noon + timedelta(seconds=10)), noon
    )

    assert ledger.count_due(now=noon) == 0
    assert ledger.count_due(now=noon + timedelta(seconds=9)) == 0
    assert ledger.count_due(now=noon + timedelta(seconds=10)) == 1


def test_a_call_that_waits_for_a_person_is_due_once_woken(
    ledger: Ledger, a_call: Callable[..., Call], noon: datetime, claim_one: Callable[..., Claim]
) -> None:
    ledger.accept([a_call()], now=noon)
    settle(ledger, claim_one(), outcome_of_error(NotConnected("No connection.")), noon)
    assert ledger.count_due(now=noon + timedelta(days=365)) == 0
    assert ledger.waiting_workspaces() == [HARBOR]

    woken = ledger.wake(HARBOR, now=noon)

    assert woken == 1
    assert ledger.count_due(now=noon) == 1


def test_two_workspaces_may_have_a_call_of_the_same_id(
    ledger: Ledger, a_call: Callable[..., Call], noon: datetime
) -> None:
    ledger.accept([a_call(), a_call(workspace_id="elsewhere")], now=noon)

    claims = ledger.claim(HARBOR, holder="me", limit=10, for_s=60, now=noon)

    assert [claim.call.workspace_id for claim in claims] == ["harbor-dental"]


def test_a_refused_record_is_written_down_once_for_the_sync_log(
    ledger: Ledger, engine: Engine, noon: datetime
) -> None:
    refused = RefusedRecord("invalid-1", HARBOR, "The record has no id.")

    ledger.accept([], now=noon, refused=[refused, refused], run_id="run")
    ledger.accept([], now=noon, refused=[refused], run_id="run")

    (row,) = outbox_rows(engine)
    assert (row["id"], row["call_id"], row["reason"], row["error_message"]) == (
        "invalid-1",
        None,
        "invalid_record",
        "The record has no id.",
    )


def test_released_calls_can_be_claimed_at_once(
    ledger: Ledger, a_call: Callable[..., Call], noon: datetime, claim_one: Callable[..., Claim]
) -> None:
    ledger.accept([a_call()], now=noon)
    mine = claim_one("me")

    ledger.release([mine], holder="me", now=noon)

    assert claim_one("you").call.id == mine.call.id


def settle(ledger: Ledger, claim: Claim, outcome: Outcome, now: datetime) -> int:
    return ledger.settle([(claim, outcome)], holder="me", kind="note", run_id="run", now=now)


def test_what_a_run_holds_past_its_time_is_due_for_others_and_not_for_itself(
    ledger: Ledger, a_call: Callable[..., Call], noon: datetime
) -> None:
    ledger.accept([a_call()], now=noon)
    ledger.claim(HARBOR, holder="run/r1", limit=10, for_s=900, now=noon)
    later = noon + timedelta(seconds=901)

    assert ledger.due_workspaces(now=later, run_id="run") == []
    assert ledger.due_workspaces(now=later, run_id="other") == [HARBOR]


def test_a_call_id_that_another_workspace_reported_too_is_of_neither_alone(
    ledger: Ledger, a_call: Callable[..., Call], noon: datetime
) -> None:
    ours, theirs = a_call(), a_call(user_id="kim", workspace_id="north")
    ledger.accept([ours], now=noon)
    alone = ledger.is_of_one(ours.workspace, ours.id)
    ledger.accept([theirs], now=noon)

    link = ledger.recording_of(ours.workspace, ours.id)

    assert alone
    assert not ledger.is_of_one(ours.workspace, ours.id)
    assert link is not None
    assert not link.is_of_one


def test_what_waits_out_one_failure_is_hastened_and_nothing_else(
    ledger: Ledger, a_call: Callable[..., Call], noon: datetime
) -> None:
    later = noon + timedelta(minutes=20)
    errors = {
        "down": Unavailable("HubSpot answered 503."),
        "slow": RateLimited("Too many requests."),
        "lost": AnswerLost("No answer."),
        "nobody": NotConnected("Connect first."),
    }
    ledger.accept([a_call(id=call_id) for call_id in errors], now=noon)
    for claim in ledger.claim(HARBOR, holder="me", limit=10, for_s=60, now=noon):
        outcome = outcome_of_error(errors[claim.call.id], retry_at=later)
        ledger.settle([(claim, outcome)], holder="me", kind="note", run_id="run-1", now=noon)

    elsewhere = ledger.hasten(Workspace("lee", "laurel-vets"), "unavailable", now=noon)
    here = ledger.hasten(HARBOR, "unavailable", now=noon)

    (claim,) = ledger.claim(HARBOR, holder="me", limit=10, for_s=60, now=noon)
    assert (elsewhere, here) == (0, 1)
    assert (claim.call.id, claim.attempt) == ("down", 1)


@pytest.mark.usefixtures("store_path")
def test_every_time_is_kept_in_the_same_form_so_that_times_compare(
    ledger: Ledger, engine: Engine, a_call: Callable[..., Call], noon: datetime
) -> None:
    ledger.accept([a_call(id="c1"), a_call(id="c2")], now=noon)
    later = outcome_of_error(Unavailable("Later."), retry_at=noon + timedelta(minutes=1))
    outcomes = {"c1": later, "c2": replace(CREATED, recording_due=True)}
    for claim in ledger.claim(HARBOR, holder="me", limit=9, for_s=60, now=noon):
        settle(ledger, claim, outcomes[claim.call.id], noon)

    times = [column.name for column in calls.columns if isinstance(column.type, UtcDateTime)]
    with reading(engine) as connection:
        rows = connection.exec_driver_sql(f"select {', '.join(times)} from calls").all()

    written = [value for row in rows for value in row if value is not None]
    assert len(written) > 8
    assert [value for value in written if not re.fullmatch(r"[-0-9]{10} [0-9:.]{15}", value)] == []


@pytest.mark.parametrize("character", ["\x00", "\ud800"], ids=["NUL", "half a pair"])
def test_whatever_characters_hubspot_answers_with_its_outcome_can_be_written_down(
    ledger: Ledger,
    engine: Engine,
    a_call: Callable[..., Call],
    claim_one: Callable[..., Claim],
    noon: datetime,
    character: str,
) -> None:
    ledger.accept([a_call()], now=noon)
    said = f"Said {character} so"
    outcome = replace(
        outcome_of_error(Rejected(said, http_status=400)),
        correlation_id=f"a{character}b",
        contact_match=said,
    )

    settled = settle(ledger, claim_one(), outcome, noon)

    (row,) = outbox_rows(engine)
    assert settled == 1
    assert row["error_message"].startswith("Said ")
    assert character not in f"{row['error_message']}{row['correlation_id']}"


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("(415) 555-0123", "+14155550123"),
        ("415.555.0123", "+14155550123"),
        ("+44 20 7946 0123", "+442079460123"),
        ("anonymous", "anonymous"),
        (None, None),
    ],
    ids=["brackets", "dots", "another country", "no number", "none"],
)
def test_a_number_is_told_in_e164_however_the_record_has_it(
    written: str | None,
    told: str | None,
    engine: Engine,
    a_call: Callable[..., Call],
    noon: datetime,
) -> None:
    ledger = Ledger(engine, default_region="US")
    ledger.accept([a_call(customer_number=written)], now=noon)
    (claim,) = ledger.claim(HARBOR, holder="me", limit=10, for_s=60, now=noon)

    ledger.settle([(claim, CREATED)], holder="me", kind="note", run_id="r", now=noon)

    assert claim.call.customer_number == written
    assert [row["phone_number"] for row in outbox_rows(engine)] == [told]
    assert row_of(engine, claim.call.id).customer_number == told


def test_a_row_of_an_older_release_names_its_number_as_its_new_outcome_does(
    engine: Engine, a_call: Callable[..., Call], noon: datetime
) -> None:
    Ledger(engine).accept([a_call(customer_number="(415) 555-0123")], now=noon)
    ledger = Ledger(engine, default_region="US")
    (claim,) = ledger.claim(HARBOR, holder="me", limit=10, for_s=60, now=noon)
    before = row_of(engine, claim.call.id).customer_number

    ledger.settle([(claim, CREATED)], holder="me", kind="note", run_id="r", now=noon)

    assert before == "(415) 555-0123"
    assert row_of(engine, claim.call.id).customer_number == "+14155550123"


def test_the_row_of_a_recording_tells_the_number_in_e164(
    engine: Engine, a_call: Callable[..., Call], noon: datetime
) -> None:
    ledger = Ledger(engine, default_region="US")
    ledger.accept([a_call(customer_number="(415) 555-0123")], now=noon)
    (claim,) = ledger.claim(HARBOR, holder="me", limit=10, for_s=60, now=noon)
    due = replace(CREATED, recording_due=True)
    ledger.settle([(claim, due)], holder="me", kind="note", run_id="r", now=noon)
    (again,) = ledger.claim_recordings(HARBOR, holder="me", limit=10, for_s=60, now=noon)

    attached = RecordingOutcome("attached", file_id="f1")
    ledger.settle_recordings([(again, attached)], holder="me", run_id="r", now=noon)

    assert [row["phone_number"] for row in outbox_rows(engine)] == ["+14155550123"] * 2
