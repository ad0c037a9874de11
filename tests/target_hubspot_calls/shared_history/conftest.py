"""The history of several hosts on a real PostgreSQL, and a DuckDB file beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from target_hubspot_calls.store.database import open_database
from target_hubspot_calls.sync_log.log import SyncLog
from tests.target_hubspot_calls.shared_history.written import WrittenHistory
from tests.target_hubspot_calls.sync_log.conftest import a_row, start_python

__all__ = ["a_row", "start_python"]


@pytest.fixture
def engine(shared_url: str) -> Iterator[Engine]:
    engine = open_database(shared_url)
    yield engine
    engine.dispose()


@pytest.fixture
def shared(engine: Engine) -> WrittenHistory:
    return WrittenHistory(engine)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "sync_log.duckdb"


@pytest.fixture
def log(path: Path) -> SyncLog:
    return SyncLog(path)
