"""Portals that one run holds: renewed while there is work, free for others right after."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from target_hubspot_calls.clock import Clock
from target_hubspot_calls.delivery.leases import (
    LEASE_S,
    MARGIN_S,
    HeldElsewhere,
    Leases,
    SpentBefore,
)
from target_hubspot_calls.delivery.presence import FilePresence
from target_hubspot_calls.errors import StoreUnavailable
from target_hubspot_calls.store.database import open_database
from target_hubspot_calls.store.portal_leases import Lease, PortalLeases, Spent

PORTAL = 4_000_000_001
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


class SlowToRenew(PortalLeases):
    """Leases of a store that takes its time over the second request for a portal."""

    def __init__(self, engine: Any) -> None:
        super().__init__(engine)
        self.taken = 0
        self.renewing = threading.Event()
        self.go_on = threading.Event()

    def take(self, *args: Any, **options: Any) -> Lease:
        self.taken += 1
        if self.taken == 2:
            self.renewing.set()
            self.go_on.wait(5)
        return super().take(*args, **options)


def test_a_portal_given_back_while_it_is_renewed_is_free(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path}/store.db")
    store = SlowToRenew(engine)

    async def no_wait(seconds: float) -> None:
        await asyncio.sleep(0)

    async def hold_and_give_back() -> None:
        mine = Leases(store, "mine", FilePresence(tmp_path, "mine"), Clock(), sleep=no_wait)
        await mine.take(PORTAL)
        await mine.begin()
        await asyncio.to_thread(store.renewing.wait, 5)
        giving_back = asyncio.create_task(mine.give_back())
        await asyncio.sleep(0.1)
        store.go_on.set()
        await giving_back
        await mine.end()

    asyncio.run(hold_and_give_back())
    lease = PortalLeases(engine).take(
        PORTAL, "other", for_s=30, now=datetime.now(UTC), is_dead=lambda _: False
    )
    engine.dispose()

    assert lease is Lease.TAKEN_OVER


class Known:
    """How others count this run: to be said by a test."""

    def __init__(self) -> None:
        self.is_counted: int | None = 1
        self.vanishes = False

    def enter(self) -> None:
        """Nothing to do."""

    def leave(self) -> None:
        """Nothing to do."""

    def is_dead(self, holder: str) -> bool:
        return holder in ("dead", "forgotten")

    def quiet_s(self, holder: str) -> float:
        return 5.0 if holder == "dead" else 0.0

    def vanish(self) -> None:
        self.vanishes = True

    def streak(self) -> int | None:
        return self.is_counted


class Host:
    """One run's leases, with a stopwatch that a test moves; whoever waits moves it too."""

    def __init__(self, store: PortalLeases, name: str = "mine", *, seconds: float = 0.0) -> None:
        self.presence = Known()
        self.seconds = seconds
        self.leases = Leases(
            store,
            name,
            self.presence,
            Clock(now=self.now, monotonic=lambda: self.seconds),
            sleep=self.sleep,
        )

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.seconds)

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds

    def take(self) -> Lease:
        lease, _ = asyncio.run(self.leases.take(PORTAL))
        return lease

    def may_send(self) -> bool:
        try:
            asyncio.run(self.leases.hold(PORTAL))
        except HeldElsewhere:
            return False
        return True


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PortalLeases]:
    engine = open_database(f"sqlite:///{tmp_path}/store.db")
    yield PortalLeases(engine)
    engine.dispose()


def take_as(store: PortalLeases, holder: str, at_s: float, *, dead: str = "") -> Lease:
    return store.take(
        PORTAL,
        holder,
        for_s=30,
        now=NOON + timedelta(seconds=at_s),
        is_dead=lambda name: name == dead,
    )


def test_who_holds_a_portal_may_send_without_asking_the_store(store: PortalLeases) -> None:
    mine = Host(store)
    mine.take()
    take_as(store, "other", 1, dead="mine")

    mine.seconds = LEASE_S - MARGIN_S - 0.1

    assert mine.may_send()


def test_nothing_is_sent_to_a_portal_that_is_not_ours(store: PortalLeases) -> None:
    assert not Host(store).may_send()


def test_a_lease_that_may_have_run_out_is_asked_for_again_before_anything_is_sent(
    store: PortalLeases,
) -> None:
    mine = Host(store)
    mine.take()
    mine.seconds = LEASE_S - MARGIN_S

    still_ours = mine.may_send()

    assert still_ours
    assert take_as(store, "other", LEASE_S + 10) is Lease.REFUSED


def test_a_run_that_was_stopped_sends_nothing_to_a_portal_that_another_has_by_then(
    store: PortalLeases,
) -> None:
    mine = Host(store)
    mine.take()
    take_as(store, "other", 15, dead="mine")
    mine.seconds, mine.presence.is_counted = 20, 2

    assert not mine.may_send()
    assert mine.take() is Lease.REFUSED


def test_a_run_that_was_stopped_and_missed_by_nobody_goes_on(store: PortalLeases) -> None:
    mine = Host(store)
    mine.take()

    mine.seconds, mine.presence.is_counted = 20, 2

    assert mine.may_send()


def test_a_portal_that_another_had_in_between_is_told_to_be_taken_over(
    store: PortalLeases,
) -> None:
    mine = Host(store)
    mine.take()
    take_as(store, "other", 15, dead="mine")
    store.give_back(PORTAL, "other")
    mine.seconds, mine.presence.is_counted = 20, 2

    sent = mine.may_send()

    assert not sent
    assert mine.take() is Lease.TAKEN_OVER
    assert mine.may_send()


def test_while_a_run_is_not_heard_nothing_is_sent(store: PortalLeases) -> None:
    mine = Host(store)
    mine.take()
    mine.presence.is_counted = None

    sent = mine.may_send()

    assert not sent
    assert mine.seconds >= 10
    assert mine.take() is Lease.REFUSED


def test_a_request_waits_a_moment_for_the_run_to_be_heard_again(store: PortalLeases) -> None:
    mine = Host(store)
    mine.take()
    mine.presence.is_counted = None

    async def heard_after_two_seconds(seconds: float) -> None:
        mine.seconds += seconds
        if mine.seconds > 2:
            mine.presence.is_counted = 2

    mine.leases._sleep = heard_after_two_seconds

    assert mine.may_send()
    assert mine.seconds < 3


def test_what_was_spent_is_told_to_the_next_holder_with_its_age(store: PortalLeases) -> None:
    first, second = Host(store, "first"), Host(store, "second", seconds=4.0)
    first.leases._sleep = for_ever

    async def hand_over() -> None:
        await first.leases.begin(lambda _: [1.0, 9.5])
        await first.leases.take(PORTAL)
        await first.leases.end()

    asyncio.run(hand_over())

    lease, spent = asyncio.run(second.leases.take(PORTAL))

    assert lease is Lease.TAKEN_OVER
    assert spent == SpentBefore(4.0, [5.5])


async def for_ever(_: float) -> None:
    await asyncio.Event().wait()


def test_portals_in_use_are_kept_when_the_others_are_given_back(store: PortalLeases) -> None:
    mine = Host(store)
    mine.take()
    asyncio.run(mine.leases.take(PORTAL + 1))

    asyncio.run(mine.leases.give_back(but={PORTAL}))

    other = store.take(PORTAL + 1, "other", for_s=30, now=NOON, is_dead=lambda _: False)
    assert take_as(store, "other", 1) is Lease.REFUSED
    assert other is Lease.TAKEN_OVER


@pytest.mark.parametrize(("gone", "ago_s"), [("dead", 5.0), ("forgotten", 0.0)])
def test_who_died_without_a_word_may_have_spent_everything_before_it_fell_silent(
    store: PortalLeases, gone: str, ago_s: float
) -> None:
    take_as(store, gone, 0)

    lease, spent = asyncio.run(Host(store).leases.take(PORTAL))

    assert (lease, spent) == (Lease.TAKEN_OVER, SpentBefore(ago_s, None))


def test_of_a_portal_that_nobody_had_nothing_is_spent(store: PortalLeases) -> None:
    taken = asyncio.run(Host(store).leases.take(PORTAL))

    assert taken == (Lease.OURS, None)


def test_what_another_spent_in_between_is_not_known_any_more(store: PortalLeases) -> None:
    mine = Host(store)
    mine.take()
    take_as(store, "other", 15, dead="mine")
    store.give_back(PORTAL, "other", Spent(NOON, [3.0]))
    mine.seconds, mine.presence.is_counted = 20, 2
    mine.may_send()

    _, spent = asyncio.run(mine.leases.take(PORTAL))

    assert spent == SpentBefore(0.0, None)


class Refusing(PortalLeases):
    """Leases of a store that does not take some portals back."""

    refused: frozenset[int] = frozenset()

    def give_back(self, portal_id: int, holder: str, spent: Spent | None = None) -> None:
        if portal_id in self.refused:
            raise StoreUnavailable("The operational store refused.")
        super().give_back(portal_id, holder, spent)


@pytest.fixture
def refusing(store: PortalLeases) -> Refusing:
    return Refusing(store._engine)


def test_a_portal_that_is_not_taken_back_keeps_no_other_from_it_and_is_given_back_later(
    refusing: Refusing,
) -> None:
    mine = Host(refusing)
    for number in range(3):
        asyncio.run(mine.leases.take(PORTAL + number))
    refusing.refused = frozenset({PORTAL})

    with pytest.raises(StoreUnavailable):
        asyncio.run(mine.leases.give_back())
    free = [free_for_others(refusing, PORTAL + number) for number in range(3)]
    may_send = mine.may_send()
    refusing.refused = frozenset()
    asyncio.run(mine.leases.give_back())

    assert free == [False, True, True]
    assert not may_send
    assert free_for_others(refusing, PORTAL)


def free_for_others(store: PortalLeases, portal_id: int) -> bool:
    lease = store.take(portal_id, "other", for_s=30, now=NOON, is_dead=lambda _: False)
    return lease is not Lease.REFUSED


@pytest.mark.parametrize("is_refused", [True, False], ids=["refused", "taken back"])
def test_a_run_that_could_not_give_everything_back_ends_as_one_that_died(
    refusing: Refusing, caplog: pytest.LogCaptureFixture, is_refused: bool
) -> None:
    mine = Host(refusing)
    mine.leases._sleep = for_ever
    refusing.refused = frozenset({PORTAL} if is_refused else ())

    async def work() -> None:
        await mine.leases.begin()
        await mine.leases.take(PORTAL)
        await mine.leases.take(PORTAL + 1)
        await mine.leases.end()

    asyncio.run(work())

    assert mine.presence.vanishes is is_refused
    assert ("1 of our portals could not be given back" in caplog.text) is is_refused
    assert free_for_others(refusing, PORTAL + 1)


def test_a_store_that_takes_nothing_back_is_not_asked_for_ever(refusing: Refusing) -> None:
    mine = Host(refusing)
    for number in range(20):
        asyncio.run(mine.leases.take(PORTAL + number))
    refusing.refused = frozenset(range(PORTAL, PORTAL + 20))
    asked: list[int] = []

    def slow(portal_id: int) -> list[float]:
        mine.seconds += 2.0
        asked.append(portal_id)
        return []

    mine.leases._spent_of = slow

    with pytest.raises(StoreUnavailable):
        asyncio.run(mine.leases.give_back())

    assert len(asked) == 3
    assert not mine.may_send()
