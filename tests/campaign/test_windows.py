"""The narrowest windows of the protocol, one by one; most of them were found by a seed."""

from __future__ import annotations

from concurrent.futures import Executor, Future
from dataclasses import replace
from typing import Any

import pytest

from tests.campaign.harness import Result, run_plan
from tests.campaign.mishaps import CREATE, FILES, MOMENTS, UPDATE, Mishap, Trap
from tests.campaign.plan import Plan, Round, WorkerPlan, plan_of

# Its plan writes notes to one portal and creates no contacts.
SEED = 2
LATER = tuple(range(1, len(plan_of(SEED).batches)))
STEPS = (
    "accept",
    "claim",
    "announce",
    "create",
    "settle",
    "append",
    "delete",
    "save_file",
    "settle_recordings",
)
LOST = {"action": "reset_after", "path": CREATE}
BLIND = {"action": "error", "status": 503, "path": "*/notes/batch/read", "times": None}
DOWN = {"action": "error", "status": 503, "path": UPDATE, "times": None}
MIGRATING = {"action": "migrating", "path": UPDATE, "retry_after_s": 60}
NO_SCOPE = {"action": "missing_scopes", "path": "*/properties/*", "method": "POST"}


def a_plan(*rounds: Round, **simulator: Any) -> Plan:
    """A portal that takes a call id twice; the first process gets whatever no other is given."""
    plan = plan_of(SEED)
    (first, *others) = rounds
    given = {number for item in others for worker in item.workers for number in worker.batches}
    left = tuple(number for number in range(len(plan.batches)) if number not in given)
    workers = tuple(replace(worker, batches=left) for worker in first.workers)
    return replace(
        plan,
        speed=40.0,
        access="service_key",
        settings={**plan.settings, "upload_recordings": True},
        simulator={
            **plan.simulator,
            "unique_properties_on_activities": False,
            "custom_properties_on_activities": True,
            "rate_limits": False,
            **simulator,
        },
        index_lag_s=0.0,
        rounds=(replace(first, workers=workers), *others),
    )


def a_round(mishap: Mishap | None = None, *, batches: tuple[int, ...] = (), **more: Any) -> Round:
    return Round(workers=(WorkerPlan("run", batches, mishap),), **more)


WINDOWS = {
    **{
        f"the process ends {'after' if after else 'before'} it can {step}": a_plan(
            a_round(Mishap("point", point=step, after=after)), a_round()
        )
        for step in STEPS
        for after in (False, True)
    },
    **{
        f"the process is killed when its create has {moment}": a_plan(
            a_round(Mishap(f"request_{moment}", path=CREATE, wait_s=60.0)), a_round()
        )
        for moment in MOMENTS
    },
    **{
        f"the process is killed when its upload has {moment}": a_plan(
            a_round(Mishap(f"request_{moment}", path=FILES)), a_round()
        )
        for moment in ("arrived", "written")
    },
    "a create comes through long after its connection broke": a_plan(
        a_round(traps=(Trap(CREATE, 1, late_s=90.0),)), a_round(), a_round(), a_round()
    ),
    "a note is older than the portal's unique property": a_plan(
        a_round(faults=(NO_SCOPE, LOST, BLIND)),
        a_round(ahead_s=4000.0),
        unique_properties_on_activities=True,
    ),
    "a lost note is found and its update fails": a_plan(
        a_round(faults=(LOST, BLIND)),
        a_round(ahead_s=4000.0, faults=(DOWN,)),
        a_round(ahead_s=4000.0, faults=(DOWN,)),
    ),
    "a lost note is found and the process ends in its update": a_plan(
        a_round(faults=(LOST, BLIND)),
        a_round(Mishap("request_written", path=UPDATE), ahead_s=4000.0),
    ),
    "a lost note is found at once and the process ends in its update": a_plan(
        a_round(Mishap("request_written", path=UPDATE), faults=(LOST,)), a_round()
    ),
    "a lost create comes through while a fuller one is on its way": a_plan(
        a_round(traps=(Trap(CREATE, 1, late_s=80.0),)),
        a_round(
            batches=LATER,
            faults=({"action": "delay", "delay_s": 2.3, "path": CREATE},),
        ),
        unique_properties_on_activities=True,
    ),
    "a lost create comes through after a fuller one was refused": a_plan(
        a_round(traps=(Trap(CREATE, 1, late_s=80.0),)),
        a_round(batches=LATER, faults=({**MIGRATING, "path": CREATE},)),
        a_round(ahead_s=100.0),
        unique_properties_on_activities=True,
    ),
    "the portal refuses an update while a create is under way": a_plan(
        a_round(),
        a_round(
            batches=LATER,
            ahead_s=400.0,
            faults=(MIGRATING,),
            traps=(Trap(CREATE, 1, late_s=30.0),),
        ),
    ),
}


@pytest.fixture(scope="module")
def results(pool: Executor, request: pytest.FixtureRequest) -> dict[str, Future[Result]]:
    asked = " ".join(item.name for item in request.session.items)
    return {name: pool.submit(run_plan, plan) for name, plan in WINDOWS.items() if name in asked}


@pytest.mark.parametrize("window", WINDOWS)
def test_nothing_is_lost_or_doubled_when(window: str, results: dict[str, Future[Result]]) -> None:
    result = results[window].result()

    assert result.faults == []
