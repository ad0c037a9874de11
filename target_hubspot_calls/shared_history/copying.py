"""Brings into a DuckDB file what it lacks of the history in PostgreSQL, piece by piece.

Compares hours before it reads rows, so that a file that has nearly all costs little; it must not
know who fills the file, nor why.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine

from target_hubspot_calls.shared_history.reading import STATEMENTS
from target_hubspot_calls.store.database import reading
from target_hubspot_calls.sync_log.log import SyncLog
from target_hubspot_calls.sync_log.rows import from_values

# For so much time the file is asked in one go: opening it is what costs.
_LOOKED_AT = timedelta(days=30)
# And the server, which has to look at every row and breaks off whatever takes it a minute.
_COMPARED = timedelta(days=1)
_HOUR = timedelta(hours=1)
# Rows that are in memory at once, about a kilobyte each.
PIECE_ROWS = 5_000


@dataclass(frozen=True)
class Span:
    """A time with its first moment and without its last."""

    since: datetime
    until: datetime

    @property
    def last(self) -> datetime:
        """Its last moment."""
        return self.until - timedelta(microseconds=1)


def copy_missing(engine: Engine, log: SyncLog, *, piece: int = PIECE_ROWS) -> Iterator[int]:
    """Copies as it is iterated, a moment of work at a time, and says how many rows each took over.

    Rows the file has are passed over, so it may be begun anew whenever it broke off. Raises
    StoreUnavailable, SyncLogBusy, SyncLogUnavailable.
    """
    (times,) = _read(engine, "times")
    if times["first"] is None:
        return
    first = times["first"].replace(minute=0, second=0, microsecond=0)
    for looked_at in _spans(first, times["last"], _LOOKED_AT):
        # The file first: while somebody has it open, the server need not be asked.
        there = log.hours(looked_at.since, looked_at.until)
        for compared in _spans(looked_at.since, min(times["last"], looked_at.last), _COMPARED):
            for missing in _missing(engine, compared, there):
                yield from _copy(engine, log, missing, piece)
            yield 0


def _spans(first: datetime, last: datetime, length: timedelta) -> Iterator[Span]:
    """Spans of this length, one after the other, until the last moment is in one."""
    while first <= last:
        yield Span(first, first + length)
        first += length


def _missing(
    engine: Engine, compared: Span, there: dict[datetime, tuple[int, int]]
) -> Iterator[Span]:
    """The times of which the file has not the same rows, neighbours joined."""
    begins: datetime | None = None
    ends = compared.since
    for hour in _read(engine, "rows_per_hour", **vars(compared)):
        begin = hour["hour"]
        if there.get(begin) != (hour["rows"], int(hour["digest"])):
            begins = begins or begin
            ends = begin + _HOUR
        elif begins is not None:
            yield Span(begins, ends)
            begins = None
    if begins is not None:
        yield Span(begins, ends)


def _copy(engine: Engine, log: SyncLog, missing: Span, piece: int) -> Iterator[int]:
    behind = {"since": missing.since, "last_position": 0}
    while rows := _read(engine, "next_rows", until=missing.until, limit=piece, **behind):
        behind = {"since": rows[-1]["created_at"], "last_position": rows[-1]["position"]}
        log.append(rows)
        yield len(rows)
        if len(rows) < piece:
            return


def _read(engine: Engine, name: str, **parameters: Any) -> list[dict[str, Any]]:
    given = {
        key: value.replace(tzinfo=None) if isinstance(value, datetime) else value
        for key, value in parameters.items()
    }
    with reading(engine) as connection:
        connection.execute(STATEMENTS["prepare"])
        found = connection.execute(STATEMENTS[name], given)
        columns = tuple(found.keys())
        return [from_values(tuple(row), columns) for row in found]
