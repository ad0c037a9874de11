"""Requests to HubSpot for 1,000 calls from 1,000 numbers, without recordings, limits on.

The goal is 35 or fewer; the nearest public systems need 2,000 to 6,000.
Run: python benchmarks/requests_per_thousand.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from portal import portal, script, singer_lines, target_config, timed

CALLS = 1_000
GOAL = 35


def main() -> None:
    """Prints the requests by kind, the time, and what HubSpot refused."""
    with portal(CALLS, rate_limits=True) as hubspot, tempfile.TemporaryDirectory() as folder:
        lines = Path(folder) / "calls.singer.jsonl"
        singer_lines(CALLS, lines)
        config = target_config(hubspot, folder)
        command = [script("target-hubspot-calls"), "--config", str(config)]
        with lines.open() as stdin:
            seconds = timed(command, stdin=stdin).seconds
        counts = hubspot.get("counts")
        notes = hubspot.notes()
    by_operation = counts["operations"]
    total = sum(by_operation.values())
    for operation, count in sorted(by_operation.items(), key=lambda item: -item[1]):
        print(f"{count:6}  {operation}")
    print(f"{total:6}  requests for {CALLS} calls in {seconds:.1f} s, {notes} notes")
    print(f"{counts['statuses'].get('429', 0):6}  refused for being too fast")
    print("goal", GOAL, "met" if total <= GOAL and notes == CALLS else "MISSED")


if __name__ == "__main__":
    main()
