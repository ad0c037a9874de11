"""The ledger: one row per call, and where its delivery stands.

Every change of a row that people should hear of writes its outbox row in the same transaction.
Knows nothing of HubSpot's API nor of Singer; time comes in as an argument.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, Select, func, select, true, update

from target_hubspot_calls.call import Call, Workspace
from target_hubspot_calls.errors import Status
from target_hubspot_calls.outcome import Outcome, RecordingOutcome
from target_hubspot_calls.store.accepting import accept_calls, note_refused
from target_hubspot_calls.store.database import take_turn_to_accept, writing
from target_hubspot_calls.store.ledger_conditions import (
    has_recording_due,
    is_claimable,
    is_not_of_run,
    is_of,
    lock_held,
)
from target_hubspot_calls.store.ledger_reader import LedgerReader
from target_hubspot_calls.store.ledger_rows import (
    CLAIM_COLUMNS,
    DUE,
    WAITING,
    Accepted,
    Claim,
    RefusedRecord,
    claim_of,
    key_parameters,
    recording_log_row,
    recording_parameters,
    settled_log_row,
    settled_parameters,
)
from target_hubspot_calls.store.ledger_statements import (
    ANNOUNCE,
    ANNOUNCE_CONTACT,
    SETTLE,
    SETTLE_RECORDING,
)
from target_hubspot_calls.store.outbox import append_to_outbox
from target_hubspot_calls.store.row_locks import pieces, update_in_order
from target_hubspot_calls.store.schema import calls as table


class Ledger(LedgerReader):
    """Calls taken over for delivery, kept until and after they are settled.

    Any number of processes may call any method at once. Every method raises StoreUnavailable.
    """

    def __init__(self, engine: Engine, *, default_region: str | None = None) -> None:
        """`default_region` is that of numbers without a country code, which else stay as written.

        It is needed for what is accepted and settled alone.
        """
        super().__init__(engine)
        self._region = default_region

    def accept(
        self,
        reports: Iterable[Call],
        *,
        now: datetime,
        refused: Sequence[RefusedRecord] = (),
        run_id: str = "",
        nobodys: Workspace | None = None,
    ) -> Accepted:
        """Takes responsibility for the calls: on return they are durable and due.

        A call that is there already is merged with what is known. Records no call can be made of
        are written down for the sync log, each once. `nobodys` is the workspace of records that
        name none: the same call is one call, whichever of VAPI's doors tells of it first.
        """
        with writing(self._engine, by_rows=True) as connection:
            # Whose a call is depends on rows of other workspaces, which may not be there yet.
            take_turn_to_accept(connection)
            accepted = accept_calls(connection, list(reports), now, nobodys, region=self._region)
            note_refused(connection, refused, run_id, now)
        return accepted

    def wake(self, workspace: Workspace, *, now: datetime, reason: str | None = None) -> int:
        """Makes the calls of a workspace due that waited for a person; returns how many.

        With a reason, those that waited for it alone.
        """
        waiting = [is_of(workspace), table.c.state == WAITING]
        waiting += [] if reason is None else [table.c.reason == reason]
        with writing(self._engine, by_rows=True) as connection:
            return update_in_order(
                connection, table, waiting, {"state": DUE, "due_at": now, "updated_at": now}
            )

    def hasten(self, workspace: Workspace | None, reason: str, *, now: datetime) -> int:
        """Makes calls due that wait out a failure with this reason; returns how many.

        Those of the workspace, or of all. Their tries stay counted: what fails again waits longer
        than before.
        """
        waiting = [
            true() if workspace is None else is_of(workspace),
            table.c.state == DUE,
            table.c.due_at > now,
            table.c.status == Status.ERROR.value,
            table.c.reason == reason,
        ]
        with writing(self._engine, by_rows=True) as connection:
            return update_in_order(connection, table, waiting, {"due_at": now, "updated_at": now})

    def claim(
        self, workspace: Workspace, *, holder: str, limit: int, for_s: float, now: datetime
    ) -> list[Claim]:
        """At most `limit` due calls of the workspace, for this holder alone for `for_s` seconds.

        A holder is named "run/claim". What the same run still holds is not given out twice, even
        if its time is over: the run lives and may be writing it.
        """
        pick = (
            select(*CLAIM_COLUMNS)
            .where(is_of(workspace), is_claimable(now), is_not_of_run(holder))
            .order_by(table.c.due_at, table.c.call_id)
            .limit(limit)
        )
        return self._take(workspace, pick, holder, now + timedelta(seconds=for_s))

    def claim_recordings(
        self, workspace: Workspace, *, holder: str, limit: int, for_s: float, now: datetime
    ) -> list[Claim]:
        """At most `limit` written calls whose recording is due, for this holder alone."""
        pick = (
            select(*CLAIM_COLUMNS)
            .where(is_of(workspace), has_recording_due(now), is_not_of_run(holder))
            .order_by(table.c.recording_due_at, table.c.call_id)
            .limit(limit)
        )
        return self._take(workspace, pick, holder, now + timedelta(seconds=for_s))

    def release(self, claims: Sequence[Claim], *, holder: str, now: datetime) -> None:
        """Gives calls back, for anybody to claim at once; what they announced stays announced."""
        if not claims:
            return
        workspace = claims[0].call.workspace
        with writing(self._engine, by_rows=True) as connection:
            held = lock_held(connection, workspace, [claim.call.id for claim in claims], holder)
            for ids in pieces(held):
                connection.execute(
                    update(table)
                    .where(is_of(workspace), table.c.call_id.in_(ids))
                    .values(claimed_by=None, claimed_until=None, updated_at=now)
                )

    def free(self, holder: str, *, now: datetime) -> int:
        """Frees the calls of a holder that is dead; returns how many."""
        free = {"claimed_by": None, "claimed_until": None, "updated_at": now}
        with writing(self._engine, by_rows=True) as connection:
            # What the dead one still has in hand is free once the server notices, and looked for
            # again.
            return update_in_order(
                connection, table, [table.c.claimed_by == holder], free, skip_locked=True
            )

    def announce(
        self,
        claims: Mapping[str, Claim],
        contact_ids: Mapping[str, str],
        intent: str,
        *,
        holder: str,
        for_s: float,
        now: datetime,
    ) -> set[str]:
        """Writes down, before HubSpot is asked, what is about to be written there.

        `claims` and `contact_ids` are by call id, all of one workspace. Returns the call ids that
        are still ours; only those may be written.
        """
        if not claims:
            return set()
        workspace = next(iter(claims.values())).call.workspace
        with writing(self._engine, by_rows=True) as connection:
            held = lock_held(connection, workspace, claims, holder)
            for ids in pieces(held):
                connection.execute(
                    ANNOUNCE.where(is_of(workspace), table.c.call_id.in_(ids)),
                    {"b_intent": intent, "b_until": now + timedelta(seconds=for_s), "b_now": now},
                )
            ANNOUNCE_CONTACT.run(
                connection,
                [
                    key_parameters(claims[call_id].call) | {"b_contact": contact_ids.get(call_id)}
                    for call_id in held
                ],
            )
        return held

    def settle(
        self,
        settled: Sequence[tuple[Claim, Outcome]],
        *,
        holder: str,
        kind: str,
        run_id: str,
        now: datetime,
    ) -> int:
        """Writes the outcomes and their sync log rows in one transaction; returns how many.

        A call whose claim was lost meanwhile is left to its new holder. A call that got a fuller
        report meanwhile keeps its result and is due again.
        """
        if not settled:
            return 0
        by_id = {claim.call.id: (claim, outcome) for claim, outcome in settled}
        workspace = settled[0][0].call.workspace
        with writing(self._engine, by_rows=True) as connection:
            held = lock_held(connection, workspace, by_id, holder)
            ours = [pair for call_id, pair in by_id.items() if call_id in held]
            if ours:
                region = self._region
                SETTLE.run(
                    connection,
                    [settled_parameters(*pair, kind, now, region=region) for pair in ours],
                )
                rows = [settled_log_row(*pair, kind, run_id, now, region=region) for pair in ours]
                append_to_outbox(connection, rows, now)
        return len(ours)

    def save_file(self, claim: Claim, file_id: str, *, now: datetime) -> None:
        """Notes the uploaded file at once, so that it is never uploaded again.

        Also for a call that is no longer ours, but not in the place of a file that is noted.
        """
        with writing(self._engine, by_rows=True) as connection:
            connection.execute(
                update(table)
                .where(is_of(claim.call.workspace), table.c.call_id == claim.call.id)
                .values(file_id=func.coalesce(table.c.file_id, file_id), updated_at=now)
            )

    def settle_recordings(
        self,
        settled: Sequence[tuple[Claim, RecordingOutcome]],
        *,
        holder: str,
        run_id: str,
        now: datetime,
    ) -> int:
        """Writes where the recordings stand, with their sync log rows; returns how many."""
        if not settled:
            return 0
        by_id = {claim.call.id: (claim, outcome) for claim, outcome in settled}
        workspace = settled[0][0].call.workspace
        with writing(self._engine, by_rows=True) as connection:
            held = lock_held(connection, workspace, by_id, holder)
            ours = [pair for call_id, pair in by_id.items() if call_id in held]
            SETTLE_RECORDING.run(connection, [recording_parameters(*pair, now) for pair in ours])
            told = [pair for pair in ours if pair[1].status is not None]
            if told:
                rows = [recording_log_row(*pair, run_id, now, region=self._region) for pair in told]
                append_to_outbox(connection, rows, now)
        return len(ours)

    def _take(
        self, workspace: Workspace, pick: Select[Any], holder: str, until: datetime
    ) -> list[Claim]:
        with writing(self._engine, by_rows=True) as connection:
            # What somebody else has in hand just now is not waited for: there are other calls.
            rows = connection.execute(pick.with_for_update(skip_locked=True)).all()
            for ids in pieces(row.call_id for row in rows):
                connection.execute(
                    update(table)
                    .where(is_of(workspace), table.c.call_id.in_(ids))
                    .values(claimed_by=holder, claimed_until=until)
                )
        return [claim_of(row) for row in rows]
