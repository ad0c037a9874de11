"""The portals that this run alone paces and writes, kept for as long as it has work there.

Knows the store's leases and who is alive; nothing of HubSpot.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from target_hubspot_calls.clock import Clock
from target_hubspot_calls.delivery.presence import Presence
from target_hubspot_calls.errors import StoreUnavailable
from target_hubspot_calls.store.portal_leases import Lease, PortalLeases

logger = logging.getLogger(__name__)

# A process that is cut off loses its portals after so long; a living one renews in time.
LEASE_S = 30.0
RENEW_EVERY_S = 10.0


class Leases:
    """The leases of one run. `take` and `give_back` raise StoreUnavailable."""

    def __init__(
        self,
        leases: PortalLeases,
        run_id: str,
        presence: Presence,
        clock: Clock,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._leases = leases
        self._run_id = run_id
        self._presence = presence
        self._clock = clock
        self._sleep = sleep
        self._held: set[int] = set()
        # A renewal under way must not take again what is given back meanwhile.
        self._turn = asyncio.Lock()
        self._renewal: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Begins to renew what will be held."""
        self._renewal = asyncio.create_task(self._renew_regularly())

    async def end(self) -> None:
        """Ends it all; what cannot be given back runs out by itself."""
        if self._renewal is not None:
            async with self._turn:
                self._renewal.cancel()
            await asyncio.gather(self._renewal, return_exceptions=True)
        try:
            await self.give_back()
        except StoreUnavailable as err:
            logger.info("the portals are free for other processes in %g s: %s", LEASE_S, err)

    async def take(self, portal_id: int) -> Lease:
        """Whether the portal is ours alone from now on."""
        if portal_id in self._held:
            return Lease.OURS
        lease = await self._take(portal_id)
        if lease is not Lease.REFUSED:
            self._held.add(portal_id)
        return lease

    async def give_back(self) -> None:
        """Lets other processes have all portals."""
        async with self._turn:
            while self._held:
                await asyncio.to_thread(self._leases.give_back, self._held.pop(), self._run_id)

    async def _renew_regularly(self) -> None:
        while True:
            await self._sleep(RENEW_EVERY_S)
            async with self._turn:
                for portal_id in tuple(self._held):
                    await self._renew(portal_id)

    async def _renew(self, portal_id: int) -> None:
        try:
            lease = await self._take(portal_id)
        except StoreUnavailable:
            lease = Lease.REFUSED
        if lease is not Lease.OURS:
            # Whoever has it now delivers; what we began there is ours by its claim.
            self._held.discard(portal_id)

    async def _take(self, portal_id: int) -> Lease:
        return await asyncio.to_thread(
            self._leases.take,
            portal_id,
            self._run_id,
            for_s=LEASE_S,
            now=self._clock.now(),
            is_dead=self._presence.is_dead,
        )
