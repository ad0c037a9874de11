"""All that the ledger knows of one call, for the page that tells its story.

Reads only, for one workspace at a time; what of a call may be shown is decided by who shows it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import ColumnElement, Engine, and_, select

from target_hubspot_calls.call import Call, Workspace
from target_hubspot_calls.store.database import reading
from target_hubspot_calls.store.ledger_rows import DUE, FORGOTTEN, WAITING, call_of
from target_hubspot_calls.store.schema import calls as table


@dataclass(frozen=True)
class KnownCall:
    """One call's line in the ledger; `call` is what its reports said, transcript and link too."""

    call: Call = field(repr=False)
    engagement_type: str | None
    state: str
    due_at: datetime | None
    attempt: int
    claimed_until: datetime | None
    intent: str | None
    contact_id: str | None
    contact_match: str | None
    engagement_id: str | None
    delivered_digest: str | None
    portal_id: int | None
    file_id: str | None
    recording_status: str | None
    recording_due_at: datetime | None
    status: str | None
    reason: str | None
    retryable: bool | None
    error_message: str | None
    correlation_id: str | None
    accepted_at: datetime
    settled_at: datetime | None
    updated_at: datetime

    @property
    def is_due(self) -> bool:
        """True if the call is in line, now or later."""
        return self.state == DUE

    @property
    def is_waiting(self) -> bool:
        """True if the call waits for a person."""
        return self.state == WAITING

    @property
    def is_forgotten(self) -> bool:
        """True if the call's data was deleted."""
        return self.state == FORGOTTEN

    @property
    def is_moving(self) -> bool:
        """True if something is going to become of the call, or of its recording, by itself."""
        return self.is_due or self.recording_due_at is not None


_COLUMNS = tuple(table.c[name] for name in KnownCall.__dataclass_fields__ if name != "call")


class KnownCalls:
    """The calls of all workspaces. Every method raises StoreUnavailable."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def get(self, workspace: Workspace, call_id: str) -> KnownCall | None:
        """The workspace's call, None if it has no such call."""
        query = select(table.c.record, *_COLUMNS).where(_is_it(workspace, call_id))
        with reading(self._engine) as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        told = {column.name: row._mapping[column.name] for column in _COLUMNS}
        return KnownCall(call=call_of(row), **told)

    def workspaces_of(self, call_id: str) -> list[Workspace]:
        """Whose calls have this id."""
        query = select(table.c.user_id, table.c.workspace_id).where(table.c.call_id == call_id)
        with reading(self._engine) as connection:
            return [Workspace(*row) for row in connection.execute(query)]

    def changed_at(self, workspace: Workspace, call_id: str) -> datetime | None:
        """When the call's line last changed, None if the workspace has no such call."""
        query = select(table.c.updated_at).where(_is_it(workspace, call_id))
        with reading(self._engine) as connection:
            return connection.execute(query).scalar_one_or_none()


def _is_it(workspace: Workspace, call_id: str) -> ColumnElement[bool]:
    return and_(
        table.c.user_id == workspace.user_id,
        table.c.workspace_id == workspace.workspace_id,
        table.c.call_id == call_id,
    )
