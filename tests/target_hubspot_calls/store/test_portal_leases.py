from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine

from target_hubspot_calls.store.portal_leases import Lease, PortalLeases

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
