"""A sync log in a temporary directory, rows for it, and processes to get in its way."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from uuid_utils import uuid7

from target_hubspot_calls.sync_log.log import SyncLog


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "sync_log.duckdb"


@pytest.fixture
def log(path: Path) -> SyncLog:
    return SyncLog(path)


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
