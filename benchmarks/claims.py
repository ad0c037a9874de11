"""What claiming and settling costs in a ledger of a million calls, on SQLite and on PostgreSQL.

    python benchmarks/claims.py [--rows 1000000] [--due 1000] [--rounds 30] [--claimers 4]

Each round claims a batch of due calls and settles it as created; p50 and p99 of the two together.
The store is filled by itself first. PostgreSQL is a server of its own with durable commits, as in
operation; `--claimers` more processes then claim side by side. Prints the plan of the claim.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from sqlalchemy import Engine, text

from target_hubspot_calls.call import Call, Workspace
from target_hubspot_calls.errors import Reason, Status
from target_hubspot_calls.outcome import Outcome
from target_hubspot_calls.store.database import is_shared, open_database, reading, writing
from target_hubspot_calls.store.ledger import Ledger
from target_hubspot_calls.store.ledger_rows import new_row
from target_hubspot_calls.store.many_rows import insert_all
from target_hubspot_calls.store.schema import calls
from tests.target_hubspot_calls.store.postgresql_server import postgresql_server

BATCH = 100
WORKSPACES = 10
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
CREATED = Outcome(Status.SUCCESS, Reason.CREATED, contact_id="1", engagement_id="2", portal_id=1)
DURABLE = {
    **dict.fromkeys(("fsync", "synchronous_commit", "full_page_writes"), "on"),
    "shared_buffers": "256MB",
}
PLANS = {
    "claim": "SELECT record FROM calls WHERE user_id = 'u' AND workspace_id = 'w07'"
    " AND state = 'due' AND due_at <= '2027-01-01' AND (claimed_until IS NULL)"
    " ORDER BY due_at, call_id LIMIT 100",
    "whose calls are due": "SELECT user_id, workspace_id FROM calls WHERE state = 'due'"
    " AND due_at <= '2027-01-01' GROUP BY user_id, workspace_id ORDER BY min(due_at)",
    "whose recordings are due": "SELECT user_id, workspace_id FROM calls WHERE state = 'settled'"
    " AND recording_due_at <= '2027-01-01' GROUP BY user_id, workspace_id"
    " ORDER BY min(recording_due_at)",
    "claim recordings": "SELECT record FROM calls WHERE user_id = 'u' AND workspace_id = 'w07'"
    " AND state = 'settled' AND recording_due_at <= '2027-01-01' AND (claimed_until IS NULL)"
    " ORDER BY recording_due_at, call_id LIMIT 48",
    "who holds calls": "SELECT claimed_by FROM calls WHERE state = 'due'"
    " AND due_at <= '2027-01-01' AND claimed_by IS NOT NULL UNION SELECT claimed_by FROM calls"
    " WHERE state = 'settled' AND recording_due_at IS NOT NULL AND claimed_by IS NOT NULL",
}


def main() -> None:
    """Measures both databases and prints a table."""
    words = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    words.add_argument("--rows", type=int, default=1_000_000)
    words.add_argument("--due", type=int, default=1_000)
    words.add_argument("--rounds", type=int, default=30)
    words.add_argument("--claimers", type=int, default=4)
    words.add_argument("--worker", nargs=2, metavar=("URL", "NAME"), help=argparse.SUPPRESS)
    chosen = words.parse_args()
    if chosen.worker:
        url, name = chosen.worker
        engine = open_database(url)
        for took_s, count in rounds(engine, name, chosen.rounds):
            print(f"{took_s} {count}")
        engine.dispose()
        return
    with tempfile.TemporaryDirectory() as folder:
        measure("SQLite", f"sqlite:///{folder}/store.db", chosen)
    with postgresql_server(**DURABLE) as server:
        url = server.new_database()
        measure("PostgreSQL", url, chosen, renew=lambda: server.run("VACUUM ANALYZE", "new_1"))
        side_by_side(url, chosen)


def measure(
    name: str,
    url: str,
    chosen: argparse.Namespace,
    renew: Callable[[], object] = lambda: None,
) -> None:
    """Fills a store and prints what a round costs in it, and how each question is answered."""
    engine = open_database(url)
    began = time.monotonic()
    fill(engine, chosen.rows, settled=True)
    fill(engine, chosen.due, settled=False)
    renew()
    print(f"{name}: {chosen.rows:,} rows, {chosen.due:,} due, {time.monotonic() - began:.0f} s")
    show_plans(engine)
    # What is settled is replaced, so that there is always as much due.
    took = [took_s for took_s, _ in rounds(engine, "one/1", chosen.rounds, refill=True)]
    print(f"  claim and settle {BATCH}: {quantiles(took)}")
    ledger = Ledger(engine)
    for what, ask in {
        "whose calls are due": lambda: ledger.due_workspaces(now=datetime.now(UTC)),
        "whose recordings are due": lambda: ledger.workspaces_with_recordings(
            now=datetime.now(UTC)
        ),
        "who holds calls": lambda: ledger.holders(now=datetime.now(UTC)),
    }.items():
        print(f"  {what}: {quantiles([timed(ask) for _ in range(20)])}")
    engine.dispose()


def side_by_side(url: str, chosen: argparse.Namespace) -> None:
    """Prints what a round costs each of several processes that claim at once."""
    engine = open_database(url)
    fill(engine, chosen.claimers * chosen.rounds * BATCH, settled=False)
    engine.dispose()
    command = [sys.executable, __file__, "--rounds", str(chosen.rounds), "--worker", url]
    began = time.monotonic()
    workers = [
        subprocess.Popen([*command, f"w{n}/1"], stdout=subprocess.PIPE, text=True)
        for n in range(chosen.claimers)
    ]
    said = [worker.communicate()[0] for worker in workers]
    took_s = time.monotonic() - began
    lines = [line.split() for one in said for line in one.splitlines()]
    settled = sum(int(count) for _, count in lines)
    print(f"PostgreSQL, {chosen.claimers} processes at once, start included:")
    print(f"  claim and settle {BATCH}: {quantiles([float(one) for one, _ in lines])}")
    print(f"  together {settled / took_s:,.0f} calls/s")


def rounds(
    engine: Engine, holder: str, count: int, *, refill: bool = False
) -> Iterator[tuple[float, int]]:
    """How long each round took, in seconds, and how many calls it settled."""
    ledger = Ledger(engine)
    for number in range(count):
        workspace = Workspace("u", f"w{(number + hash(holder)) % WORKSPACES:02}")
        began = time.perf_counter()
        held = f"{holder}.{number}"
        claims = ledger.claim(workspace, holder=held, limit=BATCH, for_s=300, now=datetime.now(UTC))
        settled = ledger.settle(
            [(claim, CREATED) for claim in claims],
            holder=held,
            kind="note",
            run_id="run",
            now=datetime.now(UTC),
        )
        yield time.perf_counter() - began, settled
        if refill and settled:
            fill(engine, settled, settled=False, place=workspace.workspace_id)


def fill(engine: Engine, count: int, *, settled: bool, place: str | None = None) -> None:
    """Adds so many calls, spread over the workspaces or in one."""
    made = time.monotonic_ns()
    for start in range(0, count, 10_000):
        rows = []
        for number in range(start, min(count, start + 10_000)):
            call = Call(
                id=f"{made:x}-{number:07}",
                user_id="u",
                workspace_id=place or f"w{number % WORKSPACES:02}",
                customer_number=f"+1415555{number % 100:04}",
                summary="The caller moved a cleaning to Friday at ten." * 4,
            )
            row = new_row(call, LONG_AGO + timedelta(seconds=number % 100_000))
            if settled:
                row |= {"state": "settled", "due_at": None, "status": "success"}
                row |= {"reason": "created", "settled_at": LONG_AGO}
            rows.append(row)
        with writing(engine) as connection:
            insert_all(connection, calls, rows)


def show_plans(engine: Engine) -> None:
    """Prints which index answers each question."""
    explain = "EXPLAIN" if is_shared(engine) else "EXPLAIN QUERY PLAN"
    for what, query in PLANS.items():
        with reading(engine) as connection:
            plan = [str(row[-1]).strip() for row in connection.execute(text(f"{explain} {query}"))]
        scans = [line for line in plan if "ndex" in line or "can" in line or "INDEX" in line]
        print(f"  plan, {what}: {'; '.join(scans[:2])[:150]}")


def timed(ask: Callable[[], object]) -> float:
    """How many seconds it takes."""
    began = time.perf_counter()
    ask()
    return time.perf_counter() - began


def quantiles(took_s: list[float]) -> str:
    """The middle and the worst of them, in milliseconds."""
    ordered = sorted(took_s)
    worst = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    return f"p50 {statistics.median(ordered) * 1000:.1f} ms, p99 {worst * 1000:.1f} ms"


if __name__ == "__main__":
    main()
