"""Appends and reads per second of a call stream in files against one on JetStream, side by side.

Each round appends to one engine and then to the other, first one entry at a time, then with so many
callers of one event loop waiting at once as a busy receiver has; then both are read to their end.
JetStream is asked on a server of its own, alone or three as a cluster (--replicas 3); the servers
share this machine's processors, as a receiver's own host would not. Files are flushed before every
acknowledgement; servers only with --flushed, for which they must be 2.10 or newer.
Needs nats-server; the environment's NATS_SERVER names another than PATH has.
Run: python benchmarks/streams.py [--entries N] [--bytes N] [--rounds N] [--replicas 3] [--flushed]
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from call_stream.stream import CallStreamWriter, EntryKind, open_reader, open_writer
from tests.call_stream.nats_server import cluster_url, nats_cluster, nats_server

AT_ONCE = (1, 64, 512)
WORKSPACES = 50


def main() -> None:
    """Prints medians over the rounds."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--entries", type=int, default=10_000)
    options.add_argument("--bytes", type=int, default=4_000)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--replicas", type=int, choices=(1, 3), default=1)
    options.add_argument("--flushed", action="store_true")
    chosen = options.parse_args()
    jetstream = ", sync_interval: always" if chosen.flushed else ""
    payload = b"x" * chosen.bytes
    figures: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for round_ in range(chosen.rounds):
        with (
            tempfile.TemporaryDirectory() as folder,
            servers(chosen.replicas, jetstream) as network,
        ):
            for name, url in (("files", f"file:{folder}/stream"), ("JetStream", network)):
                writer = open_writer(url)
                for at_once in AT_ONCE:
                    # One at a time is slow, and needs no more to be steady.
                    count = chosen.entries if at_once > 1 else chosen.entries // 10
                    taken = asyncio.run(append(writer, payload, count, at_once))
                    figures.setdefault((f"append, {at_once} at once", name), []).append(taken)
                figures.setdefault(("read", name), []).append((read(url), 0.0))
                writer.close()
        print(f"round {round_ + 1} of {chosen.rounds} done", file=sys.stderr)
    flushed = "flushed before each acknowledgement" if chosen.flushed else "not flushed"
    print(f"entries of {chosen.bytes:,} bytes; {chosen.replicas} JetStream server(s), {flushed}\n")
    show(figures)


@contextmanager
def servers(replicas: int, jetstream: str) -> Iterator[str]:
    """The URL of a stream on new servers, with these words more in their block jetstream."""
    if replicas == 1:
        with nats_server(jetstream=jetstream) as server:
            yield server.url("CALLS")
    else:
        with nats_cluster(replicas, jetstream=jetstream) as several:
            yield cluster_url(several, "CALLS", replicas)


async def append(
    writer: CallStreamWriter, payload: bytes, count: int, at_once: int
) -> tuple[float, float]:
    """Entries acknowledged a second, and the 99th percentile of how long each took, in ms."""
    numbers = iter(range(count))
    took: list[float] = []

    async def keep_appending() -> None:
        for number in numbers:
            began = time.perf_counter()
            owner = ("user", f"workspace-{number % WORKSPACES}")
            await writer.append_async(EntryKind.REPORT, payload, owner=owner)
            took.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*[keep_appending() for _ in range(at_once)])
    seconds = time.perf_counter() - began
    return count / seconds, sorted(took)[int(len(took) * 0.99)] * 1000


def read(url: str) -> float:
    """Entries read a second."""
    reader = open_reader(url)
    began = time.perf_counter()
    count = sum(1 for _ in reader.read())
    return count / (time.perf_counter() - began)


def show(figures: Mapping[tuple[str, str], Sequence[tuple[float, float]]]) -> None:
    """Prints the table."""
    print(f"{'':22} {'files/s':>9} {'p99 ms':>8} {'JetStream/s':>12} {'p99 ms':>8} {'ratio':>6}")
    for what in dict.fromkeys(what for what, _ in figures):
        files, network = figures[what, "files"], figures[what, "JetStream"]
        ratio = statistics.median(n[0] / f[0] for f, n in zip(files, network, strict=True))
        cells = [
            f"{statistics.median(rate for rate, _ in taken):{width}.0f}"
            f" {statistics.median(p99 for _, p99 in taken):8.1f}"
            for taken, width in ((files, 9), (network, 12))
        ]
        print(f"{what:22} {cells[0]} {cells[1]} {ratio:6.2f}")


if __name__ == "__main__":
    main()
