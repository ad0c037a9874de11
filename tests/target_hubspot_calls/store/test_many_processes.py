"""Several processes at once on one PostgreSQL store: nothing is lost, doubled or locked up."""

from __future__ import annotations

import itertools
import json
import subprocess
from collections import Counter
from collections.abc import Callable

import pytest
from sqlalchemy import select

from target_hubspot_calls.store.database import open_database, reading
from target_hubspot_calls.store.schema import calls, outbox
from tests.target_hubspot_calls.store.postgresql_server import PostgreSQLServer

# Each process does at random what runs, pages and the reader of a stream do, with the same calls,
# and writes down what it was given and what it settled. A claim lasts longer than the test, so a
# call that is given to two at once was given wrongly.
WORK = """
import json, random, sys, time
from datetime import UTC, datetime
from target_hubspot_calls.call import Call, Workspace
from target_hubspot_calls.errors import NotConnected, Reason, Status, Unavailable
from target_hubspot_calls.outcome import Outcome, RecordingOutcome, outcome_of_error
from target_hubspot_calls.recordings.status import RecordingStatus
from target_hubspot_calls.store.database import open_database
from target_hubspot_calls.store.ledger import Ledger
from target_hubspot_calls.store.retries import Retries, RetryFilter

url, name, seconds, seed = sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
dice = random.Random(seed)
engine = open_database(url)
ledger, retries = Ledger(engine), Retries(engine)
places = [Workspace("dana", f"w{n}") for n in range(4)]
nobodys = Workspace("default", "default")
told = {"given": [], "settled": [], "recordings": [], "accepted": 0}
held, freed = [], []
now = lambda: datetime.now(UTC)

def a_call():
    n = dice.randrange(300)
    owner = nobodys if dice.random() < 0.1 else places[n % 4]
    source = "api" if owner is nobodys else "webhook"
    return Call(id=f"c{n:03d}", user_id=owner.user_id, workspace_id=owner.workspace_id,
        source=source, summary="x" * dice.randrange(200), updated_at=now())

def an_outcome(claim):
    kind = dice.randrange(4)
    if kind == 0:
        return outcome_of_error(Unavailable("Down."), retry_at=now())
    if kind == 1:
        return outcome_of_error(NotConnected("Connect first."))
    return Outcome(Status.SUCCESS, Reason.CREATED, contact_id="1",
        engagement_id="e" + claim.call.id, delivered_digest=claim.record_digest,
        recording_due=dice.random() < 0.5)

def claim(what):
    holder = f"{name}/{len(told['given'])}"
    place = dice.choice([*places, nobodys])
    got = getattr(ledger, what)(place, holder=holder, limit=dice.choice([1, 7, 60]), for_s=900,
        now=now())
    began = time.monotonic_ns()
    if got:
        held.append((holder, what, got, began))
        told["given"].append([holder, [c.call.workspace_id + "/" + c.call.id for c in got], began])

def finish():
    if not held:
        return
    holder, what, got, _ = held.pop(dice.randrange(len(held)))
    ours = got
    way = dice.random()
    if way < 0.15:
        told["given"].append([holder, None, time.monotonic_ns()])
        return ledger.release(got, holder=holder, now=now())
    if way < 0.25:
        told["given"].append([holder, None, time.monotonic_ns()])
        freed.append(holder)
        return ledger.free(holder, now=now())
    by_id = {c.call.id: c for c in got}
    if what == "claim":
        kept = ledger.announce(by_id, {}, "create:NOTE:unique", holder=holder, for_s=900, now=now())
        pairs = [(by_id[i], an_outcome(by_id[i])) for i in by_id]
        told["given"].append([holder, None, time.monotonic_ns()])
        count = ledger.settle(pairs, holder=holder, kind="note", run_id=name, now=now())
        assert count == len(kept), (count, len(kept))
        told["settled"].append(count)
    else:
        for c in got:
            ledger.save_file(c, "f" + c.call.id, now=now())
        done = RecordingOutcome(RecordingStatus.ATTACHED, file_id="f")
        told["given"].append([holder, None, time.monotonic_ns()])
        told["recordings"].append(ledger.settle_recordings(
            [(c, done) for c in got], holder=holder, run_id=name, now=now()))

def accept():
    taken = ledger.accept([a_call() for _ in range(dice.choice([1, 20, 80]))], now=now(),
        nobodys=nobodys)
    told["accepted"] += taken.new

print("ready", flush=True)
sys.stdin.readline()
until = time.monotonic() + seconds
while time.monotonic() < until:
    step = dice.random()
    if step < 0.3: claim("claim")
    elif step < 0.4: claim("claim_recordings")
    elif step < 0.75: finish()
    elif step < 0.85: accept()
    elif step < 0.9: ledger.wake(dice.choice(places), now=now())
    elif step < 0.95: ledger.hasten(dice.choice([None, *places]), "unavailable", now=now())
    else: retries.put_back(RetryFilter(user_id="dana"), now=now())
while held:
    finish()
# What somebody else had in hand was passed over then.
while left := set(freed) & set(ledger.holders(now=now())):
    for holder in left:
        ledger.free(holder, now=now())
engine.dispose()
print(json.dumps(told))
"""
DELETE = """
import sys, time
from target_hubspot_calls.store.database import open_database
from target_hubspot_calls.store.outbox import Outbox
engine = open_database(sys.argv[1])
rows = Outbox(engine)
print("ready", flush=True)
sys.stdin.readline()
until, deleted = time.monotonic() + float(sys.argv[2]), set()
while time.monotonic() < until:
    ids = [row["id"] for row in rows.load(50)]
    rows.delete(ids[::-1])
    deleted |= set(ids)
engine.dispose()
print("\\n".join(deleted))
"""


def start_all(processes: list[subprocess.Popen[str]]) -> list[str]:
    """What each says, once all have ended well."""
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate(timeout=50) for process in processes]
    assert [errors for _, errors in said] == [""] * len(processes)
    return [out for out, _ in said]


@pytest.mark.timeout(60)
def test_calls_that_many_processes_take_settle_and_wake_are_given_to_one_at_a_time(
    postgresql: PostgreSQLServer, start_python: Callable[..., subprocess.Popen[str]]
) -> None:
    url = postgresql.new_database()
    engine = open_database(url)
    workers = [start_python(WORK, url, f"run{n}", 4, 7 + n) for n in range(4)]
    deleters = [start_python(DELETE, url, 4) for _ in range(2)]

    said = start_all([*workers, *deleters])

    told = [json.loads(one) for one in said[:4]]
    settled = sum(sum(one["settled"]) + sum(one["recordings"]) for one in told)
    assert_given_to_one_at_a_time(told)
    deleted = {row_id for one in said[4:] for row_id in one.split()}
    with reading(engine) as connection:
        waiting = set(connection.execute(select(outbox.c.id)).scalars())
        still_held = connection.execute(
            select(calls.c.claimed_by).where(calls.c.claimed_by.is_not(None))
        ).all()
        rows = connection.execute(select(calls.c.call_id, calls.c.workspace_id)).all()
    engine.dispose()
    assert settled > 200
    assert len(deleted | waiting) == settled
    assert still_held == []
    # One call, one workspace, whichever door told of it.
    named = Counter(call_id for call_id, place in rows if place != "default")
    assert max(named.values()) == 1


def assert_given_to_one_at_a_time(told: list[dict[str, list[list[object]]]]) -> None:
    """Between being given out and being let go, a call is in no other holder's hands."""
    spans: dict[str, list[tuple[int, int, str]]] = {}
    for one in told:
        given: dict[str, tuple[list[str], int]] = {}
        for holder, ids, at in one["given"]:
            assert isinstance(holder, str)
            assert isinstance(at, int)
            if isinstance(ids, list):
                given[holder] = (ids, at)
                continue
            ids, began = given.pop(holder)
            for call_id in ids:
                spans.setdefault(call_id, []).append((began, at, holder))
        assert given == {}
    assert spans
    for call_id, held in spans.items():
        held.sort()
        for (_, ended, first), (began, _, second) in itertools.pairwise(held):
            assert began >= ended, (call_id, first, second)
