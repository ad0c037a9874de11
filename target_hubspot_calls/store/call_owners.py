"""One call, one note, though VAPI's API tells of it without saying whose it is, and a webhook says.

The webhook's workspace has the call, and of it only what its own reports said: an id that somebody
copied must bring nothing to light. Works inside the ledger's own transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, select

from target_hubspot_calls.call import Call, Workspace
from target_hubspot_calls.store.ledger_conditions import CallKey, is_of
from target_hubspot_calls.store.ledger_rows import call_of
from target_hubspot_calls.store.row_locks import pieces
from target_hubspot_calls.store.schema import calls as table

API = "api"


@dataclass(frozen=True)
class Shared:
    """What a batch comes to: the calls to take over, and columns of rows that are new.

    `columns` make a call be looked up in HubSpot before it is written, by call id: there may be a
    note of it already that was written for nobody's workspace. `removed` rows are there no more.
    """

    calls: list[Call]
    columns: dict[str, dict[str, Any]] = field(default_factory=dict)
    removed: set[CallKey] = field(default_factory=set)


def keys_of_nobody(reports: Iterable[Call], nobodys: Workspace) -> set[CallKey]:
    """The rows that may have to make way for these reports."""
    return {(nobodys, call.id) for call in reports if call.workspace != nobodys}


def share_out(
    connection: Connection,
    reports: Sequence[Call],
    nobodys: Workspace,
    known: Mapping[CallKey, Row[Any]],
    now: datetime,
) -> Shared:
    """The calls of the reports, each in one workspace; `nobodys` is that of the API's records.

    `known` are the rows of the reports and of `keys_of_nobody` that are there, locked.
    """
    named = {call.id for call in reports if call.workspace != nobodys}
    unnamed = {call.id for call in reports if call.source == API and call.workspace == nobodys}
    elsewhere = named | _known_elsewhere(connection, unnamed, nobodys)
    calls = [
        call
        for call in reports
        if not (call.source == API and call.workspace == nobodys and call.id in elsewhere)
    ]
    shared = Shared(calls)
    for call_id in sorted(named):
        row = known.get((nobodys, call_id))
        if row is not None and call_of(row).source == API:
            _make_way(connection, row, nobodys, now, shared)
    return shared


def _known_elsewhere(
    connection: Connection, call_ids: Iterable[str], nobodys: Workspace
) -> set[str]:
    """The calls that a webhook has reported for a workspace of its own."""
    found: set[str] = set()
    for ids in pieces(call_ids):
        query = select(table.c.call_id, table.c.user_id, table.c.workspace_id).where(
            table.c.call_id.in_(ids)
        )
        found |= {
            call_id for call_id, *owner in connection.execute(query) if Workspace(*owner) != nobodys
        }
    return found


def _make_way(
    connection: Connection, row: Row[Any], nobodys: Workspace, now: datetime, shared: Shared
) -> None:
    """Removes what only the API told of this call, but where HubSpot may have a note of it."""
    if row.intent is None and row.engagement_id is None:
        # Whoever holds it writes nothing without asking the ledger once more.
        connection.execute(delete(table).where(is_of(nobodys), table.c.call_id == row.call_id))
        shared.removed.add((nobodys, row.call_id))
        return
    kind = (row.engagement_type or "note").upper()
    shared.columns[row.call_id] = {
        "intent": row.intent or f"create:{kind}:visible",
        "intent_at": row.intent_at or now,
        "intent_contact_id": row.intent_contact_id or row.contact_id,
    }
