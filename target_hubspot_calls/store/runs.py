"""Which runs of several hosts say that they live, on PostgreSQL and by its server's clock.

Only writes down and reads; who judges that a silent run is dead is the business of `delivery`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine, delete, func, select
from sqlalchemy.dialects.postgresql import insert

from target_hubspot_calls.store.database import reading, writing
from target_hubspot_calls.store.row_locks import delete_unlocked
from target_hubspot_calls.store.schema import UtcDateTime
from target_hubspot_calls.store.schema import runs as table

# Whoever was silent for so long is dead, for other runs and for people who look.
DEAD_AFTER = timedelta(seconds=10)
# And whoever was for so long, of no interest any more.
KEPT = timedelta(days=1)
_NOW = func.timezone("UTC", func.clock_timestamp(), type_=UtcDateTime)


@dataclass(frozen=True)
class Look:
    """One look at all runs: the server's time, and when each run was heard of last."""

    now: datetime
    seen_at: Mapping[str, datetime]


class Runs:
    """The runs of all hosts. Every method raises StoreUnavailable."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def beat(self, run_id: str) -> Look:
        """Notes that the run lives, and looks at the others."""
        alive = insert(table).values(id=run_id, seen_at=_NOW)
        alive = alive.on_conflict_do_update(
            index_elements=[table.c.id], set_={"seen_at": alive.excluded.seen_at}
        )
        with writing(self._engine, by_rows=True) as connection:
            now = connection.execute(alive.returning(table.c.seen_at)).scalar_one()
            seen = {row.id: row.seen_at for row in connection.execute(select(table))}
            delete_unlocked(connection, table, table.c.seen_at < now - KEPT)
        return Look(now.astimezone(UTC), seen)

    def is_known(self, run_id: str) -> bool:
        """True if the run has begun and not ended in order, however long ago it was heard of."""
        query = select(table.c.id).where(table.c.id == run_id)
        with reading(self._engine) as connection:
            return connection.execute(query).first() is not None

    def forget(self, run_id: str) -> None:
        """Notes that the run has ended; nothing may be its own any more."""
        with writing(self._engine, by_rows=True) as connection:
            connection.execute(delete(table).where(table.c.id == run_id))
