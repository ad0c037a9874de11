"""What the ledger says when it is asked: whose calls are due, how many stand where, who has them.

Reads only; what is true of a call in one look may be over in the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, Engine, and_, func, not_, select, union

from target_hubspot_calls.call import Workspace
from target_hubspot_calls.store.database import reading
from target_hubspot_calls.store.ledger_conditions import (
    has_recording_due,
    is_claimable,
    is_not_of_run,
    is_of,
)
from target_hubspot_calls.store.ledger_rows import (
    DUE,
    SETTLED,
    WAITING,
    Claim,
    RecordingLink,
    recording_link_of,
)
from target_hubspot_calls.store.row_locks import pieces
from target_hubspot_calls.store.schema import calls as table


class LedgerReader:
    """The calls of all workspaces. Every method raises StoreUnavailable."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def due_workspaces(self, *, now: datetime, run_id: str = "") -> list[Workspace]:
        """The workspaces with calls that this run could claim, longest waiting first."""
        query = (
            select(table.c.user_id, table.c.workspace_id)
            .where(is_claimable(now), is_not_of_run(run_id))
            .group_by(table.c.user_id, table.c.workspace_id)
            .order_by(func.min(table.c.due_at))
        )
        with reading(self._engine) as connection:
            return [Workspace(*row) for row in connection.execute(query)]

    def workspaces_with_recordings(self, *, now: datetime, run_id: str = "") -> list[Workspace]:
        """The workspaces with recordings that this run could claim, longest waiting first."""
        query = (
            select(table.c.user_id, table.c.workspace_id)
            .where(has_recording_due(now), is_not_of_run(run_id))
            .group_by(table.c.user_id, table.c.workspace_id)
            .order_by(func.min(table.c.recording_due_at))
        )
        with reading(self._engine) as connection:
            return [Workspace(*row) for row in connection.execute(query)]

    def waiting_workspaces(self, *, reason: str | None = None) -> list[Workspace]:
        """The workspaces with calls that wait for a person; with a reason, for that one alone."""
        waiting = [table.c.state == WAITING]
        waiting += [] if reason is None else [table.c.reason == reason]
        query = (
            select(table.c.user_id, table.c.workspace_id)
            .where(*waiting)
            .distinct()
            .order_by(table.c.user_id, table.c.workspace_id)
        )
        with reading(self._engine) as connection:
            return [Workspace(*row) for row in connection.execute(query)]

    def holders(self, *, now: datetime) -> list[str]:
        """Who has claims on calls, dead or alive; quick however many calls are settled."""
        # What is claimed is due, or has a recording that is.
        held = [
            select(table.c.claimed_by).where(condition, table.c.claimed_by.is_not(None))
            for condition in (
                and_(table.c.state == DUE, table.c.due_at <= now),
                and_(table.c.state == SETTLED, table.c.recording_due_at.is_not(None)),
            )
        ]
        with reading(self._engine) as connection:
            return list(connection.execute(union(*held)).scalars())

    def held(self, claims: Sequence[Claim], *, holder: str) -> set[str]:
        """Which of these calls, all of one workspace, the holder still has, by call id."""
        if not claims:
            return set()
        workspace = claims[0].call.workspace
        found: set[str] = set()
        with reading(self._engine) as connection:
            for ids in pieces(claim.call.id for claim in claims):
                query = select(table.c.call_id).where(
                    is_of(workspace), table.c.call_id.in_(ids), table.c.claimed_by == holder
                )
                found |= set(connection.execute(query).scalars())
        return found

    def count_due(self, *, now: datetime) -> int:
        """How many calls could be claimed now."""
        query = select(func.count()).select_from(table).where(is_claimable(now))
        with reading(self._engine) as connection:
            return int(connection.execute(query).scalar_one())

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

    def recording_of(self, workspace: Workspace, call_id: str) -> RecordingLink | None:
        """The link to the call's recording, None if the workspace has no such call."""
        query = select(table).where(is_of(workspace), table.c.call_id == call_id)
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


def _is_of_one(connection: Connection, workspace: Workspace, call_id: str) -> bool:
    of_another = select(table.c.call_id).where(table.c.call_id == call_id, not_(is_of(workspace)))
    return connection.execute(of_another.limit(1)).first() is None
