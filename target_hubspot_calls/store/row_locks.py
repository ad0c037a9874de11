"""How to write by rows, beside others: rows that race, and several rows at once.

Three rules keep it free of deadlocks. Rows of one table are locked in the order of their keys;
calls before what is written about them; and whoever needs no certain row passes over locked ones.
Must not know what the tables mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar, cast

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    CursorResult,
    Table,
    delete,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from target_hubspot_calls.store.database import is_shared

# Parameters of one statement stay far below SQLite's limit of 32,766.
KEYS_PER_STATEMENT = 500
Key = TypeVar("Key")


def in_order(connection: Connection, columns: Iterable[Column[str]]) -> list[ColumnElement[str]]:
    """The columns to order by, so that the database sorts as Python does: by code points."""
    if is_shared(connection.engine):
        return [column.collate("C") for column in columns]
    return list(columns)


def pieces(keys: Iterable[Key]) -> Iterable[Sequence[Key]]:
    """The keys in order, so many at a time that one statement takes them."""
    ordered: list[Key] = sorted(keys)  # type: ignore[type-var]
    return (ordered[i : i + KEYS_PER_STATEMENT] for i in range(0, len(ordered), KEYS_PER_STATEMENT))


def update_in_order(
    connection: Connection,
    table: Table,
    conditions: Iterable[ColumnElement[bool]],
    values: Mapping[str, Any],
    *,
    skip_locked: bool = False,
) -> int:
    """Changes every row of a table with text keys that meets the conditions; returns how many.

    With `skip_locked` only those that nobody else has in hand now.
    """
    changed = update(table).values(values)
    if is_shared(connection.engine):
        keys = cast("list[Column[str]]", list(table.primary_key.columns))
        held = (
            select(*keys)
            .where(*conditions)
            .order_by(*in_order(connection, keys))
            .with_for_update(skip_locked=skip_locked)
            .cte("held")
        )
        changed = changed.where(*(key == held.c[key.name] for key in keys))
    else:
        changed = changed.where(*conditions)
    return cast("CursorResult[Any]", connection.execute(changed)).rowcount


def delete_unlocked(connection: Connection, table: Table, condition: ColumnElement[bool]) -> None:
    """Deletes the rows with one key column that meet the condition and that nobody else has."""
    (key,) = table.primary_key.columns
    if is_shared(connection.engine):
        ours = select(key).where(condition).with_for_update(skip_locked=True).cte("ours")
        condition = key == ours.c[key.name]
    connection.execute(delete(table).where(condition))


def insert_if_new(connection: Connection, table: Table, row: Mapping[str, Any]) -> bool:
    """True if the row is ours; False, once its writer is done, where there is one of its key."""
    dialect = postgresql if is_shared(connection.engine) else sqlite
    statement = dialect.insert(table).values(row).on_conflict_do_nothing()
    inserted = connection.execute(statement, execution_options={"preserve_rowcount": True})
    return cast("CursorResult[Any]", inserted).rowcount == 1
