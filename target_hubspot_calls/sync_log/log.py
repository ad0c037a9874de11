"""The sync log: what became of each call, appended from the outbox and read as history.

Opens the file late and closes it early; must not know the store, HubSpot or Singer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import duckdb

from target_hubspot_calls.sync_log.face import HistoryReader
from target_hubspot_calls.sync_log.filters import HistoryFilter
from target_hubspot_calls.sync_log.forgetting import (
    CallId,
    count_rows,
    find_calls,
    forget_rows,
)
from target_hubspot_calls.sync_log.opening import (
    SyncLogBusy,
    SyncLogError,
    SyncLogFile,
    SyncLogUnavailable,
)
from target_hubspot_calls.sync_log.reading import (
    QUERIES,
    DayCount,
    HistoryPage,
    HistoryView,
    NumbersPage,
    OutcomeCount,
    SpanCount,
    UnknownRow,
    has_table,
    read_call_status,
    read_days,
    read_hours,
    read_newest,
    read_outcome_counts,
    read_row,
    read_rows_behind,
    read_spans,
    read_story,
    read_unmatched,
    read_view,
)
from target_hubspot_calls.sync_log.rows import to_values

__all__ = [
    "DayCount",
    "HistoryFilter",
    "HistoryPage",
    "HistoryReader",
    "HistoryView",
    "NumbersPage",
    "OutboxLike",
    "OutcomeCount",
    "SpanCount",
    "SyncLog",
    "SyncLogBusy",
    "SyncLogError",
    "SyncLogUnavailable",
    "UnknownRow",
    "drain",
]

_SETUP = tuple(sql for name, sql in QUERIES.items() if name.startswith("create_"))


class OutboxLike(Protocol):
    """Where rows wait: `store.outbox.Outbox`."""

    def load(self, limit: int) -> list[dict[str, Any]]:
        """Up to `limit` rows, oldest first, each with its `id`."""

    def delete(self, ids: Sequence[str]) -> None:
        """Forgets rows; ids that are not there do not matter."""


class SyncLog(HistoryReader):
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
            there = connection.execute(QUERIES["ids_already_there"], bounds).fetchall()
            for (row_id,) in there:
                del values[row_id]
            if values:
                with connection.appender("hubspot_sync_logs") as appender:
                    appender.append_rows(values.values())

    def calls_of_number(self, digits: str, is_number: Callable[[str], bool]) -> set[CallId]:
        """The calls of a number, of which `digits` are the national ones, however it is written.

        Raises SyncLogBusy, SyncLogUnavailable.
        """
        with self._reading() as connection:
            return set() if connection is None else find_calls(connection, digits, is_number)

    def count_telling(self, calls: Iterable[CallId]) -> int:
        """How many rows of the calls tell of a person. Raises SyncLogBusy, SyncLogUnavailable."""
        with self._reading() as connection:
            return 0 if connection is None else count_rows(connection, calls)[1]

    def forget(self, calls: Iterable[CallId]) -> int:
        """Takes what rows of the calls say of a person out of the file; returns how many did.

        Raises SyncLogBusy, SyncLogUnavailable.
        """
        return forget_rows(self._file, calls)

    def view(
        self, wanted: HistoryFilter, *, as_of: str | None = None, limit: int = 50, offset: int = 0
    ) -> HistoryView:
        """The same with what stands around it: rows by status, and rows that came meanwhile.

        Raises UnknownRow, SyncLogBusy, SyncLogUnavailable.
        """
        with self._reading() as connection:
            if connection is None:
                return HistoryView(HistoryPage([], 0), {})
            return read_view(connection, wanted, as_of, limit=limit, offset=offset)

    def rows_behind(
        self,
        wanted: HistoryFilter,
        *,
        as_of: str | None = None,
        last: Mapping[str, Any] | None = None,
        limit: int = 10_000,
    ) -> HistoryPage:
        """The next piece of an export, after its `last` row; `total` is only that of the piece.

        Raises UnknownRow, SyncLogBusy, SyncLogUnavailable.
        """
        with self._reading() as connection:
            if connection is None:
                return HistoryPage([], 0)
            return read_rows_behind(connection, wanted, as_of, last, limit)

    def row(self, user_id: str, workspace_id: str, row_id: str, /) -> dict[str, Any] | None:
        """The workspace's row of this id. Raises SyncLogBusy, SyncLogUnavailable."""
        with self._reading() as connection:
            if connection is None:
                return None
            return read_row(connection, user_id, workspace_id, row_id)

    def story(
        self, user_id: str, workspace_id: str, call_id: str, /, *, limit: int = 1000
    ) -> list[dict[str, Any]]:
        """One call's latest rows, oldest first. Raises SyncLogBusy, SyncLogUnavailable."""
        with self._reading() as connection:
            if connection is None:
                return []
            return read_story(connection, user_id, workspace_id, call_id, limit)

    def outcome_counts(self, wanted: HistoryFilter) -> list[OutcomeCount]:
        """How many rows the filter finds of each outcome, most frequent first.

        Raises SyncLogBusy, SyncLogUnavailable.
        """
        with self._reading() as connection:
            return [] if connection is None else read_outcome_counts(connection, wanted)

    def days(self, wanted: HistoryFilter, *, utc_offset_min: int = 0) -> list[DayCount]:
        """Calls by day and by their latest status, in days that begin so many minutes before UTC's.

        Raises SyncLogBusy, SyncLogUnavailable.
        """
        with self._reading() as connection:
            if connection is None:
                return []
            return read_days(connection, wanted, utc_offset_min=utc_offset_min)

    def spans(self, wanted: HistoryFilter, begins: Sequence[datetime]) -> list[SpanCount]:
        """Calls by span of time, which ends where another begins, and by their latest status.

        Status and reason of the filter are those of a call's latest row in the filter's time; its
        `query` chooses calls by any of their rows.
        Raises SyncLogBusy, SyncLogUnavailable.
        """
        with self._reading() as connection:
            return [] if connection is None else read_spans(connection, wanted, begins)

    def newest_id(self, user_id: str, workspace_id: str, /) -> str | None:
        """The id of the workspace's row written last. Raises SyncLogBusy, SyncLogUnavailable."""
        with self._reading() as connection:
            return None if connection is None else read_newest(connection, user_id, workspace_id)

    def hours(self, since: datetime, until: datetime) -> dict[datetime, tuple[int, int]]:
        """What each hour has of the time: how many rows, and a sum over their ids.

        Raises SyncLogBusy, SyncLogUnavailable.
        """
        with self._reading() as connection:
            return {} if connection is None else read_hours(connection, since, until)

    def version(self) -> object:
        """Another value after every write; the file is not opened. Raises SyncLogUnavailable."""
        return self._file.version()

    def unmatched_numbers(
        self, wanted: HistoryFilter, *, limit: int = 50, offset: int = 0
    ) -> NumbersPage:
        """Numbers that called and are no contact's as things stand, most calls first.

        Raises SyncLogBusy, SyncLogUnavailable.
        """
        with self._reading() as connection:
            if connection is None:
                return NumbersPage([], 0)
            return read_unmatched(connection, wanted, limit=limit, offset=offset)

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
        wanted = HistoryFilter(user_id, workspace_id, status, reason, call_id)
        with self._reading() as connection:
            if connection is None:
                return []
            return read_call_status(connection, wanted, limit=limit, offset=offset)

    @contextmanager
    def _reading(self) -> Iterator[duckdb.DuckDBPyConnection | None]:
        with self._file.reading() as connection:
            yield connection if connection is not None and has_table(connection) else None


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
