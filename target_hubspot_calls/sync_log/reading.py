"""Questions to an open sync log, and their answers as plain rows; times are aware UTC.

Knows the statements of `queries.sql`; it opens nothing and must not know who asks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

import duckdb

from target_hubspot_calls.sync_log.filters import HistoryFilter
from target_hubspot_calls.sync_log.opening import SyncLogError
from target_hubspot_calls.sync_log.queries import load_queries
from target_hubspot_calls.sync_log.rows import from_values, to_naive_utc

QUERIES = load_queries()

# Behind so many rows it pays to look first for when a page's rows were written.
_FAR = 1_000

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
class HistoryView:
    """A page with what stands around it.

    `by_status` counts as if the filter named no status; `newer` are rows that the filter finds and
    that were written after the one the page is pinned to.
    """

    page: HistoryPage
    by_status: Mapping[str, int]
    newer: int = 0


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
class SpanCount:
    """How many calls of a span of time stand so."""

    begins_at: datetime
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


def read_view(
    connection: Connection, wanted: HistoryFilter, as_of: str | None, *, limit: int, offset: int
) -> HistoryView:
    """One page of what the filter finds, and what stands around it. Raises UnknownRow."""
    pin_id, position = _pin(connection, wanted, as_of)
    pin, bounds = {"last_position": position}, {"limit": limit, "offset": offset}
    any_status = {**replace(wanted, status=None).parameters(), **pin}
    is_search = bool(wanted.query and wanted.query.strip())
    if is_search:
        connection.execute(QUERIES["find_rows"], any_status).fetchall()
        counts = connection.execute(QUERIES["found_status_counts"]).fetchall()
    else:
        counts = connection.execute(QUERIES["status_counts"], any_status).fetchall()
    by_status = {status: int(count) for status, count in counts}
    total = by_status.get(wanted.status, 0) if wanted.status else sum(by_status.values())
    rows: Rows = []
    if offset < total and is_search:
        rows = _rows(connection, "found_page", {"status": wanted.status, **bounds})
    elif offset < total:
        rows = _page_rows(connection, {**wanted.parameters(), **pin}, bounds)
    newer = 0
    if as_of is not None:
        newest = {**wanted.parameters(), **pin}
        ((newer,),) = connection.execute(QUERIES["count_newer"], newest).fetchall()
    return HistoryView(HistoryPage(rows, total, pin_id), by_status, int(newer))


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


def read_newest(connection: Connection, user_id: str, workspace_id: str) -> str | None:
    """The id of the workspace's row written last."""
    return _pin(connection, HistoryFilter(user_id, workspace_id), None)[0]


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
    """The latest rows of one call of the workspace, oldest first."""
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


def read_spans(
    connection: Connection, wanted: HistoryFilter, begins: Sequence[datetime]
) -> list[SpanCount]:
    """Calls by span and by their latest status; each span ends where another begins.

    Status and reason of the filter are those of a call's latest row; a search may find any row.
    """
    parameters = {
        **replace(wanted, status=None, reason=None).parameters(),
        "latest_status": wanted.status,
        "latest_reason": wanted.reason,
        "begins": [to_naive_utc(moment, "begins") for moment in begins],
    }
    name = "calls_per_span" if parameters["query"] is None else "calls_per_span_found"
    return [SpanCount(**row) for row in _rows(connection, name, parameters)]


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


def read_hours(
    connection: Connection, since: datetime, until: datetime
) -> dict[datetime, tuple[int, int]]:
    """How many rows each hour has, and a sum over their ids."""
    bounds = {"since": to_naive_utc(since, "since"), "until": to_naive_utc(until, "until")}
    rows = _rows(connection, "rows_per_hour", bounds)
    return {row["hour"]: (row["rows"], int(row["digest"])) for row in rows}


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


def _page_rows(
    connection: Connection, parameters: Mapping[str, Any], bounds: Mapping[str, int]
) -> Rows:
    """The rows of a page, near or far."""
    times = {"newest": None, "oldest": None}
    if bounds["offset"] >= _FAR:
        found = connection.execute(QUERIES["far_page"], {**parameters, **bounds}).fetchall()
        newest, oldest, ahead = found[0]
        if newest is not None:
            times = {"newest": newest, "oldest": oldest}
            bounds = {**bounds, "offset": bounds["offset"] - ahead}
    return _rows(connection, "history_rows", {**parameters, **times, **bounds})


def _rows(connection: Connection, name: str, parameters: Mapping[str, Any]) -> Rows:
    found = connection.execute(QUERIES[name], parameters)
    columns = tuple(column[0] for column in found.description or ())
    return [from_values(values, columns) for values in found.fetchall()]
