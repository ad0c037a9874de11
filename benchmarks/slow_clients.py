"""A good sender's p99 while others hold connections open: 200 that dribble, 1,000 that say nothing.

Half of those that dribble never finish a head, half have a good secret and never finish a body; all
come back as soon as they are closed. The good sender posts 4 KB calls to the real, durable route,
over connections that it keeps and over one for each call. Conditions take turns within each round;
ratios are to the same round without slow senders, and medians over the rounds.
Run: python benchmarks/slow_clients.py [--rounds N] [--seconds S] [--connections C]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import uvloop
from load import Load, run_load

ALONE, DRIBBLING, SILENT = "alone", "200 dribbling", "1,000 silent"
SLOW = {ALONE: (0, 0), DRIBBLING: (200, 0), SILENT: (0, 1000)}
WAYS = {"kept connections": False, "a connection each": True}
GOAL = 1.5


def main() -> None:
    """Prints the table; exits 1 where 200 dribbling senders cost more than the goal."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--seconds", type=float, default=3)
    options.add_argument("--connections", type=int, default=8)
    options.add_argument("--serve", help=argparse.SUPPRESS)
    options.add_argument("--dawdle", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.serve:
        serve(Path(chosen.serve))
    elif chosen.dawdle:
        uvloop.run(dawdle(json.loads(chosen.dawdle)))
    else:
        sys.exit(0 if measure(chosen.rounds, chosen.seconds, chosen.connections) else 1)


def measure(rounds: int, seconds: float, connections: int) -> bool:
    """Whether the goal is met; prints what was measured."""
    runs: dict[tuple[str, str], list[Load]] = {(way, slow): [] for way in WAYS for slow in SLOW}
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as (url, head):
        request = a_request(head, 4_000)
        run_load(url, request, connections=connections, seconds=1)
        for number in range(rounds):
            for turn in range(len(SLOW)):
                slow = list(SLOW)[(number + turn) % len(SLOW)]
                with dawdling(url, head, *SLOW[slow]):
                    for way, fresh in WAYS.items():
                        load = run_load(
                            url, request, connections=connections, seconds=seconds, fresh=fresh
                        )
                        runs[way, slow].append(load)
    print(f"{connections} connections of a good sender, {rounds} rounds of {seconds:g} s")
    print(f"{'':36}{'calls/s':>9}{'p50 ms':>8}{'p99 ms':>8}{'of alone':>20}{'failed':>8}")
    met = True
    for (way, slow), loads in runs.items():
        shares = [
            load.percentile_ms(0.99) / alone.percentile_ms(0.99)
            for load, alone in zip(loads, runs[way, ALONE], strict=True)
        ]
        ratio = statistics.median(shares)
        print(
            f"{way + ', ' + slow:36}"
            f"{statistics.median(load.per_second for load in loads):9.0f}"
            f"{statistics.median(load.percentile_ms(0.5) for load in loads):8.2f}"
            f"{statistics.median(load.percentile_ms(0.99) for load in loads):8.2f}"
            f"{ratio:7.2f} ({min(shares):.2f}-{max(shares):.2f})"
            f"{sum(load.failed for load in loads):8}"
        )
        met = met and (slow != DRIBBLING or ratio <= GOAL)
        met = met and not any(load.failed for load in loads)
    return met


def a_request(head: str, size: int) -> bytes:
    """A whole request with a call of about that size."""
    report = {
        "type": "end-of-call-report",
        "endedReason": "customer-ended-call",
        "call": {"id": "01a1f97c-7300-7aa2-9c10-5f3a2b6d8e01", "type": "inboundPhoneCall"},
        "customer": {"number": "+14155550123"},
        "artifact": {"transcript": "User: Friday, please.\n" * ((size - 300) // 22)},
        "analysis": {"summary": "The caller moved a cleaning to Friday at ten."},
    }
    body = json.dumps({"message": report}).encode()
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, str]]:
    """Lends the address of a real receiver, and the head of a request that it takes."""
    with subprocess.Popen(
        [sys.executable, __file__, "--serve", str(folder)], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            url, path, secret = process.stdout.readline().split()
            yield url, f"POST {path} HTTP/1.1\r\nHost: x\r\nX-Vapi-Secret: {secret}\r\n"
        finally:
            process.terminate()


def serve(folder: Path) -> None:
    """Serves the real receiver, with store and stream in `folder`."""
    from call_stream.stream import open_writer
    from receiver.app import create_app
    from receiver.server import build_server
    from receiver.settings import ReceiverSettings
    from target_hubspot_calls.store.database import open_database
    from target_hubspot_calls.store.webhooks import Webhooks

    webhooks = Webhooks(open_database(f"sqlite:///{folder}/store.db"))
    webhook, secret = webhooks.create("ada", "analytics")
    app = create_app(
        ReceiverSettings(), stream=open_writer(f"file:{folder}/stream"), webhooks=webhooks
    )

    def say(url: str) -> None:
        print(url, f"/api/webhooks/{webhook.id}", secret, flush=True)

    build_server(app, "127.0.0.1", 0, on_listening=say).run()


@contextmanager
def dawdling(url: str, head: str, dribbling: int, silent: int) -> Iterator[None]:
    """Keeps so many slow senders connected meanwhile."""
    if not dribbling + silent:
        yield
        return
    plan = json.dumps({"url": url, "head": head, "dribbling": dribbling, "silent": silent})
    with subprocess.Popen(
        [sys.executable, __file__, "--dawdle", plan], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield
        finally:
            process.kill()
    time.sleep(0.5)


async def dawdle(plan: dict[str, str]) -> None:
    """Holds the connections until it is killed, and says when all are open."""
    address = urlsplit(plan["url"])
    unfinished_head = plan["head"].encode() + b"X-Slow: "
    unfinished_body = f"{plan['head']}Content-Length: 100000\r\n\r\n".encode()
    waits = asyncio.Semaphore(50)
    opened = asyncio.Semaphore(0)

    async def hold(start: bytes) -> None:
        while True:
            try:
                async with waits:
                    reader, writer = await asyncio.open_connection(address.hostname, address.port)
                opened.release()
                writer.write(start)
                closed = asyncio.ensure_future(reader.read())
                while not closed.done():
                    await asyncio.wait([closed], timeout=1)
                    if start:
                        writer.write(b"a")
                writer.close()
            except (OSError, RuntimeError):  # uvloop's word for a connection that is closed
                continue

    starts = [unfinished_head, unfinished_body] * (int(plan["dribbling"]) // 2)
    starts += [b""] * int(plan["silent"])
    held = [asyncio.create_task(hold(start)) for start in starts]
    for _ in held:
        await opened.acquire()
    print("open", flush=True)
    await asyncio.gather(*held)


if __name__ == "__main__":
    main()
