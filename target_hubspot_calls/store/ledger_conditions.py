"""Which rows of the ledger: of a workspace, due, held by somebody, about a recording.

Pure conditions for the statements of the modules beside this one, and the locking of rows by key.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, not_, or_, select

from target_hubspot_calls.call import Workspace
from target_hubspot_calls.store.ledger_rows import DUE, SETTLED
from target_hubspot_calls.store.row_locks import in_order, pieces
from target_hubspot_calls.store.schema import calls as table

CallKey = tuple[Workspace, str]


def is_of(workspace: Workspace) -> ColumnElement[bool]:
    """The workspace's calls."""
    return and_(
        table.c.user_id == workspace.user_id, table.c.workspace_id == workspace.workspace_id
    )


def is_claimable(now: datetime) -> ColumnElement[bool]:
    """Due and held by nobody."""
    return and_(
        table.c.state == DUE,
        table.c.due_at <= now,
        or_(table.c.claimed_until.is_(None), table.c.claimed_until <= now),
    )


def has_recording_due(now: datetime) -> ColumnElement[bool]:
    """Written, with a recording that is due, and held by nobody."""
    # A call with a fuller report in line is written first: the note is one, so is its claim.
    return and_(
        table.c.state == SETTLED,
        table.c.recording_due_at <= now,
        or_(table.c.claimed_until.is_(None), table.c.claimed_until <= now),
    )


def is_not_of_run(holder: str) -> ColumnElement[bool]:
    """Not held by the run of this holder, even if its time is over."""
    run_id = holder.partition("/")[0]
    return or_(
        table.c.claimed_by.is_(None),
        not_(table.c.claimed_by.startswith(f"{run_id}/", autoescape=True)),
    )


def lock_calls(connection: Connection, keys: Iterable[CallKey]) -> dict[CallKey, Row[Any]]:
    """The rows of these keys that are there, nobody else's to change until the end."""
    by_workspace: dict[Workspace, set[str]] = {}
    for workspace, call_id in keys:
        by_workspace.setdefault(workspace, set()).add(call_id)
    found: dict[CallKey, Row[Any]] = {}
    for workspace in sorted(by_workspace, key=lambda one: (one.user_id, one.workspace_id)):
        for ids in pieces(by_workspace[workspace]):
            query = (
                select(table)
                .where(is_of(workspace), table.c.call_id.in_(ids))
                .order_by(*in_order(connection, [table.c.call_id]))
                .with_for_update()
            )
            found |= {(workspace, row.call_id): row for row in connection.execute(query)}
    return found


def lock_held(
    connection: Connection, workspace: Workspace, call_ids: Collection[str], holder: str
) -> set[str]:
    """Which of these calls the holder has, still and until the end of the transaction."""
    held: set[str] = set()
    for ids in pieces(call_ids):
        query = (
            select(table.c.call_id)
            .where(is_of(workspace), table.c.call_id.in_(ids), table.c.claimed_by == holder)
            .order_by(*in_order(connection, [table.c.call_id]))
            .with_for_update()
        )
        held |= set(connection.execute(query).scalars())
    return held
