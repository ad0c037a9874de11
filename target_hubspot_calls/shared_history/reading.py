"""Questions to the history in PostgreSQL, and their answers as `sync_log.reading` gives them.

Knows the statements of `queries.sql`; it opens nothing and must not know who asks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, CursorResult, TextClause, text

from target_hubspot_calls.shared_history.parameters import to_parameters
from target_hubspot_calls.store.history_rows import to_storable
from target_hubspot_calls.sync_log.filters import HistoryFilter
from target_hubspot_calls.sync_log.queries import load_queries
from target_hubspot_calls.sync_log.reading import (
    DayCount,
    HistoryPage,
    HistoryView,
    NumbersPage,
    OutcomeCount,
    Rows,
    SpanCount,
    UnknownRow,
    UnmatchedNumber,
)
from target_hubspot_calls.sync_log.rows import from_values, to_naive_utc

STATEMENTS: dict[str, TextClause] = {
    name: text(statement) for name, statement in load_queries(__package__).items()
}


def read_snapshot(connection: Connection) -> str:
    """What is committed, as a word: another one after every write of anybody."""
    return str(connection.execute(STATEMENTS["snapshot"]).scalar_one())


class Asked:
    """One transaction's questions; each sees the same moment."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._has_text_index: bool = self._run("prepare").one().has_text_index

    def view(
        self, wanted: HistoryFilter, as_of: str | None, *, limit: int, offset: int
    ) -> HistoryView:
        """One page of what the filter finds, and what stands around it. Raises UnknownRow."""
        pin_id, position = self._pin(wanted, as_of)
        pin, bounds = {"last_position": position}, {"limit": limit, "offset": offset}
        any_status = {**self._parameters(replace(wanted, status=None)), **pin}
        rows: Rows
        is_search = any_status["query"] is not None
        if is_search:
            shown = {**any_status, **bounds, "shown_status": wanted.status}
            found = self._run("found_view", shown).all()
            by_status = {row.status: row.rows for row in found if row.position is None}
            rows = self._rows_at([row.position for row in found if row.position is not None])
        else:
            name = "counted_statuses" if _is_counted(wanted) else "status_counts"
            counts = self._run(name, any_status).all()
            by_status = {row.status: row.rows for row in counts}
            rows = []
        total = by_status.get(wanted.status, 0) if wanted.status else sum(by_status.values())
        exact = {**self._parameters(wanted), **pin}
        if not is_search and offset < total:
            rows = self._rows_at(self._run("page_positions", {**exact, **bounds}).scalars().all())
        newer = 0
        if as_of is not None:
            newer = self._run("count_newer", exact).scalar_one()
        return HistoryView(HistoryPage(rows, total, pin_id), by_status, newer)

    def rows_behind(
        self,
        wanted: HistoryFilter,
        as_of: str | None,
        last: Mapping[str, Any] | None,
        limit: int,
    ) -> HistoryPage:
        """The next rows after `last`, the first ones if that is None. Raises UnknownRow."""
        pin_id, position = self._pin(wanted, as_of)
        parameters = {
            **self._parameters(wanted),
            "last_position": position,
            "behind_created_at": to_naive_utc(last["created_at"], "created_at") if last else None,
            "behind_id": last["id"] if last else None,
            "limit": limit,
        }
        rows = self._rows("rows_behind", parameters)
        return HistoryPage(rows, len(rows), pin_id)

    def newest_id(self, user_id: str, workspace_id: str) -> str | None:
        """The id of the workspace's row written last."""
        return self._pin(HistoryFilter(user_id, workspace_id), None)[0]

    def row(self, user_id: str, workspace_id: str, row_id: str) -> dict[str, Any] | None:
        """The workspace's row of this id."""
        owner = {"user_id": user_id, "workspace_id": workspace_id}
        rows = self._rows("row_with_id", {**owner, "id": row_id})
        return rows[0] if rows else None

    def story(self, user_id: str, workspace_id: str, call_id: str, limit: int) -> Rows:
        """The latest rows of one call of the workspace, oldest first."""
        owner = {"user_id": user_id, "workspace_id": workspace_id}
        return self._rows("rows_of_call", {**owner, "call_id": call_id, "limit": limit})

    def outcome_counts(self, wanted: HistoryFilter) -> list[OutcomeCount]:
        """How many rows the filter finds of each outcome, most frequent first."""
        name = "counted_outcomes" if _is_counted(wanted) else "outcome_counts"
        rows = self._run(name, self._parameters(wanted)).all()
        return [OutcomeCount(row.status, row.reason, row.rows) for row in rows]

    def days(self, wanted: HistoryFilter, utc_offset_min: int) -> list[DayCount]:
        """The filter's calls by day and by their latest status; days begin so far ahead of UTC."""
        is_standing = _is_standing(wanted) and wanted.status is None and wanted.reason is None
        name = "calls_per_day_standing" if is_standing else "calls_per_day"
        parameters = {**self._parameters(wanted), "utc_offset_min": utc_offset_min}
        rows = self._run(name, parameters).all()
        return [DayCount(row.day, row.status, row.calls) for row in rows]

    def spans(self, wanted: HistoryFilter, begins: Sequence[datetime]) -> list[SpanCount]:
        """Calls by span and by their latest status; each span ends where another begins."""
        if not begins:
            return []
        parameters = {
            **self._parameters(replace(wanted, status=None, reason=None)),
            "latest_status": wanted.status,
            "latest_reason": wanted.reason,
            "begins": sorted({to_naive_utc(moment, "begins") for moment in begins}),  # type: ignore[type-var]
        }
        is_search = parameters["query"] is not None
        name = "calls_per_span"
        if _is_standing(wanted) or (is_search and _is_of_one(wanted)):
            name += "_standing"
        return [SpanCount(**row) for row in self._rows(f"{name}{'_found' * is_search}", parameters)]

    def unmatched(self, wanted: HistoryFilter, *, limit: int, offset: int) -> NumbersPage:
        """Numbers among the filter's calls that are no contact's, as things stand."""
        is_standing = _is_standing(wanted) and wanted.status is None and wanted.reason is None
        kind = "_standing" if is_standing else ""
        parameters = self._parameters(wanted)
        page = {**parameters, "limit": limit, "offset": offset}
        rows = self._rows(f"calls_per_number{kind}", page)
        # Every row says how many there are; a page behind the last one has none that could.
        first = rows or self._rows(f"calls_per_number{kind}", {**page, "limit": 1, "offset": 0})
        numbers = [row["phone_number"] for row in rows]
        told = {
            "numbers": [number for number in numbers if number is not None],
            "with_none": None in numbers,
        }
        calls = self._run(f"last_calls{kind}", {**parameters, **told}).all() if rows else []
        last_calls: dict[str | None, str] = {call.phone_number: call.call_id for call in calls}
        return NumbersPage(
            [_to_number(row, last_calls.get(row["phone_number"])) for row in rows],
            first[0]["total"] if first else 0,
        )

    def call_status(self, wanted: HistoryFilter, *, limit: int, offset: int) -> Rows:
        """The latest row of each call, newest first."""
        page = {"limit": limit, "offset": offset}
        return self._rows("call_status_rows", {**self._parameters(wanted), **page})

    def _pin(self, wanted: HistoryFilter, as_of: str | None) -> tuple[str, int] | tuple[None, None]:
        """Id and place of the last row that counts, None where there is none. Raises UnknownRow."""
        owner = {"user_id": wanted.user_id, "workspace_id": wanted.workspace_id}
        name = "newest_row" if as_of is None else "position_of_row"
        found = self._run(name, owner if as_of is None else {**owner, "id": as_of}).one_or_none()
        if found is not None:
            return found.id, found.position
        if as_of is not None:
            raise UnknownRow("The history has no row with the id that this page is pinned to.")
        return None, None

    def _parameters(self, wanted: HistoryFilter) -> dict[str, Any]:
        return to_parameters(wanted, has_text_index=self._has_text_index)

    def _rows_at(self, positions: Sequence[int]) -> Rows:
        return self._rows("rows_at", {"positions": list(positions)}) if positions else []

    def _rows(self, name: str, parameters: Mapping[str, Any]) -> Rows:
        found = self._run(name, parameters)
        columns = tuple(found.keys())
        return [from_values(tuple(row), columns) for row in found]

    def _run(self, name: str, parameters: Mapping[str, Any] | None = None) -> CursorResult[Any]:
        storable = {key: _to_storable(value) for key, value in (parameters or {}).items()}
        return self._connection.execute(STATEMENTS[name], storable)


def _to_storable(value: object) -> object:
    return [to_storable(each) for each in value] if isinstance(value, list) else to_storable(value)


def _is_of_one(wanted: HistoryFilter) -> bool:
    return wanted.user_id is not None and wanted.workspace_id is not None


def _is_counted(wanted: HistoryFilter) -> bool:
    """True if nothing is asked but whose rows, and of which outcome."""
    return wanted == HistoryFilter(
        wanted.user_id, wanted.workspace_id, status=wanted.status, reason=wanted.reason
    )


def _is_standing(wanted: HistoryFilter) -> bool:
    """True if which rows are found depends on nothing in which the rows of a call may differ."""
    return (
        _is_of_one(wanted)
        and not (wanted.query or "").strip()
        and not (wanted.phone_number or "").strip()
    )


def _to_number(row: Mapping[str, Any], last_call_id: str | None) -> UnmatchedNumber:
    return UnmatchedNumber(
        phone_number=row["phone_number"],
        calls=row["calls"],
        first_call_at=row["first_call_at"],
        last_call_at=row["last_call_at"],
        last_call_id=last_call_id,
    )
