"""Two processes on one store, as live sync and `meltano run` are: one paces a portal at a time."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from hubspot_simulator import DEFAULT_PORTAL, Simulator
from target_hubspot_calls.call import Call
from target_hubspot_calls.delivery.presence import FilePresence
from target_hubspot_calls.delivery.run import Run
from target_hubspot_calls.store.connections import Connections
from target_hubspot_calls.store.database import open_database
from target_hubspot_calls.store.portal_leases import PortalLeases, Spent
from target_hubspot_calls.store.vault import load_vault
from tests.target_hubspot_calls.delivery.conftest import ClockThatSleepsMove, Deliveries

SEARCH = "POST /crm/objects/contacts/search"


def calls_from(first: int, count: int, a_call: Callable[..., Call]) -> list[Call]:
    """So many calls, each from a number of its own."""
    return [
        a_call(id=f"call-{n:05d}", customer_number=f"+1415555{n:04d}", recording_url=None)
        for n in range(first, first + count)
    ]


def connections_of(runs: Deliveries) -> Connections:
    engine = open_database(runs.settings.store_url)
    return Connections(engine, load_vault(None, runs.settings.key_file, create=False))


class OtherRun:
    """A run in another process that holds the portal of these deliveries."""

    def __init__(self, deliveries: Deliveries) -> None:
        self._presence = FilePresence(deliveries.settings.data_dir, "other-run")
        self._presence.enter()
        self._engine = open_database(deliveries.settings.store_url)
        self._leases = PortalLeases(self._engine)
        self._leases.take(
            DEFAULT_PORTAL, "other-run", for_s=30, now=datetime.now(UTC), is_dead=lambda _: False
        )

    def finish(self) -> None:
        """Ends in order, and says that it has sent nothing."""
        self._leases.give_back(DEFAULT_PORTAL, "other-run", Spent(datetime.now(UTC), []))
        self._presence.leave()
        self._engine.dispose()

    def die(self) -> None:
        """Ends as SIGKILL ends it: the kernel closes its files, and that is all."""
        assert self._presence._handle is not None
        os.close(self._presence._handle)
        self._engine.dispose()


def test_two_runs_together_keep_to_the_pace_of_one(
    portal: Simulator, deliver: Callable[..., Deliveries], a_call: Callable[..., Call]
) -> None:
    deliveries = deliver()
    together = threading.Barrier(2)

    def work(first: int) -> None:
        run = Run(deliveries.settings)
        run.accept(calls_from(first, 700, a_call), [])
        together.wait()
        run.finish(until=lambda: False)
        run.close()

    with ThreadPoolExecutor(2) as both:
        list(both.map(work, (0, 700)))

    assert len({call_id for call_id, _, _ in deliveries.history()}) == 1400
    assert portal.counts()[SEARCH] >= 14
    assert [seen for seen in portal.requests() if seen.status == 429] == []


def test_a_portal_held_by_another_run_is_left_alone_until_it_is_free(
    portal: Simulator, deliver: Callable[..., Deliveries], a_call: Callable[..., Call]
) -> None:
    deliveries = deliver()
    deliveries()
    other = OtherRun(deliveries)
    run = Run(deliveries.settings)
    run.accept([a_call(recording_url=None)], [])
    over_at = time.monotonic() + 1.0

    run.finish(until=lambda: time.monotonic() > over_at)
    notes_meanwhile = portal.notes()
    other.finish()
    run.finish(until=lambda: False)
    run.close()

    assert (len(notes_meanwhile), len(portal.notes())) == (0, 1)


def test_a_portal_held_by_a_killed_run_is_taken_over_at_once_and_left_alone_for_a_window(
    deliver: Callable[..., Deliveries],
    a_call: Callable[..., Call],
    quick_pace: ClockThatSleepsMove,
) -> None:
    deliveries = deliver()
    deliveries(a_call(id="before", recording_url=None))
    began_s = quick_pace.seconds
    OtherRun(deliveries).die()

    counts = deliveries(a_call(recording_url=None))

    assert counts == {"created": 1}
    # It may have spent all of its window a moment before: what it sent is known to nobody.
    assert 10 <= quick_pace.seconds - began_s < 11


def test_a_portal_that_nobody_had_or_that_was_given_back_is_not_left_alone(
    deliver: Callable[..., Deliveries],
    a_call: Callable[..., Call],
    quick_pace: ClockThatSleepsMove,
) -> None:
    deliveries = deliver()

    deliveries(a_call(id="first", recording_url=None))
    first_s = quick_pace.seconds
    OtherRun(deliveries).finish()
    deliveries(a_call(recording_url=None))

    assert first_s == 0
    # A search's window is a second, and of searches nothing is said.
    assert quick_pace.seconds < 1.1


def test_a_workspace_connected_while_another_one_keeps_us_busy_does_not_wait_for_it(
    portal: Simulator,
    deliver: Callable[..., Deliveries],
    a_call: Callable[..., Call],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("target_hubspot_calls.delivery.deliver.LOOK_AFTER_OTHERS_S", 0.2)
    deliveries = deliver(service_key=None)
    late = {"workspace_id": "late", "recording_url": None}
    deliveries(a_call(id="late", **late))
    portal.seed_contacts([{"phone": "(415) 555-0123"}], DEFAULT_PORTAL + 1)
    connections = connections_of(deliveries)
    connections.add_service_key("dana", "harbor-dental", portal.add_service_key(DEFAULT_PORTAL))
    other = OtherRun(deliveries)
    run = Run(deliveries.settings)
    run.accept([a_call(recording_url=None)], [])
    over_at = time.monotonic() + 5.0

    run.finish(until=lambda: bool(portal.counts()))
    connections.add_service_key("dana", "late", portal.add_service_key(DEFAULT_PORTAL + 1))
    run.finish(until=lambda: bool(portal.notes(DEFAULT_PORTAL + 1)) or time.monotonic() > over_at)
    notes_of_late = portal.notes(DEFAULT_PORTAL + 1)
    other.finish()
    run.finish(until=lambda: False)
    run.close()

    assert (len(notes_of_late), len(portal.notes(DEFAULT_PORTAL))) == (1, 1)
