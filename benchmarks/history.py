"""How long the sync history takes to answer over HTTP, with a million rows in one workspace.

Each question, to the API and for pages, is asked in turn, many rounds, of a receiver on this
machine; once more while another process appends outcomes every second, as the live sync does.
Run: python benchmarks/history.py [--rows N] [--rounds N]
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from uuid_utils import uuid7

from call_stream.stream import open_writer
from hubspot_calls.receiver_app import build_receiver
from hubspot_calls.rooms import open_store, open_sync_log
from hubspot_calls.settings import settings_from
from receiver.server import build_server

CLAIM_MS = 300
LOGS = "/api/hubspot/sync-logs"
OWNER = {"user_id": "dana", "workspace_id": "harbor-dental"}
FIRST = datetime(2025, 11, 22, tzinfo=UTC)
PIECE = 100_000
OUTCOMES = (
    [("success", "created", None)] * 70
    + [("skipped", "contact_not_found", "No contact in HubSpot has this number.")] * 15
    + [("error", "unavailable", "HubSpot answered 503.")] * 12
    + [("error", "rejected", "HubSpot refused it: a required property is missing.")] * 3
)
APPENDER = """
import sys, time
from benchmarks_history import a_row
from target_hubspot_calls.sync_log.log import SyncLog, SyncLogBusy
log, number = SyncLog(sys.argv[1]), 10**7
took = []
while True:
    started = time.perf_counter()
    try:
        log.append([a_row(number + n, 10**7) for n in range(5)])
    except SyncLogBusy:
        print("busy", flush=True)
    else:
        print(f"{time.perf_counter() - started:.3f}", flush=True)
    number += 5
    time.sleep(1)
"""


def main() -> None:
    """Prints medians and 95th percentiles; exit 1 if a page takes longer than we claim."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=1_000_000)
    options.add_argument("--rounds", type=int, default=20)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder, receiver(Path(folder), chosen.rows) as client:
        questions = the_questions(client, chosen.rows)
        quiet = asked(client, questions, chosen.rounds)
        with appending(Path(folder)) as appends:
            beside = asked(client, questions, chosen.rounds)
        print(
            f"{chosen.rows:,} rows in one workspace, {chosen.rounds} rounds, milliseconds;"
            f" load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
        )
        print(f"{'':28} {'median':>8} {'p95':>8}   beside appends: {'median':>8} {'p95':>8}")
        for name in questions:
            print(
                f"{name:28} {statistics.median(quiet[name]):8.0f} {p95(quiet[name]):8.0f}"
                f"   {'':15} {statistics.median(beside[name]):8.0f} {p95(beside[name]):8.0f}"
            )
        print(f"appends meanwhile: {len(appends)}, slowest {max(appends, default='-')} s")
        rows, seconds = exported(client)
        print(f"CSV export: {rows:,} rows in {seconds:.1f} s ({rows / seconds:,.0f} a second)")
    pages = [name for name in questions if name.startswith("page")]
    slow = [name for name in pages if statistics.median(quiet[name]) > CLAIM_MS]
    if slow:
        sys.exit(f"slower than {CLAIM_MS} ms: {', '.join(slow)}")


def the_questions(client: httpx.Client, rows: int) -> dict[str, str]:
    """What is asked, by its name."""
    as_of = client.get(LOGS).json()["asOf"]
    far = rows // 2
    return {
        "page /history": "/history",
        "page /history, errors": "/history?status=error",
        "page /history, a week": "/history?from=2026-01-01&to=2026-01-07",
        "page /history, a number": "/history?number=5550123",
        "page /history, a word": "/history?q=property",
        "page /history, the second": f"/history?as_of={as_of}&offset=50",
        "page /history, far behind": f"/history?as_of={as_of}&offset={far}",
        "page /history/chart": "/history/chart?from=2026-09-24&to=2026-10-23",
        "page /history/chart, longest": "/history/chart?from=2026-01-01&to=2026-04-02",
        "page /numbers": "/numbers",
        "mark of what is live": "/history/mark",
        "page: newest": f"{LOGS}?limit=50",
        "page: newest, pinned": f"{LOGS}?limit=50&as_of={as_of}&offset=50",
        "page: errors": f"{LOGS}?limit=50&status=error",
        "page: a week": f"{LOGS}?limit=50&since=2026-01-01&until=2026-01-08",
        "page: a call id": f"{LOGS}?limit=50&call_id=call-{far + 1:09}",
        "page: far behind": f"{LOGS}?limit=50&offset={far}",
        "page: a number searched": f"{LOGS}?limit=50&q=5550123",
        "page: a word searched": f"{LOGS}?limit=50&q=property",
        "counts": f"{LOGS}/summary",
        "days of a month": f"{LOGS}/days?since=2026-01-01&until=2026-02-01",
        "days of all": f"{LOGS}/days",
        "unmatched numbers": "/api/hubspot/unmatched-numbers",
        "one call": f"/api/hubspot/calls/call-{far + 1:09}",
    }


def asked(client: httpx.Client, questions: dict[str, str], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of every answer, by question."""
    took: dict[str, list[float]] = {name: [] for name in questions}
    for _ in range(rounds):
        for name, path in questions.items():
            started = time.perf_counter()
            answer = client.get(path)
            took[name].append((time.perf_counter() - started) * 1000)
            assert answer.status_code == 200, (path, answer.text)
    return took


def exported(client: httpx.Client) -> tuple[int, float]:
    """How many rows the whole export has, and how many seconds it takes."""
    started = time.perf_counter()
    with client.stream("GET", f"{LOGS}.csv") as answer:
        lines = sum(chunk.count(b"\r\n") for chunk in answer.iter_bytes())
    return lines - 1, time.perf_counter() - started


def p95(values: list[float]) -> float:
    """The 95th percentile."""
    return sorted(values)[max(0, -(-len(values) * 95 // 100) - 1)]


def a_row(number: int, rows: int) -> dict[str, Any]:
    """The row of one attempt; one in five is a later attempt at an earlier call."""
    dice = random.Random(number)
    status, reason, message = dice.choice(OUTCOMES)
    moment = FIRST + timedelta(seconds=number * 31_536_000 / rows)
    call = number if number % 5 else max(0, number - 3)
    written = status == "success"
    return {
        "id": str(uuid7()),
        **OWNER,
        "call_id": f"call-{call:09}",
        "contact_id": str(100_000 + number % 5_000) if written else None,
        "engagement_id": str(9_000_000 + number) if written else None,
        "engagement_type": "note",
        "status": status,
        "reason": reason,
        "retryable": reason == "unavailable",
        "error_message": message,
        "phone_number": f"+1202555{number % 9_000:04}",
        "recording_status": "attached" if written else None,
        "contact_match": "phone number, the only contact" if written else None,
        "attempt": 1,
        "correlation_id": str(uuid7()) if status == "error" else None,
        "portal_id": 4_000_000,
        "call_started_at": (moment - timedelta(minutes=3)).isoformat(),
        "created_at": moment.isoformat(),
        "run_id": "01a1f97c-7300-7aa2-9c10-000000000001",
    }


@contextmanager
def receiver(folder: Path, rows: int) -> Iterator[httpx.Client]:
    """A client with a key, of a receiver with such a history."""
    settings = settings_from({"HUBSPOT_CALLS_DATA_DIR": str(folder)})
    log = open_sync_log(settings)
    for first in range(0, rows, PIECE):
        log.append([a_row(n, rows) for n in range(first, min(first + PIECE, rows))])
    with open_store(settings) as store:
        _, key = store.keys.create(OWNER["user_id"], OWNER["workspace_id"])
        app = build_receiver(settings, store, open_writer(settings.stream_url))
        listening = threading.Event()
        server = build_server(app, "127.0.0.1", 0, on_listening=lambda url: listening.set())
        thread = threading.Thread(target=server.run)
        thread.start()
        listening.wait(10)
        headers = {"Authorization": f"Bearer {key}"}
        try:
            with httpx.Client(
                base_url=server.url, headers=headers, timeout=120, trust_env=False
            ) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def appending(folder: Path) -> Iterator[list[str]]:
    """Another process that appends every second; lends how long each append took."""
    program = APPENDER.replace("benchmarks_history", Path(__file__).stem)
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(folder / "sync_log.duckdb")],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent,
    )
    took: list[str] = []
    assert process.stdout is not None
    listener = threading.Thread(target=lambda: took.extend(map(str.strip, process.stdout)))
    listener.start()
    try:
        yield took
    finally:
        process.terminate()
        process.wait()
        listener.join()


if __name__ == "__main__":
    main()
