"""The ledger: one row per call, and where its delivery stands.

Every change of a row that people should hear of writes its outbox row in the same transaction.
Knows nothing of HubSpot's API nor of Singer; time comes in as an argument.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Connection,
    CursorResult,
    Engine,
    Row,
    Text,
    and_,
    bindparam,
    case,
    func,
    not_,
    or_,
    select,
    true,
    update,
)

from target_hubspot_calls.call import Call, Workspace, merge_calls
from target_hubspot_calls.errors import Status
from target_hubspot_calls.outcome import Outcome, RecordingOutcome
from target_hubspot_calls.store.call_owners import Shared, share_out
from target_hubspot_calls.store.database import reading, writing
from target_hubspot_calls.store.ledger_rows import (
    CLAIM_COLUMNS,
    DUE,
    SETTLED,
    WAITING,
    Accepted,
    Claim,
    RecordingLink,
    RefusedRecord,
    call_of,
    claim_of,
    key_parameters,
    merged_parameters,
    new_row,
    recording_link_of,
    recording_log_row,
    recording_parameters,
    refused_log_row,
    settled_log_row,
    settled_parameters,
)
from target_hubspot_calls.store.schema import UtcDateTime, outbox
from target_hubspot_calls.store.schema import calls as table

# Parameters of one statement stay far below SQLite's limit of 32,766.
KEYS_PER_STATEMENT = 500


class Ledger:
    """Calls taken over for delivery, kept until and after they are settled."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

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
        name none: the same call is one call, whichever of VAPI's doors tells of it first. Raises
        StoreUnavailable.
        """
        shared = Shared(list(reports), {})
        told = len(_merged_by_key(shared.calls))
        new = changed = 0
        with writing(self._engine) as connection:
            if nobodys is not None:
                shared = share_out(connection, shared.calls, nobodys, now)
            incoming = _merged_by_key(shared.calls)
            known = _load_rows(connection, incoming)
            inserts, updates = [], []
            for key, call in incoming.items():
                row = known.get(key)
                if row is None:
                    of_nobody = {"intent": None, "intent_at": None, "intent_contact_id": None}
                    look_up = shared.columns.get(call.id, of_nobody)
                    inserts.append(new_row(call, now) | look_up)
                    continue
                fuller = merge_calls(call_of(row), call)
                change = merged_parameters(row, fuller, now)
                if change is not None:
                    updates.append(change)
                    changed += change["b_state"] == DUE and row.record_digest != change["b_digest"]
            if inserts:
                connection.execute(table.insert(), inserts)
                new = len(inserts)
            if updates:
                connection.execute(_MERGE, updates)
            if refused:
                rows = {r.id: refused_log_row(r, run_id, now) for r in refused}
                waiting = connection.execute(select(outbox.c.id).where(outbox.c.id.in_(rows)))
                for row_id in waiting.scalars():
                    del rows[row_id]
                if rows:
                    _append_to_outbox(connection, list(rows.values()), now)
        return Accepted(new=new, changed=changed, unchanged=told - new - changed)

    def due_workspaces(self, *, now: datetime, run_id: str = "") -> list[Workspace]:
        """The workspaces with calls that this run could claim, longest waiting first."""
        query = (
            select(table.c.user_id, table.c.workspace_id)
            .where(_is_claimable(now), _is_not_of_run(run_id))
            .group_by(table.c.user_id, table.c.workspace_id)
            .order_by(func.min(table.c.due_at))
        )
        with reading(self._engine) as connection:
            return [Workspace(*row) for row in connection.execute(query)]

    def waiting_workspaces(self) -> list[Workspace]:
        """The workspaces with calls that wait for a person."""
        query = (
            select(table.c.user_id, table.c.workspace_id)
            .where(table.c.state == WAITING)
            .distinct()
            .order_by(table.c.user_id, table.c.workspace_id)
        )
        with reading(self._engine) as connection:
            return [Workspace(*row) for row in connection.execute(query)]

    def count_due(self, *, now: datetime) -> int:
        """How many calls could be claimed now."""
        query = select(func.count()).select_from(table).where(_is_claimable(now))
        with reading(self._engine) as connection:
            return int(connection.execute(query).scalar_one())

    def recording_of(self, workspace: Workspace, call_id: str) -> RecordingLink | None:
        """The link to the call's recording, None if the workspace has no such call."""
        query = select(table).where(_is_of(workspace), table.c.call_id == call_id)
        with reading(self._engine) as connection:
            row = connection.execute(query).one_or_none()
            if row is None:
                return None
            return recording_link_of(row, is_of_one=_is_of_one(connection, workspace, call_id))

    def is_of_one(self, workspace: Workspace, call_id: str) -> bool:
        """True if no other workspace reported a call with this id.

        VAPI is asked with one key for all, so an id that somebody only copied must open nothing.
        """
        with reading(self._engine) as connection:
            return _is_of_one(connection, workspace, call_id)

    def counts(self) -> dict[tuple[str, str | None], int]:
        """How many calls stand where, by state ("due", "waiting", "settled") and latest reason."""
        query = select(table.c.state, table.c.reason, func.count()).group_by(
            table.c.state, table.c.reason
        )
        with reading(self._engine) as connection:
            return {(state, reason): count for state, reason, count in connection.execute(query)}

    def count_open(self) -> dict[str, int]:
        """How many calls are "due" and how many "waiting"; quick however many are settled."""
        query = (
            select(table.c.state, func.count().label("calls"))
            .where(table.c.state.in_((DUE, WAITING)))
            .group_by(table.c.state)
        )
        with reading(self._engine) as connection:
            return {row.state: row.calls for row in connection.execute(query)}

    def wake(self, workspace: Workspace, *, now: datetime) -> int:
        """Makes the calls of a workspace due that waited for a person; returns how many."""
        statement = (
            update(table)
            .where(_is_of(workspace), table.c.state == WAITING)
            .values(state=DUE, due_at=now, updated_at=now)
        )
        return self._write(statement)

    def hasten(self, workspace: Workspace | None, reason: str, *, now: datetime) -> int:
        """Makes calls due that wait out a failure with this reason; returns how many.

        Those of the workspace, or of all. Their tries stay counted: what fails again waits longer
        than before.
        """
        statement = (
            update(table)
            .where(true() if workspace is None else _is_of(workspace))
            .where(table.c.state == DUE, table.c.due_at > now)
            .where(table.c.status == Status.ERROR.value, table.c.reason == reason)
            .values(due_at=now, updated_at=now)
        )
        return self._write(statement)

    def claim(
        self, workspace: Workspace, *, holder: str, limit: int, for_s: float, now: datetime
    ) -> list[Claim]:
        """At most `limit` due calls of the workspace, for this holder alone for `for_s` seconds.

        A holder is named "run/claim". What the same run still holds is not given out twice, even
        if its time is over: the run lives and may be writing it.
        """
        pick = (
            select(*CLAIM_COLUMNS)
            .where(_is_of(workspace), _is_claimable(now), _is_not_of_run(holder))
            .order_by(table.c.due_at, table.c.call_id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        with writing(self._engine) as connection:
            rows = connection.execute(pick).all()
            self._mark(connection, workspace, rows, holder, now + timedelta(seconds=for_s))
        return [claim_of(row) for row in rows]

    def release(self, claims: Sequence[Claim], *, holder: str, now: datetime) -> None:
        """Gives calls back, for anybody to claim at once; what they announced stays announced."""
        self._update_held(claims, holder, {"claimed_by": None, "claimed_until": None}, now)

    def holders(self) -> list[str]:
        """Who has claims on calls, dead or alive."""
        query = select(table.c.claimed_by).where(table.c.claimed_by.is_not(None)).distinct()
        with reading(self._engine) as connection:
            return list(connection.execute(query).scalars())

    def free(self, holder: str, *, now: datetime) -> int:
        """Frees the calls of a holder that is dead; returns how many."""
        statement = (
            update(table)
            .where(table.c.claimed_by == holder)
            .values(claimed_by=None, claimed_until=None, updated_at=now)
        )
        return self._write(statement)

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
        with writing(self._engine) as connection:
            held = _held(connection, workspace, claims, holder)
            for ids in _chunks(sorted(held)):
                connection.execute(
                    _ANNOUNCE.where(_is_of(workspace), table.c.call_id.in_(ids)),
                    {"b_intent": intent, "b_until": now + timedelta(seconds=for_s), "b_now": now},
                )
            if held:
                connection.execute(
                    _ANNOUNCE_CONTACT,
                    [
                        key_parameters(claims[call_id].call)
                        | {"b_contact": contact_ids.get(call_id)}
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
        with writing(self._engine) as connection:
            held = _held(connection, workspace, by_id, holder)
            ours = [pair for call_id, pair in by_id.items() if call_id in held]
            if ours:
                connection.execute(_SETTLE, [settled_parameters(*pair, kind, now) for pair in ours])
                rows = [settled_log_row(*pair, kind, run_id, now) for pair in ours]
                _append_to_outbox(connection, rows, now)
        return len(ours)

    def workspaces_with_recordings(self, *, now: datetime, run_id: str = "") -> list[Workspace]:
        """The workspaces with recordings that this run could claim, longest waiting first."""
        query = (
            select(table.c.user_id, table.c.workspace_id)
            .where(_has_recording_due(now), _is_not_of_run(run_id))
            .group_by(table.c.user_id, table.c.workspace_id)
            .order_by(func.min(table.c.recording_due_at))
        )
        with reading(self._engine) as connection:
            return [Workspace(*row) for row in connection.execute(query)]

    def claim_recordings(
        self, workspace: Workspace, *, holder: str, limit: int, for_s: float, now: datetime
    ) -> list[Claim]:
        """At most `limit` written calls whose recording is due, for this holder alone."""
        pick = (
            select(*CLAIM_COLUMNS)
            .where(_is_of(workspace), _has_recording_due(now), _is_not_of_run(holder))
            .order_by(table.c.recording_due_at, table.c.call_id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        with writing(self._engine) as connection:
            rows = connection.execute(pick).all()
            self._mark(connection, workspace, rows, holder, now + timedelta(seconds=for_s))
        return [claim_of(row) for row in rows]

    def save_file(self, claim: Claim, file_id: str, *, now: datetime) -> None:
        """Notes the uploaded file at once, so that it is never uploaded again."""
        with writing(self._engine) as connection:
            connection.execute(
                update(table)
                .where(_is_of(claim.call.workspace), table.c.call_id == claim.call.id)
                .values(file_id=file_id, updated_at=now)
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
        with writing(self._engine) as connection:
            held = _held(connection, workspace, by_id, holder)
            ours = [pair for call_id, pair in by_id.items() if call_id in held]
            if ours:
                connection.execute(
                    _SETTLE_RECORDING, [recording_parameters(*pair, now) for pair in ours]
                )
            told = [pair for pair in ours if pair[1].status is not None]
            if told:
                rows = [recording_log_row(*pair, run_id, now) for pair in told]
                _append_to_outbox(connection, rows, now)
        return len(ours)

    def _write(self, statement: Any) -> int:
        with writing(self._engine) as connection:
            return cast("CursorResult[Any]", connection.execute(statement)).rowcount

    def _mark(
        self,
        connection: Connection,
        workspace: Workspace,
        rows: Sequence[Row[Any]],
        holder: str,
        until: datetime,
    ) -> None:
        for ids in _chunks([row.call_id for row in rows]):
            connection.execute(
                update(table)
                .where(_is_of(workspace), table.c.call_id.in_(ids))
                .values(claimed_by=holder, claimed_until=until)
            )

    def _update_held(
        self, claims: Sequence[Claim], holder: str, values: dict[str, Any], now: datetime
    ) -> None:
        if not claims:
            return
        workspace = claims[0].call.workspace
        with writing(self._engine) as connection:
            for ids in _chunks([claim.call.id for claim in claims]):
                connection.execute(
                    update(table)
                    .where(
                        _is_of(workspace),
                        table.c.call_id.in_(ids),
                        table.c.claimed_by == holder,
                    )
                    .values(updated_at=now, **values)
                )


_KEY_IS_GIVEN = and_(
    table.c.user_id == bindparam("k_user"),
    table.c.workspace_id == bindparam("k_workspace"),
    table.c.call_id == bindparam("k_call"),
)
_MERGE = (
    update(table)
    .where(_KEY_IS_GIVEN)
    .values(
        record=bindparam("b_record"),
        record_digest=bindparam("b_digest"),
        state=bindparam("b_state"),
        due_at=bindparam("b_due_at"),
        attempt=bindparam("b_attempt"),
        call_started_at=bindparam("b_started_at"),
        recording_url_expires_at=bindparam("b_expires_at"),
        updated_at=bindparam("b_now"),
    )
)
_IS_UPDATE = bindparam("b_intent", type_=Text) == "update"
# Within a case no column says what a parameter is: without its type a time is stored as it comes.
_DUE_AT = bindparam("b_due_at", type_=UtcDateTime)
_NOW = bindparam("b_now", type_=UtcDateTime)
_ANNOUNCE_CONTACT = (
    update(table).where(_KEY_IS_GIVEN).values(intent_contact_id=bindparam("b_contact"))
)
_ANNOUNCE = update(table).values(
    # A create that is looked up and found stays announced until its result is settled: only
    # then is its engagement in the row.
    intent=case((_IS_UPDATE, func.coalesce(table.c.intent, "update")), else_=bindparam("b_intent")),
    intent_at=bindparam("b_now"),
    claimed_until=bindparam("b_until"),
    updated_at=bindparam("b_now"),
)
_IS_UNCHANGED = table.c.record_digest == bindparam("b_digest")
_WRITE_IS_UNKNOWN = bindparam("b_write_unknown", type_=Boolean) == true()
_RECORDING_IS_DUE = bindparam("b_recording_due", type_=Boolean) == true()
_SETTLE = (
    update(table)
    .where(_KEY_IS_GIVEN)
    .values(
        state=case((_IS_UNCHANGED, bindparam("b_state")), else_=DUE),
        due_at=case((_IS_UNCHANGED, _DUE_AT), else_=_NOW),
        attempt=bindparam("b_attempt"),
        claimed_by=None,
        claimed_until=None,
        intent=case((_WRITE_IS_UNKNOWN, table.c.intent), else_=None),
        contact_id=bindparam("b_contact"),
        contact_match=bindparam("b_match"),
        engagement_id=bindparam("b_engagement"),
        engagement_type=bindparam("b_kind"),
        delivered_digest=bindparam("b_delivered"),
        portal_id=bindparam("b_portal"),
        file_id=bindparam("b_file"),
        recording_status=bindparam("b_recording"),
        recording_due_at=case((_RECORDING_IS_DUE, _NOW), else_=table.c.recording_due_at),
        status=bindparam("b_status"),
        reason=bindparam("b_reason"),
        retryable=bindparam("b_retryable"),
        error_message=bindparam("b_message"),
        correlation_id=bindparam("b_correlation"),
        settled_at=bindparam("b_now"),
        updated_at=bindparam("b_now"),
    )
)

_SETTLE_RECORDING = (
    update(table)
    .where(_KEY_IS_GIVEN)
    .values(
        file_id=bindparam("b_file"),
        recording_status=bindparam("b_recording"),
        delivered_digest=bindparam("b_delivered"),
        recording_due_at=bindparam("b_due_at"),
        recording_attempt=bindparam("b_attempt"),
        claimed_by=None,
        claimed_until=None,
        updated_at=bindparam("b_now"),
    )
)


def _merged_by_key(reports: Iterable[Call]) -> dict[tuple[Workspace, str], Call]:
    merged: dict[tuple[Workspace, str], Call] = {}
    for call in reports:
        key = (call.workspace, call.id)
        merged[key] = merge_calls(merged[key], call) if key in merged else call
    return merged


def _load_rows(
    connection: Connection, keys: Collection[tuple[Workspace, str]]
) -> dict[tuple[Workspace, str], Row[Any]]:
    by_workspace: dict[Workspace, list[str]] = {}
    for workspace, call_id in keys:
        by_workspace.setdefault(workspace, []).append(call_id)
    found: dict[tuple[Workspace, str], Row[Any]] = {}
    for workspace, call_ids in by_workspace.items():
        for ids in _chunks(call_ids):
            query = (
                select(table).where(_is_of(workspace), table.c.call_id.in_(ids)).with_for_update()
            )
            found |= {(workspace, row.call_id): row for row in connection.execute(query)}
    return found


def _append_to_outbox(
    connection: Connection, rows: Sequence[dict[str, Any]], now: datetime
) -> None:
    connection.execute(
        outbox.insert(), [{"id": row["id"], "row": row, "created_at": now} for row in rows]
    )


def _held(
    connection: Connection, workspace: Workspace, call_ids: Collection[str], holder: str
) -> set[str]:
    held: set[str] = set()
    for ids in _chunks(list(call_ids)):
        query = (
            select(table.c.call_id)
            .where(_is_of(workspace), table.c.call_id.in_(ids), table.c.claimed_by == holder)
            .with_for_update()
        )
        held |= set(connection.execute(query).scalars())
    return held


def _is_of(workspace: Workspace) -> ColumnElement[bool]:
    return and_(
        table.c.user_id == workspace.user_id, table.c.workspace_id == workspace.workspace_id
    )


def _is_of_one(connection: Connection, workspace: Workspace, call_id: str) -> bool:
    of_another = select(table.c.call_id).where(table.c.call_id == call_id, not_(_is_of(workspace)))
    return connection.execute(of_another.limit(1)).first() is None


def _is_claimable(now: datetime) -> ColumnElement[bool]:
    return and_(
        table.c.state == DUE,
        table.c.due_at <= now,
        or_(table.c.claimed_until.is_(None), table.c.claimed_until <= now),
    )


def _chunks(ids: Sequence[str]) -> Iterable[Sequence[str]]:
    return (ids[i : i + KEYS_PER_STATEMENT] for i in range(0, len(ids), KEYS_PER_STATEMENT))


def _is_not_of_run(holder: str) -> ColumnElement[bool]:
    run_id = holder.partition("/")[0]
    return or_(
        table.c.claimed_by.is_(None),
        not_(table.c.claimed_by.startswith(f"{run_id}/", autoescape=True)),
    )


def _has_recording_due(now: datetime) -> ColumnElement[bool]:
    # A call with a fuller report in line is written first: the note is one, so is its claim.
    return and_(
        table.c.state == SETTLED,
        table.c.recording_due_at <= now,
        or_(table.c.claimed_until.is_(None), table.c.claimed_until <= now),
    )
