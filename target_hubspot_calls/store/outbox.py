"""Sync log rows that wait to be written to DuckDB.

Rows come in with the ledger's own transactions; this module only hands them on and must not know
what is in them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Engine, delete, func, select

from target_hubspot_calls.store.database import reading, writing
from target_hubspot_calls.store.schema import outbox

_IDS_PER_STATEMENT = 500


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
        with writing(self._engine) as connection:
            for start in range(0, len(ids), _IDS_PER_STATEMENT):
                some = ids[start : start + _IDS_PER_STATEMENT]
                connection.execute(delete(outbox).where(outbox.c.id.in_(some)))

    def count(self) -> int:
        """How many rows wait."""
        with reading(self._engine) as connection:
            return connection.scalar(select(func.count()).select_from(outbox)) or 0
