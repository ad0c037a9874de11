from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest
from sqlalchemy import Engine

from target_hubspot_calls.store.database import open_database
from target_hubspot_calls.store.portal_leases import Lease, PortalLeases, Spent

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
PORTAL = 4_000_000_001


@pytest.fixture
def leases(engine: Engine) -> PortalLeases:
    return PortalLeases(engine)


def take(leases: PortalLeases, holder: str, *, at_s: float = 0, dead: str = "") -> Lease:
    return leases.take(
        PORTAL,
        holder,
        for_s=30,
        now=NOON + timedelta(seconds=at_s),
        is_dead=lambda name: name == dead,
    )


def test_a_portal_has_one_holder_at_a_time(leases: PortalLeases) -> None:
    assert take(leases, "first") is Lease.OURS

    assert take(leases, "second", at_s=29) is Lease.REFUSED


def test_a_lease_that_was_given_back_is_free(leases: PortalLeases) -> None:
    take(leases, "first")

    leases.give_back(PORTAL, "first")

    assert take(leases, "second") is Lease.TAKEN_OVER


def test_who_comes_back_to_its_own_portal_finds_nothing_changed(leases: PortalLeases) -> None:
    take(leases, "first")
    leases.give_back(PORTAL, "first")

    assert take(leases, "first") is Lease.OURS


def test_nobody_gives_back_the_lease_of_another(leases: PortalLeases) -> None:
    take(leases, "first")

    leases.give_back(PORTAL, "second")

    assert take(leases, "second") is Lease.REFUSED


def test_a_renewed_lease_lasts_longer(leases: PortalLeases) -> None:
    take(leases, "first")

    assert take(leases, "first", at_s=20) is Lease.OURS

    assert take(leases, "second", at_s=31) is Lease.REFUSED


def test_a_lease_that_ran_out_is_free_and_its_holder_learns_of_it(leases: PortalLeases) -> None:
    take(leases, "first")

    assert take(leases, "second", at_s=30) is Lease.TAKEN_OVER

    assert take(leases, "first", at_s=31) is Lease.REFUSED


def test_the_lease_of_a_dead_process_is_free_at_once(leases: PortalLeases) -> None:
    take(leases, "first")

    assert take(leases, "second", at_s=1, dead="first") is Lease.TAKEN_OVER


def test_portals_have_leases_of_their_own(leases: PortalLeases) -> None:
    take(leases, "first")

    other = leases.take(PORTAL + 1, "second", for_s=30, now=NOON, is_dead=lambda _: False)
    assert other is Lease.OURS


def test_a_lease_that_was_given_back_is_free_for_a_clock_that_was_set_back(
    leases: PortalLeases,
) -> None:
    take(leases, "first")
    leases.give_back(PORTAL, "first")

    assert take(leases, "second", at_s=-3600) is Lease.TAKEN_OVER


def test_who_takes_over_learns_what_was_spent_before(leases: PortalLeases) -> None:
    take(leases, "first")
    spent = Spent(NOON, [0.5, 9.75])

    leases.give_back(PORTAL, "first", spent)
    lease = take(leases, "second", at_s=1)

    assert lease is Lease.TAKEN_OVER
    assert leases.spent_before(PORTAL) == spent


def test_of_a_holder_that_died_nothing_is_known_not_even_of_the_time_before(
    leases: PortalLeases,
) -> None:
    take(leases, "first")
    leases.give_back(PORTAL, "first", Spent(NOON, [9.75]))
    take(leases, "second")
    take(leases, "second", at_s=10)

    assert take(leases, "third", at_s=11, dead="second") is Lease.TAKEN_OVER

    assert leases.spent_before(PORTAL) is None
    assert leases.spent_before(PORTAL + 1) is None


def test_a_holder_that_takes_over_and_dies_at_once_leaves_nothing_of_the_one_before(
    leases: PortalLeases,
) -> None:
    take(leases, "first")
    leases.give_back(PORTAL, "first", Spent(NOON, [9.75]))
    take(leases, "second", at_s=1)

    take(leases, "third", at_s=2, dead="second")

    assert leases.spent_before(PORTAL) is None


def test_two_that_ask_for_a_portal_nobody_had_yet_do_not_both_get_it(
    leases: PortalLeases, url: str
) -> None:
    engines = [open_database(url) for _ in range(4)]
    together = Barrier(4)

    def ask(number: int) -> Lease:
        together.wait()
        return take(PortalLeases(engines[number]), f"host-{number}")

    with ThreadPoolExecutor(4) as pool:
        asked = list(pool.map(ask, range(4)))

    for each in engines:
        each.dispose()
    assert sorted(lease.name for lease in asked) == ["OURS", "REFUSED", "REFUSED", "REFUSED"]


@pytest.mark.parametrize("ahead_s", [3, -3], ids=["ahead", "behind"])
def test_a_host_whose_clock_is_three_seconds_off_takes_nothing_from_one_that_renews(
    leases: PortalLeases, ahead_s: int
) -> None:
    answers = []
    for at_s in range(0, 60, 5):
        if at_s % 10 == 0:
            answers.append(take(leases, "right", at_s=at_s))
        answers.append(take(leases, "off", at_s=at_s + ahead_s))

    assert answers == [Lease.OURS, Lease.REFUSED, Lease.REFUSED] * 6
