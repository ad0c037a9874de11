"""Whose call it is that VAPI's API tells of: its records name no workspace, those of webhooks do.

Works inside the ledger's own transaction; must not know how records arrive.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from sqlalchemy import Connection, select, update

from target_hubspot_calls.call import Call, Workspace
from target_hubspot_calls.store.ledger_rows import call_of, new_row
from target_hubspot_calls.store.schema import calls as table

API = "api"
_IDS_PER_STATEMENT = 500


def give_to_owners(
    connection: Connection, reports: Iterable[Call], nobodys: Workspace
) -> list[Call]:
    """The calls, those of the API and of `nobodys` workspace as of the one a webhook named.

    A call that several workspaces were told of stays nobody's.
    """
    given = list(reports)
    unnamed = [call.id for call in given if call.source == API and call.workspace == nobodys]
    if not unnamed:
        return given
    owners: defaultdict[str, set[Workspace]] = defaultdict(set)
    for call in given:
        owners[call.id].add(call.workspace)
    for ids in _pieces(unnamed):
        query = select(table.c.call_id, table.c.user_id, table.c.workspace_id).where(
            table.c.call_id.in_(ids)
        )
        for call_id, *owner in connection.execute(query):
            owners[call_id].add(Workspace(*owner))
    return [_given(call, owners[call.id] - {nobodys}, nobodys) for call in given]


def take_from_nobody(connection: Connection, reports: Iterable[Call], nobodys: Workspace) -> None:
    """Gives calls that the API told of first to the workspace whose webhook reports them now.

    One that was written, or is being written, stays where it is: its note is there.
    """
    named = {call.id: call.workspace for call in reports if call.workspace != nobodys}
    if not named:
        return
    is_nobodys = (table.c.user_id == nobodys.user_id) & (
        table.c.workspace_id == nobodys.workspace_id
    )
    for ids in _pieces([*named]):
        query = select(table).where(is_nobodys, table.c.call_id.in_(ids)).with_for_update()
        for row in connection.execute(query).all():
            call, owner = call_of(row), named[row.call_id]
            is_untouched = row.engagement_id is None and row.intent is None
            if call.source != API or not is_untouched or row.claimed_by is not None:
                continue
            taken = select(table.c.call_id).where(
                table.c.user_id == owner.user_id,
                table.c.workspace_id == owner.workspace_id,
                table.c.call_id == row.call_id,
            )
            if connection.execute(taken).first() is None:
                owned = new_row(_of(call, owner), row.accepted_at)
                connection.execute(
                    update(table)
                    .where(is_nobodys, table.c.call_id == row.call_id)
                    .values(
                        user_id=owner.user_id,
                        workspace_id=owner.workspace_id,
                        record=owned["record"],
                        record_digest=owned["record_digest"],
                    )
                )


def _given(call: Call, owners: set[Workspace], nobodys: Workspace) -> Call:
    if call.source != API or call.workspace != nobodys or len(owners) != 1:
        return call
    (owner,) = owners
    return _of(call, owner)


def _of(call: Call, owner: Workspace) -> Call:
    return replace(call, user_id=owner.user_id, workspace_id=owner.workspace_id)


def _pieces(ids: Sequence[str]) -> Iterable[Sequence[str]]:
    return (ids[i : i + _IDS_PER_STATEMENT] for i in range(0, len(ids), _IDS_PER_STATEMENT))
