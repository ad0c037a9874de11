"""Sync log rows that wait to be written to DuckDB.

Rows come in with the ledger's own transactions; this module only hands them on and must not know
what is in them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, func, select

from target_hubspot_calls.store.database import reading, writing
from target_hubspot_calls.store.history_rows import append_history
from target_hubspot_calls.store.many_rows import insert_all
from target_hubspot_calls.store.row_locks import delete_unlocked, pieces
from target_hubspot_calls.store.schema import outbox


def append_to_outbox(connection: Connection, rows: Sequence[dict[str, Any]], now: datetime) -> None:
    """Adds rows, each with its `id`, in the transaction of what they tell of.

    The history that several hosts share gets them at once; what waits is DuckDB's.
    """
    append_history(connection, rows)
    insert_all(
        connection, outbox, [{"id": row["id"], "row": row, "created_at": now} for row in rows]
    )


class Outbox:
    """The waiting rows of all workspaces. Every method raises StoreUnavailable."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def load(self, limit: int) -> list[dict[str, Any]]:
        """Up to `limit` rows, oldest first, each with its `id`."""
        chosen = select(outbox.c.id, outbox.c.row).order_by(outbox.c.id).limit(limit)
        with reading(self._engine) as connection:
            return [{**row.row, "id": row.id} for row in connection.execute(chosen)]

    def delete(self, ids: Sequence[str]) -> None:
        """Forgets rows that are safely elsewhere; ids that are not there do not matter."""
        if not ids:
            return
        with writing(self._engine, by_rows=True) as connection:
            for some in pieces(ids):
                # What somebody else deletes now needs no second deletion.
                delete_unlocked(connection, outbox, outbox.c.id.in_(some))

    def count(self) -> int:
        """How many rows wait."""
        with reading(self._engine) as connection:
            return connection.scalar(select(func.count()).select_from(outbox)) or 0
