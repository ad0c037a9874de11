"""Contacts we created, and announcements of those we are about to create.

HubSpot's search shows a new contact only after a while; this table knows it at once. Knows nothing
of HubSpot's API.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, and_, delete, select, update

from target_hubspot_calls.store.database import reading, writing
from target_hubspot_calls.store.row_locks import insert_if_new
from target_hubspot_calls.store.schema import new_contacts as table


@dataclass(frozen=True)
class NewContact:
    """A contact we made; without an id, its creation was announced and its result is not known."""

    contact_id: str | None
    intended_at: datetime


class NewContacts:
    """The created contacts of all portals, by E.164 number. Methods raise StoreUnavailable."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def load(self, portal_id: int, numbers: Collection[str]) -> dict[str, NewContact]:
        """What is known of these numbers (at most some hundreds)."""
        query = select(table).where(table.c.portal_id == portal_id, table.c.number.in_(numbers))
        with reading(self._engine) as connection:
            return {
                row.number: NewContact(row.contact_id, row.intended_at)
                for row in connection.execute(query)
            }

    def announce(
        self, portal_id: int, number: str, known: NewContact | None, now: datetime
    ) -> bool:
        """True if we alone may create the contact now; `known` is what `load` said of it."""
        this_one = and_(table.c.portal_id == portal_id, table.c.number == number)
        with writing(self._engine, by_rows=True) as connection:
            if known is None:
                row = {"portal_id": portal_id, "number": number, "intended_at": now}
                return insert_if_new(connection, table, row)
            unchanged = and_(table.c.contact_id.is_(None), table.c.intended_at == known.intended_at)
            taken = connection.execute(
                update(table).where(this_one, unchanged).values(intended_at=now)
            )
            return taken.rowcount == 1

    def save(self, portal_id: int, number: str, contact_id: str) -> None:
        """Notes the contact that exists now."""
        with writing(self._engine, by_rows=True) as connection:
            connection.execute(
                update(table)
                .where(table.c.portal_id == portal_id, table.c.number == number)
                .values(contact_id=contact_id)
            )

    def forget(self, portal_id: int, number: str) -> None:
        """Forgets a contact that has gone, or an announcement nothing came of."""
        with writing(self._engine, by_rows=True) as connection:
            connection.execute(
                delete(table).where(table.c.portal_id == portal_id, table.c.number == number)
            )
