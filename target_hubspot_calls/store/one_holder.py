"""A row that one process at a time has, for a while: taken, renewed, given back, taken over.

What having it allows is the business of the modules that keep such rows. Works on a table with one
key column, `holder` and `expires_at`; time comes in as an argument.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, Table, select, update

from target_hubspot_calls.store.database import reading, writing
from target_hubspot_calls.store.row_locks import insert_if_new

# Past whatever the clock says: it may have been set back since the row was taken.
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class Taken(Enum):
    """What came of asking: another has it, it is ours, or ours after another's; true if ours."""

    REFUSED = auto()
    OURS = auto()
    TAKEN_OVER = auto()

    def __bool__(self) -> bool:
        return self is not Taken.REFUSED


def take(
    engine: Engine,
    table: Table,
    key: object,
    holder: str,
    *,
    for_s: float,
    clock: Callable[[Connection], datetime],
    is_dead: Callable[[str], bool],
    unless_given_back: Mapping[str, Any] | None = None,
) -> Taken:
    """Whether the row of this key is the holder's for so long, taken or renewed.

    `clock` tells the time within the transaction. `is_dead` says of another holder that it surely
    lives no more; it is asked outside of any, as it may look into the store itself. Columns that
    the last holder left on giving back are kept, else they become what `unless_given_back` says.
    """
    (column,) = table.primary_key.columns
    this_one: ColumnElement[bool] = column == key
    with reading(engine) as connection:
        seen = connection.execute(select(table).where(this_one)).first()
        is_refused = _is_anothers(seen, holder, clock(connection))
    gone: str | None = None
    if seen is not None and is_refused:
        if not is_dead(seen.holder):
            return Taken.REFUSED
        gone = seen.holder
    with writing(engine, by_rows=True) as connection:
        known = connection.execute(select(table).where(this_one).with_for_update()).first()
        now = clock(connection)
        lease = {"holder": holder, "expires_at": now + timedelta(seconds=for_s)}
        if known is None:
            is_ours = insert_if_new(connection, table, {column.name: key, **lease})
            return Taken.OURS if is_ours else Taken.REFUSED
        if known.holder != gone and _is_anothers(known, holder, now):
            return Taken.REFUSED
        if known.expires_at != LONG_AGO:
            lease |= unless_given_back or {}
        connection.execute(update(table).where(this_one).values(lease))
    return Taken.OURS if known.holder == holder else Taken.TAKEN_OVER


def give_back(
    engine: Engine,
    table: Table,
    key: object,
    holder: str,
    values: Mapping[str, Any] | None = None,
) -> None:
    """Ends the holder's time, and nobody else's; the row still says whose it was."""
    (column,) = table.primary_key.columns
    this_one: ColumnElement[bool] = column == key
    with writing(engine, by_rows=True) as connection:
        connection.execute(
            update(table)
            .where(this_one, table.c.holder == holder)
            .values(expires_at=LONG_AGO, **(values or {}))
        )


def _is_anothers(row: Row[Any] | None, holder: str, now: datetime) -> bool:
    return row is not None and row.holder != holder and row.expires_at > now
