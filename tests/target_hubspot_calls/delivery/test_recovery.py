"""HubSpot is back after a while: what waited for it is delivered now, not when its wait is over."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from hubspot_simulator import Simulator
from target_hubspot_calls.call import Call
from target_hubspot_calls.clock import Clock
from target_hubspot_calls.delivery.run import Run
from tests.target_hubspot_calls.delivery.conftest import Deliveries

SEARCH = "*/contacts/search"


@pytest.fixture
def runs(deliver: Callable[..., Deliveries]) -> Deliveries:
    return deliver(batch_wait_s=0.0)


@pytest.fixture
def run(runs: Deliveries) -> Iterator[Run]:
    """A run whose clock stands at `runs.later_s`, and whose waits between tries are none."""
    begun = runs.now()
    clock = Clock(
        now=lambda: begun + timedelta(seconds=runs.later_s),
        monotonic=lambda: runs.later_s,
        random=lambda: 0.9,
        sleep=runs._sleep,
    )
    run = Run(runs.settings, clock=clock)
    yield run
    run.stop(20)
    run.close()


def wait_for(run: Run, **outcomes: int) -> None:
    """Returns when the run has had these outcomes, and raises where it has had any others."""
    give_up_at = time.monotonic() + 20
    while run.tally.by_reason != Counter(outcomes):
        assert time.monotonic() < give_up_at, run.tally.by_reason
        time.sleep(0.01)


def test_calls_that_waited_for_hubspot_go_as_soon_as_another_call_got_through(
    run: Run, runs: Deliveries, portal: Simulator, a_call: Callable[..., Call]
) -> None:
    portal.add_fault("error", status=503, path=SEARCH, times=None)
    run.accept([a_call(id="c1")], [])
    wait_for(run, unavailable=1)
    runs.later_s = 10.5
    run.accept([a_call(id="c2")], [])
    wait_for(run, unavailable=3)
    portal.clear_faults()
    # The portal is asked again now; c1 failed twice and would wait until 29.5.
    runs.later_s = 21.0

    run.accept([a_call(id="c3")], [])

    wait_for(run, unavailable=3, created=3)
    assert len(portal.notes()) == 3


def test_the_one_portal_of_the_settings_is_back_for_every_workspace(
    run: Run, runs: Deliveries, portal: Simulator, a_call: Callable[..., Call]
) -> None:
    portal.add_fault("error", status=503, path=SEARCH, times=None)
    elsewhere = replace(a_call(id="c1"), user_id="lena", workspace_id="bakery")
    run.accept([elsewhere], [])
    wait_for(run, unavailable=1)
    runs.later_s = 10.5
    run.accept([a_call(id="c2")], [])
    wait_for(run, unavailable=3)
    portal.clear_faults()
    # The portal is asked again now; the other workspace's call would wait until 29.5.
    runs.later_s = 21.0

    run.accept([a_call(id="c3")], [])

    wait_for(run, unavailable=3, created=3)


def test_a_call_that_fails_alone_keeps_its_growing_waits(
    run: Run, runs: Deliveries, portal: Simulator, a_call: Callable[..., Call]
) -> None:
    portal.add_fault("error", status=503, path="*/notes/batch/update", times=None)
    run.accept([a_call(id="c1", summary=None)], [])
    wait_for(run, created=1)
    run.accept([a_call(id="c1")], [])
    wait_for(run, created=1, unavailable=1)

    run.accept([a_call(id="c2")], [])
    wait_for(run, created=2, unavailable=1)
    run.accept([a_call(id="c3")], [])
    wait_for(run, created=3, unavailable=1)

    assert run.tally.by_reason["unavailable"] == 1


def test_a_clock_that_jumps_back_an_hour_or_on_a_day_loses_no_call_and_doubles_none(
    deliver: Callable[..., Deliveries], portal: Simulator, a_call: Callable[..., Call]
) -> None:
    runs = deliver()
    portal.add_fault("error", status=503, path=SEARCH, times=None)
    first = runs(a_call(id="waits"))
    portal.clear_faults()

    runs.later_s = -3600
    an_hour_back = runs(a_call(id="back"))
    runs.later_s = 86_400
    a_day_on = runs(a_call(id="on"))
    runs.later_s = 0
    right_again = runs(a_call(id="back"), a_call(id="again"))

    assert (first, an_hour_back) == ({"unavailable": 1}, {"created": 1})
    assert (a_day_on, right_again) == ({"created": 2}, {"created": 1})
    assert len(portal.notes()) == 4
