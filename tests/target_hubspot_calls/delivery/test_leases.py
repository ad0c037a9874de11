"""Portals that one run holds: renewed while there is work, free for others right after."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from target_hubspot_calls.clock import Clock
from target_hubspot_calls.delivery.leases import Leases
from target_hubspot_calls.delivery.presence import Presence
from target_hubspot_calls.store.database import open_database
from target_hubspot_calls.store.portal_leases import Lease, PortalLeases

PORTAL = 4_000_000_001


class SlowToRenew(PortalLeases):
    """Leases of a store that takes its time over the second request for a portal."""

    def __init__(self, engine: Any) -> None:
        super().__init__(engine)
        self.taken = 0
        self.renewing = threading.Event()
        self.go_on = threading.Event()

    def take(self, *args: Any, **options: Any) -> Lease:
        self.taken += 1
        if self.taken == 2:
            self.renewing.set()
            self.go_on.wait(5)
        return super().take(*args, **options)


def test_a_portal_given_back_while_it_is_renewed_is_free(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path}/store.db")
    store = SlowToRenew(engine)

    async def no_wait(seconds: float) -> None:
        await asyncio.sleep(0)

    async def hold_and_give_back() -> None:
        mine = Leases(store, "mine", Presence(tmp_path, "mine"), Clock(), sleep=no_wait)
        await mine.take(PORTAL)
        await mine.begin()
        await asyncio.to_thread(store.renewing.wait, 5)
        giving_back = asyncio.create_task(mine.give_back())
        await asyncio.sleep(0.1)
        store.go_on.set()
        await giving_back
        await mine.end()

    asyncio.run(hold_and_give_back())
    lease = PortalLeases(engine).take(
        PORTAL, "other", for_s=30, now=datetime.now(UTC), is_dead=lambda _: False
    )
    engine.dispose()

    assert lease is Lease.TAKEN_OVER
