"""How long it takes to find undone calls among a million and to put them back in line.

Meanwhile another process writes to the same store all the time, as the live sync does; its longest
wait is what a retry costs everybody else.
Run: python benchmarks/retry.py [--calls N] [--undone N] [--database-url URL]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

from sqlalchemy import Engine, insert, update

from target_hubspot_calls.call import Call
from target_hubspot_calls.store.database import open_database, writing
from target_hubspot_calls.store.ledger_rows import SETTLED, new_row
from target_hubspot_calls.store.retries import Retries, RetryFilter
from target_hubspot_calls.store.schema import calls as table

CLAIM_MS = 100
PIECE = 10_000
FIRST = datetime(2026, 1, 1, tzinfo=UTC)
SAID = "The caller asked for another day and was given Friday at nine. " * 16
USER, WORKSPACE = "dana", "harbor-dental"
WRITER = """
import sys, time
from datetime import UTC, datetime
from sqlalchemy import insert, delete
from target_hubspot_calls.store.database import open_database, writing
from target_hubspot_calls.store.schema import outbox
engine = open_database(sys.argv[1])
print("ready", flush=True)
while True:
    started = time.perf_counter()
    with writing(engine) as connection:
        connection.execute(insert(outbox).values(id="x", row={}, created_at=datetime.now(UTC)))
        connection.execute(delete(outbox).where(outbox.c.id == "x"))
    print(f"{(time.perf_counter() - started) * 1000:.1f}", flush=True)
    time.sleep(0.005)
"""


def main() -> None:
    """Prints how long each takes and what others wait; exit 1 if it holds the store too long."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--calls", type=int, default=1_000_000)
    options.add_argument("--undone", type=int, default=100_000)
    options.add_argument("--database-url", help="an empty store; a SQLite file made for it if none")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = chosen.database_url or f"sqlite:///{folder}/store.db"
        engine = open_database(url)
        started = time.perf_counter()
        fill(engine, chosen.calls, chosen.undone)
        print(
            f"{chosen.calls:,} calls, {chosen.undone:,} of them undone, made in"
            f" {time.perf_counter() - started:.0f} s; load {os.getloadavg()[0]:.1f} on"
            f" {os.cpu_count()} cores"
        )
        longest = measure(engine, url)
        engine.dispose()
    if longest > CLAIM_MS:
        sys.exit(f"the store was held for more than {CLAIM_MS} ms")


def measure(engine: Engine, url: str) -> float:
    """How long the store was held at a time, the longest of all, in milliseconds."""
    pauses: list[float] = []

    def rest(seconds: float) -> None:
        # It rests for as long as it held the store.
        pauses.append(seconds * 1000)
        time.sleep(seconds)

    retries = Retries(engine, sleep=rest)
    one, end = RetryFilter(numbers=("+12025550142",)), RetryFilter(numbers=("42",), number_end="42")
    longest = 0.0
    questions = {
        "all, by reason": RetryFilter(),
        "one number": one,
        "numbers that end in 42": end,
        "a text": RetryFilter(query="4242"),
    }
    print(f"{'':46} {'seconds':>8} {'calls':>8}   held (ms); others waited: p99, median")
    for name, wanted in questions.items():
        owned = replace(wanted, user_id=USER, workspace_id=WORKSPACE)
        for of, whose in (("one workspace", owned), ("all", wanted)):
            seconds, count = timed(partial(count_of, retries, whose))
            print(f"{f'count: {name}, {of}':46} {seconds:8.2f} {count:8,}")
    for name, wanted in reversed(questions.items()):
        with writing_beside(url) as waits:
            seconds, count = timed(partial(put_back, retries, wanted))
        told, held = sorted(waits), max(pauses, default=0.0)
        longest = max(longest, held)
        pauses.clear()
        late, usual = told[-1 - len(told) // 100], told[len(told) // 2]
        print(f"{f'put back: {name}':46} {seconds:8.2f} {count:8,}", end="")
        print(f"   {held:9.0f} {late:21.0f} {usual:6.1f}")
    return longest


def count_of(retries: Retries, wanted: RetryFilter) -> int:
    """How many calls match."""
    return retries.count(wanted, now=datetime.now(UTC)).matched


def put_back(retries: Retries, wanted: RetryFilter) -> int:
    """How many calls were put in line."""
    return retries.put_back(wanted, now=datetime.now(UTC)).queued


def timed(work: Callable[[], int]) -> tuple[float, int]:
    """Seconds it took, and what it came to."""
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


@contextmanager
def writing_beside(url: str) -> Iterator[list[float]]:
    """Another process that writes; afterwards, how long it waited each time."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, url], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    waits = [float(process.stdout.readline()) for _ in range(3)]
    try:
        yield waits
    finally:
        time.sleep(0.1)
        process.terminate()
        said = process.communicate()[0].split()
        waits += [float(word) for word in said[:-1] or said]


def fill(engine: Engine, count: int, undone: int) -> None:
    """Calls of ten workspaces, every so-many-th of them undone."""
    every = max(1, count // undone)
    for first in range(0, count, PIECE):
        rows = [a_row(n, n % every == 0) for n in range(first, min(first + PIECE, count))]
        with writing(engine) as connection:
            connection.execute(insert(table), rows)
    with writing(engine) as connection:
        connection.execute(update(table).values(due_at=None).where(table.c.state == SETTLED))


def a_row(number: int, is_undone: bool) -> dict[str, object]:
    """A settled call."""
    at = FIRST + timedelta(seconds=number * 20)
    workspace = WORKSPACE if number // 10 % 2 else f"workspace-{number // 10 % 9}"
    call = Call(
        f"01a1f97c-7301-7aa2-9c10-{number:012}",
        USER,
        workspace,
        customer_number=f"+1202555{number // 10 * 7919 % 10_000:04}",
        started_at=at,
        ended_at=at + timedelta(minutes=2),
        summary=SAID,
    )
    status, reason, message = ("success", "created", None)
    if is_undone:
        status, reason, message = "skipped", "contact_not_found", "No contact has this number."
    return new_row(call, at) | {
        "state": SETTLED,
        "status": status,
        "reason": reason,
        "error_message": message,
        "settled_at": at + timedelta(minutes=3),
    }


if __name__ == "__main__":
    main()
