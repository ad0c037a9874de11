"""The office of a shared stream's reader: held only while nobody else can have it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime

import pytest

from hubspot_calls import reader_office
from hubspot_calls.reader_office import LEASE_S, TO_END_S, ReaderOffice
from target_hubspot_calls.errors import StoreUnavailable


class StandInElections:
    """One office in memory, that may be another's, and a store that may be gone or hang."""

    def __init__(self) -> None:
        self.holder: str | None = None
        self.is_gone = False
        self.hangs = threading.Event()
        self.hangs.set()
        self.asked = 0
        self.given_back = 0

    def take(
        self,
        office: str,
        holder: str,
        *,
        for_s: float,
        now: datetime,
        is_dead: Callable[[str], bool],
    ) -> bool:
        self.asked += 1
        self.hangs.wait(20)
        if self.is_gone:
            raise StoreUnavailable("The store is away.")
        if self.holder is None or is_dead(self.holder):
            self.holder = holder
        return self.holder == holder

    def give_back(self, office: str, holder: str) -> None:
        self.given_back += 1
        if self.holder == holder:
            self.holder = None

    def holder_of(self, office: str) -> str | None:
        return self.holder


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_office, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(reader_office, "RENEW_EVERY_S", 0.01)


def an_office(
    elections: StandInElections, clock: Clock, is_dead: Callable[[str], bool] = lambda _: False
) -> ReaderOffice:
    return ReaderOffice(elections, "reader:CALLS", "us/here", is_dead=is_dead, clock=clock)


def test_a_free_office_is_taken_and_given_back_at_the_end(clock: Clock) -> None:
    elections = StandInElections()
    office = an_office(elections, clock)

    office.begin()
    wait_for(lambda: office.is_held)
    held_by = elections.holder
    office.end()

    assert (held_by, elections.holder, office.is_held) == ("us/here", None, False)


def test_another_s_office_is_asked_for_until_it_is_free(clock: Clock) -> None:
    elections = StandInElections()
    elections.holder = "them/there"
    office = an_office(elections, clock)

    office.begin()
    wait_for(lambda: elections.asked > 2)
    held_beside_them = office.is_held
    elections.holder = None
    wait_for(lambda: office.is_held)
    office.end()

    assert held_beside_them is False


def test_the_office_of_a_dead_process_is_taken_over_at_once(clock: Clock) -> None:
    elections = StandInElections()
    elections.holder = "killed/here"
    office = an_office(elections, clock, is_dead=lambda holder: holder.startswith("killed"))

    office.begin()
    wait_for(lambda: office.is_held)
    office.end()


def test_a_store_that_hangs_ends_the_office_before_it_can_be_another_s(clock: Clock) -> None:
    elections = StandInElections()
    office = an_office(elections, clock)
    office.begin()
    wait_for(lambda: office.is_held)

    elections.hangs.clear()
    asked = elections.asked
    wait_for(lambda: elections.asked > asked)
    clock.now += LEASE_S - TO_END_S - 0.1
    held_a_moment_before = office.is_held
    clock.now += 0.1
    held_then = office.is_held
    elections.hangs.set()
    office.end()

    assert (held_a_moment_before, held_then) == (True, False)


def test_a_store_that_is_away_is_told_once_and_costs_the_office_only_in_time(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    elections = StandInElections()
    office = an_office(elections, clock)
    office.begin()
    wait_for(lambda: office.is_held)

    with caplog.at_level(logging.WARNING):
        elections.is_gone = True
        asked = elections.asked
        wait_for(lambda: elections.asked > asked + 3)
    held_meanwhile = office.is_held
    clock.now += LEASE_S
    held_for_good = office.is_held
    elections.is_gone = False
    wait_for(lambda: office.is_held)
    office.end()

    assert (held_meanwhile, held_for_good) == (True, False)
    warnings = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
    assert warnings == ["who reads the stream cannot be agreed on: The store is away."]


def test_one_who_stands_back_lets_others_have_it_and_asks_again_later(clock: Clock) -> None:
    elections = StandInElections()
    office = an_office(elections, clock)
    office.begin()
    wait_for(lambda: office.is_held)

    office.stand_back(5.0)
    wait_for(lambda: elections.holder is None)
    time.sleep(0.05)
    taken_meanwhile = elections.holder
    clock.now += 5.0
    wait_for(lambda: office.is_held)
    office.end()

    assert taken_meanwhile is None


def test_what_the_thread_dies_of_is_told(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    elections = StandInElections()
    office = an_office(elections, clock)

    def mistaken(*_: object, **__: object) -> bool:
        raise TypeError("a mistake of ours")

    monkeypatch.setattr(elections, "take", mistaken)
    office.begin()
    wait_for(lambda: office.error is not None)

    assert str(office.error) == "a mistake of ours"
    assert office.is_held is False


def test_ending_one_that_never_began_is_fine(clock: Clock) -> None:
    an_office(StandInElections(), clock).end()


def wait_for(check: Callable[[], object], timeout_s: float = 20) -> None:
    give_up_at = time.monotonic() + timeout_s
    while not check():
        assert time.monotonic() < give_up_at, "it did not happen in time"
        time.sleep(0.005)
