"""Deliveries per second with 1, 2 and 4 workers over many portals, HubSpot's limits on.

The calls lie in the stream before the first worker starts, so what is measured is delivery: from
the first note to the last. Everything runs on this machine: PostgreSQL, NATS, the pretend portals
and the workers share its cores, so that more workers help only until those are full; the table says
how full they were. Rounds take turns, since a machine's speed moves.
Run: python -m benchmarks.workers [--workers N ...] [--portals N] [--calls N] [--rounds N]
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tests.journeys.hosts import Sender, several_hosts

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_LONGEST_S = 300.0


@dataclass(frozen=True)
class Measured:
    """What some workers did together."""

    per_s: float
    """Notes a second, from the first to the last."""
    cores: float
    """Processor time that all of the machine used meanwhile, per second."""
    refused: int
    """Requests that a portal's limits refused."""


def main() -> None:
    """Prints the table."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--workers", type=int, nargs="*", default=[1, 2, 4])
    options.add_argument("--portals", type=int, default=50)
    options.add_argument("--calls", type=int, default=5_000)
    options.add_argument("--rounds", type=int, default=3)
    chosen = options.parse_args()
    measured: dict[int, list[Measured]] = {workers: [] for workers in chosen.workers}
    for _ in range(chosen.rounds):
        for workers in chosen.workers:
            measured[workers].append(measure(workers, chosen.portals, chosen.calls))
    print(
        f"{chosen.calls} calls to {chosen.portals} portals, {chosen.rounds} rounds,"
        f" {os.cpu_count()} cores for everything"
    )
    print(f"{'workers':>8}{'notes/s':>10}{'of one':>8}{'cores':>7}{'429s':>6}")
    one = None
    for workers, rounds in measured.items():
        per_s = statistics.median(each.per_s for each in rounds)
        one = one or per_s
        cores = statistics.median(each.cores for each in rounds)
        refused = sum(each.refused for each in rounds)
        print(f"{workers:8}{per_s:10.0f}{per_s / one:8.2f}{cores:7.2f}{refused:6}", flush=True)


def measure(workers: int, portals: int, calls: int) -> Measured:
    """What so many workers do with the calls."""
    with tempfile.TemporaryDirectory() as folder, several_hosts(Path(folder), portals=portals) as h:
        receiver, sender = h.add_receiver(), Sender(h)
        receiver.wait_until_it_says(r"Receiver +(http://\S+?)/")
        sender.send(calls, per_second=1_000_000, at_once=8)
        receiver.stop()
        for _ in range(workers):
            h.add_worker()
        h.wait_for(h.notes, _LONGEST_S, "no note")
        busy, begun = _busy_s(), time.monotonic()
        h.wait_until_delivered(sender, _LONGEST_S)
        cores = (_busy_s() - busy) / (time.monotonic() - begun)
        made = sorted(datetime.fromisoformat(at).timestamp() for _, at in h.made_notes())
        return Measured(len(made) / (made[-1] - made[0]), cores, h.refused_by_portals())


def _busy_s() -> float:
    user, nice, system, *_ = Path("/proc/stat").read_text().split()[1:]
    return (int(user) + int(nice) + int(system)) / _TICKS_PER_S


if __name__ == "__main__":
    main()
