"""One call, one workspace, whichever of VAPI's doors told of it first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from sqlalchemy import Engine, select

from target_hubspot_calls.call import Call, Workspace
from target_hubspot_calls.store.database import reading
from target_hubspot_calls.store.ledger import Ledger
from target_hubspot_calls.store.ledger_rows import call_of
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


@pytest.mark.parametrize("doors", [("webhook", "api"), ("api", "webhook")])
def test_a_call_of_both_doors_is_one_call_of_the_workspace_that_the_webhook_names(
    ledger: Ledger, engine: Engine, told: Callable[..., Call], noon: datetime, doors: list[str]
) -> None:
    summaries = {"webhook": None, "api": "Only VAPI's API has it."}
    for door in doors:
        ledger.accept([told(door, summary=summaries[door])], now=noon, nobodys=NOBODYS)

    [(key, call)] = rows(engine).items()
    assert key == ("harbor-dental", call.id)
    assert call.summary == "Only VAPI's API has it."


def test_both_in_one_batch_are_one_call_too(
    ledger: Ledger, engine: Engine, told: Callable[..., Call], noon: datetime
) -> None:
    ledger.accept([told("api"), told("webhook")], now=noon, nobodys=NOBODYS)

    assert len(rows(engine)) == 1


def test_a_call_that_only_the_api_knows_is_nobodys(
    ledger: Ledger, engine: Engine, told: Callable[..., Call], noon: datetime
) -> None:
    ledger.accept([told("api")], now=noon, nobodys=NOBODYS)

    assert [workspace for workspace, _ in rows(engine)] == ["default"]


def test_a_call_that_two_workspaces_were_told_of_is_neithers(
    ledger: Ledger, engine: Engine, told: Callable[..., Call], noon: datetime
) -> None:
    ledger.accept([told("webhook"), told("webhook", BAKERY)], now=noon, nobodys=NOBODYS)

    ledger.accept([told("api")], now=noon, nobodys=NOBODYS)

    assert {workspace for workspace, _ in rows(engine)} == {"default", "harbor-dental", "bakery"}


def test_a_record_that_names_a_workspace_stays_there(
    ledger: Ledger, engine: Engine, told: Callable[..., Call], noon: datetime
) -> None:
    ledger.accept([told("webhook")], now=noon, nobodys=NOBODYS)

    ledger.accept([told("api", BAKERY)], now=noon, nobodys=NOBODYS)

    assert {workspace for workspace, _ in rows(engine)} == {"harbor-dental", "bakery"}


@pytest.mark.parametrize("state", ["claimed", "announced"])
def test_a_call_that_is_being_written_is_not_taken_away(
    ledger: Ledger, engine: Engine, told: Callable[..., Call], noon: datetime, state: str
) -> None:
    ledger.accept([told("api")], now=noon, nobodys=NOBODYS)
    (claim,) = ledger.claim(NOBODYS, holder="me", limit=1, for_s=60, now=noon)
    if state == "announced":
        told_of = {claim.call.id: claim}, {claim.call.id: "101"}
        ledger.announce(*told_of, "create", holder="me", for_s=60, now=noon)
        ledger.free("me", now=noon + timedelta(seconds=1))

    ledger.accept([told("webhook")], now=noon, nobodys=NOBODYS)

    assert {workspace for workspace, _ in rows(engine)} == {"default", "harbor-dental"}


def test_a_webhooks_call_of_nobodys_workspace_is_not_taken_away(
    ledger: Ledger, engine: Engine, told: Callable[..., Call], noon: datetime
) -> None:
    ledger.accept([told("webhook", NOBODYS)], now=noon, nobodys=NOBODYS)

    ledger.accept([told("webhook")], now=noon, nobodys=NOBODYS)

    assert {workspace for workspace, _ in rows(engine)} == {"default", "harbor-dental"}
