"""Deliveries per second with 1, 2 and 4 workers over many portals, HubSpot's limits on.

The calls become due all at once, as after an outage, when all workers are there; counted is from
the first note to the last. Everything runs on this machine, where PostgreSQL, NATS and the pretend
portals take their part of the cores, so that without `--cores` more workers help only until those
are full. With it each worker may use so much of a core (Linux, cgroups, root), as if on a smaller
machine of its own, and more workers have more. The table says what each part took of a processor
for a note. Rounds take turns, since a machine's speed moves.
Run: python -m benchmarks.workers [--workers N ...] [--portals N] [--calls N] [--cores C]
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from target_hubspot_calls.call import Workspace, parse_call
from target_hubspot_calls.store.database import open_database
from target_hubspot_calls.store.ledger import Ledger
from tests.journeys.hosts import Hosts, several_hosts

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_LONGEST_S = 600.0
_PERIOD_US = 100_000


@dataclass(frozen=True)
class Measured:
    """What some workers did together."""

    per_s: float
    """Notes a second, from the first to the last."""
    cores: float
    """Processor time that all of the machine used meanwhile, per second."""
    ms_per_note: dict[str, float]
    """Processor time of each part for a note, in milliseconds."""
    refused: int
    """Requests that a portal's limits refused."""


PARTS = ("workers", "PostgreSQL", "NATS", "portals")


def main() -> None:
    """Prints the table."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--workers", type=int, nargs="*", default=[1, 2, 4])
    options.add_argument("--portals", type=int, default=50)
    options.add_argument("--calls", type=int, default=5_000)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--cores", type=float, help="how much of a core each worker may use")
    options.add_argument("--known", action="store_true", help="each portal has had calls before")
    chosen = options.parse_args()
    measured: dict[int, list[Measured]] = {workers: [] for workers in chosen.workers}
    for _ in range(chosen.rounds):
        for workers in chosen.workers:
            measured[workers].append(
                measure(
                    workers, chosen.portals, chosen.calls, cores=chosen.cores, known=chosen.known
                )
            )
    limit = f", each worker at most {chosen.cores:g} of one" if chosen.cores else ""
    print(
        f"{chosen.calls} calls to {chosen.portals} portals, {chosen.rounds} rounds,"
        f" {os.cpu_count()} cores for everything{limit}"
    )
    heads = "".join(f"{part:>12}" for part in PARTS)
    print(f"{'workers':>8}{'notes/s':>10}{'of one':>8}{'cores':>7}{'429s':>6}  ms a note:{heads}")
    one = None
    for workers, rounds in measured.items():
        per_s = statistics.median(each.per_s for each in rounds)
        one = one or per_s
        cores = statistics.median(each.cores for each in rounds)
        refused = sum(each.refused for each in rounds)
        parts = [statistics.median(each.ms_per_note[part] for each in rounds) for part in PARTS]
        taken = "".join(f"{ms:12.2f}" for ms in parts)
        print(
            f"{workers:8}{per_s:10.0f}{per_s / one:8.2f}{cores:7.2f}{refused:6}{'':12}{taken}",
            flush=True,
        )


def measure(
    workers: int, portals: int, calls: int, *, cores: float | None, known: bool
) -> Measured:
    """What so many workers do with the calls."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        hosts = stack.enter_context(several_hosts(folder, portals=portals))
        for _ in range(workers):
            pid = hosts.add_worker().pid
            if cores is not None:
                stack.enter_context(limited(pid, cores))
        alive = "select count(*) from runs"
        hosts.wait_for(lambda: hosts.query(alive) == [(workers,)], _LONGEST_S, "not all started")
        before = portals * 2 if known else 0
        accept(hosts, range(before))
        hosts.wait_for(lambda: hosts.count_notes() >= before, _LONGEST_S, "not delivered before")
        accept(hosts, range(before, before + calls))
        hosts.wait_for(lambda: hosts.count_notes() > before, _LONGEST_S, "no note")
        used, busy, begun = _used_s(hosts), _busy_s(), time.monotonic()
        hosts.wait_for(lambda: hosts.count_notes() >= before + calls, _LONGEST_S, "not delivered")
        taken = {part: seconds - used[part] for part, seconds in _used_s(hosts).items()}
        busy_cores = (_busy_s() - busy) / (time.monotonic() - begun)
        made = sorted(datetime.fromisoformat(at).timestamp() for _, at in hosts.made_notes())
        made = made[before:]
        return Measured(
            len(made) / (made[-1] - made[0]),
            busy_cores,
            {part: seconds * 1000 / len(made) for part, seconds in taken.items()},
            hosts.refused_by_portals(),
        )


def accept(hosts: Hosts, numbers: range) -> None:
    """Puts calls into the ledger, to all portals in turn; they are due from then on."""
    engine = open_database(hosts.variables["HUBSPOT_CALLS_DATABASE_URL"])
    calls = [
        parse_call(
            {
                "id": f"call-{number:06d}",
                "source": "webhook",
                "customer_number": f"+1415555{100 + number % 50:04d}",
                "started_at": "2026-11-20T15:04:06.000Z",
                "ended_at": "2026-11-20T15:05:21.600Z",
                "summary": "The caller moved a cleaning to Friday at ten.",
                "transcript": "AI: Harbor Dental.\nUser: Friday, please.\n" * 20,
            },
            Workspace("user", f"workspace-{number % len(hosts.doors)}"),
        )
        for number in numbers
    ]
    Ledger(engine).accept(calls, now=datetime.now(UTC))
    engine.dispose()


@contextmanager
def limited(pid: int, cores: float) -> Iterator[None]:
    """The process, and whatever it starts, may use so much of a core in each tenth of a second."""
    quota = int(cores * _PERIOD_US)
    old, new = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup")
    group = (old if old.is_dir() else new) / f"benchmark-{pid}"
    try:
        group.mkdir()
        if old.is_dir():
            (group / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
            (group / "cpu.cfs_quota_us").write_text(str(quota))
        else:
            (group / "cpu.max").write_text(f"{quota} {_PERIOD_US}")
        (group / "cgroup.procs").write_text(str(pid))
    except OSError as err:
        sys.exit(f"--cores needs root and Linux's cgroups: {err}")
    try:
        yield
    finally:
        with suppress(OSError):
            for left in (group / "cgroup.procs").read_text().split():
                (group.parent / "cgroup.procs").write_text(left)
            group.rmdir()


def _used_s(hosts: Hosts) -> dict[str, float]:
    """Processor time that each part has used since its processes began."""
    parents, seconds = {}, {}
    names = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            name, _, rest = stat.read_text().partition("(")[2].rpartition(")")
            fields = rest.split()
            pid = int(stat.parent.name)
            parents[pid], names[pid] = int(fields[1]), name
            # With what its ended children used.
            seconds[pid] = sum(map(int, fields[11:15])) / _TICKS_PER_S
    workers = {worker.pid for worker in hosts.workers}
    parts: dict[str, Callable[[int], bool]] = {
        "workers": lambda pid: bool(workers & set(_line(pid, parents))),
        "PostgreSQL": lambda pid: names[pid].startswith("postgres"),
        "NATS": lambda pid: names[pid] == "nats-server",
        "portals": lambda pid: pid == os.getpid(),
    }
    return {
        part: sum(s for pid, s in seconds.items() if belongs(pid))
        for part, belongs in parts.items()
    }


def _line(pid: int, parents: dict[int, int]) -> Iterator[int]:
    """The process, its parent, and so on."""
    while pid in parents:
        yield pid
        pid = parents[pid]


def _busy_s() -> float:
    user, nice, system, *_ = Path("/proc/stat").read_text().split()[1:]
    return (int(user) + int(nice) + int(system)) / _TICKS_PER_S


if __name__ == "__main__":
    main()
