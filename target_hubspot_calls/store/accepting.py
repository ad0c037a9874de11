"""Taking calls over into the ledger: new ones are added, known ones get what they lack.

Works inside the ledger's own transaction; knows nothing of how calls are delivered.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import Connection, select

from target_hubspot_calls.call import Call, Workspace, merge_calls
from target_hubspot_calls.store.call_owners import Shared, keys_of_nobody, share_out
from target_hubspot_calls.store.forgotten import not_forgotten
from target_hubspot_calls.store.ledger_conditions import CallKey, lock_calls
from target_hubspot_calls.store.ledger_rows import (
    DUE,
    Accepted,
    RefusedRecord,
    call_of,
    merged_parameters,
    new_row,
    refused_log_row,
)
from target_hubspot_calls.store.ledger_statements import MERGE
from target_hubspot_calls.store.many_rows import insert_all
from target_hubspot_calls.store.outbox import append_to_outbox
from target_hubspot_calls.store.schema import calls as table
from target_hubspot_calls.store.schema import outbox

_OF_NOBODY = {"intent": None, "intent_at": None, "intent_contact_id": None}


def accept_calls(
    connection: Connection,
    reports: Sequence[Call],
    now: datetime,
    nobodys: Workspace | None,
    *,
    region: str | None = None,
) -> Accepted:
    """Adds the calls, due now, or merges them with what is known of them.

    `nobodys` is the workspace of records that name none, `region` that of numbers without a
    country code.
    """
    told = _merged_by_key(reports)
    keys = set(told)
    if nobodys is not None:
        keys |= keys_of_nobody(reports, nobodys)
    # All at once and in order, before anything is decided: others settle these calls meanwhile.
    known = lock_calls(connection, keys)
    reports = not_forgotten(reports, known, nobodys)
    shared = Shared(reports)
    if nobodys is not None:
        shared = share_out(connection, reports, nobodys, known, now)
    inserts, updates = [], []
    changed = 0
    for key, call in _merged_by_key(shared.calls).items():
        row = None if key in shared.removed else known.get(key)
        if row is None:
            of_nobody = shared.columns.get(call.id, _OF_NOBODY)
            inserts.append(new_row(call, now, region=region) | of_nobody)
            continue
        fuller = merge_calls(call_of(row), call)
        change = merged_parameters(row, fuller, now, region=region)
        if change is not None:
            updates.append(change)
            changed += change["b_state"] == DUE and row.record_digest != change["b_digest"]
    insert_all(connection, table, inserts)
    MERGE.run(connection, updates)
    new = len(inserts)
    return Accepted(new=new, changed=changed, unchanged=len(told) - new - changed)


def note_refused(
    connection: Connection, refused: Sequence[RefusedRecord], run_id: str, now: datetime
) -> None:
    """Writes records down for the sync log that no call can be made of, each once."""
    rows = {record.id: refused_log_row(record, run_id, now) for record in refused}
    if not rows:
        return
    waiting = connection.execute(select(outbox.c.id).where(outbox.c.id.in_(rows)))
    for row_id in waiting.scalars():
        del rows[row_id]
    if rows:
        append_to_outbox(connection, list(rows.values()), now)


def _merged_by_key(reports: Iterable[Call]) -> dict[CallKey, Call]:
    merged: dict[CallKey, Call] = {}
    for call in reports:
        key = (call.workspace, call.id)
        merged[key] = merge_calls(merged[key], call) if key in merged else call
    return merged
