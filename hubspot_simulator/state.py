"""Everything one simulated HubSpot knows: portals, tokens, faults, limits and the request log.

It is shared by the server's thread and the test's; both hold `lock` while they touch it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .faults import FaultScript
from .kinds import CONTACT
from .oauth import Authority
from .portal import Portal
from .rate import RateBook
from .records import Claims
from .request_log import RequestLog
from .settings import SimulatorSettings

Clock = Callable[[], float]


class SimulatorState:
    """The whole memory of the simulator."""

    def __init__(
        self, settings: SimulatorSettings, *, seed: int = 0, clock: Clock = time.time
    ) -> None:
        self.lock = threading.RLock()
        self.settings = settings
        self.seed = seed
        self.clock = clock
        self.portals: dict[int, Portal] = {}
        self.authority = Authority()
        self.faults = FaultScript(seed)
        self.rates = RateBook()
        self.log = RequestLog()
        self.signatures: dict[str, tuple[int, str, float]] = {}

    def portal(self, portal_id: int) -> Portal:
        """The portal with this id, made where it is missing."""
        found = self.portals.get(portal_id)
        if found is None:
            found = Portal(portal_id, self.settings, self.clock, seed=self.seed)
            self.portals[portal_id] = found
        return found

    def add_contact(
        self, portal_id: int, properties: Mapping[str, str], *, object_id: str | None = None
    ) -> str:
        """The id of a new contact, searchable at once unless the index lags.

        Unlike a request, it may set hs_object_id and createdate: the past is made here.
        """
        written = dict(properties)
        object_id = written.pop("hs_object_id", None) or object_id
        created_at = written.pop("createdate", None)
        with self.lock:
            portal = self.portal(portal_id)
            new = portal.checked(CONTACT, written, [], Claims())
            return portal.keep(new, object_id=object_id, created_at=created_at).id

    def seed_contacts(self, portal_id: int, entries: Iterable[Mapping[str, Any]]) -> list[str]:
        """The ids of new contacts; an entry is properties, or has `properties` and maybe `id`."""
        return [
            self.add_contact(
                portal_id,
                _properties_of(entry),
                object_id=str(entry["id"]) if "id" in entry else None,
            )
            for entry in entries
        ]

    def reset(self) -> None:
        """Forgets all but settings, apps, keys and tokens: portals are empty again."""
        with self.lock:
            for portal_id in list(self.portals):
                self.portals[portal_id] = Portal(
                    portal_id, self.settings, self.clock, seed=self.seed
                )
            self.faults = FaultScript(self.seed)
            self.rates.clear()
            self.log.entries.clear()
            self.signatures.clear()


def _properties_of(entry: Mapping[str, Any]) -> dict[str, str]:
    written = entry.get("properties", entry)
    return {
        name: str(value)
        for name, value in written.items()
        if value is not None and (name != "id" or "properties" in entry)
    }
