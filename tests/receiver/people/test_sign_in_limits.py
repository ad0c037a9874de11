"""Tries to sign in: bounded by address and over all, without locking out those who did nothing."""

from __future__ import annotations

from contextlib import suppress

import pytest

from receiver.answers import Refusal
from receiver.sign_in_limits import SignInLimits


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


def tries(limits, address, times):
    """How many of so many tries are let through."""
    let = 0
    for _ in range(times):
        with suppress(Refusal):
            limits.spend_try(address)
            let += 1
    return let


def test_an_address_may_fail_ten_times_a_minute(clock):
    limits = SignInLimits(clock=clock)

    at_once = tries(limits, "192.0.2.1", 50)
    clock.now = 6.0
    later = tries(limits, "192.0.2.1", 50)

    assert (at_once, later) == (10, 1)


def test_a_refusal_says_when_to_come_back(clock):
    limits = SignInLimits(per_address=1, per_address_s=60, clock=clock)
    limits.spend_try("192.0.2.1")

    with pytest.raises(Refusal) as raised:
        limits.spend_try("192.0.2.1")

    assert (raised.value.status, raised.value.headers) == (429, {"Retry-After": "60"})


def test_others_are_not_locked_out(clock):
    limits = SignInLimits(clock=clock)
    tries(limits, "192.0.2.1", 50)

    assert tries(limits, "192.0.2.2", 1) == 1


def test_a_success_costs_nothing(clock):
    limits = SignInLimits(per_address=2, clock=clock)

    for _ in range(100):
        limits.spend_try("192.0.2.1")
        limits.give_back("192.0.2.1")

    assert tries(limits, "192.0.2.1", 5) == 2


def test_many_addresses_together_are_slowed_down_but_for_those_that_never_failed(clock):
    limits = SignInLimits(per_address=10, overall=30, clock=clock)
    for n in range(30):
        tries(limits, f"198.51.100.{n}", 1)

    again = sum(tries(limits, f"198.51.100.{n}", 1) for n in range(30))

    assert again == 0
    assert tries(limits, "192.0.2.1", 1) == 1
    clock.now = 60.0
    assert tries(limits, "198.51.100.7", 1) == 1


def test_memory_is_bounded(clock):
    limits = SignInLimits(most_addresses=100, clock=clock)

    for n in range(10_000):
        tries(limits, f"10.0.{n // 256}.{n % 256}", 1)

    assert len(limits._known) == 100


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("testclient", "testclient", True),
        ("192.0.2.1", "192.0.2.2", False),
    ],
)
def test_a_household_counts_as_one(clock, one, other, same):
    limits = SignInLimits(per_address=1, clock=clock)
    limits.spend_try(one)

    assert tries(limits, other, 1) == (0 if same else 1)


def test_a_clock_that_stands_or_jumps_back_gives_nothing_away(clock):
    limits = SignInLimits(per_address=1, clock=clock)
    limits.spend_try("192.0.2.1")
    clock.now = -1000.0

    assert tries(limits, "192.0.2.1", 3) == 0
