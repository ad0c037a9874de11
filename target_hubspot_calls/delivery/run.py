"""Everything one run of delivery needs, opened in order and closed in reverse.

Joins store, vault, portals and sync log; the only place of this room that knows where they live.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import uuid_utils

from target_hubspot_calls.call import Call
from target_hubspot_calls.clock import Clock
from target_hubspot_calls.delivery.deliver import Delivery, Tally
from target_hubspot_calls.delivery.portals import Portals
from target_hubspot_calls.delivery.presence import Presence
from target_hubspot_calls.delivery.worker import DeliveryWorker
from target_hubspot_calls.settings import TargetSettings
from target_hubspot_calls.store.connections import Connections, holds_tokens
from target_hubspot_calls.store.database import open_database
from target_hubspot_calls.store.ledger import Ledger
from target_hubspot_calls.store.ledger_rows import SETTLED, Accepted
from target_hubspot_calls.store.new_contacts import NewContacts
from target_hubspot_calls.store.outbox import Outbox
from target_hubspot_calls.store.vault import load_vault
from target_hubspot_calls.sync_log.log import SyncLog, SyncLogError, drain

logger = logging.getLogger(__name__)


class Run:
    """One run: accepts calls on this thread and delivers them on another."""

    def __init__(self, settings: TargetSettings, *, clock: Clock | None = None) -> None:
        """Raises StoreUnavailable, WrongEncryptionKey, SettingsError."""
        self.run_id = str(uuid_utils.uuid7())
        self.tally = Tally()
        self._settings = settings
        self._clock = clock or Clock()
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._engine = open_database(settings.store_url)
        vault = load_vault(
            settings.secret("encryption_keys"),
            settings.key_file,
            create=not holds_tokens(self._engine),
        )
        self._connections = Connections(self._engine, vault)
        self._ledger = Ledger(self._engine)
        self._outbox = Outbox(self._engine)
        self._sync_log = SyncLog(settings.sync_log_path)
        self._presence = Presence(settings.data_dir, self.run_id)
        self._presence.enter()
        self._told_about_history = False
        self.is_finishing = False
        self._worker = DeliveryWorker(
            self._open_delivery, self._write_history, batch_wait_s=settings.batch_wait_s
        )
        self._worker.start()

    def accept(self, calls: Sequence[Call], refused: Sequence[str]) -> Accepted:
        """Takes responsibility for the calls; durable when it returns.

        `refused` says of other records why no call could be made of them. Raises StoreUnavailable.
        """
        now = self._clock.now()
        self._ledger.refuse(refused, self._settings.default_workspace, run_id=self.run_id, now=now)
        accepted = self._ledger.accept(calls, now=now)
        self._worker.notify(accepted.new + accepted.changed)
        return accepted

    def finish(self, *, until: Callable[[], bool]) -> None:
        """Returns when every call that is due has an outcome, or when `until` says true.

        Raises what stopped delivery, StoreUnavailable for one.
        """
        self.is_finishing = True
        self._worker.finish(until=until)

    def stop(self, within_s: float) -> bool:
        """Ends after the requests in flight, within the time; True if it did."""
        return self._worker.stop(within_s)

    def close(self) -> None:
        """Lets go of the store; the run is over."""
        self._presence.leave()
        self._engine.dispose()

    def waiting(self) -> int:
        """How many calls are still to be tried again, by themselves or once a person has acted."""
        return sum(count for (state, _), count in self._ledger.counts().items() if state != SETTLED)

    @asynccontextmanager
    async def _open_delivery(self) -> AsyncIterator[Delivery]:
        async with Portals(
            self._settings, self._connections, NewContacts(self._engine), self._clock
        ) as portals:
            yield Delivery(
                self._ledger,
                portals,
                self._settings,
                run_id=self.run_id,
                presence=self._presence,
                tally=self.tally,
                clock=self._clock,
            )

    async def _write_history(self) -> None:
        """Moves outcomes to the sync log; a log that cannot be written delays only them."""
        try:
            await asyncio.to_thread(drain, self._outbox, self._sync_log)
        except SyncLogError as err:
            if not self._told_about_history:
                logger.warning("%s Calls are delivered all the same.", err)
            self._told_about_history = True
        else:
            self._told_about_history = False
