"""Calls whose data was deleted: what is left of a ledger row, and reports that it swallows.

Pure. The row has to stay: it is how a report that comes again is known and left alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from target_hubspot_calls.call import Call, Workspace
from target_hubspot_calls.store.call_owners import API
from target_hubspot_calls.store.ledger_conditions import CallKey
from target_hubspot_calls.store.ledger_rows import FORGOTTEN, call_of

# In place of the digest of a report: whether the call's data is gone from everywhere yet.
BEGUN, DONE = "deleting", "deleted"
# The columns of a sync log row that tell of a person.
PERSONAL_COLUMNS = ("contact_id", "error_message", "phone_number", "contact_match")


def forgotten_values(key: CallKey, source: str | None, now: datetime) -> dict[str, Any]:
    """What a row is given when its data is deleted; what it keeps are ids of ours and its outcome.

    Of the record only whose the call is, and by which door it came, are left.
    """
    workspace, call_id = key
    record = {"id": call_id, "user_id": workspace.user_id, "workspace_id": workspace.workspace_id}
    if source is not None:
        record["source"] = source
    return {
        "record": json.dumps(record, ensure_ascii=False, separators=(",", ":")),
        "record_digest": BEGUN,
        "recording_url_expires_at": None,
        "state": FORGOTTEN,
        "due_at": None,
        "claimed_by": None,
        "claimed_until": None,
        "intent_contact_id": None,
        "contact_id": None,
        "contact_match": None,
        "delivered_digest": None,
        "retryable": False,
        "error_message": None,
        "customer_number": None,
        "recording_due_at": None,
        "updated_at": now,
    }


def not_forgotten(
    reports: Sequence[Call], known: Mapping[CallKey, Row[Any]], nobodys: Workspace | None
) -> list[Call]:
    """The reports of calls that are not forgotten; `known` are their rows, and those of nobody.

    A call that VAPI's API told of first was deleted in nobody's workspace: it is the same call
    when a webhook of a workspace tells of it later.
    """
    forgotten = {key for key, row in known.items() if row.state == FORGOTTEN}
    if not forgotten:
        return list(reports)
    of_api = {
        call_id
        for workspace, call_id in forgotten
        if workspace == nobodys and call_of(known[workspace, call_id]).source == API
    }
    return [
        call
        for call in reports
        if (call.workspace, call.id) not in forgotten and call.id not in of_api
    ]


def without_person(row: Mapping[str, Any]) -> dict[str, Any]:
    """A sync log row that says what happened, and to nobody."""
    return {**row, **dict.fromkeys(PERSONAL_COLUMNS)}
