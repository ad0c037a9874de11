"""Peak memory of the target with few calls and with many: it should be the same.

HubSpot's limits are off, so that many calls do not take an hour.
Run: python benchmarks/memory.py [--few N] [--many N]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from portal import portal, script, singer_lines, target_config, timed
from throughput import FULL_SPEED


def main() -> None:
    """Prints both peaks and their ratio."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--few", type=int, default=1_000)
    options.add_argument("--many", type=int, default=100_000)
    chosen = options.parse_args()
    few, many = peak_mb(chosen.few), peak_mb(chosen.many)
    print(f"ratio {many / few:.2f}")


def peak_mb(calls: int) -> float:
    """The target's peak memory in megabytes with so many calls."""
    with portal(calls, rate_limits=False) as hubspot, tempfile.TemporaryDirectory() as folder:
        lines = Path(folder) / "calls.singer.jsonl"
        singer_lines(calls, lines)
        config = target_config(hubspot, folder, **FULL_SPEED)
        with lines.open() as stdin:
            taken = timed([script("target-hubspot-calls"), "--config", str(config)], stdin=stdin)
        assert hubspot.notes() == calls
    print(f"{calls:8} calls {taken.peak_mb:6.0f} MB {taken.seconds:7.1f} s", flush=True)
    return taken.peak_mb


if __name__ == "__main__":
    main()
