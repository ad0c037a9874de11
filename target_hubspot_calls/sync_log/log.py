"""The sync log: what became of each call, appended from the outbox and read as history.

Opens the file late and closes it early; must not know the store, HubSpot or Singer.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import duckdb

from target_hubspot_calls.sync_log.opening import (
    SyncLogBusy,
    SyncLogError,
    SyncLogFile,
    SyncLogUnavailable,
)
from target_hubspot_calls.sync_log.queries import load_queries
from target_hubspot_calls.sync_log.rows import from_values, to_naive_utc, to_values

__all__ = [
    "HistoryPage",
    "OutboxLike",
    "SyncLog",
    "SyncLogBusy",
    "SyncLogError",
    "SyncLogUnavailable",
    "drain",
]

_QUERIES = load_queries()
_SETUP = tuple(sql for name, sql in _QUERIES.items() if name.startswith("create_"))
_WRITTEN_NUMBER = re.compile(r"[\d\s()+./-]*\d[\d\s()+./-]*")


class OutboxLike(Protocol):
    """Where rows wait: `store.outbox.Outbox`."""

    def load(self, limit: int) -> list[dict[str, Any]]:
        """Up to `limit` rows, oldest first, each with its `id`."""

    def delete(self, ids: Sequence[str]) -> None:
        """Forgets rows; ids that are not there do not matter."""


@dataclass(frozen=True)
class HistoryPage:
    """Some rows, newest first, and how many there are in all; times are aware UTC."""

    rows: list[dict[str, Any]]
    total: int


class SyncLog:
    """The sync log at `path`; waits up to `wait_s` seconds for a file another process has open."""

    def __init__(
        self,
        path: Path | str,
        *,
        wait_s: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._file = SyncLogFile(Path(path), wait_s=wait_s, clock=clock, sleep=sleep)

    def append(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Writes all rows whose id is not there yet, or none; makes the file at first use.

        Times may be ISO 8601 text. Raises SyncLogBusy, SyncLogUnavailable, and ValueError for a row
        without an id or with a time that is none.
        """
        if not rows:
            return
        if not all(row.get("id") for row in rows):
            raise ValueError("a sync log row has no id")
        values = {str(row["id"]): to_values(row) for row in rows}
        bounds = {"ids": list(values), "first_id": min(values), "last_id": max(values)}
        with self._file.writing(_SETUP) as connection:
            there = connection.execute(_QUERIES["ids_already_there"], bounds).fetchall()
            for (row_id,) in there:
                del values[row_id]
            if values:
                with connection.appender("hubspot_sync_logs") as appender:
                    appender.append_rows(values.values())

    def history(
        self,
        *,
        user_id: str | None = None,
        workspace_id: str | None = None,
        status: str | None = None,
        reason: str | None = None,
        call_id: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        query: str | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> HistoryPage:
        """One page of all attempts; `since` is included, `until` is not.

        `query` is looked for in call id, phone number, error message and contact id. Raises
        SyncLogBusy, SyncLogUnavailable.
        """
        filters = _filters(
            user_id, workspace_id, status, reason, call_id, since=since, until=until, query=query
        )
        with self._file.reading() as connection:
            if connection is None or not _has_table(connection):
                return HistoryPage([], 0)
            rows = _page(connection, "history_rows", filters, limit=limit, offset=offset)
            ((total,),) = connection.execute(
                _statement("count_history", "matching"), filters
            ).fetchall()
            return HistoryPage(rows, total)

    def call_status(
        self,
        *,
        user_id: str | None = None,
        workspace_id: str | None = None,
        status: str | None = None,
        reason: str | None = None,
        call_id: str | None = None,
        limit: int = 1000,
        offset: int = 0,
    ) -> list[dict[str, Any]]:
        """The latest row of each call, newest first. Raises SyncLogBusy, SyncLogUnavailable."""
        filters = _filters(user_id, workspace_id, status, reason, call_id)
        with self._file.reading() as connection:
            if connection is None or not _has_table(connection):
                return []
            return _page(connection, "call_status_rows", filters, limit=limit, offset=offset)


def drain(outbox: OutboxLike, log: SyncLog, limit: int = 1000) -> int:
    """How many rows went from the outbox to the log, `limit` at a time, until none waited.

    Appends before it deletes, and the log skips what it has: killed anywhere, it neither loses nor
    doubles a row. Raises SyncLogBusy, SyncLogUnavailable and what the outbox raises.
    """
    drained = 0
    while rows := outbox.load(limit):
        log.append(rows)
        outbox.delete([row["id"] for row in rows])
        drained += len(rows)
        if len(rows) < limit:
            break
    return drained


def _filters(
    user_id: str | None,
    workspace_id: str | None,
    status: str | None,
    reason: str | None,
    call_id: str | None,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    query: str | None = None,
) -> dict[str, Any]:
    query = (query or "").strip() or None
    is_number = query is not None and _WRITTEN_NUMBER.fullmatch(query)
    return {
        "user_id": user_id,
        "workspace_id": workspace_id,
        "status": status,
        "reason": reason,
        "call_id": call_id,
        "since": to_naive_utc(since, "since"),
        "until": to_naive_utc(until, "until"),
        "query": query,
        "digits": re.sub(r"\D", "", query) if query and is_number else None,
    }


def _page(
    connection: duckdb.DuckDBPyConnection,
    select: str,
    filters: Mapping[str, Any],
    *,
    limit: int,
    offset: int,
) -> list[dict[str, Any]]:
    found = connection.execute(
        _statement(select, "matching", "newest_first"),
        {**filters, "limit": limit, "offset": offset},
    )
    columns = tuple(column[0] for column in found.description or ())
    return [from_values(values, columns) for values in found.fetchall()]


def _statement(*names: str) -> str:
    return "\n".join(_QUERIES[name] for name in names)


def _has_table(connection: duckdb.DuckDBPyConnection) -> bool:
    # A file somebody else made, or restored in part.
    return bool(connection.execute(_QUERIES["table_is_there"]).fetchall())
