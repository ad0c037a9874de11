"""How often somebody may try to sign in: by address, and over all that have failed before.

Keys cannot be guessed; this keeps guessing cheap for us. Memory is bounded, and nobody is locked
out by what others do: an address that has not failed lately may always try.
"""

from __future__ import annotations

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from receiver.answers import Refusal


@dataclass
class _Bucket:
    """Tries left, filled up again as time passes."""

    left: float
    at: float


class SignInLimits:
    """Tries per address and over all; a successful one costs nothing."""

    def __init__(
        self,
        *,
        per_address: int = 10,
        per_address_s: float = 60.0,
        overall: int = 300,
        overall_s: float = 60.0,
        most_addresses: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._per_address = per_address
        self._per_address_s = per_address_s
        self._overall_most = overall
        self._overall_s = overall_s
        self._most_addresses = most_addresses
        self._clock = clock
        self._overall = _Bucket(overall, clock())
        self._known: OrderedDict[str, _Bucket] = OrderedDict()

    def spend_try(self, address: str) -> None:
        """Counts a try before it is made, so that many at once count too. Raises Refusal (429)."""
        group = _group(address)
        now = self._clock()
        bucket = self._known.get(group)
        _fill(self._overall, now, self._overall_most, self._overall_s)
        if bucket is not None:
            _fill(bucket, now, self._per_address, self._per_address_s)
            if bucket.left < 1:
                raise _too_many((1 - bucket.left) * self._per_address_s / self._per_address)
            has_failed = bucket.left < self._per_address
            if has_failed and self._overall.left < 1:
                raise _too_many((1 - self._overall.left) * self._overall_s / self._overall_most)
        else:
            bucket = self._known[group] = _Bucket(self._per_address, now)
        bucket.left -= 1
        self._overall.left = max(0.0, self._overall.left - 1)
        self._known.move_to_end(group)
        while len(self._known) > self._most_addresses:
            self._known.popitem(last=False)

    def give_back(self, address: str) -> None:
        """A try was a success: it costs neither its address nor the others anything."""
        bucket = self._known.get(_group(address))
        if bucket is not None:
            bucket.left = min(self._per_address, bucket.left + 1)
        self._overall.left = min(self._overall_most, self._overall.left + 1)


def _fill(bucket: _Bucket, now: float, most: int, within_s: float) -> None:
    bucket.left = min(most, bucket.left + max(0.0, now - bucket.at) * most / within_s)
    bucket.at = now


def _group(address: str) -> str:
    """The address itself, or of an IPv6 one its /64: that many any household has."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if parsed.version == 6:
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


def _too_many(wait_s: float) -> Refusal:
    return Refusal(
        429,
        "too_many_sign_ins",
        "There were too many tries to sign in; wait a little.",
        {"Retry-After": str(max(1, math.ceil(wait_s)))},
    )
