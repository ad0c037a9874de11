"""Everything one run of delivery needs, opened in order and closed in reverse.

Joins store, vault, portals and sync log; the only place of this room that knows where they live.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import uuid_utils

from target_hubspot_calls.call import Call
from target_hubspot_calls.clock import Clock
from target_hubspot_calls.delivery.attach import Attacher
from target_hubspot_calls.delivery.deliver import Delivery
from target_hubspot_calls.delivery.drafts import Drafter
from target_hubspot_calls.delivery.heartbeat import Heartbeat
from target_hubspot_calls.delivery.leases import Leases
from target_hubspot_calls.delivery.portals import Portals
from target_hubspot_calls.delivery.presence import FilePresence, Presence
from target_hubspot_calls.delivery.round import Tally
from target_hubspot_calls.delivery.worker import DeliveryWorker
from target_hubspot_calls.errors import StoreUnavailable
from target_hubspot_calls.recordings.fetch import RecordingFetcher
from target_hubspot_calls.recordings.source import RecordingSource
from target_hubspot_calls.recordings.vapi_links import VapiLinks
from target_hubspot_calls.settings import TargetSettings
from target_hubspot_calls.shared_history.filling import Filler
from target_hubspot_calls.store.connections import Connections, holds_tokens
from target_hubspot_calls.store.database import is_shared, open_database
from target_hubspot_calls.store.ledger import Ledger
from target_hubspot_calls.store.ledger_rows import Accepted, RefusedRecord
from target_hubspot_calls.store.new_contacts import NewContacts
from target_hubspot_calls.store.outbox import Outbox
from target_hubspot_calls.store.portal_leases import PortalLeases
from target_hubspot_calls.store.vault import load_vault
from target_hubspot_calls.sync_log.log import SyncLog, SyncLogError, drain

logger = logging.getLogger(__name__)


class Run:
    """One run: accepts calls on this thread and delivers them on another."""

    def __init__(
        self,
        settings: TargetSettings,
        *,
        clock: Clock | None = None,
        on_death: Callable[[], None] | None = None,
    ) -> None:
        """`on_death` is called, from another thread, when delivery has died: `check` says of what.

        Raises StoreUnavailable, WrongEncryptionKey, SettingsError.
        """
        self.run_id = str(uuid_utils.uuid7())
        self.tally = Tally()
        self._settings = settings
        _make_private(settings.data_dir)
        self._engine = open_database(settings.store_url)
        vault = load_vault(
            settings.secret("encryption_keys"),
            settings.key_file,
            create=not holds_tokens(self._engine),
        )
        self._is_shared = is_shared(self._engine)
        self._connections = Connections(self._engine, vault)
        self._ledger = Ledger(self._engine, default_region=settings.default_region)
        self._outbox = Outbox(self._engine)
        # Shorter than people wait: the end of a run waits for it, and rows may wait in the outbox.
        self._sync_log = SyncLog(settings.sync_log_path, wait_s=1.0)
        self._presence: Presence = FilePresence(settings.data_dir, self.run_id)
        own_time = Clock()
        if self._is_shared:
            self._presence = heartbeat = Heartbeat(self._engine, self.run_id)
            # What several hosts compare with each other is told by one clock.
            own_time = Clock(now=heartbeat.now)
        self._clock = clock or own_time
        self._presence.enter()
        self._filler: Filler | None = None
        if self._is_shared:
            self._filler = Filler(
                self._engine,
                self._sync_log,
                f"{self.run_id}/{socket.gethostname()}",
                now=self._clock.now,
                is_dead=self._presence.is_dead,
            )
        self._told_about_history = False
        self.is_finishing = False
        self._worker = DeliveryWorker(
            self._open_delivery,
            self._write_history,
            batch_wait_s=settings.batch_wait_s,
            is_shared=self._is_shared,
            on_death=on_death,
        )
        self._worker.start()

    def accept(self, calls: Sequence[Call], refused: Sequence[RefusedRecord]) -> Accepted:
        """Takes responsibility for the calls; durable when it returns.

        `refused` are the records no call can be made of. Raises StoreUnavailable.
        """
        accepted = self._ledger.accept(
            calls,
            now=self._clock.now(),
            refused=refused,
            run_id=self.run_id,
            nobodys=self._settings.default_workspace,
        )
        self._worker.notify(accepted.new + accepted.changed)
        return accepted

    def check(self) -> None:
        """Returns if calls are still delivered. Raises what stopped that, StoreUnavailable say."""
        self._worker.check()

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
        if self._filler is not None:
            self._filler.leave()
        self._presence.leave()
        self._engine.dispose()

    def waiting(self) -> int:
        """How many calls are still to be tried again, by themselves or once a person has acted."""
        return sum(self._ledger.count_open().values())

    @asynccontextmanager
    async def _open_delivery(self) -> AsyncIterator[Delivery]:
        drafter = Drafter(self._settings)
        async with AsyncExitStack() as stack:
            portals = await stack.enter_async_context(
                Portals(
                    self._settings,
                    self._connections,
                    NewContacts(self._engine),
                    Leases(PortalLeases(self._engine), self.run_id, self._presence, self._clock),
                    self._clock,
                )
            )
            attacher = None
            if self._settings.upload_recordings:
                source = await _open_source(self._settings, self._clock, stack)
                attacher = Attacher(
                    self._ledger,
                    portals,
                    drafter,
                    source,
                    run_id=self.run_id,
                    clock=self._clock,
                )
            yield Delivery(
                self._ledger,
                portals,
                drafter,
                attacher,
                run_id=self.run_id,
                presence=self._presence,
                tally=self.tally,
                clock=self._clock,
                is_shared=self._is_shared,
            )

    def _fill_sync_log(self) -> None:
        """On one host every run does it, of several hosts' runs one; the others' file rests."""
        if self._filler is not None:
            self._filler.fill()
        else:
            drain(self._outbox, self._sync_log)

    async def _write_history(self) -> None:
        """Moves outcomes to the sync log; a log that cannot be written delays only them."""
        try:
            await asyncio.to_thread(self._fill_sync_log)
        except (SyncLogError, StoreUnavailable) as err:
            if not self._told_about_history:
                logger.warning("%s Calls are delivered all the same.", err)
            self._told_about_history = True
        else:
            self._told_about_history = False


async def _open_source(
    settings: TargetSettings, clock: Clock, stack: AsyncExitStack
) -> RecordingSource:
    fetcher = RecordingFetcher(
        settings.recording_hosts, max_bytes=settings.recording_max_mb * 1_000_000
    )
    await stack.enter_async_context(fetcher)
    vapi_key = settings.secret("vapi_api_key")
    vapi = VapiLinks(vapi_key, settings.vapi_api_url) if vapi_key else None
    if vapi is not None:
        await stack.enter_async_context(vapi)
    return RecordingSource(fetcher, vapi, now=clock.now)


def _make_private(data_dir: Path) -> None:
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as err:
        raise StoreUnavailable(
            f"The data directory {data_dir} cannot be made: {err.strerror}; check data_dir."
        ) from err
