"""What benchmarks of the receiver share: a closed loop of requests over raw connections.

Run as a process of its own, so that it never shares an interpreter with what it measures.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import uvloop


@dataclass
class Load:
    """What came of a run: seconds of each answered request, and how many were not answered 2xx."""

    taken_s: float
    latencies_s: list[float]
    failed: int

    @property
    def per_second(self) -> float:
        return len(self.latencies_s) / self.taken_s

    def percentile_ms(self, share: float) -> float:
        ordered = sorted(self.latencies_s)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000


def run_load(
    url: str, request: bytes, *, connections: int, seconds: float, fresh: bool = False
) -> Load:
    """Sends `request` over so many connections, each as soon as the last one is answered.

    With `fresh`, each request has a connection of its own.
    """
    options = {
        "url": url,
        "request": request.decode("latin-1"),
        "connections": connections,
        "seconds": seconds,
        "fresh": fresh,
    }
    with tempfile.TemporaryDirectory() as folder:
        run, result = Path(folder) / "run.json", Path(folder) / "load.json"
        run.write_text(json.dumps(options))
        subprocess.run([sys.executable, __file__, str(run), str(result)], check=True)
        return Load(**json.loads(result.read_text()))


class _Lane(asyncio.Protocol):
    """One connection that asks again as soon as it is answered."""

    def __init__(self, run: _Run) -> None:
        self.run = run
        self.begun = 0.0
        self.answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        if not self.run.fresh:
            self.begun = time.perf_counter()
        self.transport.write(self.run.request)

    def data_received(self, data: bytes) -> None:
        self.answer += data
        head, found, body = self.answer.partition(b"\r\n\r\n")
        if not found or len(body) < _length(head):
            return
        now = time.perf_counter()
        if self.answer.startswith(b"HTTP/1.1 2"):
            self.run.latencies_s.append(now - self.begun)
        else:
            self.run.failed += 1
        self.answer = b""
        if now >= self.run.ends_at or self.run.fresh or b"connection: close" in head.lower():
            self.transport.close()
        else:
            self.begun = now
            self.transport.write(self.run.request)

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            self.run.failed += 1
        self.run.again()


class _Run:
    def __init__(self, request: bytes, url: str, seconds: float, fresh: bool) -> None:
        self.request = request
        self.fresh = fresh
        self.latencies_s: list[float] = []
        self.failed = 0
        self.address = urlsplit(url)
        self.started = time.perf_counter()
        self.ends_at = self.started + seconds
        self.open = 0
        self.done = asyncio.Event()
        self.connecting: set[asyncio.Task[None]] = set()

    def connect(self) -> None:
        task = asyncio.get_running_loop().create_task(self._connect())
        self.connecting.add(task)
        task.add_done_callback(self.connecting.discard)

    async def _connect(self) -> None:
        lane = _Lane(self)
        lane.begun = time.perf_counter()
        self.open += 1
        await asyncio.get_running_loop().create_connection(
            lambda: lane, self.address.hostname or "127.0.0.1", self.address.port or 80
        )

    def again(self) -> None:
        self.open -= 1
        if time.perf_counter() < self.ends_at:
            self.connect()
        elif self.open == 0:
            self.done.set()


def _length(head: bytes) -> int:
    _, found, rest = head.lower().partition(b"content-length: ")
    return int(rest.partition(b"\r\n")[0]) if found else 0


async def _run(options: dict[str, object]) -> Load:
    run = _Run(
        str(options["request"]).encode("latin-1"),
        str(options["url"]),
        float(str(options["seconds"])),
        bool(options["fresh"]),
    )
    for _ in range(int(str(options["connections"]))):
        run.connect()
    await run.done.wait()
    return Load(time.perf_counter() - run.started, run.latencies_s, run.failed)


if __name__ == "__main__":
    chosen, written = map(Path, sys.argv[1:])
    written.write_text(json.dumps(vars(uvloop.run(_run(json.loads(chosen.read_text()))))))
