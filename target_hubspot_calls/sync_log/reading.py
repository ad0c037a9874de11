"""Questions to an open sync log, and their answers as plain rows; times are aware UTC.

Knows the statements of `queries.sql`; it opens nothing and must not know who asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import duckdb

from target_hubspot_calls.sync_log.filters import HistoryFilter
from target_hubspot_calls.sync_log.opening import SyncLogError
from target_hubspot_calls.sync_log.queries import load_queries
from target_hubspot_calls.sync_log.rows import from_values, to_naive_utc

QUERIES = load_queries()

Rows = list[dict[str, Any]]


class UnknownRow(SyncLogError):
    """The row a page is pinned to is not in this sync log, or is another workspace's."""


@dataclass(frozen=True)
class HistoryPage:
    """Some rows, newest first, and how many there are in all.

    `as_of` is the id of the row written last: with it, the next page does not see what is written
    meanwhile. It is None where there is no row yet.
    """

    rows: Rows
    total: int
    as_of: str | None = None


@dataclass(frozen=True)
class OutcomeCount:
    """How many rows have this outcome."""

    status: str
    reason: str
    count: int


@dataclass(frozen=True)
class DayCount:
    """How many calls of a day stand so."""

    day: date
    status: str
    calls: int


@dataclass(frozen=True)
class UnmatchedNumber:
    """A number as it was written whose calls found no contact; None for calls without one."""

    phone_number: str | None
    calls: int
    first_call_at: datetime
    last_call_at: datetime
    last_call_id: str | None


@dataclass(frozen=True)
class NumbersPage:
    """Some numbers, most calls first, and how many there are in all."""

    numbers: list[UnmatchedNumber]
    total: int


Connection = duckdb.DuckDBPyConnection


def read_page(
    connection: Connection, wanted: HistoryFilter, as_of: str | None, *, limit: int, offset: int
) -> HistoryPage:
    """One page of what the filter finds. Raises UnknownRow."""
    pin_id, position = _pin(connection, wanted, as_of)
    found = {**wanted.parameters(), "last_position": position}
    page = {"limit": limit, "offset": offset}
    if wanted.query and wanted.query.strip():
        connection.execute(QUERIES["find_rows"], found).fetchall()
        total = _count(connection, "count_found", {})
        rows = _rows(connection, "found_rows", page)
    else:
        total = _count(connection, "count_history", found)
        rows = _rows(connection, "history_rows", {**found, **page})
    return HistoryPage(rows, total, pin_id)


def read_rows_behind(
    connection: Connection,
    wanted: HistoryFilter,
    as_of: str | None,
    last: Mapping[str, Any] | None,
    limit: int,
) -> HistoryPage:
    """The next rows after `last`, the first ones if that is None, without their whole number.

    Raises UnknownRow.
    """
    pin_id, position = _pin(connection, wanted, as_of)
    parameters = {
        **wanted.parameters(),
        "last_position": position,
        "behind_created_at": to_naive_utc(last["created_at"], "created_at") if last else None,
        "behind_id": last["id"] if last else None,
        "limit": limit,
    }
    rows = _rows(connection, "rows_behind", parameters)
    return HistoryPage(rows, len(rows), pin_id)


def read_row(
    connection: Connection, user_id: str, workspace_id: str, row_id: str
) -> dict[str, Any] | None:
    """The workspace's row of this id."""
    owner = {"user_id": user_id, "workspace_id": workspace_id}
    rows = _rows(connection, "row_with_id", {**owner, "id": row_id})
    return rows[0] if rows else None


def read_story(
    connection: Connection, user_id: str, workspace_id: str, call_id: str, limit: int
) -> Rows:
    """The rows of one call of the workspace, oldest first."""
    owner = {"user_id": user_id, "workspace_id": workspace_id}
    return _rows(connection, "rows_of_call", {**owner, "call_id": call_id, "limit": limit})


def read_outcome_counts(connection: Connection, wanted: HistoryFilter) -> list[OutcomeCount]:
    """How many rows the filter finds of each outcome, most frequent first."""
    rows = connection.execute(QUERIES["outcome_counts"], wanted.parameters()).fetchall()
    return [OutcomeCount(*row) for row in rows]


def read_days(
    connection: Connection, wanted: HistoryFilter, *, utc_offset_min: int
) -> list[DayCount]:
    """The filter's calls by day and by their latest status; days begin so far ahead of UTC."""
    parameters = {**wanted.parameters(), "utc_offset_min": utc_offset_min}
    rows = connection.execute(QUERIES["calls_per_day"], parameters).fetchall()
    return [DayCount(*row) for row in rows]


def read_unmatched(
    connection: Connection, wanted: HistoryFilter, *, limit: int, offset: int
) -> NumbersPage:
    """Numbers among the filter's calls that are no contact's, as things stand."""
    parameters = {**wanted.parameters(), "limit": limit, "offset": offset}
    rows = _rows(connection, "calls_per_number", parameters)
    # Every row says how many there are; a page behind the last one has none that could.
    first = rows or _rows(connection, "calls_per_number", {**parameters, "limit": 1, "offset": 0})
    total = first[0]["total"] if first else 0
    numbers = [
        UnmatchedNumber(**{name: row[name] for name in UnmatchedNumber.__dataclass_fields__})
        for row in rows
    ]
    return NumbersPage(numbers, total)


def read_call_status(
    connection: Connection, wanted: HistoryFilter, *, limit: int, offset: int
) -> Rows:
    """The latest row of each call, newest first."""
    page = {"limit": limit, "offset": offset}
    return _rows(connection, "call_status_rows", {**wanted.parameters(), **page})


def has_table(connection: Connection) -> bool:
    """False for a file somebody else made, or restored in part."""
    try:
        connection.execute(QUERIES["table_is_there"]).fetchall()
    except duckdb.CatalogException:
        return False
    return True


def _pin(
    connection: Connection, wanted: HistoryFilter, as_of: str | None
) -> tuple[str | None, int | None]:
    """The id and place of the last row that counts, None where there is none. Raises UnknownRow."""
    owner = {"user_id": wanted.user_id, "workspace_id": wanted.workspace_id}
    if as_of is None:
        found = connection.execute(QUERIES["newest_row"], owner).fetchall()
        return found[0] if found else (None, None)
    found = connection.execute(QUERIES["position_of_row"], {**owner, "id": as_of}).fetchall()
    if not found:
        raise UnknownRow("The sync log has no row with the id that this page is pinned to.")
    return max(found, key=lambda row: int(row[1]))


def _count(connection: Connection, name: str, parameters: Mapping[str, Any]) -> int:
    ((count,),) = connection.execute(QUERIES[name], parameters).fetchall()
    return int(count)


def _rows(connection: Connection, name: str, parameters: Mapping[str, Any]) -> Rows:
    found = connection.execute(QUERIES[name], parameters)
    columns = tuple(column[0] for column in found.description or ())
    return [from_values(values, columns) for values in found.fetchall()]
