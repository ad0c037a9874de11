"""Calls per second through the target, and through tap and target, with HubSpot's limits off.

The simulator runs on the same machine and takes a good part of it; the profile of the target alone
says where its own time goes.
Run: python benchmarks/throughput.py [--calls N] [--rounds N]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
from pathlib import Path

from portal import Taken, a_call, portal, script, singer_lines, target_config, timed

from call_stream.stream import EntryKind, open_writer

# HubSpot's limits off means ours too: as fast as the settings allow.
FULL_SPEED = {"requests_per_10_seconds": 1000, "searches_per_second": 50}


def main() -> None:
    """Prints medians and their spread for both ways, taken in turn."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--calls", type=int, default=10_000)
    options.add_argument("--rounds", type=int, default=3)
    chosen = options.parse_args()
    target, both = [], []
    for _ in range(chosen.rounds):
        target.append(through_target(chosen.calls))
        both.append(through_tap_and_target(chosen.calls))
    for name, runs in (("target", target), ("tap | target", both)):
        rates = [chosen.calls / run.seconds for run in runs]
        peak_mb = max(run.peak_mb for run in runs)
        print(
            f"{name:14} {statistics.median(rates):8.0f} calls/s"
            f"  ({min(rates):.0f} to {max(rates):.0f}), peak {peak_mb:.0f} MB"
        )


def through_target(calls: int) -> Taken:
    """What the target takes, fed from a file."""
    with portal(calls, rate_limits=False) as hubspot, tempfile.TemporaryDirectory() as folder:
        lines = Path(folder) / "calls.singer.jsonl"
        singer_lines(calls, lines)
        config = target_config(hubspot, folder, **FULL_SPEED)
        with lines.open() as stdin:
            taken = timed([script("target-hubspot-calls"), "--config", str(config)], stdin=stdin)
        assert hubspot.notes() == calls
    return taken


def through_tap_and_target(calls: int) -> Taken:
    """What the target takes, fed by the tap from a call stream."""
    with portal(calls, rate_limits=False) as hubspot, tempfile.TemporaryDirectory() as folder:
        fill_stream(f"{folder}/data", calls)
        tap_config = Path(folder) / "tap.json"
        tap_config.write_text(json.dumps({"data_dir": f"{folder}/data"}))
        config = target_config(hubspot, folder, **FULL_SPEED)
        with subprocess.Popen(
            [script("tap-vapi"), "--config", str(tap_config)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as tap:
            taken = timed(
                [script("target-hubspot-calls"), "--config", str(config)], stdin=tap.stdout
            )
        assert tap.returncode == 0
        assert hubspot.notes() == calls
    return taken


def fill_stream(data_dir: str, calls: int) -> None:
    """Appends so many calls to the call stream of a data directory."""
    Path(data_dir).mkdir(mode=0o700)
    writer = open_writer(f"file:{data_dir}/stream")
    try:
        done = [writer.append(EntryKind.CALL, json.dumps(a_call(i)).encode()) for i in range(calls)]
        for future in done:
            future.result(60)
    finally:
        writer.close()


if __name__ == "__main__":
    main()
