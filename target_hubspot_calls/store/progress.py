"""How far the calls of one workspace have come, in three numbers and two moments.

Reads the ledger and changes nothing; what a call says is not looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Engine, and_, func, select

from target_hubspot_calls.call import Workspace
from target_hubspot_calls.store.database import reading
from target_hubspot_calls.store.ledger_rows import DUE, WAITING
from target_hubspot_calls.store.schema import calls


@dataclass(frozen=True)
class Progress:
    """`due` calls are on their way; `waiting` ones need a person first."""

    last_settled_at: datetime | None
    due: int
    waiting: int
    oldest_open_at: datetime | None


class ProgressReader:
    """Asks the ledger how far a workspace is. Raises StoreUnavailable."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def of(self, workspace: Workspace) -> Progress:
        """How far the workspace's calls have come."""
        is_open = calls.c.state.in_([DUE, WAITING])
        open_calls = (
            select(calls.c.state, func.count(), func.min(calls.c.accepted_at))
            .where(_is_of(workspace), is_open)
            .group_by(calls.c.state)
        )
        last_settled = select(func.max(calls.c.settled_at)).where(_is_of(workspace))
        with reading(self._engine) as connection:
            found = {row[0]: (row[1], row[2]) for row in connection.execute(open_calls)}
            settled_at = connection.scalar(last_settled)
        return Progress(
            last_settled_at=settled_at,
            due=found.get(DUE, (0, None))[0],
            waiting=found.get(WAITING, (0, None))[0],
            oldest_open_at=min((oldest for _, oldest in found.values()), default=None),
        )


def _is_of(workspace: Workspace) -> ColumnElement[bool]:
    return and_(
        calls.c.user_id == workspace.user_id, calls.c.workspace_id == workspace.workspace_id
    )
