"""How far a shared stream has been read: moved by its reader alone, and never back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from sqlalchemy import Engine

from target_hubspot_calls.store.elections import Elections
from target_hubspot_calls.store.shared_work import load_shared_work
from target_hubspot_calls.store.sync_states import SyncStates
from tests.target_hubspot_calls.store.conftest import StandingClock

OFFICE = "reader:CALLS"


@pytest.fixture
def elections(engine: Engine) -> Elections:
    return Elections(engine)


@pytest.fixture
def elect(elections: Elections, clock: StandingClock) -> Callable[..., bool]:
    """Has a process take the office, over another's head where that one counts as dead."""

    def take(holder: str, *, dead: bool = False, for_s: float = 10) -> bool:
        return bool(
            elections.take(OFFICE, holder, for_s=for_s, now=clock(), is_dead=lambda _: dead)
        )

    return take


@pytest.fixture
def save(engine: Engine, clock: StandingClock) -> Callable[..., bool]:
    def save(state: str, holder: str, stream: str = "CALLS") -> bool:
        return SyncStates(engine).save(
            stream,
            state,
            office=OFFICE,
            holder=holder,
            is_older=lambda one, other: int(one) < int(other),
            now=clock(),
        )

    return save


def test_the_last_state_of_the_reader_is_the_one_loaded(
    engine: Engine, elect: Callable[..., bool], save: Callable[..., bool]
) -> None:
    elect("a")

    kept = [save("1", "a"), save("2", "a"), save("2", "a")]

    assert kept == [True, True, True]
    assert SyncStates(engine).load("CALLS") == "2"
    assert SyncStates(engine).load("OTHERS") is None


def test_a_former_reader_moves_nothing(
    engine: Engine, elect: Callable[..., bool], save: Callable[..., bool]
) -> None:
    elect("a")
    save("5", "a")
    elect("b", dead=True)

    kept = save("7", "a")

    assert kept is False
    assert SyncStates(engine).load("CALLS") == "5"


def test_a_reader_whose_time_ran_out_still_counts_while_nobody_has_followed(
    engine: Engine,
    elections: Elections,
    elect: Callable[..., bool],
    save: Callable[..., bool],
) -> None:
    elect("a")
    elections.give_back(OFFICE, "a")

    kept = save("7", "a")

    assert kept is True
    assert SyncStates(engine).load("CALLS") == "7"


def test_a_state_of_an_earlier_time_in_office_never_replaces_a_newer_one(
    engine: Engine, elect: Callable[..., bool], save: Callable[..., bool]
) -> None:
    elect("a")
    save("5", "a")
    elect("b", dead=True)
    save("9", "b")
    elect("a", dead=True)

    kept = save("6", "a")

    assert kept is False
    assert SyncStates(engine).load("CALLS") == "9"


def test_nobody_who_was_never_elected_saves(engine: Engine, save: Callable[..., bool]) -> None:
    assert save("1", "a") is False
    assert SyncStates(engine).load("CALLS") is None


def test_a_state_can_be_forgotten(
    engine: Engine, elect: Callable[..., bool], save: Callable[..., bool]
) -> None:
    elect("a")
    save("5", "a")

    forgotten = [SyncStates(engine).forget("CALLS"), SyncStates(engine).forget("CALLS")]

    assert forgotten == [True, False]
    assert save("1", "a") is True


def test_a_save_and_a_takeover_at_once_agree_on_who_came_first(
    engine: Engine, elect: Callable[..., bool], save: Callable[..., bool]
) -> None:
    elect("a")
    kept: list[bool] = []

    saving = threading.Thread(target=lambda: kept.extend(save(str(n), "a") for n in range(40)))
    saving.start()
    time.sleep(0.02)
    elect("b", dead=True)
    saving.join()
    save("100", "b")

    assert kept == sorted(kept, reverse=True)
    assert SyncStates(engine).load("CALLS") == "100"


def test_who_works_now_is_told_by_the_store(
    engine: Engine, elections: Elections, elect: Callable[..., bool], database: str
) -> None:
    before = load_shared_work(engine, OFFICE)
    elect("a", for_s=10 * 365 * 86_400)
    held = load_shared_work(engine, OFFICE)
    elections.give_back(OFFICE, "a")
    after = load_shared_work(engine, OFFICE)

    assert (before.holder, held.holder, after.holder) == (None, "a", None)
    assert before.runs == (None if database == "sqlite" else 0)
