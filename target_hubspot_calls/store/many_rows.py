"""Many rows in one statement, each with values of its own.

On PostgreSQL the rows travel as one JSON value: sent one by one they are a stream of statements,
and a process that is stopped in the midst of it holds its rows for as long as it likes, because
the server does not see it as idle. Must not know what the rows mean.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    ColumnElement,
    Connection,
    FromClause,
    Table,
    Text,
    Update,
    bindparam,
    cast,
    column,
    func,
    insert,
    select,
)
from sqlalchemy.types import TypeEngine

from target_hubspot_calls.store.database import is_shared
from target_hubspot_calls.store.history_rows import to_storable

Given = Callable[[str], ColumnElement[Any]]
Types = Mapping[str, TypeEngine[Any]]


class UpdateEach:
    """An update of many rows; `build` makes it of what each row's values are called."""

    def __init__(self, types: Types, build: Callable[[Given], Update]) -> None:
        told = _told(types)
        self._one_by_one = build(lambda name: bindparam(name, type_=types[name]))
        self._at_once = build(lambda name: told.c[name])

    def run(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Updates every row; on PostgreSQL they have to be locked already, in their order."""
        if not rows:
            return
        if is_shared(connection.engine):
            connection.execute(self._at_once, {"told": _encoded(rows)})
        else:
            connection.execute(self._one_by_one, [_storable(row) for row in rows])


def insert_all(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Inserts the rows, which name the same columns."""
    if not rows:
        return
    if not is_shared(connection.engine):
        connection.execute(table.insert(), [_storable(row) for row in rows])
        return
    types = {name: table.c[name].type for name in rows[0]}
    told = _told(types)
    chosen = select(*(told.c[name] for name in types))
    connection.execute(
        insert(table).from_select(list(types), chosen, include_defaults=False),
        {"told": _encoded(rows)},
    )


def _told(types: Types) -> FromClause:
    """The rows of the parameter `told` as a table."""
    rows = func.json_to_recordset(cast(bindparam("told", type_=Text), JSON))
    columns = [column(name, type_) for name, type_ in types.items()]
    return rows.table_valued(*columns, name="told").render_derived(with_types=True)


def _encoded(rows: Sequence[Mapping[str, Any]]) -> str:
    return json.dumps([_storable(row) for row in rows], default=_naive_utc)


def _storable(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row without what one of the databases cannot keep; what HubSpot said may be anything."""
    return {
        name: _storable(value) if isinstance(value, dict) else to_storable(value)
        for name, value in row.items()
    }


def _naive_utc(value: object) -> str:
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise TypeError(f"a {type(value).__name__} cannot be stored")
    return value.astimezone(UTC).replace(tzinfo=None).isoformat()
