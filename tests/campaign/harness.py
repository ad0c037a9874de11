"""Carries out the plan of one run: simulator, processes, faults, healing; then looks at the result.

Knows HubSpot's side only through the simulator and ours through processes and the store.
"""

from __future__ import annotations

import functools
import shutil
import signal
import sqlite3
import tempfile
import threading
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb

from hubspot_simulator import Simulator
from target_hubspot_calls.store.connections import Connections
from target_hubspot_calls.store.database import open_database
from target_hubspot_calls.store.vault import load_vault
from target_hubspot_calls.tokens import TokenSet
from tests.campaign.conservation import faults_of
from tests.campaign.gate import Ambush, Gate
from tests.campaign.plan import SIMULATOR, Plan, Round, WorkerPlan, plan_of
from tests.campaign.processes import Worker
from tests.campaign.warp import Warp
from tests.campaign.worker import WorkerSpec

CLIENT_ID, CLIENT_SECRET = "client-1", "client-secret-canary-1"
LONGEST_LIFE_S = 40.0
MOST_HEALING_ROUNDS = 14
HEALING_STEP_S = 4000.0
# Where time is not warped, nobody waits for the latest of late writes.
LATEST_S = 3.0


@dataclass(frozen=True)
class Result:
    """How a run went: `faults` is empty when every promise was kept."""

    seed: int
    faults: list[str]
    seconds: float
    deaths: int
    calls: int
    requests: int


def run_seed(seed: int, *, keep: bool = False) -> Result:
    """The result of the run that a seed decides; `keep` leaves its files for a look."""
    return run_plan(plan_of(seed), keep=keep)


def run_plan(plan: Plan, *, keep: bool = False) -> Result:
    """The result of a planned run."""
    folder = Path(tempfile.mkdtemp(prefix=f"campaign-{plan.seed}-"))
    began = time.monotonic()
    try:
        with Stage(plan, folder) as stage:
            for item in plan.rounds:
                stage.play(item)
            wrong = stage.heal() or faults_of(plan, stage.simulator, stage.data_dir, stage.outputs)
            return Result(
                seed=plan.seed,
                faults=stage.complaints + wrong,
                seconds=time.monotonic() - began,
                deaths=stage.deaths,
                calls=len(plan.calls),
                requests=len(stage.simulator.requests()),
            )
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


class Stage:
    """One run in the making: the pretend portals, the store, and which batches are taken over."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan = plan
        self.data_dir = folder / "data"
        self.outputs = folder / "workers"
        self.complaints: list[str] = []
        self.deaths = 0
        self._warp = Warp(plan.speed)
        self._open_batches = set(range(len(plan.batches)))
        self._workers = 0
        self._stack = ExitStack()

    def __enter__(self) -> Stage:
        plan = self.plan
        self.simulator = Simulator(
            port=0, seed=plan.seed, clock=lambda: self._warp.time(), **plan.simulator
        )
        self._gate = Gate(self.simulator.app)
        self.simulator.app = self._gate  # type: ignore[assignment]
        self._stack.enter_context(self.simulator)
        for contact in plan.contacts:
            self.simulator.seed_contacts(
                [{"id": contact.id, "properties": contact.properties}], contact.portal_id
            )
        self.simulator.settings.index_lag_s = plan.index_lag_s
        self.simulator.add_app(CLIENT_ID, CLIENT_SECRET)
        self._settings = self._first_settings()
        self.data_dir.mkdir(mode=0o700)
        self._engine = open_database(f"sqlite:///{self.data_dir / 'store.db'}")
        self._stack.callback(self._engine.dispose)
        vault = load_vault(None, self.data_dir / "secret.key", create=True)
        self._connections = Connections(self._engine, vault, clock=lambda: self._warp.now())
        if plan.access == "oauth":
            for portal_id in plan.portals:
                self._connect(portal_id)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def play(self, item: Round) -> None:
        """One round: its faults are in force while its processes live."""
        self._move_on(item.ahead_s)
        for fault in item.faults:
            self.simulator.add_fault(**fault)
        if item.tokens_expire:
            self.simulator.expire_tokens()
        for trap in item.traps:
            late_s = min(LATEST_S, self._warp.real_s(trap.late_s))
            self._gate.set(Ambush(trap.path, trap.nth, "reset_late", _nothing, late_s))
        with ExitStack() as stack:
            if item.log_is_held:
                stack.enter_context(duckdb.connect(str(self.data_dir / "sync_log.duckdb")))
            self._end(self._start(item.workers))
        self._gate.clear()
        self.simulator.clear_faults()

    def heal(self) -> list[str]:
        """All faults over, people have done their part: runs until nothing is due any more."""
        for _ in range(MOST_HEALING_ROUNDS):
            self._reconnect()
            self._move_on(HEALING_STEP_S)
            todo = WorkerPlan("run", tuple(sorted(self._open_batches)), None)
            self._end(self._start((todo,)))
            if not self._open_batches and not any(self._unsettled().values()):
                return []
        return [f"not settled long after all faults are over: {self._unsettled()}"]

    def _start(self, plans: tuple[WorkerPlan, ...]) -> list[tuple[WorkerPlan, Worker]]:
        started = []
        for plan in plans:
            self._workers += 1
            spec = WorkerSpec(
                mode=plan.mode,
                settings=self._settings,
                batches={n: self._batch(n) for n in plan.batches},
                warp=replace(self._warp),
                mishap=plan.mishap,
                seed=self.plan.seed * 100 + self._workers,
                folder=self.outputs / f"{self._workers:02d}-{plan.mode}",
            )
            worker = Worker(spec)
            self._arrange_end(plan, worker)
            started.append((plan, worker))
        return started

    def _batch(self, number: int) -> tuple[dict[str, Any], ...]:
        return tuple(
            {
                name: value.replace(SIMULATOR, self.simulator.url)
                if name == "recording_url"
                else value
                for name, value in report.items()
            }
            for report in self.plan.batches[number]
        )

    def _arrange_end(self, plan: WorkerPlan, worker: Worker) -> None:
        mishap = plan.mishap
        if mishap is None:
            return
        if mishap.kind in ("timer", "term"):
            signum = signal.SIGKILL if mishap.kind == "timer" else signal.SIGTERM
            wait_s = mishap.wait_s * (6 if plan.mode == "binary" else 1)
            timer = threading.Timer(wait_s, functools.partial(worker.signal, signum))
            timer.daemon = True
            timer.start()
            worker.timer = timer
        elif mishap.kind.startswith("request_"):
            moment = mishap.kind.removeprefix("request_")
            late_s = min(LATEST_S, self._warp.real_s(mishap.wait_s))
            late_s = late_s if moment == "arrived_late" else 0.0
            self._gate.set(Ambush(mishap.path, mishap.nth, moment, worker.signal, late_s))

    def _end(self, workers: list[tuple[WorkerPlan, Worker]]) -> None:
        deadline = time.monotonic() + LONGEST_LIFE_S
        for plan, worker in workers:
            status = worker.wait(max(0.1, deadline - time.monotonic()))
            if status is None:
                worker.signal()
                worker.wait(10.0)
                self.complaints.append(f"worker {worker.spec.folder.name} does not end")
            elif status != 0 and plan.mishap is None:
                self.complaints.append(f"worker {worker.spec.folder.name} ends with {status}")
            self.deaths += status != 0
            self._open_batches -= worker.spec.acknowledged
        for _, worker in workers:
            worker.close()

    def _move_on(self, seconds: float) -> None:
        """Lets time pass, once everything sent so far has reached its end."""
        if seconds:
            self._gate.wait_until_idle()
            self._warp.ahead_s += seconds

    def _first_settings(self) -> dict[str, Any]:
        settings = {
            **self.plan.settings,
            "data_dir": str(self.data_dir),
            "hubspot_api_url": self.simulator.url,
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
        }
        (portal_id, *_) = self.plan.portals
        if self.plan.access == "service_key":
            settings["service_key"] = self.simulator.add_service_key(portal_id)
        if self.plan.access == "refresh_token":
            settings["refresh_token"] = self.simulator.issue_tokens(portal_id)["refresh_token"]
        return settings

    def _connect(self, portal_id: int) -> None:
        issued = self.simulator.issue_tokens(portal_id)
        tokens = TokenSet(
            access_token=issued["access_token"],
            refresh_token=issued["refresh_token"],
            expires_at=self._warp.now() + timedelta(seconds=issued["expires_in"]),
            portal_id=portal_id,
        )
        self._connections.add_oauth("dana", f"workspace-{portal_id}", tokens)

    def _reconnect(self) -> None:
        """What a person does who reads that a connection is dead."""
        for connection in self._connections.list():
            if connection.state == "active":
                continue
            if self.plan.access == "oauth":
                self._connect(int(connection.workspace_id.removeprefix("workspace-")))
            else:
                (portal_id, *_) = self.plan.portals
                fresh = self.simulator.issue_tokens(portal_id)["refresh_token"]
                self._settings = {**self._settings, "refresh_token": fresh}

    def _unsettled(self) -> dict[str, int]:
        """Calls and rows that have not come to rest."""
        with closing(sqlite3.connect(self.data_dir / "store.db")) as store:
            calls = "select reason, count(*) from calls where state != 'settled' group by reason"
            files = "select count(*) from calls where recording_due_at is not null"
            (recordings,) = store.execute(files).fetchone()
            (rows,) = store.execute("select count(*) from outbox").fetchone()
            return {
                **dict(store.execute(calls).fetchall()),
                "recordings": recordings,
                "outbox": rows,
            }


def _nothing() -> None:
    """Nobody is killed."""
