"""One call, one workspace, whichever of VAPI's doors told of it first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from sqlalchemy import Engine, select

from target_hubspot_calls.call import Call, Workspace
from target_hubspot_calls.errors import (
    CallOutcomeError,
    ContactNotFound,
    Reason,
    Status,
    Unavailable,
)
from target_hubspot_calls.outcome import Outcome, outcome_of_error
from target_hubspot_calls.store.database import reading
from target_hubspot_calls.store.ledger import Ledger
from target_hubspot_calls.store.ledger_rows import Accepted, call_of
from target_hubspot_calls.store.schema import calls

NOBODYS = Workspace("default", "default")
HARBOR = Workspace("dana", "harbor-dental")
BAKERY = Workspace("lena", "bakery")


@pytest.fixture
def ledger(engine: Engine) -> Ledger:
    return Ledger(engine)


@pytest.fixture
def told(a_call: Callable[..., Call]) -> Callable[..., Call]:
    """A call as one of the doors tells of it; the API of nobody's, and later."""

    def build(door: str, owner: Workspace | None = None, **fields: object) -> Call:
        owner = owner or (NOBODYS if door == "api" else HARBOR)
        later = {"updated_at": "2026-11-21T09:00:00Z"} if door == "api" else {}
        call = a_call(source=door, **{**later, **fields})
        return replace(call, user_id=owner.user_id, workspace_id=owner.workspace_id)

    return build


def rows(engine: Engine) -> dict[tuple[str, str], Call]:
    """What the ledger holds, by workspace and call; the record names the same owner."""
    with reading(engine) as connection:
        found = connection.execute(select(calls)).all()
    held = {(row.workspace_id, row.call_id): call_of(row) for row in found}
    assert all(workspace == call.workspace_id for (workspace, _), call in held.items())
    return held


@pytest.mark.parametrize("doors", [["webhook", "api"], ["api", "webhook"], ["both"]], ids=str)
def test_a_call_of_both_doors_is_one_call_of_the_workspace_that_the_webhook_names(
    ledger: Ledger, engine: Engine, told: Callable[..., Call], noon: datetime, doors: list[str]
) -> None:
    by_door = {
        "webhook": [told("webhook", summary=None)],
        "api": [told("api", summary="Only VAPI's API has it.")],
    }
    by_door["both"] = by_door["api"] + by_door["webhook"]
    for door in doors:
        ledger.accept(by_door[door], now=noon, nobodys=NOBODYS)

    [(key, call)] = rows(engine).items()
    assert key == ("harbor-dental", call.id)
    # A report with a copied id must not bring to light what it did not say.
    assert call.summary is None
    assert ledger.due_workspaces(now=noon) == [HARBOR]
    assert ledger.is_of_one(HARBOR, call.id)


@pytest.mark.parametrize("error", [ContactNotFound("Nobody."), Unavailable("Away.")], ids=repr)
def test_a_call_that_came_to_nothing_as_nobodys_is_tried_anew(
    ledger: Ledger,
    told: Callable[..., Call],
    noon: datetime,
    error: CallOutcomeError,
) -> None:
    ledger.accept([told("api")], now=noon, nobodys=NOBODYS)
    (claim,) = ledger.claim(NOBODYS, holder="me", limit=1, for_s=60, now=noon)
    outcome = outcome_of_error(error)
    ledger.settle([(claim, outcome)], holder="me", kind="note", run_id="", now=noon)

    ledger.accept([told("webhook")], now=noon, nobodys=NOBODYS)

    assert ledger.due_workspaces(now=noon + timedelta(days=1)) == [HARBOR]


def test_a_call_that_only_the_api_knows_is_nobodys(
    ledger: Ledger, engine: Engine, told: Callable[..., Call], noon: datetime
) -> None:
    ledger.accept([told("api")], now=noon, nobodys=NOBODYS)

    assert [workspace for workspace, _ in rows(engine)] == ["default"]


def test_a_call_that_two_workspaces_were_told_of_is_not_a_third_ones(
    ledger: Ledger, engine: Engine, told: Callable[..., Call], noon: datetime
) -> None:
    ledger.accept([told("webhook"), told("webhook", BAKERY)], now=noon, nobodys=NOBODYS)

    accepted = ledger.accept([told("api")], now=noon, nobodys=NOBODYS)

    assert {workspace for workspace, _ in rows(engine)} == {"harbor-dental", "bakery"}
    assert accepted == Accepted(new=0, changed=0, unchanged=1)


def test_a_record_that_names_a_workspace_stays_there(
    ledger: Ledger, engine: Engine, told: Callable[..., Call], noon: datetime
) -> None:
    ledger.accept([told("webhook")], now=noon, nobodys=NOBODYS)

    ledger.accept([told("api", BAKERY)], now=noon, nobodys=NOBODYS)

    assert {workspace for workspace, _ in rows(engine)} == {"harbor-dental", "bakery"}


def test_a_call_that_somebody_holds_and_has_not_announced_is_not_written(
    ledger: Ledger, engine: Engine, told: Callable[..., Call], noon: datetime
) -> None:
    ledger.accept([told("api")], now=noon, nobodys=NOBODYS)
    (claim,) = ledger.claim(NOBODYS, holder="me", limit=1, for_s=60, now=noon)

    ledger.accept([told("webhook")], now=noon, nobodys=NOBODYS)
    told_of = {claim.call.id: claim}, {claim.call.id: "101"}
    still_ours = ledger.announce(*told_of, "create:NOTE:visible", holder="me", for_s=60, now=noon)

    assert still_ours == set()
    assert [workspace for workspace, _ in rows(engine)] == ["harbor-dental"]


@pytest.mark.parametrize("state", ["announced", "written"])
def test_a_call_that_may_be_in_hubspot_already_is_looked_up_before_it_is_written(
    ledger: Ledger, engine: Engine, told: Callable[..., Call], noon: datetime, state: str
) -> None:
    ledger.accept([told("api")], now=noon, nobodys=NOBODYS)
    (claim,) = ledger.claim(NOBODYS, holder="me", limit=1, for_s=60, now=noon)
    told_of = {claim.call.id: claim}, {claim.call.id: "101"}
    ledger.announce(*told_of, "create:NOTE:unique", holder="me", for_s=60, now=noon)
    if state == "written":
        outcome = Outcome(
            Status.SUCCESS, Reason.CREATED, contact_id="101", engagement_id="9001", portal_id=77
        )
        ledger.settle([(claim, outcome)], holder="me", kind="note", run_id="", now=noon)

    later = noon + timedelta(minutes=1)
    ledger.accept([told("webhook")], now=later, nobodys=NOBODYS)
    (hers,) = ledger.claim(HARBOR, holder="you", limit=1, for_s=60, now=later)

    assert {workspace for workspace, _ in rows(engine)} == {"default", "harbor-dental"}
    assert hers.intent_contact_id == "101"
    kind = {"announced": "unique", "written": "visible"}[state]
    # Nothing that was sent so long ago is still on its way: the look-up need not wait.
    assert (hers.intent, hers.intent_at) == (f"create:NOTE:{kind}", noon)


def test_a_webhooks_call_of_nobodys_workspace_is_not_taken_away(
    ledger: Ledger, engine: Engine, told: Callable[..., Call], noon: datetime
) -> None:
    ledger.accept([told("webhook", NOBODYS)], now=noon, nobodys=NOBODYS)

    ledger.accept([told("webhook")], now=noon, nobodys=NOBODYS)

    assert {workspace for workspace, _ in rows(engine)} == {"default", "harbor-dental"}
