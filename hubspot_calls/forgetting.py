"""One caller's data, looked for and deleted in every place that is ours: the order of it all.

Knows the rooms and in which order nothing can come back between two of them; what a room does to
forget is its own business. Words for people are the command's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from call_stream.forgetting import EntriesForgotten, forget_entries
from call_stream.record import CallSource
from call_stream.stream import StreamError, open_reader
from hubspot_calls.elsewhere import elsewhere_of
from hubspot_calls.forget_plan import Asked, Done, Meant, Places, Plan
from target_hubspot_calls.call import Workspace
from target_hubspot_calls.errors import CallSyncError
from target_hubspot_calls.store.forgetting import PIECE, Forgetting
from target_hubspot_calls.store.store_file import write_file_anew
from target_hubspot_calls.sync_log.log import SyncLogError, drain

if TYPE_CHECKING:
    from hubspot_calls.rooms import Store
    from target_hubspot_calls.store.ledger_conditions import CallKey
    from target_hubspot_calls.store.sought_calls import LedgerCall

HELD_WAIT_S = 60.0
_LOOK_AGAIN_S = 0.5
_PAUSE_S = 0.01


class Forgetter:
    """Deletes calls' data on this host. Methods raise StoreUnavailable."""

    def __init__(
        self,
        store: Store,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        from hubspot_calls.rooms import open_sync_log_file
        from target_hubspot_calls.store.database import is_shared

        self._store = store
        self._settings = store.settings
        self._rows = Forgetting(store.engine)
        self._log = open_sync_log_file(store.settings)
        self._is_shared = is_shared(store.engine)
        self._now = now
        self._monotonic = monotonic
        self._sleep = sleep

    def look(self, asked: Asked) -> Plan:
        """What there is. Raises StreamError, SyncLogError, WrongEncryptionKey."""
        calls = {call.key: call for call in self._rows.find(asked.sought)}
        keys = set(calls) | self._rows.in_history(asked.sought) | self._in_sync_log(asked)
        keys |= set(self._in_stream(self._meant(asked, keys)))
        known = [*calls.values(), *self._rows.load(keys - calls.keys())]
        numbers = frozenset(asked.e164_of(known))
        created = self._rows.contacts_created(numbers)
        portal_ids = frozenset(call.portal_id for call in known if call.portal_id is not None)
        return Plan(
            asked=asked,
            keys=frozenset(keys),
            unfinished=sum(call.is_forgotten for call in known),
            numbers=numbers,
            portal_ids=portal_ids if asked.is_of_one_owner else None,
            there=Places(
                ledger_rows=sum(not call.is_forgotten for call in known),
                outbox_rows=self._rows.in_outbox(keys),
                shared_history_rows=self._rows.count_history(keys),
                sync_log_rows=self._log.count_telling(_plain(keys)),
                stream_entries=self._in_entries(self._meant(asked, keys), dry_run=True).entries,
                raw_reports=self._in_raw_reports(self._meant(asked, keys), dry_run=True).entries,
                created_contacts=len(created),
            ),
            elsewhere=elsewhere_of(
                known,
                (call_id for _, call_id in keys - _of_no_door_of_vapis(known)),
                created,
                app_url=self._settings.hubspot_app_url,
            ),
        )

    def carry_out(self, plan: Plan) -> Done:
        """Deletes it. What cannot be reached is left and said; asking again goes on from there."""
        # The ledger first: what it forgot no report brings back, and nobody delivers any more.
        # Then what waits for the sync log goes into it, so that no row can come in later that was
        # taken out of line before. The store no longer knows the numbers by then; the calls' rows
        # keep in mind that they are not finished.
        free, rows, left = self._forget_rows(plan)
        meant = self._meant(plan.asked, set(plan.keys))
        sync_log_rows = self._tried(lambda: self._forget_in_sync_log(free), left)
        entries = self._tried(
            lambda: _told(self._in_entries(meant), "entries of the call stream", left), left
        )
        raw_reports = self._tried(
            lambda: _told(self._in_raw_reports(meant), "raw reports", left), left
        )
        contacts = self._rows.forget_contacts(plan.numbers, plan.portal_ids)
        self._tried(lambda: int(write_file_anew(self._store.engine)), left)
        if not left:
            self._rows.finish(plan.keys, now=self._now())
        deleted = replace(
            rows,
            sync_log_rows=sync_log_rows,
            stream_entries=entries,
            raw_reports=raw_reports,
            created_contacts=contacts,
        )
        return Done(deleted, left)

    def _meant(self, asked: Asked, keys: set[CallKey]) -> Meant:
        default = Workspace(self._settings.user_id, self._settings.workspace_id)
        return Meant(asked, frozenset(keys), default)

    def _in_stream(self, meant: Meant) -> Iterator[CallKey]:
        for entry in open_reader(self._settings.stream_url).read():
            key = meant.key_of(entry)
            if key is not None:
                yield key

    def _in_entries(self, meant: Meant, *, dry_run: bool = False) -> EntriesForgotten:
        return forget_entries(self._settings.stream_url, meant.new_payload, dry_run=dry_run)

    def _in_raw_reports(self, meant: Meant, *, dry_run: bool = False) -> EntriesForgotten:
        from receiver.forgotten_reports import forget_raw_reports

        return forget_raw_reports(
            self._settings.raw_reports_dir,
            lambda: self._store.open_vault(create=False),
            meant.has_raw,
            dry_run=dry_run,
        )

    def _in_sync_log(self, asked: Asked) -> set[CallKey]:
        digits = asked.sought.digits
        if digits is None:
            return set()
        found = self._log.calls_of_number(digits, asked.is_number)
        keys = {(Workspace(user, workspace), call_id) for user, workspace, call_id in found}
        return {key for key in keys if asked.sought.is_of_owner(key[0])}

    def _forget_rows(self, plan: Plan) -> tuple[set[CallKey], Places, list[str]]:
        """The calls that are forgotten now, in how many rows, and what is said of the others."""
        calls = outbox = history = 0
        open_keys = set(plan.keys)
        forgotten: set[CallKey] = set()
        give_up_at = self._monotonic() + HELD_WAIT_S
        while open_keys:
            for piece in _pieces(open_keys):
                rows = self._rows.forget(piece, now=self._now(), is_dead=self._is_dead)
                calls += rows.calls
                outbox += rows.outbox_rows
                history += rows.history_rows
                forgotten |= set(piece) - rows.held
                self._sleep(_PAUSE_S)
            open_keys -= forgotten
            if not open_keys or self._monotonic() >= give_up_at:
                break
            self._sleep(_LOOK_AGAIN_S)
        left = []
        if open_keys:
            left.append(
                f"{len(open_keys)} of the calls are being sent to HubSpot at this moment and are"
                " left; run the same command again in a few minutes."
            )
        places = Places(ledger_rows=calls, outbox_rows=outbox, shared_history_rows=history)
        return forgotten, places, left

    def _is_dead(self, holder: str) -> bool:
        from target_hubspot_calls.delivery.presence import FilePresence

        # Of another host's runs nothing is known here; their claims run out by time.
        return not self._is_shared and FilePresence(self._settings.data_dir, "").is_dead(holder)

    def _forget_in_sync_log(self, keys: set[CallKey]) -> int:
        if not self._is_shared:
            drain(self._store.outbox, self._log)
        elif not self._settings.sync_log.exists():
            return 0
        else:
            self._wait_for_outbox(keys)
        return self._log.forget(_plain(keys))

    def _wait_for_outbox(self, keys: set[CallKey]) -> None:
        """Until the host that fills the file has taken these calls' rows out of line."""
        give_up_at = self._monotonic() + HELD_WAIT_S
        while self._rows.waits_in_outbox(keys):
            if self._monotonic() >= give_up_at:
                raise SyncLogError(
                    "Rows of these calls still wait for the sync log, which no process fills now."
                )
            self._sleep(_LOOK_AGAIN_S)

    def _tried(self, step: Callable[[], int], left: list[str]) -> int:
        """What a step came to; a step that fails must not keep the others from being done."""
        try:
            return step()
        except (CallSyncError, StreamError) as err:
            left.append(f"{str(err).rstrip('.')}. Then run the same command again.")
            return 0


def _of_no_door_of_vapis(calls: Iterable[LedgerCall]) -> set[CallKey]:
    """Calls that some other source told of; what the ledger does not know may be VAPI's."""
    return {call.key for call in calls if call.source not in (CallSource.WEBHOOK, CallSource.API)}


def _told(done: EntriesForgotten, noun: str, left: list[str]) -> int:
    """How many were deleted; of others it is said why they were not."""
    if done.left:
        advice = "Stop `hubspot-calls serve`, run the same command again, and start it."
        if not done.is_busy:
            advice = "They go when the stream's own retention deletes them."
        left.append(f"{done.left} {noun} are left: {done.why_left}. {advice}")
    return done.entries


def _pieces(keys: set[CallKey]) -> Iterator[list[CallKey]]:
    ordered = sorted(keys)
    return (ordered[i : i + PIECE] for i in range(0, len(ordered), PIECE))


def _plain(keys: set[CallKey]) -> list[tuple[str, str, str]]:
    return [(owner.user_id, owner.workspace_id, call_id) for owner, call_id in sorted(keys)]
