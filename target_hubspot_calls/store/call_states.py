"""Where one call of a workspace stands in the ledger, for people who ask.

Reads only; must not know how a call is delivered, and hands out neither transcript nor link.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, select

from target_hubspot_calls.call import Workspace
from target_hubspot_calls.store.database import reading
from target_hubspot_calls.store.schema import calls as table


@dataclass(frozen=True)
class CallState:
    """The call's line in the ledger; `state` is "due", "waiting" or "settled".

    It is "forgotten" where the call's data was deleted. `status` and `reason` are those of the
    latest outcome, None before the first.
    """

    call_id: str
    state: str
    status: str | None
    reason: str | None
    attempt: int
    due_at: datetime | None
    accepted_at: datetime
    settled_at: datetime | None
    call_started_at: datetime | None
    contact_id: str | None
    contact_match: str | None
    engagement_id: str | None
    engagement_type: str | None
    portal_id: int | None
    file_id: str | None
    recording_status: str | None


_COLUMNS = tuple(table.c[name] for name in CallState.__dataclass_fields__)


class CallStates:
    """The calls of all workspaces. Raises StoreUnavailable."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def get(self, workspace: Workspace, call_id: str) -> CallState | None:
        """The workspace's call, None if it has no such call."""
        query = select(*_COLUMNS).where(
            table.c.user_id == workspace.user_id,
            table.c.workspace_id == workspace.workspace_id,
            table.c.call_id == call_id,
        )
        with reading(self._engine) as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else CallState(**row._mapping)
