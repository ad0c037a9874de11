"""Calls put back in line by a person: they are really tried again, and never written twice."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from hubspot_simulator import Simulator
from target_hubspot_calls.call import Call
from target_hubspot_calls.delivery import worker
from target_hubspot_calls.delivery.run import Run
from target_hubspot_calls.store.database import open_database
from target_hubspot_calls.store.retries import Retried, Retries, RetryFilter

CREATE = "/crm/objects/2026-09/notes/batch/create"
NO_TIME = {"started_at": None, "ended_at": None, "received_at": None, "updated_at": None}


def put_back(deliver: object, wanted: RetryFilter | None = None) -> Retried:
    """What `retry` comes to, on the deliveries' own store and clock."""
    engine = open_database(deliver.settings.store_url)  # type: ignore[attr-defined]
    try:
        return Retries(engine).put_back(wanted or RetryFilter(), now=deliver.now())  # type: ignore[attr-defined]
    finally:
        engine.dispose()


def test_a_call_whose_contact_came_later_becomes_one_note(
    portal: Simulator, deliver: Callable[..., object], a_call: Callable[..., Call]
) -> None:
    deliveries = deliver()
    call = a_call(customer_number="+14155550188")
    assert deliveries(call) == {"contact_not_found": 1}
    portal.add_contact(phone="(415) 555-0188", firstname="Ines")

    counts = put_back(deliveries, RetryFilter(reason="contact_not_found"))
    first, second = deliveries(), deliveries()

    assert counts == Retried(matched=1, queued=1, in_line=0)
    assert (first, second) == ({"created": 1}, {})
    assert len(portal.notes()) == 1
    assert deliveries.history("status, reason, attempt") == [
        ("skipped", "contact_not_found", 1),
        ("success", "created", 1),
    ]


def test_without_a_retry_it_stays_skipped(
    portal: Simulator, deliver: Callable[..., object], a_call: Callable[..., Call]
) -> None:
    deliveries = deliver()
    deliveries(a_call(customer_number="+14155550188"))
    portal.add_contact(phone="(415) 555-0188")

    assert deliveries() == {}


def test_a_rejected_call_is_tried_again(
    portal: Simulator, deliver: Callable[..., object], a_call: Callable[..., Call]
) -> None:
    deliveries = deliver()
    portal.add_fault("error", status=400, path=CREATE)
    assert deliveries(a_call()) == {"rejected": 1}

    put_back(deliveries)

    assert deliveries() == {"created": 1}
    assert len(portal.notes()) == 1


def test_an_invalid_call_is_tried_again_and_says_the_same(
    portal: Simulator, deliver: Callable[..., object], a_call: Callable[..., Call]
) -> None:
    deliveries = deliver()
    assert deliveries(a_call(**NO_TIME)) == {"invalid_record": 1}

    put_back(deliveries)

    assert deliveries() == {"invalid_record": 1}
    assert portal.notes() == []


def test_a_call_that_waits_hours_for_its_turn_is_tried_at_once(
    portal: Simulator, deliver: Callable[..., object], a_call: Callable[..., Call]
) -> None:
    deliveries = deliver()
    portal.add_fault("error", status=503, path=CREATE, times=None)
    deliveries(a_call())
    portal.clear_faults()
    assert deliveries() == {}

    put_back(deliveries)
    deliveries.later_s += 200

    assert set(deliveries()) <= {"created", "updated"}
    assert len(portal.notes()) == 1


def test_a_call_whose_answer_was_lost_is_looked_up_and_not_written_again(
    portal: Simulator, deliver: Callable[..., object], a_call: Callable[..., Call]
) -> None:
    deliveries = deliver()
    portal.add_fault("reset_after", path=CREATE)
    deliveries(a_call())
    for _ in range(3):
        put_back(deliveries)
        deliveries()

    deliveries.later_s += 7200
    put_back(deliveries)
    deliveries()

    assert len(portal.notes()) == 1


@contextmanager
def live(deliveries: object) -> Iterator[Run]:
    """A run that goes on beside the test, as `serve` has one."""
    run = Run(deliveries.settings)  # type: ignore[attr-defined]
    try:
        yield run
    finally:
        run.stop(10)
        run.close()


def test_a_live_run_notices_without_new_input(
    portal: Simulator,
    deliver: Callable[..., object],
    a_call: Callable[..., Call],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker, "IDLE_LOOK_S", 0.2)
    deliveries = deliver(batch_wait_s=0)
    portal.add_fault("error", status=400, path=CREATE)
    with live(deliveries) as run:
        run.accept([a_call()], [])
        wait_for(lambda: run.tally.by_reason["rejected"])

        put_back(deliveries)

        wait_for(lambda: run.tally.by_reason["created"])
    assert len(portal.notes()) == 1


def test_a_live_run_looks_again_for_a_contact_that_somebody_has_just_made(
    portal: Simulator,
    deliver: Callable[..., object],
    a_call: Callable[..., Call],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker, "IDLE_LOOK_S", 0.2)
    deliveries = deliver(batch_wait_s=0)
    with live(deliveries) as run:
        run.accept([a_call(customer_number="+12025550177")], [])
        wait_for(lambda: run.tally.by_reason["contact_not_found"])
        portal.add_contact(phone="+12025550177")

        put_back(deliveries)

        wait_for(lambda: run.tally.by_reason["created"])
    assert len(portal.notes()) == 1


def wait_for(truth: Callable[[], object], within_s: float = 20.0) -> None:
    give_up_at = time.monotonic() + within_s
    while not truth():
        assert time.monotonic() < give_up_at, threading.enumerate()
        time.sleep(0.05)
