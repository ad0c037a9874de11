"""The outbox of several hosts, out of which only the holder of an office takes rows.

Knows that there are offices, and not what is in a row nor where it goes.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Engine, select

from target_hubspot_calls.store.database import writing
from target_hubspot_calls.store.outbox import Outbox
from target_hubspot_calls.store.row_locks import delete_unlocked, pieces
from target_hubspot_calls.store.schema import elections, outbox


class OfficeLost(Exception):
    """Somebody else has the office now, or nobody: what was loaded is no longer ours to delete."""


class HeldOutbox(Outbox):
    """The waiting rows, for one holder. Every method raises StoreUnavailable."""

    def __init__(self, engine: Engine, office: str, holder: str) -> None:
        super().__init__(engine)
        self._held_engine = engine
        self._office = office
        self._holder = holder

    def delete(self, ids: Sequence[str]) -> None:
        """Forgets rows that are safely elsewhere. Raises OfficeLost, and deletes none then.

        Whoever takes the office over waits for this to end: it sees what was deleted before.
        """
        holding = select(elections.c.holder).where(elections.c.office == self._office)
        with writing(self._held_engine, by_rows=True) as connection:
            if connection.scalar(holding.with_for_update(read=True)) != self._holder:
                raise OfficeLost(self._office)
            for some in pieces(ids):
                delete_unlocked(connection, outbox, outbox.c.id.in_(some))
