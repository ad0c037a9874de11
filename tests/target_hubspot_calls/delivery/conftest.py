"""A simulated portal and runs of delivery against it, over real HTTP and a real store."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pytest

from hubspot_simulator import DEFAULT_PORTAL, Simulator
from target_hubspot_calls.call import Call
from target_hubspot_calls.clock import Clock
from target_hubspot_calls.delivery import portals
from target_hubspot_calls.delivery.run import Run
from target_hubspot_calls.hubspot.pace import Pace
from target_hubspot_calls.settings import TargetSettings
from tests.target_hubspot_calls.store.postgresql_server import (
    NoPostgreSQL,
    PostgreSQLServer,
    postgresql_server,
)


@pytest.fixture
def portal() -> Iterator[Simulator]:
    """A simulated HubSpot with one contact, Dana Ruiz, (415) 555-0123, id 101."""
    with Simulator(port=0) as simulator:
        simulator.seed_contacts([{"id": "101", "properties": DANA}], DEFAULT_PORTAL)
        yield simulator


DANA = {
    "firstname": "Dana",
    "lastname": "Ruiz",
    "email": "dana.ruiz@example.com",
    "phone": "(415) 555-0123",
}


class ClockThatSleepsMove:
    """Seconds that pass only while somebody sleeps."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        await asyncio.sleep(0)


@pytest.fixture
def quick_pace(monkeypatch: pytest.MonkeyPatch) -> ClockThatSleepsMove:
    """The clock that the pace goes by from now on: it would hold a refused portal for seconds."""
    clock = ClockThatSleepsMove()
    monkeypatch.setattr(portals, "Pace", partial(Pace, clock=clock.monotonic, sleep=clock.sleep))
    return clock


@dataclass
class Deliveries:
    """Runs of delivery on one store; `later_s` moves the clock, waits between tries are skipped."""

    settings: TargetSettings
    later_s: float = 0.0
    waits: list[float] = field(default_factory=list)

    @classmethod
    def of(cls, portal: Simulator, tmp_path: Path, **settings: Any) -> Deliveries:
        """Runs against this portal with a store in `tmp_path`."""
        values = {"data_dir": tmp_path / "data", "hubspot_api_url": portal.url, **settings}
        return cls(TargetSettings.model_validate(values))

    def __call__(self, *calls: Call) -> dict[str, int]:
        """Accepts the calls, delivers all that is due, and counts the run's outcomes."""
        run = Run(self.settings, clock=Clock(now=self.now, random=lambda: 0.0, sleep=self._sleep))
        run.accept(calls, [])
        run.finish(until=lambda: False)
        run.close()
        return dict(run.tally.by_reason)

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.later_s)

    def history(self, columns: str = "call_id, status, reason") -> list[tuple[Any, ...]]:
        """What the sync log says, oldest first."""
        with duckdb.connect(self.settings.sync_log_path, read_only=True) as log:
            query = f"select {columns} from hubspot_sync_logs order by created_at, id"
            return log.execute(query).fetchall()

    async def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        await asyncio.sleep(0)


@pytest.fixture
def deliver(portal: Simulator, tmp_path: Path) -> Callable[..., Deliveries]:
    """Makes a `Deliveries` with a service key; keyword arguments are target settings."""

    def build(**settings: Any) -> Deliveries:
        values = {"service_key": portal.add_service_key(DEFAULT_PORTAL), **settings}
        return Deliveries.of(portal, tmp_path, **values)

    return build


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQLServer]:
    """A server for stores that several hosts share."""
    try:
        with postgresql_server() as server:
            yield server
    except NoPostgreSQL as err:
        if os.environ.get("CI") == "true":
            pytest.fail(str(err))
        pytest.skip(str(err))


@pytest.fixture
def shared_url(postgresql: PostgreSQLServer) -> str:
    """The address of a new store that several hosts may share."""
    return postgresql.new_database()
