"""Calls per second that tap-vapi reads from VAPI's REST API, its requests and its memory.

The API is the tests' stand-in, in a process of its own on the same machine. Memory must not grow
with the number of calls. Run: python benchmarks/tap_api.py [--calls N] [--transcript CHARACTERS]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from portal import Taken, script, timed

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.tap_vapi.stand_in import KEY, VapiStandIn, a_call, iso

START = timedelta(days=13)


def main() -> None:
    """Prints what runs over a tenth of the calls, and over all of them, take."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--calls", type=int, default=25_000)
    options.add_argument("--transcript", type=int, default=4_000, help="characters of each call's")
    options.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.serve:
        serve(chosen.calls, chosen.transcript)
        return
    print(f"{'calls':>7} {'seconds':>8} {'calls/s':>8} {'lists':>6} {'peak MB':>8}")
    for calls in (0, chosen.calls // 10, chosen.calls):
        taken, lists = read(calls, chosen.transcript)
        rate = calls / taken.seconds
        print(f"{calls:7} {taken.seconds:8.2f} {rate:8.0f} {lists:6} {taken.peak_mb:8.0f}")


def read(calls: int, transcript: int) -> tuple[Taken, int]:
    """What one run of the tap takes, and how many lists it asked for."""
    served = subprocess.Popen(
        [
            sys.executable,
            __file__,
            "--serve",
            "--calls",
            str(calls),
            "--transcript",
            str(transcript),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert served.stdout is not None
    url = served.stdout.readline().strip()
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "tap.json"
        config.write_text(
            json.dumps(
                {
                    "data_dir": folder,
                    "sources": ["api"],
                    "vapi_api_key": KEY,
                    "vapi_api_url": url,
                    "start_date": iso(datetime.now(UTC) - START),
                }
            )
        )
        taken = timed([script("tap-vapi"), "--config", str(config)])
    out, _ = served.communicate("done\n", timeout=30)
    return taken, int(out)


def serve(calls: int, transcript: int) -> None:
    """Serves so many calls over two weeks until a line comes, then says how many lists it gave."""
    newest = datetime.now(UTC) - timedelta(minutes=1)
    between = (START - timedelta(hours=1)) / max(calls, 1)
    said = ("User: Friday, please. " * (transcript // 22 + 1))[:transcript]
    with VapiStandIn() as vapi:
        vapi.put(
            *(
                a_call(number, newest - number * between, artifact={"transcript": said})
                for number in range(calls)
            )
        )
        print(vapi.url, flush=True)
        sys.stdin.readline()
        print(len(vapi.lists))


if __name__ == "__main__":
    main()
