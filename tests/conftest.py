"""Builders that every room's tests share, with honest defaults overridden by what matters."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import certifi
import pytest
from hypothesis import HealthCheck, settings

from target_hubspot_calls.call import Call, Workspace, parse_call
from target_hubspot_calls.store import database
from target_hubspot_calls.store.database import open_database
from tests.shortcuts import creation_from, empty_store, one_authority
from tests.target_hubspot_calls.store.postgresql_server import (
    NoPostgreSQL,
    PostgreSQLServer,
    postgresql_server,
)

# Machines are noisy: how long an example took says nothing about the code.
settings.register_profile("ours", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ours")

HARBOR = Workspace("dana", "harbor-dental")
_HERE = Path(__file__).parent
_FIRST = ("plugin", "journeys", "docs", "browser")
# Minutes of processor time: `make test-long` runs them.
_LONG = (
    "call_stream/test_jetstream_cluster.py",
    "journeys/test_several_hosts.py",
    "plugin/test_examples.py",
    "plugin/test_foreign_tap.py",
    "plugin/test_meltano.py",
    "plugin/test_state_backends.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the long ones, and begins with the longest files: none is left over alone then."""
    for item in items:
        if item.path.relative_to(_HERE).as_posix() in _LONG:
            item.add_marker(pytest.mark.long)
    items.sort(key=lambda item: item.path.relative_to(_HERE).parts[0] not in _FIRST)


@pytest.fixture(scope="session", autouse=True)
def _certificates_are_read_quickly(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """HTTP clients of this process trust one authority; tests that use TLS have their own."""
    file = one_authority(tmp_path_factory.mktemp("authority"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(certifi, "where", lambda: str(file))
        yield


@pytest.fixture(scope="session", autouse=True)
def _migrated_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], None]:
    return creation_from(empty_store(tmp_path_factory.mktemp("store")))


@pytest.fixture(autouse=True)
def _stores_begin_migrated(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    _migrated_once: Callable[[Path], None],
) -> None:
    """A new store's file has its tables, except where the making of them is tested."""
    if request.path.name != "test_database.py":
        monkeypatch.setattr(database, "create_private_file", _migrated_once)


@pytest.fixture(autouse=True)
def _logging_stays() -> Iterator[None]:
    """What a command sets up for its own process is not left to the tests that come after."""
    level = logging.root.level
    yield
    logging.root.setLevel(level)


@pytest.fixture
def a_call_record() -> Callable[..., dict[str, Any]]:
    """Builds a Singer record of the stream `calls`: an inbound talk with a summary."""

    def build(**fields: Any) -> dict[str, Any]:
        return {
            "id": "01a1f97c-7300-7aa2-9c10-5f3a2b6d8e01",
            "user_id": HARBOR.user_id,
            "workspace_id": HARBOR.workspace_id,
            "source": "webhook",
            "type": "inboundPhoneCall",
            "direction": "inbound",
            "customer_number": "+14155550123",
            "customer_name": "Dana Ruiz",
            "phone_number": "+12025550110",
            "started_at": "2026-11-20T15:04:06.000Z",
            "ended_at": "2026-11-20T15:05:21.600Z",
            "duration_ms": 75600,
            "ended_reason": "customer-ended-call",
            "outcome": "completed",
            "summary": "The caller moved a cleaning to Friday at ten.",
            "transcript": "AI: Harbor Dental.\nUser: Friday, please.\n",
            "received_at": "2026-11-20T15:05:25.400Z",
            "updated_at": "2026-11-20T15:05:25.400Z",
            **fields,
        }

    return build


@pytest.fixture
def a_call(a_call_record: Callable[..., dict[str, Any]]) -> Callable[..., Call]:
    """Builds a call as the target knows it."""

    def build(**fields: Any) -> Call:
        return parse_call(a_call_record(**fields), HARBOR)

    return build


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQLServer]:
    """A server with one database, `ours`, that has our tables.

    Without a server program whoever asks for it is skipped, but in CI.
    """
    try:
        with postgresql_server() as server:
            server.run("CREATE DATABASE ours")
            open_database(server.url("ours")).dispose()
            yield server
    except NoPostgreSQL as err:
        if os.environ.get("CI") == "true":
            pytest.fail(str(err))
        pytest.skip(str(err))


@pytest.fixture
def shared_url(postgresql: PostgreSQLServer) -> Iterator[str]:
    """The address of the database with our tables, empty."""
    yield postgresql.url("ours")
    postgresql.empty("ours")


@pytest.fixture
def noon() -> datetime:
    """A fixed moment."""
    return datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
