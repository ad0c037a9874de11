"""A history to read, rows for it, and processes to get in its way.

A test that asks for the log is run on a DuckDB file and on the table in PostgreSQL that several
hosts share, one that looks at the file (`path`) on DuckDB alone. Without a PostgreSQL server its
half is skipped, but in CI.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from uuid_utils import uuid7

from target_hubspot_calls.store.database import open_database
from target_hubspot_calls.sync_log.log import SyncLog
from tests.target_hubspot_calls.shared_history.written import WrittenHistory


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "kept_in" in metafunc.fixturenames:
        in_file = "path" in metafunc.fixturenames
        metafunc.parametrize("kept_in", ["duckdb"] if in_file else ["duckdb", "postgresql"])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "sync_log.duckdb"


@pytest.fixture
def shared(shared_url: str) -> Iterator[WrittenHistory]:
    engine = open_database(shared_url)
    yield WrittenHistory(engine)
    engine.dispose()


@pytest.fixture
def log(kept_in: str, request: pytest.FixtureRequest) -> SyncLog | WrittenHistory:
    if kept_in == "duckdb":
        return SyncLog(request.getfixturevalue("path"))
    written: WrittenHistory = request.getfixturevalue("shared")
    return written


@pytest.fixture
def a_row() -> Callable[..., dict[str, Any]]:
    def build(**changes: Any) -> dict[str, Any]:
        return {
            "id": str(uuid7()),
            "user_id": "ada",
            "workspace_id": "sales",
            "call_id": "call-1",
            "contact_id": "501",
            "engagement_id": "9001",
            "engagement_type": "note",
            "file_id": None,
            "status": "success",
            "reason": "created",
            "retryable": False,
            "error_message": None,
            "phone_number": "+12025550142",
            "recording_status": "none",
            "contact_match": "phone",
            "attempt": 1,
            "correlation_id": None,
            "portal_id": 4_000_000_000,
            "call_started_at": "2026-03-01T11:58:00+00:00",
            "created_at": datetime(2026, 3, 1, 12, 0, tzinfo=UTC).isoformat(),
            "run_id": "run-1",
        } | changes

    return build


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
