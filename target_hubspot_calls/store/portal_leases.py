"""Which process paces and writes a portal now; another takes over when it is done or dead.

HubSpot's limits are per portal: two processes that each keep to them would together pass them.
Knows nothing of HubSpot's API; time comes in as an argument.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, select

from target_hubspot_calls.store import one_holder
from target_hubspot_calls.store.database import reading
from target_hubspot_calls.store.one_holder import Taken
from target_hubspot_calls.store.schema import portal_leases as table

Lease = Taken


@dataclass(frozen=True)
class Spent:
    """What the holder before used of the portal's pace, when it gave the portal back.

    `free_after_s` says of each request's slot, searches aside, in how many seconds it was free.
    """

    given_back_at: datetime
    free_after_s: Sequence[float]


class PortalLeases:
    """The leases of all portals. Every method raises StoreUnavailable."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def take(
        self,
        portal_id: int,
        holder: str,
        *,
        for_s: float,
        now: datetime,
        is_dead: Callable[[str], bool],
    ) -> Lease:
        """Whether the portal is this holder's alone for `for_s` seconds, taken or renewed.

        `is_dead` says of another holder that it surely lives no more.
        """
        return one_holder.take(
            self._engine,
            table,
            portal_id,
            holder,
            for_s=for_s,
            clock=lambda _: now,
            is_dead=is_dead,
            unless_given_back={"given_back_at": None, "free_after_s": None},
        )

    def spent_before(self, portal_id: int) -> Spent | None:
        """What the last holder left when it gave the portal back; None if it never did.

        To be asked by a holder that has just taken over: renewing forgets it.
        """
        columns = (table.c.given_back_at, table.c.free_after_s)
        query = select(*columns).where(table.c.portal_id == portal_id)
        with reading(self._engine) as connection:
            row = connection.execute(query).first()
        if row is None or row.given_back_at is None:
            return None
        return Spent(row.given_back_at, row.free_after_s or [])

    def give_back(self, portal_id: int, holder: str, spent: Spent | None = None) -> None:
        """Ends the lease of this holder, and nobody else's; the table still says whose it was."""
        one_holder.give_back(
            self._engine,
            table,
            portal_id,
            holder,
            {
                "given_back_at": spent.given_back_at if spent else None,
                "free_after_s": list(spent.free_after_s) if spent else None,
            },
        )
