"""Runs of several hosts on one PostgreSQL store: each portal is one's, and any of them may die.

Each host has its own data directory and its own clock; what they share is the store's address.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import Engine, select

from hubspot_simulator import DEFAULT_PORTAL, Simulator
from target_hubspot_calls.call import Call
from target_hubspot_calls.clock import Clock
from target_hubspot_calls.delivery import heartbeat
from target_hubspot_calls.delivery.heartbeat import Rhythm
from target_hubspot_calls.delivery.run import Run
from target_hubspot_calls.settings import TargetSettings
from target_hubspot_calls.store.connections import Connections
from target_hubspot_calls.store.database import open_database, reading
from target_hubspot_calls.store.ledger import Ledger
from target_hubspot_calls.store.portal_leases import Lease, PortalLeases
from target_hubspot_calls.store.schema import calls, portal_leases
from target_hubspot_calls.store.vault import Vault
from target_hubspot_calls.tokens import TokenSet

# With one token in the settings nobody knows whose portal it is before it is asked.
OPENING_REQUESTS = 1
CREATE = "/crm/objects/2026-09/notes/batch/create"
# Ten times as quick as it is, so that a test need not wait so long for a death.
QUICK = Rhythm(beat_every_s=0.2, sure_s=0.6, dead_s=1.2, statement_s=2.0)
WORK = f"""
import json, sys
from target_hubspot_calls.delivery import heartbeat
heartbeat.RHYTHM = heartbeat.{QUICK!r}
from target_hubspot_calls.delivery.run import Run
from target_hubspot_calls.settings import TargetSettings
run = Run(TargetSettings.model_validate(json.loads(sys.argv[1])))
print(run.run_id, flush=True)
sys.stdin.readline()
run.finish(until=lambda: False)
run.close()
print("done", flush=True)
"""


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "RHYTHM", QUICK)


@pytest.fixture
def store(shared_url: str) -> Iterator[Engine]:
    engine = open_database(shared_url)
    yield engine
    engine.dispose()


@pytest.fixture
def settings(portal: Simulator, shared_url: str, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """The settings of the target on one host; without `key`, of stored connections."""
    service_key = portal.add_service_key(DEFAULT_PORTAL)
    encryption_key = Fernet.generate_key().decode()

    def build(host: str, *, key: bool = True, **more: Any) -> dict[str, Any]:
        return {
            "data_dir": str(tmp_path / host),
            "database_url": shared_url,
            "encryption_keys": encryption_key,
            "hubspot_api_url": portal.url,
            "batch_wait_s": 0.0,
            **({"service_key": service_key} if key else {}),
            **more,
        }

    return build


@pytest.fixture
def start_run(settings: Callable[..., dict[str, Any]]) -> Iterator[Callable[..., Run]]:
    """A run on a host of its own, in this process; stopped at the end."""
    started: list[Run] = []

    def start(host: str, *, clock: Clock | None = None, **more: Any) -> Run:
        run = Run(TargetSettings.model_validate(settings(host, **more)), clock=clock)
        started.append(run)
        return run

    yield start
    for run in started:
        run.stop(10)
        run.close()


@pytest.fixture
def start_process(
    settings: Callable[..., dict[str, Any]],
) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """A run on a host of its own, in a process of its own; killed at the end."""
    started: list[subprocess.Popen[str]] = []

    def start(host: str, **more: Any) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", WORK, json.dumps(settings(host, **more))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.communicate()


def run_id_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def holder_of(store: Engine, portal_id: int = DEFAULT_PORTAL) -> str | None:
    with reading(store) as connection:
        chosen = select(portal_leases.c.holder).where(portal_leases.c.portal_id == portal_id)
        return connection.execute(chosen).scalar_one_or_none()


def wait_until(is_so: Callable[[], object], within_s: float = 30.0) -> None:
    give_up_at = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < give_up_at
        time.sleep(0.02)


def written(portal: Simulator, portal_id: int = DEFAULT_PORTAL) -> Counter[str]:
    """How often each call stands in HubSpot."""
    bodies = [note["properties"]["hs_note_body"] for note in portal.notes(portal_id)]
    return Counter(re.findall(r"call-\d{5}", " ".join(bodies)))


def some_calls(a_call: Callable[..., Call], count: int, **fields: Any) -> list[Call]:
    fields = {"recording_url": None, "summary": None, **fields}
    return [a_call(id=f"call-{n:05d}", **fields) for n in range(count)]


def refused(portal: Simulator) -> list[str]:
    return [seen.path for seen in portal.requests() if seen.status == 429]


def test_a_worker_delivers_what_another_host_accepts(
    portal: Simulator,
    store: Engine,
    start_run: Callable[..., Run],
    a_call: Callable[..., Call],
) -> None:
    start_run("worker")
    began = time.monotonic()

    Ledger(store).accept(some_calls(a_call, 3), now=datetime.now(UTC))
    wait_until(lambda: len(portal.notes()) == 3)

    assert time.monotonic() - began < 5
    assert set(written(portal).values()) == {1}


@pytest.mark.parametrize("apart_s", [3, -3], ids=["one ahead", "one behind"])
def test_hosts_whose_clocks_are_three_seconds_apart_double_nothing(
    portal: Simulator,
    store: Engine,
    start_run: Callable[..., Run],
    a_call: Callable[..., Call],
    apart_s: int,
) -> None:
    off = Clock(now=lambda: datetime.now(UTC) + timedelta(seconds=apart_s))
    runs = [start_run("right", clock=Clock()), start_run("off", clock=off)]
    reports = some_calls(a_call, 600)

    for start in range(0, 600, 60):
        runs[start // 60 % 2].accept(reports[start : start + 60], [])
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda run: run.finish(until=lambda: False), runs))

    assert set(written(portal).values()) == {1}
    assert len(portal.notes()) == 600
    assert refused(portal) == []


def test_the_portal_of_a_killed_worker_is_taken_over_and_nothing_is_doubled(
    portal: Simulator,
    store: Engine,
    start_process: Callable[..., subprocess.Popen[str]],
    start_run: Callable[..., Run],
    a_call: Callable[..., Call],
    quick: None,
) -> None:
    portal.settings.unique_properties_on_activities = True
    portal.add_fault("delay", path=CREATE, delay_s=0.3, times=None)
    Ledger(store).accept(some_calls(a_call, 1500), now=datetime.now(UTC))
    process = start_process("first")
    first = run_id_of(process)
    wait_until(lambda: portal.notes())
    second = start_run("second")
    process.kill()
    killed_at = time.monotonic()

    wait_until(lambda: holder_of(store) == second.run_id)
    taken_s = time.monotonic() - killed_at
    second.finish(until=lambda: False)

    assert holder_of(store) != first
    assert taken_s < QUICK.dead_s + 5
    assert (len(written(portal)), set(written(portal).values())) == (1500, {1})
    assert refused(portal) == []


@pytest.mark.long
def test_a_worker_that_was_stopped_for_long_writes_nothing_that_is_anothers_by_then(
    portal: Simulator,
    store: Engine,
    start_process: Callable[..., subprocess.Popen[str]],
    start_run: Callable[..., Run],
    a_call: Callable[..., Call],
    quick: None,
) -> None:
    portal.settings.unique_properties_on_activities = True
    portal.add_fault("delay", path=CREATE, delay_s=0.3, times=None)
    Ledger(store).accept(some_calls(a_call, 2500), now=datetime.now(UTC))
    process = start_process("stopped")
    stopped = run_id_of(process)
    wait_until(lambda: portal.notes())
    second = start_run("second")
    process.send_signal(signal.SIGSTOP)
    wait_until(lambda: holder_of(store) == second.run_id)
    wait_until(lambda: not claimed_by(store, stopped))
    # What had left before is answered by now.
    time.sleep(0.5)
    portal.clear_requests()

    process.send_signal(signal.SIGCONT)
    second.finish(until=lambda: False)

    done = second.tally.by_reason
    assert (len(written(portal)), set(written(portal).values())) == (2500, {1})
    assert refused(portal) == []
    assert done["created"] + done["updated"] + done["unchanged"] >= 1500
    assert holder_of(store) == second.run_id


def claimed_by(store: Engine, run_id: str) -> list[str]:
    with reading(store) as connection:
        holders = connection.execute(
            select(calls.c.claimed_by).where(calls.c.claimed_by.is_not(None)).distinct()
        ).scalars()
        return [holder for holder in holders if holder.startswith(f"{run_id}/")]


def test_two_hosts_with_a_stale_token_refresh_it_once(
    portal: Simulator,
    store: Engine,
    settings: Callable[..., dict[str, Any]],
    start_run: Callable[..., Run],
    a_call: Callable[..., Call],
) -> None:
    app = portal.add_app("client-1", "canary-secret", ["http://127.0.0.1/callback"])
    oauth = {"key": False, "client_id": app.client_id, "client_secret": "canary-secret"}
    connections = Connections(store, Vault([settings("any")["encryption_keys"]]))
    long_ago = datetime(2026, 1, 1, tzinfo=UTC)
    for place in ("north", "south"):
        issued = portal.issue_tokens(DEFAULT_PORTAL, "client-1")
        connections.add_oauth(
            "dana", place, TokenSet("stale", issued["refresh_token"], expires_at=long_ago)
        )
    runs = [start_run(host, **oauth) for host in ("first", "second")]
    portal.clear_requests()

    for place in ("north", "south"):
        reports = [a_call(id=f"{place}-{n}", workspace_id=place) for n in range(2)]
        Ledger(store).accept(reports, now=datetime.now(UTC))
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda run: run.finish(until=lambda: False), runs))

    tokens_asked = [seen for seen in portal.requests() if seen.path.endswith("/token")]
    assert len(portal.notes()) == 4
    assert len(tokens_asked) == 2


def test_a_portal_without_work_goes_to_another_host_while_its_holder_is_busy(
    portal: Simulator,
    store: Engine,
    settings: Callable[..., dict[str, Any]],
    start_run: Callable[..., Run],
    a_call: Callable[..., Call],
) -> None:
    busy, idle = DEFAULT_PORTAL, DEFAULT_PORTAL + 1
    portal.seed_contacts([{"phone": "(415) 555-0123"}], idle)
    connections = Connections(store, Vault([settings("any")["encryption_keys"]]))
    for place, portal_id in (("busy", busy), ("idle", idle)):
        connections.add_service_key("dana", place, portal.add_service_key(portal_id))
    portal.add_fault("delay", path=CREATE, portal_id=busy, delay_s=0.5, times=None)
    ledger, first = Ledger(store), start_run("first", key=False)
    ledger.accept(
        [
            *some_calls(a_call, 5000, workspace_id="busy"),
            *some_calls(a_call, 1, workspace_id="idle"),
        ],
        now=datetime.now(UTC),
    )
    wait_until(lambda: portal.notes(idle))
    held_first = holder_of(store, idle)

    wait_until(lambda: take_as_another(store, idle) is Lease.TAKEN_OVER, within_s=5)

    assert held_first == first.run_id
    assert holder_of(store, busy) == first.run_id


def take_as_another(store: Engine, portal_id: int) -> Lease:
    return PortalLeases(store).take(
        portal_id, "other", for_s=30, now=datetime.now(UTC), is_dead=lambda _: False
    )


@pytest.mark.long
def test_who_takes_a_portal_over_goes_on_with_the_pace_of_the_one_before(
    portal: Simulator,
    start_run: Callable[..., Run],
    a_call: Callable[..., Call],
) -> None:
    # HubSpot says nothing of what is left, and refuses nothing: the limit is ours alone to keep.
    portal.settings.rate_limits = False
    pace = {"requests_per_10_seconds": 12, "missing_contact": "create"}

    for host in ("first", "second"):
        run = start_run(host, **pace)
        run.accept(
            [
                a_call(id=f"{host}-{n}", customer_number=f"+1202555{n:04}", recording_url=None)
                for n in range(100, 106)
            ],
            [],
        )
        run.finish(until=lambda: False)

    counted = sorted(seen.at for seen in portal.requests() if not seen.path.endswith("/search"))
    most = max(sum(at <= other < at + 10 for other in counted) for at in counted)
    assert len(portal.notes()) == 12
    assert most <= 12 + OPENING_REQUESTS
