"""A real store, a vault, and a clock that stands until it is moved.

A test that asks for the store is run on SQLite and on PostgreSQL, one that looks at the store's
file (`store_path`) on SQLite alone. Without a PostgreSQL server its half is skipped, but in CI.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import Engine

from target_hubspot_calls.store.connections import Connections
from target_hubspot_calls.store.database import open_database
from target_hubspot_calls.store.vault import Vault


class StandingClock:
    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_s(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> StandingClock:
    return StandingClock()


@pytest.fixture
def store_path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "store.sqlite"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "database" in metafunc.fixturenames:
        on_file = "store_path" in metafunc.fixturenames
        metafunc.parametrize("database", ["sqlite"] if on_file else ["sqlite", "postgresql"])


@pytest.fixture
def url(database: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    if database == "sqlite":
        yield f"sqlite:///{tmp_path / 'data' / 'store.sqlite'}"
    else:
        server = request.getfixturevalue("postgresql")
        yield server.url("ours")
        server.empty("ours")


@pytest.fixture
def new_url(url: str, database: str, request: pytest.FixtureRequest) -> str:
    """The address of a store that nobody has opened yet."""
    if database == "sqlite":
        return url
    return str(request.getfixturevalue("postgresql").new_database())


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    engine = open_database(url)
    yield engine
    engine.dispose()


@pytest.fixture
def vault() -> Vault:
    return Vault([Fernet.generate_key().decode()])


@pytest.fixture
def connections(engine: Engine, vault: Vault, clock: StandingClock) -> Connections:
    return Connections(engine, vault, clock=clock)


@pytest.fixture
def start_python() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a program in a process of its own; whatever still runs at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(program: str, *arguments: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", program, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
