"""Reports per second that tap-vapi reads from the call stream, against parsing their bodies alone.

Each round runs the tap as a command over the same stream and then parses as many bodies whole with
msgspec, which is as fast as any; both are given in the table.
Run: python benchmarks/tap.py [--calls N] [--rounds N]
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import msgspec
from portal import Taken, script, timed
from reports import SIZES, a_body, bodies

from call_stream.excerpt import cut_excerpt
from call_stream.stream import EntryKind, open_writer


def main() -> None:
    """Prints medians, and the memory of a tap that reads ten times as much."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--calls", type=int, default=20_000)
    options.add_argument("--rounds", type=int, default=3)
    chosen = options.parse_args()
    print(f"{'':8} {'tap, reports/s':>15} {'msgspec, bodies/s':>18} {'ratio':>6} {'peak MB':>8}")
    for name, size in SIZES.items():
        body = a_body(size)
        with tempfile.TemporaryDirectory() as folder:
            none, some, all_of_them = (Path(folder) / each for each in ("none", "some", "all"))
            fill(none, body, 0)
            fill(some, body, chosen.calls // 10)
            fill(all_of_them, body, chosen.calls)
            rates, parsed, peaks = [], [], []
            for _ in range(chosen.rounds):
                start_s = read(none).seconds
                taken = read(all_of_them)
                rates.append(chosen.calls / (taken.seconds - start_s))
                parsed.append(rate_of(partial(msgspec.json.decode, body), chosen.calls // 10))
                peaks.append(taken.peak_mb)
            peak_of_some = read(some).peak_mb
        ratio = statistics.median(rate / other for rate, other in zip(rates, parsed, strict=True))
        print(
            f"{name:8} {statistics.median(rates):15.0f} {statistics.median(parsed):18.0f}"
            f" {ratio:6.2f} {max(peaks):8.0f}"
        )
        print(f"{'':8} a tenth of the reports: {peak_of_some:.0f} MB")


def fill(data_dir: Path, body: bytes, calls: int) -> None:
    """Stores so many reports as the receiver does."""
    writer = open_writer(f"file:{data_dir}/stream")
    sender = {"user_id": "default", "workspace_id": "default", "webhook_id": "benchmark"}
    for number, each in enumerate(bodies(body, calls)):
        excerpt = cut_excerpt(each, received_at=datetime.now(UTC), **sender)
        done = writer.append(EntryKind.REPORT, excerpt.payload)
        if number % 500 == 0:
            done.result(60)
    writer.close()


def read(data_dir: Path) -> Taken:
    """What one run of the tap takes."""
    config = data_dir / "tap.json"
    config.write_text(json.dumps({"data_dir": str(data_dir)}))
    return timed([script("tap-vapi"), "--config", str(config)])


def rate_of(call: Callable[[], object], times: int) -> float:
    """Calls per second."""
    started = time.perf_counter()
    for _ in range(times):
        call()
    return times / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
