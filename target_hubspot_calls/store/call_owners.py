"""One call, one note, though VAPI's API tells of it without saying whose it is, and a webhook says.

The webhook's workspace has the call, and of it only what its own reports said: an id that somebody
copied must bring nothing to light. Works inside the ledger's own transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, select

from target_hubspot_calls.call import Call, Workspace
from target_hubspot_calls.store.ledger_rows import call_of
from target_hubspot_calls.store.schema import calls as table

API = "api"
_IDS_PER_STATEMENT = 500


@dataclass(frozen=True)
class Shared:
    """What a batch comes to: the calls to take over, and columns of rows that are new.

    `columns` make a call be looked up in HubSpot before it is written, by call id: there may be a
    note of it already that was written for nobody's workspace.
    """

    calls: list[Call]
    columns: dict[str, dict[str, Any]]


def share_out(
    connection: Connection, reports: Sequence[Call], nobodys: Workspace, now: datetime
) -> Shared:
    """The calls of the reports, each in one workspace; `nobodys` is that of the API's records."""
    named = {call.id for call in reports if call.workspace != nobodys}
    unnamed = [call.id for call in reports if call.source == API and call.workspace == nobodys]
    elsewhere = named | _known_elsewhere(connection, unnamed, nobodys)
    calls = [
        call
        for call in reports
        if not (call.source == API and call.workspace == nobodys and call.id in elsewhere)
    ]
    return Shared(calls, _make_way(connection, sorted(named), nobodys, now))


def _known_elsewhere(
    connection: Connection, call_ids: Sequence[str], nobodys: Workspace
) -> set[str]:
    """The calls that a webhook has reported for a workspace of its own."""
    found: set[str] = set()
    for ids in _pieces(call_ids):
        query = select(table.c.call_id, table.c.user_id, table.c.workspace_id).where(
            table.c.call_id.in_(ids)
        )
        found |= {
            call_id for call_id, *owner in connection.execute(query) if Workspace(*owner) != nobodys
        }
    return found


def _make_way(
    connection: Connection, call_ids: Sequence[str], nobodys: Workspace, now: datetime
) -> dict[str, dict[str, Any]]:
    """Removes what only the API told of these calls, but where HubSpot may have a note of it."""
    is_nobodys = (table.c.user_id == nobodys.user_id) & (
        table.c.workspace_id == nobodys.workspace_id
    )
    columns: dict[str, dict[str, Any]] = {}
    for ids in _pieces(call_ids):
        query = select(table).where(is_nobodys, table.c.call_id.in_(ids)).with_for_update()
        for row in connection.execute(query).all():
            if call_of(row).source != API:
                continue
            if row.intent is None and row.engagement_id is None:
                # Whoever holds it writes nothing without asking the ledger once more.
                connection.execute(delete(table).where(is_nobodys, table.c.call_id == row.call_id))
                continue
            kind = (row.engagement_type or "note").upper()
            columns[row.call_id] = {
                "intent": row.intent or f"create:{kind}:visible",
                "intent_at": row.intent_at or now,
                "intent_contact_id": row.intent_contact_id or row.contact_id,
            }
    return columns


def _pieces(ids: Sequence[str]) -> Iterable[Sequence[str]]:
    return (ids[i : i + _IDS_PER_STATEMENT] for i in range(0, len(ids), _IDS_PER_STATEMENT))
