"""Webhooks per second and their p99: a bare endpoint, ours, and ours with one fsync per request.

All take turns within each round, each in a fresh process with an empty data directory, since the
speed of a machine moves more from minute to minute than they differ. Numbers are ratios to the
bare Starlette endpoint of the same round; medians over the rounds. With --jetstream ours on a NATS
server of its own is compared, too; what that server uses is not in the processor's time.
Needs wrk (Debian: apt-get install wrk).
Run: python benchmarks/webhooks.py [--rounds N] [--seconds S] [--connections C] [--jetstream]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from reports import SIZES, a_body
from webhook_servers import BARE, DURABLE, EACH, JETSTREAM

from tests.call_stream.nats_server import nats_server

GOALS = {"throughput": 0.75, "p99": 3.0, "over fsync per request": 4.0, "requests per fsync": 8.0}
DISTURBED_CORES, TRIES, PATIENCE_S = 0.35, 3, 20.0
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass
class Run:
    """What one server did under load."""

    per_s: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    """Processor time of the server for each request."""
    fsyncs: float
    """Calls of fdatasync for each request that was stored."""
    others_cores: float
    """Cores that anybody but the server and wrk used meanwhile."""


def main() -> None:
    """Prints the table; exits 1 where a goal is missed."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=int, default=4)
    options.add_argument("--connections", type=int, default=64)
    options.add_argument("--jetstream", action="store_true")
    chosen = options.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("This benchmark needs wrk, which is not installed: apt-get install wrk")
    kinds = [BARE, DURABLE, EACH, *([JETSTREAM] if chosen.jetstream else [])]
    met = [
        measure_size(name, kinds, a_body(size), chosen.rounds, chosen.seconds, chosen.connections)
        for name, size in SIZES.items()
    ]
    sys.exit(0 if all(met) else 1)


def measure_size(
    name: str, kinds: Sequence[str], body: bytes, rounds: int, seconds: int, connections: int
) -> bool:
    """Whether bodies of this size meet the goals; prints what was measured."""
    runs: dict[str, list[Run]] = {kind: [] for kind in kinds}
    for number in range(rounds):
        for turn in range(len(kinds)):
            kind = kinds[(number + turn) % len(kinds)]
            runs[kind].append(measure_in_peace(kind, body, seconds, connections))
    others = max(run.others_cores for each in runs.values() for run in each)
    print(
        f"\n{name} bodies ({len(body)} bytes), {connections} connections, {rounds} rounds of"
        f" {seconds} s; others used at most {others:.2f} cores"
    )
    print(
        f"{'':18} {'requests/s':>10} {'of bare':>15} {'p50 ms':>7} {'p99 ms':>7}"
        f" {'of bare':>8} {'CPU us':>7} {'requests per fsync':>19}"
    )
    for kind in kinds:
        shares = ratios(runs, kind, BARE, "per_s")
        fsyncs = statistics.median(run.fsyncs for run in runs[kind])
        print(
            f"{kind:18} {median(runs, kind, 'per_s'):10.0f}"
            f" {statistics.median(shares):5.2f} ({min(shares):.2f}-{max(shares):.2f})"
            f" {median(runs, kind, 'p50_ms'):7.1f} {median(runs, kind, 'p99_ms'):7.1f}"
            f" {statistics.median(ratios(runs, kind, BARE, 'p99_ms')):8.2f}"
            f" {median(runs, kind, 'cpu_us'):7.0f} {1 / fsyncs if fsyncs else 0:19.1f}"
        )
    reached = {
        "throughput": statistics.median(ratios(runs, DURABLE, BARE, "per_s")),
        "p99": statistics.median(ratios(runs, DURABLE, BARE, "p99_ms")),
        "over fsync per request": statistics.median(ratios(runs, DURABLE, EACH, "per_s")),
        "requests per fsync": 1 / median(runs, DURABLE, "fsyncs"),
    }
    met = True
    for goal, bound in GOALS.items():
        at_most = goal == "p99"
        good = reached[goal] <= bound if at_most else reached[goal] >= bound
        met = met and good
        print(
            f"  {goal}: {reached[goal]:.2f}, goal {'at most' if at_most else 'at least'} {bound:g}:"
            f" {'met' if good else 'MISSED'}"
        )
    return met


def median(runs: dict[str, list[Run]], kind: str, what: str) -> float:
    """The middle of what all rounds of one kind measured."""
    return float(statistics.median(getattr(run, what) for run in runs[kind]))


def ratios(runs: dict[str, list[Run]], kind: str, to: str, what: str) -> list[float]:
    """The one kind divided by the other, round by round."""
    pairs = zip(runs[kind], runs[to], strict=True)
    return [getattr(run, what) / getattr(other, what) for run, other in pairs]


def measure_in_peace(kind: str, body: bytes, seconds: int, connections: int) -> Run:
    """The least disturbed of a few runs, the first if nobody else uses the machine meanwhile."""
    runs = []
    for _ in range(TRIES):
        wait_for_peace()
        runs.append(measure(kind, body, seconds, connections))
        if runs[-1].others_cores <= DISTURBED_CORES:
            break
    return min(runs, key=lambda run: run.others_cores)


def wait_for_peace() -> None:
    """Returns when others leave the machine alone, or after a while in any case."""
    give_up_at = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up_at:
        busy, started = busy_s(), time.monotonic()
        time.sleep(0.5)
        if (busy_s() - busy) / (time.monotonic() - started) <= DISTURBED_CORES:
            return


def measure(kind: str, body: bytes, seconds: int, connections: int) -> Run:
    """What a fresh server does under load, after a second to warm up."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "body").write_bytes(body)
        nats, variables = None, {}
        if kind == JETSTREAM:
            nats = stack.enter_context(nats_server())
            variables["HUBSPOT_CALLS_STREAM_URL"] = nats.url("CALLS")
        with serving(kind, folder, variables) as (process, url, headers):
            script = folder / "post.lua"
            script.write_text(lua(folder / "body", headers))
            load = ["wrk", "-t1", f"-c{connections}", "--latency", "-s", str(script), url]
            run_wrk([*load, "-d1s"])
            nats_cpu = cpu_s(nats.pid) if nats else 0.0
            cpu, busy, wrk_cpu = cpu_s(process.pid), busy_s(), os.times().children_user
            wrk_cpu += os.times().children_system
            started = time.monotonic()
            text = run_wrk([*load, f"-d{seconds}s"])
            took_s = time.monotonic() - started
            cpu = cpu_s(process.pid) - cpu
            wrk_cpu = os.times().children_user + os.times().children_system - wrk_cpu
            nats_cpu = (cpu_s(nats.pid) if nats else 0.0) - nats_cpu
            others = (busy_s() - busy - cpu - wrk_cpu - nats_cpu) / took_s
        counted = json.loads((folder / "counted").read_text())
        tail = "".join((folder / "log").read_text().splitlines(keepends=True)[-5:])
    if "Non-2xx" in text or "Socket errors" in text:
        sys.exit(f"{kind} did not answer every request with 200:\n{text}{tail}")
    requests = int(re.findall(r"(\d+) requests in", text)[0])
    return Run(
        per_s=float(re.findall(r"Requests/sec:\s+([\d.]+)", text)[0]),
        p50_ms=milliseconds(re.findall(r"(?m)^ +50%\s+(\S+)", text)[0]),
        p99_ms=milliseconds(re.findall(r"(?m)^ +99%\s+(\S+)", text)[0]),
        cpu_us=cpu / requests * 1e6,
        fsyncs=counted["fsyncs"] / max(counted["stored"], 1),
        others_cores=max(others, 0.0),
    )


def run_wrk(command: list[str]) -> str:
    """What wrk says."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"wrk failed: {done.stdout}{done.stderr}")
    return done.stdout


def milliseconds(written: str) -> float:
    """A time of wrk's, such as `1.25ms`."""
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m)", written).groups()  # type: ignore[union-attr]
    return float(number) * {"us": 0.001, "ms": 1, "s": 1000, "m": 60_000}[unit]


def lua(body: Path, headers: dict[str, str]) -> str:
    """What wrk sends."""
    lines = [f'wrk.headers["{name}"] = "{value}"' for name, value in headers.items()]
    return "\n".join(
        ['wrk.method = "POST"', f'wrk.body = io.open("{body}", "rb"):read("*a")', *lines]
    )


def cpu_s(pid: int) -> float:
    """Processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def busy_s() -> float:
    """Processor time that all processes of the machine have used, or that its host has taken."""
    user, nice, system, _, _, _, _, stolen, *_ = Path("/proc/stat").read_text().split()[1:]
    return (int(user) + int(nice) + int(system) + int(stolen)) / _TICKS_PER_S


@contextmanager
def serving(
    kind: str, folder: Path, variables: Mapping[str, str]
) -> Iterator[tuple[subprocess.Popen[bytes], str, dict[str, str]]]:
    """A server in a process of its own: the process, the address and headers to post with."""
    with (folder / "log").open("wb") as log:
        program = Path(__file__).with_name("webhook_servers.py")
        command = [sys.executable, str(program), kind, str(folder)]
        process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | variables)
        try:
            address = folder / "address"
            while not address.exists():
                if process.poll() is not None:
                    sys.exit(f"{kind} did not start:\n{(folder / 'log').read_text()}")
                time.sleep(0.02)
            told = json.loads(address.read_text())
            yield process, told["url"], told["headers"]
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


if __name__ == "__main__":
    main()
