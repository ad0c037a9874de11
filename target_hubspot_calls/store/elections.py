"""Work that one process at a time may do for all hosts: who has which office.

What an office is for is its holders' business. On PostgreSQL times are the server's, so hosts
whose clocks disagree agree on who has an office; in a file they are this machine's.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Engine, select

from target_hubspot_calls.store import one_holder
from target_hubspot_calls.store.database import reading, server_time
from target_hubspot_calls.store.one_holder import LONG_AGO, Taken
from target_hubspot_calls.store.schema import elections as table


class Elections:
    """The offices of all hosts. Every method raises StoreUnavailable."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def take(
        self,
        office: str,
        holder: str,
        *,
        for_s: float,
        now: datetime,
        is_dead: Callable[[str], bool],
    ) -> Taken:
        """Whether the office is this holder's for `for_s` seconds, taken or renewed; true if it is.

        Taken over, somebody else had it since this holder asked last. `is_dead` says of another
        holder that it surely lives no more; `now` counts only where the store has no clock of its
        own. The time runs from before this returns: a holder reckons it from when it asked.
        """
        return one_holder.take(
            self._engine,
            table,
            office,
            holder,
            for_s=for_s,
            clock=lambda connection: server_time(connection) or now,
            is_dead=is_dead,
        )

    def give_back(self, office: str, holder: str) -> None:
        """Lets others have the office, if it is this holder's."""
        one_holder.give_back(self._engine, table, office, holder)

    def holder_of(self, office: str) -> str | None:
        """Who has the office, or had it last and has not given it back; None where nobody has."""
        query = select(table.c.holder).where(
            table.c.office == office, table.c.expires_at != LONG_AGO
        )
        with reading(self._engine) as connection:
            return connection.execute(query).scalar_one_or_none()
