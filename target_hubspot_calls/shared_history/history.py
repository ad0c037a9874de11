"""The history that several hosts share, read from PostgreSQL by the pages of all of them.

Asks the operational store's database; it must not know who asks, nor how rows come in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import Engine

from target_hubspot_calls.shared_history.reading import Asked, read_snapshot
from target_hubspot_calls.store.database import reading
from target_hubspot_calls.sync_log.face import HistoryReader
from target_hubspot_calls.sync_log.filters import HistoryFilter
from target_hubspot_calls.sync_log.reading import (
    DayCount,
    HistoryPage,
    HistoryView,
    NumbersPage,
    OutcomeCount,
    SpanCount,
)


class SharedHistory(HistoryReader):
    """The rows of all workspaces. Every method raises StoreUnavailable.

    A page that is pinned to a row of its workspace sees what was committed there before and
    nothing else: the writer lets the rows of one workspace in one after another
    (`store.history_rows`). Pages of several workspaces at once may also see what was being
    committed elsewhere.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def view(
        self, wanted: HistoryFilter, *, as_of: str | None = None, limit: int = 50, offset: int = 0
    ) -> HistoryView:
        """One page with what stands around it. Raises UnknownRow."""
        with self._asking() as asked:
            return asked.view(wanted, as_of, limit=limit, offset=offset)

    def rows_behind(
        self,
        wanted: HistoryFilter,
        *,
        as_of: str | None = None,
        last: Mapping[str, Any] | None = None,
        limit: int = 10_000,
    ) -> HistoryPage:
        """The next piece of an export, after its `last` row. Raises UnknownRow."""
        with self._asking() as asked:
            return asked.rows_behind(wanted, as_of, last, limit)

    def row(self, user_id: str, workspace_id: str, row_id: str, /) -> dict[str, Any] | None:
        """The workspace's row of this id."""
        with self._asking() as asked:
            return asked.row(user_id, workspace_id, row_id)

    def story(
        self, user_id: str, workspace_id: str, call_id: str, /, *, limit: int = 1000
    ) -> list[dict[str, Any]]:
        """One call's latest rows, oldest first."""
        with self._asking() as asked:
            return asked.story(user_id, workspace_id, call_id, limit)

    def outcome_counts(self, wanted: HistoryFilter) -> list[OutcomeCount]:
        """How many rows the filter finds of each outcome, most frequent first."""
        with self._asking() as asked:
            return asked.outcome_counts(wanted)

    def days(self, wanted: HistoryFilter, *, utc_offset_min: int = 0) -> list[DayCount]:
        """Calls by day and by their latest status."""
        with self._asking() as asked:
            return asked.days(wanted, utc_offset_min)

    def spans(self, wanted: HistoryFilter, begins: Sequence[datetime]) -> list[SpanCount]:
        """Calls by span of time and by their latest status."""
        with self._asking() as asked:
            return asked.spans(wanted, begins)

    def newest_id(self, user_id: str, workspace_id: str, /) -> str | None:
        """The id of the workspace's row that was committed last."""
        with self._asking() as asked:
            return asked.newest_id(user_id, workspace_id)

    def version(self) -> object:
        """Another value after every write of anybody: what the server has committed, as a word."""
        with reading(self._engine) as connection:
            return read_snapshot(connection)

    def unmatched_numbers(
        self, wanted: HistoryFilter, *, limit: int = 50, offset: int = 0
    ) -> NumbersPage:
        """Numbers that called and are no contact's as things stand, most calls first."""
        with self._asking() as asked:
            return asked.unmatched(wanted, limit=limit, offset=offset)

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
        wanted = HistoryFilter(user_id, workspace_id, status, reason, call_id)
        with self._asking() as asked:
            return asked.call_status(wanted, limit=limit, offset=offset)

    @contextmanager
    def _asking(self) -> Iterator[Asked]:
        with reading(self._engine) as connection:
            yield Asked(connection)
