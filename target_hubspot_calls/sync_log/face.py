"""What can be asked of a history, wherever its rows are kept.

Knows the questions and the form of their answers; it must not know any file or database.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from target_hubspot_calls.sync_log.filters import HistoryFilter

if TYPE_CHECKING:
    from target_hubspot_calls.sync_log.reading import (
        DayCount,
        HistoryPage,
        HistoryView,
        NumbersPage,
        OutcomeCount,
        SpanCount,
    )


class HistoryReader(Protocol):
    """The rows of all workspaces: a DuckDB file of this host, or a table that several hosts share.

    Every method raises SyncLogBusy and SyncLogUnavailable where the rows are in a file, and
    StoreUnavailable where they are in a database.
    """

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
        """One page of all attempts, as `page` gives it."""
        wanted = HistoryFilter(user_id, workspace_id, status, reason, call_id, since, until, query)
        return self.page(wanted, limit=limit, offset=offset)

    def page(
        self, wanted: HistoryFilter, *, as_of: str | None = None, limit: int = 50, offset: int = 0
    ) -> HistoryPage:
        """Rows the filter finds, newest first; `as_of` of the first page keeps the others in step.

        Raises UnknownRow.
        """
        return self.view(wanted, as_of=as_of, limit=limit, offset=offset).page

    def view(
        self, wanted: HistoryFilter, *, as_of: str | None = None, limit: int = 50, offset: int = 0
    ) -> HistoryView:
        """The same with what stands around it: rows by status, and rows that came meanwhile.

        Raises UnknownRow.
        """

    def rows_behind(
        self,
        wanted: HistoryFilter,
        *,
        as_of: str | None = None,
        last: Mapping[str, Any] | None = None,
        limit: int = 10_000,
    ) -> HistoryPage:
        """The next piece of an export, after its `last` row; `total` is only that of the piece.

        Raises UnknownRow.
        """

    def row(self, user_id: str, workspace_id: str, row_id: str, /) -> dict[str, Any] | None:
        """The workspace's row of this id."""

    def story(
        self, user_id: str, workspace_id: str, call_id: str, /, *, limit: int = 1000
    ) -> list[dict[str, Any]]:
        """One call's latest rows, oldest first."""

    def outcome_counts(self, wanted: HistoryFilter) -> list[OutcomeCount]:
        """How many rows the filter finds of each outcome, most frequent first."""

    def days(self, wanted: HistoryFilter, *, utc_offset_min: int = 0) -> list[DayCount]:
        """Calls by day and by their latest status, in days that begin so many minutes before UTC's.

        `wanted` chooses rows, and the latest of a call is the latest of those.
        """

    def spans(self, wanted: HistoryFilter, begins: Sequence[datetime]) -> list[SpanCount]:
        """Calls by span of time, which ends where another begins, and by their latest status.

        Status and reason of the filter are those of a call's latest row in the filter's time; its
        `query` chooses calls by any of their rows.
        """

    def newest_id(self, user_id: str, workspace_id: str, /) -> str | None:
        """The id of the workspace's row written last."""

    def version(self) -> object:
        """Another value after every write, quickly told."""

    def unmatched_numbers(
        self, wanted: HistoryFilter, *, limit: int = 50, offset: int = 0
    ) -> NumbersPage:
        """Numbers that called and are no contact's as things stand, most calls first."""

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
        """The latest row of each call, newest first."""
