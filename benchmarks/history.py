"""How long the sync history takes to answer over HTTP, with a million rows in one workspace.

Each question, to the API and for pages, is asked in turn, many rounds, of a receiver on this
machine; once more while another process appends outcomes every second, as the live sync does.
With `--database postgresql` a second receiver reads the same rows from a PostgreSQL server that is
started for it, and each question is asked of both, one after the other.
Run: python benchmarks/history.py [--rows N] [--rounds N] [--database postgresql]
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
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from uuid_utils import uuid7

from call_stream.stream import open_writer
from hubspot_calls.receiver_app import build_receiver
from hubspot_calls.rooms import open_store
from hubspot_calls.settings import Settings, settings_from
from receiver.server import build_server
from target_hubspot_calls.store.database import open_database, writing
from target_hubspot_calls.store.history_rows import append_history
from target_hubspot_calls.sync_log.log import SyncLog
from tests.target_hubspot_calls.store.postgresql_server import postgresql_server

CLAIM_MS = 300
LOGS = "/api/hubspot/sync-logs"
OWNER = {"user_id": "dana", "workspace_id": "harbor-dental"}
FIRST = datetime(2025, 11, 22, tzinfo=UTC)
# What Debian's server begins with, but for memory as a small server of its own would have.
SERVER = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "1GB",
    "max_wal_size": "4GB",
}
OUTCOMES = (
    [("success", "created", None)] * 70
    + [("skipped", "contact_not_found", "No contact in HubSpot has this number.")] * 15
    + [("error", "unavailable", "HubSpot answered 503.")] * 12
    + [("error", "rejected", "HubSpot refused it: a required property is missing.")] * 3
)
APPENDER = """
import sys, time
from benchmarks_history import a_row, appender_to
from target_hubspot_calls.sync_log.log import SyncLogBusy
append, number = appender_to(sys.argv[1]), 10**7
took = []
while True:
    started = time.perf_counter()
    try:
        append([a_row(number + n, 10**7) for n in range(5)])
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
    options.add_argument("--database", choices=("duckdb", "postgresql"), default="duckdb")
    chosen = options.parse_args()
    with ExitStack() as stack:
        clients = {"duckdb": stack.enter_context(receiver_of_a_file(chosen.rows))}
        if chosen.database == "postgresql":
            clients["postgresql"] = stack.enter_context(receiver_of_a_server(chosen.rows))
        questions = {
            kept_in: the_questions(client, chosen.rows) for kept_in, (client, _) in clients.items()
        }
        quiet = asked(clients, questions, chosen.rounds)
        appends: dict[str, list[str]] = {}
        with ExitStack() as beside_appends:
            for kept_in, (_, place) in clients.items():
                appends[kept_in] = beside_appends.enter_context(appending(place))
            beside = asked(clients, questions, chosen.rounds)
        print(
            f"{chosen.rows:,} rows in one workspace, {chosen.rounds} rounds, milliseconds;"
            f" load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
        )
        slow = []
        for kept_in, (client, _) in clients.items():
            print_times(kept_in, quiet[kept_in], beside[kept_in])
            slowest = max(appends[kept_in], default="-")
            print(f"appends meanwhile: {len(appends[kept_in])}, slowest {slowest} s")
            rows, seconds = exported(client)
            print(f"CSV export: {rows:,} rows in {seconds:.1f} s ({rows / seconds:,.0f} a second)")
            slow += [
                f"{name} ({kept_in})"
                for name, times in quiet[kept_in].items()
                if name.startswith("page") and statistics.median(times) > CLAIM_MS
            ]
    if slow:
        sys.exit(f"slower than {CLAIM_MS} ms: {', '.join(slow)}")


def print_times(
    kept_in: str, quiet: Mapping[str, list[float]], beside: Mapping[str, list[float]]
) -> None:
    """Prints a table of what each question took."""
    print(f"{kept_in:28} {'median':>8} {'p95':>8}   beside appends: {'median':>8} {'p95':>8}")
    for name in quiet:
        print(
            f"{name:28} {statistics.median(quiet[name]):8.0f} {p95(quiet[name]):8.0f}"
            f"   {'':15} {statistics.median(beside[name]):8.0f} {p95(beside[name]):8.0f}"
        )


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


def asked(
    clients: Mapping[str, tuple[httpx.Client, str]],
    questions: Mapping[str, Mapping[str, str]],
    rounds: int,
) -> dict[str, dict[str, list[float]]]:
    """Milliseconds of every answer, by where the rows are kept and by question."""
    took: dict[str, dict[str, list[float]]] = {
        kept_in: {name: [] for name in named} for kept_in, named in questions.items()
    }
    for _ in range(rounds):
        for name in questions["duckdb"]:
            for kept_in, (client, _) in clients.items():
                path = questions[kept_in][name]
                started = time.perf_counter()
                answer = client.get(path)
                took[kept_in][name].append((time.perf_counter() - started) * 1000)
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


def appender_to(place: str) -> Callable[[list[dict[str, Any]]], None]:
    """What appends rows to a DuckDB file or, through a ledger's kind of transaction, a database."""
    if not place.startswith("postgresql:"):
        return SyncLog(place).append
    engine = open_database(place)

    def append(rows: list[dict[str, Any]]) -> None:
        with writing(engine, by_rows=True) as connection:
            append_history(connection, rows)

    return append


def fill(place: str, rows: int, piece: int) -> None:
    """Appends so many rows and says how long that took."""
    append, started = appender_to(place), time.perf_counter()
    made = 0.0
    for first in range(0, rows, piece):
        began = time.perf_counter()
        some = [a_row(n, rows) for n in range(first, min(first + piece, rows))]
        made += time.perf_counter() - began
        append(some)
    took = time.perf_counter() - started - made
    print(f"appended {rows:,} rows by {piece:,} in {took:.0f} s", flush=True)


@contextmanager
def receiver_of_a_file(rows: int) -> Iterator[tuple[httpx.Client, str]]:
    """A client of a receiver whose history is a DuckDB file, and where that is."""
    with tempfile.TemporaryDirectory() as folder:
        settings = settings_from({"HUBSPOT_CALLS_DATA_DIR": folder})
        fill(str(settings.sync_log), rows, piece=100_000)
        with receiver(settings) as client:
            yield client, str(settings.sync_log)


@contextmanager
def receiver_of_a_server(rows: int) -> Iterator[tuple[httpx.Client, str]]:
    """A client of a receiver whose history is in PostgreSQL, and the address of that."""
    with tempfile.TemporaryDirectory() as folder, postgresql_server(**SERVER) as server:
        url = server.new_database()
        fill(url, rows, piece=10_000)
        # As the server does by itself within a minute.
        server.run("VACUUM ANALYZE hubspot_sync_logs", url.rpartition("?")[0].rpartition("/")[2])
        settings = settings_from(
            {"HUBSPOT_CALLS_DATA_DIR": folder, "HUBSPOT_CALLS_DATABASE_URL": url}
        )
        with receiver(settings) as client:
            yield client, url


@contextmanager
def receiver(settings: Settings) -> Iterator[httpx.Client]:
    """A client with a key, of a receiver with these settings."""
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
def appending(place: str) -> Iterator[list[str]]:
    """Another process that appends every second; lends how long each append took."""
    program = APPENDER.replace("benchmarks_history", Path(__file__).stem)
    process = subprocess.Popen(
        [sys.executable, "-c", program, place],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent,
    )
    took: list[str] = []
    lines = process.stdout
    assert lines is not None
    listener = threading.Thread(target=lambda: took.extend(map(str.strip, lines)))
    listener.start()
    try:
        yield took
    finally:
        process.terminate()
        process.wait()
        listener.join()


if __name__ == "__main__":
    main()
