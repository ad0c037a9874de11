"""Webhooks per second and their p99: a bare endpoint, ours, and ours with one fsync per request.

All three take turns within each round, each in a fresh process with an empty data directory, since
the speed of a machine moves more from minute to minute than they differ. Numbers are ratios to the
bare Starlette endpoint of the same round; medians over the rounds.
Needs wrk (Debian: apt-get install wrk).
Run: python benchmarks/webhooks.py [--rounds N] [--seconds S] [--connections C]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from reports import SIZES, a_body
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from call_stream.disk import Disk
from call_stream.file_writer import open_file_writer
from call_stream.segment_log import Entry, SegmentLog, open_segment_log
from call_stream.stream import (
    DEFAULT_OWNER,
    SEGMENT_BYTES,
    CallStreamWriter,
    EntryKind,
    Owner,
    open_reader,
)
from hubspot_calls.commands import serve as command
from hubspot_calls.rooms import open_store
from hubspot_calls.settings import load_settings

BARE, DURABLE, EACH = "bare Starlette", "durable", "fsync per request"
KINDS = (BARE, DURABLE, EACH)
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
    options.add_argument("--serve", help=argparse.SUPPRESS)
    options.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.serve:
        serve(chosen.serve, chosen.folder)
        return
    if shutil.which("wrk") is None:
        sys.exit("This benchmark needs wrk, which is not installed: apt-get install wrk")
    met = [
        measure_size(name, a_body(size), chosen.rounds, chosen.seconds, chosen.connections)
        for name, size in SIZES.items()
    ]
    sys.exit(0 if all(met) else 1)


def measure_size(name: str, body: bytes, rounds: int, seconds: int, connections: int) -> bool:
    """Whether bodies of this size meet the goals; prints what was measured."""
    runs: dict[str, list[Run]] = {kind: [] for kind in KINDS}
    for number in range(rounds):
        for turn in range(len(KINDS)):
            kind = KINDS[(number + turn) % len(KINDS)]
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
    for kind in KINDS:
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
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "body").write_bytes(body)
        with serving(kind, folder) as (process, url, headers):
            script = folder / "post.lua"
            script.write_text(lua(folder / "body", headers))
            load = ["wrk", "-t1", f"-c{connections}", "--latency", "-s", str(script), url]
            run_wrk([*load, "-d1s"])
            cpu, busy, wrk_cpu = cpu_s(process.pid), busy_s(), os.times().children_user
            wrk_cpu += os.times().children_system
            started = time.monotonic()
            text = run_wrk([*load, f"-d{seconds}s"])
            took_s = time.monotonic() - started
            cpu = cpu_s(process.pid) - cpu
            wrk_cpu = os.times().children_user + os.times().children_system - wrk_cpu
            others = (busy_s() - busy - cpu - wrk_cpu) / took_s
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
    kind: str, folder: Path
) -> Iterator[tuple[subprocess.Popen[bytes], str, dict[str, str]]]:
    """A server in a process of its own: the process, the address and headers to post with."""
    with (folder / "log").open("wb") as log:
        command = [sys.executable, __file__, "--serve", kind, "--folder", str(folder)]
        process = subprocess.Popen(command, stdout=log, stderr=log)
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


def serve(kind: str, folder: Path) -> None:
    """Serves until SIGTERM, then writes down what was stored and flushed."""
    # Uvicorn raises the signal again when it has stopped, and then there is still the count.
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    headers = {"Content-Type": "application/json"}
    disk = CountingDisk()
    if kind == BARE:
        BareServer(bare_config(), folder).run()
    else:
        os.environ["HUBSPOT_CALLS_DATA_DIR"] = str(folder / "data")
        (folder / "data").mkdir(mode=0o700)
        with open_store(load_settings(folder)) as store:
            webhook, headers["X-Vapi-Secret"] = store.webhooks.create("bench", "bench")
        run_command(kind, folder, f"/api/webhooks/{webhook.id}", headers, disk)
    stored = sum(1 for _ in open_reader(f"file:{folder}/data/stream").read())
    (folder / "counted").write_text(json.dumps({"fsyncs": disk.fsyncs, "stored": stored}))


def run_command(
    kind: str, folder: Path, path: str, headers: dict[str, str], disk: CountingDisk
) -> None:
    """Runs `hubspot-calls serve --no-sync` as it is, but for its stream's disk being counted."""
    build_server = vars(command)["build_server"]

    def open_stream(url: str, **options: float | None) -> CallStreamWriter:
        directory = Path(url.removeprefix("file:"))
        if kind == EACH:
            return OneByOne(directory, disk)
        return open_file_writer(directory, disk=disk)

    def build(*arguments: Any, on_listening: Callable[[str], None], **options: Any) -> Any:
        def told(url: str) -> None:
            on_listening(url)
            announce(folder, url + path, headers)

        return build_server(*arguments, on_listening=told, **options)

    vars(command).update(open_writer=open_stream, build_server=build)
    command.serve.main(["--no-sync", "--port", "0"], standalone_mode=False)


def announce(folder: Path, url: str, headers: dict[str, str]) -> None:
    """Tells the other process where to post, in one step."""
    temporary = folder / "address.tmp"
    temporary.write_text(json.dumps({"url": url, "headers": headers}))
    temporary.rename(folder / "address")


def bare() -> Starlette:
    """The least that reads a body and answers 200."""

    async def endpoint(request: Request) -> Response:
        await request.body()
        return Response(b"{}", media_type="application/json")

    return Starlette(routes=[Route("/api/webhooks/{webhook_id}", endpoint, methods=["POST"])])


def bare_config() -> uvicorn.Config:
    """Uvicorn's settings as our server has them, with nothing of ours added."""
    return uvicorn.Config(
        bare(),
        port=0,
        access_log=False,
        log_config=None,
        proxy_headers=False,
        server_header=False,
    )


class BareServer(uvicorn.Server):
    """A uvicorn server as it comes, which says where it listens."""

    def __init__(self, config: uvicorn.Config, folder: Path) -> None:
        super().__init__(config)
        self._folder = folder

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        port = self.servers[0].sockets[0].getsockname()[1]
        headers = {"Content-Type": "application/json"}
        announce(self._folder, f"http://127.0.0.1:{port}/api/webhooks/bare", headers)


class CountingDisk(Disk):
    """The real disk, counting how often it is asked to flush."""

    fsyncs = 0

    def fdatasync(self, fd: int) -> None:
        self.fsyncs += 1
        super().fdatasync(fd)


class OneByOne:
    """The same stream without group commit: each entry written and flushed alone, in a thread."""

    def __init__(self, directory: Path, disk: Disk) -> None:
        self._log: SegmentLog = open_segment_log(
            directory, segment_bytes=SEGMENT_BYTES, retention_days=None, disk=disk
        )
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor()

    def append(
        self, kind: EntryKind, payload: bytes, *, owner: Owner = DEFAULT_OWNER
    ) -> Future[int]:
        return self._threads.submit(self._store, kind, payload)

    def append_async(
        self, kind: EntryKind, payload: bytes, *, owner: Owner = DEFAULT_OWNER
    ) -> asyncio.Future[int]:
        return asyncio.wrap_future(self.append(kind, payload))

    def check(self) -> None:
        return

    def close(self) -> None:
        self._threads.shutdown()
        with self._lock:
            if self._log.fault is None:
                self._log.close()
                self._log.fault = "closed"

    def _store(self, kind: EntryKind, payload: bytes) -> int:
        with self._lock:
            return self._log.append([Entry(int(kind), time.time_ns(), payload)])[0]


if __name__ == "__main__":
    logging.captureWarnings(capture=True)
    main()
