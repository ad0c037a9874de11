"""The portals that this run alone paces and writes, kept for as long as it has work there.

Knows the store's leases and who is alive; nothing of HubSpot.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Container, Sequence
from dataclasses import dataclass

from target_hubspot_calls.clock import Clock
from target_hubspot_calls.delivery.presence import Presence
from target_hubspot_calls.errors import StoreUnavailable
from target_hubspot_calls.store.portal_leases import Lease, PortalLeases, Spent

logger = logging.getLogger(__name__)

# A process that is cut off loses its portals after so long; a living one renews in time.
LEASE_S = 30.0
RENEW_EVERY_S = 10.0
# So long before another may take a portal, its holder sends nothing there any more.
MARGIN_S = 5.0
# A store that does not take portals back is not asked about one after the other for longer.
GIVE_BACK_S = 5.0
# How long a request waits for this run's heartbeat to be heard again, and how often it looks.
UNHEARD_S = 10.0
LISTEN_EVERY_S = 0.25


class HeldElsewhere(Exception):
    """Another process paces and writes this portal now; it will deliver what is due there."""


@dataclass(frozen=True)
class SpentBefore:
    """What the holder before spent of a portal's pace: so many seconds ago it sent its last there.

    `free_after_s` says of each request's slot in how many seconds from now it is free; None where
    it left no word, and may have spent all there was.
    """

    ago_s: float
    free_after_s: Sequence[float] | None


@dataclass(frozen=True)
class _Held:
    """A lease of ours: until when it surely lasts, and the streak of heartbeats it rests on."""

    until: float
    streak: int


class Leases:
    """The leases of one run. Every method raises StoreUnavailable, but `begin` and `end`."""

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
        self._held: dict[int, _Held] = {}
        # Held again after somebody else had them in between: `take` has yet to say so.
        self._missed: set[int] = set()
        # No more ours, and the store has not taken them back yet as far as we know.
        self._owed: set[int] = set()
        # How long whoever was dead when `_take` asked last had sent nothing.
        self._quiet_s = 0.0
        # A renewal under way must not take again what is given back meanwhile.
        self._turn = asyncio.Lock()
        self._renewal: asyncio.Task[None] | None = None
        self._spent_of: Callable[[int], list[float]] = lambda _: []

    async def begin(self, spent_of: Callable[[int], list[float]] = lambda _: []) -> None:
        """Begins to renew what will be held.

        `spent_of` says of a portal in how many seconds each slot of its pace that is taken comes
        free: who has the portal next goes on from there.
        """
        self._spent_of = spent_of
        self._renewal = asyncio.create_task(self._renew_regularly())

    async def end(self) -> None:
        """Ends it all; what cannot be given back is taken by others as from one that died."""
        if self._renewal is not None:
            async with self._turn:
                self._renewal.cancel()
            await asyncio.gather(self._renewal, return_exceptions=True)
        try:
            await self.give_back()
        except StoreUnavailable as err:
            self._presence.vanish()
            logger.warning(
                "%d of our portals could not be given back; others have them in %g s at most: %s",
                len(self._owed),
                LEASE_S,
                err,
            )

    async def take(self, portal_id: int) -> tuple[Lease, SpentBefore | None]:
        """Whether the portal is ours alone from now on; of one taken over, what is known of it."""
        async with self._turn:
            if self._is_held(portal_id):
                return Lease.OURS, None
            lease = await self._take(portal_id)
            if lease is Lease.REFUSED:
                return lease, None
            if lease is Lease.OURS and portal_id in self._missed:
                lease = Lease.TAKEN_OVER
            self._missed.discard(portal_id)
            if lease is Lease.OURS:
                return lease, None
            return lease, await self._spent_before(portal_id, self._quiet_s)

    async def hold(self, portal_id: int) -> None:
        """Returns if the portal is still ours, right before something is sent to it.

        Raises HeldElsewhere once it is not, or may not be: others may have believed us dead.
        """
        if self._is_held(portal_id):
            return
        for _ in range(int(UNHEARD_S / LISTEN_EVERY_S)):
            if self._presence.streak() is not None:
                break
            await self._sleep(LISTEN_EVERY_S)
        async with self._turn:
            if portal_id in self._held and not self._is_held(portal_id):
                await self._take_again(portal_id)
            if not self._is_held(portal_id):
                raise HeldElsewhere

    async def give_back(self, *, but: Container[int] = ()) -> None:
        """Lets other processes have all portals, but these.

        One that the store does not take back keeps no other from being given back, and is given
        back the next time.
        """
        async with self._turn:
            give_up_at = self._clock.monotonic() + GIVE_BACK_S
            error: StoreUnavailable | None = None
            for portal_id in [one for one in {*self._held, *self._owed} if one not in but]:
                # First of all: if the answer is lost, another may have it.
                self._held.pop(portal_id, None)
                self._missed.discard(portal_id)
                self._owed.add(portal_id)
                if error is not None and self._clock.monotonic() >= give_up_at:
                    continue
                spent = Spent(self._clock.now(), self._spent_of(portal_id))
                try:
                    await asyncio.to_thread(self._leases.give_back, portal_id, self._run_id, spent)
                except StoreUnavailable as err:
                    error = err
                else:
                    self._owed.discard(portal_id)
            if error is not None:
                raise error

    async def _spent_before(self, portal_id: int, quiet_s: float) -> SpentBefore:
        spent = await asyncio.to_thread(self._leases.spent_before, portal_id)
        if spent is None:
            return SpentBefore(quiet_s, None)
        # A clock that was set back makes us wait as long as if it were given back just now.
        ago_s = max(0.0, (self._clock.now() - spent.given_back_at).total_seconds())
        return SpentBefore(ago_s, [s - ago_s for s in spent.free_after_s if s > ago_s])

    def _is_held(self, portal_id: int) -> bool:
        held = self._held.get(portal_id)
        return (
            held is not None
            and held.streak == self._presence.streak()
            and self._clock.monotonic() < held.until
            and portal_id not in self._missed
        )

    async def _renew_regularly(self) -> None:
        while True:
            await self._sleep(RENEW_EVERY_S)
            async with self._turn:
                for portal_id in tuple(self._held):
                    await self._renew(portal_id)

    async def _renew(self, portal_id: int) -> None:
        try:
            await self._take_again(portal_id)
        except StoreUnavailable:
            # What is held lasts as long as others cannot have it.
            return

    async def _take_again(self, portal_id: int) -> None:
        if await self._take(portal_id) is Lease.TAKEN_OVER:
            # Somebody had it in between: its pace is not what we think.
            self._missed.add(portal_id)

    async def _take(self, portal_id: int) -> Lease:
        streak = self._presence.streak()
        if streak is None:
            return Lease.REFUSED
        began, self._quiet_s = self._clock.monotonic(), 0.0
        lease = await asyncio.to_thread(
            self._leases.take,
            portal_id,
            self._run_id,
            for_s=LEASE_S,
            now=self._clock.now(),
            is_dead=self._is_dead,
        )
        if lease is Lease.REFUSED:
            self._held.pop(portal_id, None)
        else:
            self._held[portal_id] = _Held(began + LEASE_S - MARGIN_S, streak)
            self._owed.discard(portal_id)
        return lease

    def _is_dead(self, holder: str) -> bool:
        is_dead = self._presence.is_dead(holder)
        if is_dead:
            self._quiet_s = self._presence.quiet_s(holder)
        return is_dead
