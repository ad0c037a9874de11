"""From VAPI's POST to the note in HubSpot, with `hubspot-calls serve` and HubSpot's limits on.

First a steady stream of calls, then a burst, while the webhook's own answers are timed. A note's
time is the simulator's, the POST's is ours; both are this machine's clock.
Run: python benchmarks/live_sync.py [--per-second N] [--seconds N] [--burst N] [--recordings]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import httpx
from portal import KEY, Portal, number, portal, script
from reports import SAMPLE

_CALL_ID = re.compile(r"Call ID: ([^<]+)<")
_LISTENS = re.compile(r"Receiver +(http://\S+?)/api/webhooks/")


@dataclass
class Door:
    """Where reports go, with the webhook's secret."""

    url: str
    secret: str


@dataclass
class Posted:
    """When each call was posted, by id, and how long each answer took, in seconds."""

    at: dict[str, float]
    answers_s: list[float]


def main() -> None:
    """Prints latencies of both parts."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--per-second", type=float, default=5.0)
    options.add_argument("--seconds", type=float, default=60.0)
    options.add_argument("--burst", type=int, default=1_000)
    options.add_argument("--recordings", action="store_true")
    chosen = options.parse_args()
    steady = round(chosen.per_second * chosen.seconds)
    with portal(steady + chosen.burst, rate_limits=True) as hubspot, serve(hubspot) as door:
        posted = asyncio.run(post_steadily(hubspot, door, steady, chosen))
        tell("steady", posted, wait_for_notes(hubspot, posted))
        started = time.time()
        posted = asyncio.run(post_burst(hubspot, door, steady, chosen))
        written = wait_for_notes(hubspot, posted)
        tell("burst", posted, written)
        print(f"the burst is in HubSpot after {max(written.values()) - started:.1f} s")
        refused = hubspot.get("counts")["statuses"].get("429", 0)
        print(f"refused by HubSpot (429): {refused}")


@contextmanager
def serve(hubspot: Portal) -> Iterator[Door]:
    """A receiver with live sync against the portal, in a data directory of its own."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **{k: v for k, v in os.environ.items() if "HUBSPOT" not in k and "VAPI" not in k},
            "HUBSPOT_CALLS_DATA_DIR": f"{folder}/data",
            "HUBSPOT_API_URL": hubspot.url,
            "HUBSPOT_SERVICE_KEY": KEY,
            "HUBSPOT_CALLS_RECORDING_HOSTS": "127.0.0.1",
        }
        command = script("hubspot-calls")
        made = subprocess.run(
            [command, "webhooks", "create", "--json"],
            env=environment,
            cwd=folder,
            check=True,
            capture_output=True,
        )
        webhook = json.loads(made.stdout)
        with (Path(folder) / "log").open("w+") as log:
            process = subprocess.Popen(
                [command, "serve", "--port", "0"],
                env=environment,
                cwd=folder,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            try:
                url = _address(Path(folder) / "log")
                yield Door(f"{url}/api/webhooks/{webhook['webhook_id']}", webhook["secret"])
            finally:
                process.terminate()
                process.wait(30)


async def post_steadily(
    hubspot: Portal, door: Door, count: int, chosen: argparse.Namespace
) -> Posted:
    """Posts each call at its time, whatever became of the one before."""
    posted = Posted({}, [])
    async with _client(door) as http:
        begun = time.perf_counter()

        async def one(index: int) -> None:
            await asyncio.sleep(begun + index / chosen.per_second - time.perf_counter())
            await _post(http, hubspot, door, index, posted, chosen)

        await asyncio.gather(*(one(index) for index in range(count)))
    return posted


async def post_burst(hubspot: Portal, door: Door, first: int, chosen: argparse.Namespace) -> Posted:
    """Posts as fast as 32 connections are answered."""
    posted = Posted({}, [])
    indexes = iter(range(first, first + chosen.burst))
    async with _client(door) as http:

        async def some() -> None:
            for index in indexes:
                await _post(http, hubspot, door, index, posted, chosen)

        await asyncio.gather(*(some() for _ in range(32)))
    return posted


def wait_for_notes(hubspot: Portal, posted: Posted) -> dict[str, float]:
    """When each posted call's note was written, by call id; each call must have one."""
    give_up_at = time.monotonic() + 300
    while time.monotonic() < give_up_at:
        notes = hubspot.get(f"portals/{hubspot.portal_id}/notes")["results"]
        written: dict[str, float] = {}
        for note in notes:
            found = _CALL_ID.search(note["properties"]["hs_note_body"])
            assert found is not None
            if found[1] in posted.at:
                assert found[1] not in written, "a call has two notes"
                created = note["properties"]["hs_createdate"]
                written[found[1]] = datetime.fromisoformat(created).timestamp()
        if len(written) == len(posted.at):
            return written
        time.sleep(0.5)
    raise AssertionError("some calls got no note")


def tell(name: str, posted: Posted, written: dict[str, float]) -> None:
    """Prints what one part measured."""
    latencies = [written[call_id] - at for call_id, at in posted.at.items()]
    answers_ms = [answer * 1000 for answer in posted.answers_s]
    print(
        f"{name:8} {len(latencies):6} calls  note after {statistics.median(latencies):5.2f} s"
        f" (median) {_percentile(latencies, 0.95):5.2f} s (p95) {max(latencies):5.2f} s (most);"
        f"  webhook answered in {statistics.median(answers_ms):5.1f} ms (median)"
        f" {_percentile(answers_ms, 0.99):5.1f} ms (p99)",
        flush=True,
    )


async def _post(
    http: httpx.AsyncClient,
    hubspot: Portal,
    door: Door,
    index: int,
    posted: Posted,
    chosen: argparse.Namespace,
) -> None:
    call_id = f"01a1f97c-7400-7aa2-9c10-{index:012d}"
    report = json.loads(SAMPLE.read_text())
    message = report["message"]
    message["call"]["id"] = call_id
    for holder in (message, message["call"]):
        if "customer" in holder:
            holder["customer"]["number"] = number(index)
    text = json.dumps(report)
    if not chosen.recordings:
        text = re.sub(r'"(recordingUrl|stereoRecordingUrl)": "[^"]*"', r'"\1": null', text)
        text = re.sub(r'"recording": \{', '"recordingLeftOut": {', text)
    posted.at[call_id] = time.time()
    begun = time.perf_counter()
    answer = await http.post(door.url, content=text)
    posted.answers_s.append(time.perf_counter() - begun)
    answer.raise_for_status()


def _client(door: Door) -> httpx.AsyncClient:
    headers = {"Content-Type": "application/json", "X-Vapi-Secret": door.secret}
    return httpx.AsyncClient(headers=headers, timeout=30, trust_env=False)


def _address(log: Path) -> str:
    give_up_at = time.monotonic() + 60
    while time.monotonic() < give_up_at:
        found = _LISTENS.search(log.read_text())
        if found is not None:
            return found[1]
        time.sleep(0.1)
    raise AssertionError(f"the receiver does not listen:\n{log.read_text()}")


def _percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


if __name__ == "__main__":
    main()
