"""Which process paces and writes a portal now; another takes over when it is done or dead.

HubSpot's limits are per portal: two processes that each keep to them would together pass them.
Knows nothing of HubSpot's API; time comes in as an argument.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import Enum, auto

from sqlalchemy import Engine, insert, select, update

from target_hubspot_calls.store.database import writing
from target_hubspot_calls.store.schema import portal_leases as table

# Past whatever the clock says: it may have been set back since the lease was taken.
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class Lease(Enum):
    """What came of asking for a portal: another has it, it is ours, or ours after another's."""

    REFUSED = auto()
    OURS = auto()
    TAKEN_OVER = auto()


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
        this_one = table.c.portal_id == portal_id
        lease = {"holder": holder, "expires_at": now + timedelta(seconds=for_s)}
        with writing(self._engine) as connection:
            known = connection.execute(select(table).where(this_one).with_for_update()).first()
            if known is None:
                connection.execute(insert(table).values(portal_id=portal_id, **lease))
                return Lease.OURS
            is_free = known.expires_at <= now
            if known.holder != holder and not is_free and not is_dead(known.holder):
                return Lease.REFUSED
            connection.execute(update(table).where(this_one).values(lease))
            return Lease.OURS if known.holder == holder else Lease.TAKEN_OVER

    def give_back(self, portal_id: int, holder: str) -> None:
        """Ends the lease of this holder, and nobody else's; the table still says whose it was."""
        with writing(self._engine) as connection:
            connection.execute(
                update(table)
                .where(table.c.portal_id == portal_id, table.c.holder == holder)
                .values(expires_at=_LONG_AGO)
            )
