"""Rows of the ledger and of the sync log as plain values, and calls read back out of them.

Pure: what each column is given, decided in one place; no connection, no clock.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

import uuid_utils
from sqlalchemy import Row

from target_hubspot_calls.call import (
    Call,
    Workspace,
    call_digest,
    call_from_json,
    call_to_json,
)
from target_hubspot_calls.errors import CallOutcomeError, Reason, Status
from target_hubspot_calls.outcome import Outcome, RecordingOutcome
from target_hubspot_calls.phone import parse_number
from target_hubspot_calls.store.schema import calls as table

# A row is "due" (try it at due_at), "waiting" (until a person has acted) or "settled". That of a
# call whose data was deleted is "forgotten" and never changes again (forgotten.py).
DUE, WAITING, SETTLED, FORGOTTEN = "due", "waiting", "settled", "forgotten"
# An entry of PostgreSQL's index fits into a third of a page; no address of a phone is longer.
LONGEST_NUMBER_BYTES, CUT_NUMBER = 100, 25
# What libphonenumber calls the region of numbers that must name their country.
_NO_REGION = "ZZ"


@dataclass(frozen=True)
class Claim:
    """One call that this process alone may deliver until its claim runs out.

    `intent` says what write an earlier attempt announced whose result is not known.
    """

    call: Call
    record_digest: str
    attempt: int
    intent: str | None
    intent_at: datetime | None
    intent_contact_id: str | None
    contact_id: str | None
    contact_match: str | None
    engagement_id: str | None
    engagement_type: str | None
    delivered_digest: str | None
    file_id: str | None
    recording_status: str | None
    recording_attempt: int
    status: str | None
    reason: str | None
    portal_id: int | None


# A ledger row is wide; a claim takes of it only what delivery needs.
CLAIM_COLUMNS = tuple(
    table.c[name]
    for name in (
        "user_id",
        "workspace_id",
        "call_id",
        "record",
        *(field.name for field in fields(Claim) if field.name != "call"),
    )
)


@dataclass(frozen=True)
class RefusedRecord:
    """A record no call can be made of; `id` is the same whenever the same record comes again."""

    id: str
    workspace: Workspace
    message: str


@dataclass(frozen=True)
class Accepted:
    """What a batch of records meant to the ledger, in calls."""

    new: int
    changed: int
    unchanged: int


@dataclass(frozen=True)
class RecordingLink:
    """Where a call's recording was last said to be; `url` is None if it has none.

    `is_of_one` is False where another workspace reported a call with the same id.
    """

    url: str | None
    expires_at: datetime | None
    is_of_one: bool


def new_row(call: Call, now: datetime, *, region: str | None = None) -> dict[str, Any]:
    """The ledger row of a call never seen before: due at once.

    `region` is that of numbers without a country code.
    """
    return {
        "user_id": call.user_id,
        "workspace_id": call.workspace_id,
        "call_id": call.id,
        "record": _encoded(call),
        "record_digest": call_digest(call),
        "state": DUE,
        "due_at": now,
        "attempt": 0,
        "call_started_at": call.started_at,
        "recording_url_expires_at": call.recording_expires_at,
        "customer_number": number_column(told_number(call, region)),
        "accepted_at": now,
        "updated_at": now,
    }


def merged_parameters(
    row: Row[Any], fuller: Call, now: datetime, *, region: str | None = None
) -> dict[str, Any] | None:
    """Parameters of the row's update, None when the report told nothing new."""
    digest = call_digest(fuller)
    told_more = digest != row.record_digest
    if not told_more and fuller.recording_expires_at == row.recording_url_expires_at:
        return None
    settled = row.state == SETTLED
    return key_parameters(fuller) | {
        "b_record": _encoded(fuller),
        "b_digest": digest,
        "b_state": DUE if told_more else row.state,
        "b_due_at": now if told_more else row.due_at,
        "b_attempt": 0 if told_more and settled else row.attempt,
        "b_started_at": fuller.started_at,
        "b_expires_at": fuller.recording_expires_at,
        "b_number": number_column(told_number(fuller, region)),
        "b_now": now,
    }


def settled_parameters(
    claim: Claim, outcome: Outcome, kind: str, now: datetime, *, region: str | None = None
) -> dict[str, Any]:
    """Parameters of the row's update when an attempt has its outcome."""
    state = SETTLED
    if outcome.retryable:
        state = DUE if outcome.retry_at else WAITING
    return key_parameters(claim.call) | {
        "b_digest": claim.record_digest,
        "b_state": state,
        "b_due_at": outcome.retry_at if state == DUE else None,
        "b_attempt": claim.attempt + 1,
        "b_write_unknown": outcome.write_unknown,
        "b_contact": outcome.contact_id or claim.contact_id,
        "b_match": outcome.contact_match or claim.contact_match,
        "b_engagement": outcome.engagement_id or claim.engagement_id,
        "b_kind": claim.engagement_type or (kind if outcome.engagement_id else None),
        "b_delivered": outcome.delivered_digest or claim.delivered_digest,
        "b_portal": outcome.portal_id,
        "b_file": outcome.file_id or claim.file_id,
        "b_recording_due": outcome.recording_due,
        "b_recording": outcome.recording_status or claim.recording_status,
        "b_status": outcome.status.value,
        "b_reason": outcome.reason.value,
        "b_retryable": outcome.retryable,
        "b_message": outcome.message,
        "b_correlation": outcome.correlation_id,
        # The history's rows and this one name the number alike, so that what is found in the one
        # is found in the other.
        "b_number": number_column(told_number(claim.call, region)),
        "b_now": now,
    }


def settled_log_row(
    claim: Claim,
    outcome: Outcome,
    kind: str,
    run_id: str,
    now: datetime,
    *,
    region: str | None = None,
) -> dict[str, Any]:
    """The sync log row of a settled attempt; what it leaves open is known from earlier ones."""
    row = log_row(claim.call, outcome, claim.call.workspace, run_id=run_id, now=now)
    return row | {
        "contact_id": outcome.contact_id or claim.contact_id,
        "contact_match": outcome.contact_match or claim.contact_match,
        "engagement_id": outcome.engagement_id or claim.engagement_id,
        "engagement_type": claim.engagement_type or kind,
        "phone_number": told_number(claim.call, region),
        "file_id": outcome.file_id or claim.file_id,
        "recording_status": outcome.recording_status or claim.recording_status,
        "attempt": claim.attempt + 1,
    }


def refused_log_row(refused: RefusedRecord, run_id: str, now: datetime) -> dict[str, Any]:
    """The sync log row of a record no call can be made of."""
    outcome = Outcome(Status.ERROR, Reason.INVALID_RECORD, message=refused.message)
    row = log_row(None, outcome, refused.workspace, run_id=run_id, now=now)
    return row | {"id": refused.id}


def recording_log_row(
    claim: Claim,
    outcome: RecordingOutcome,
    run_id: str,
    now: datetime,
    *,
    region: str | None = None,
) -> dict[str, Any]:
    """The sync log row that says where the recording of a written call stands."""
    call_outcome = Outcome(
        Status(claim.status or Status.SUCCESS),
        Reason(claim.reason or Reason.CREATED),
        message=outcome.message,
        portal_id=claim.portal_id,
    )
    row = log_row(claim.call, call_outcome, claim.call.workspace, run_id=run_id, now=now)
    return row | {
        "contact_id": claim.contact_id,
        "contact_match": claim.contact_match,
        "engagement_id": claim.engagement_id,
        "engagement_type": claim.engagement_type,
        "file_id": outcome.file_id or claim.file_id,
        "recording_status": outcome.status,
        "phone_number": told_number(claim.call, region),
        "attempt": claim.attempt,
    }


def recording_parameters(claim: Claim, outcome: RecordingOutcome, now: datetime) -> dict[str, Any]:
    """Parameters of the row's update after an attempt to attach its recording."""
    return key_parameters(claim.call) | {
        "b_file": outcome.file_id or claim.file_id,
        "b_recording": outcome.status,
        "b_delivered": outcome.delivered_digest or claim.delivered_digest,
        "b_due_at": outcome.retry_at,
        "b_attempt": claim.recording_attempt + 1,
        "b_now": now,
    }


def log_row(
    call: Call | None, outcome: Outcome, workspace: Workspace, *, run_id: str, now: datetime
) -> dict[str, Any]:
    """The sync log row of an outcome, with the columns of the contract's chapter 7."""
    started_at = call.started_at if call else None
    return {
        "id": str(uuid_utils.uuid7()),
        "user_id": workspace.user_id,
        "workspace_id": workspace.workspace_id,
        "call_id": call.id if call else None,
        "contact_id": outcome.contact_id,
        "engagement_id": outcome.engagement_id,
        "engagement_type": None,
        "file_id": outcome.file_id,
        "status": outcome.status.value,
        "reason": outcome.reason.value,
        "retryable": outcome.retryable,
        "error_message": outcome.message,
        "phone_number": call.customer_number if call else None,
        "recording_status": outcome.recording_status,
        "contact_match": outcome.contact_match,
        "attempt": 1,
        "correlation_id": outcome.correlation_id,
        "portal_id": outcome.portal_id,
        "call_started_at": started_at.isoformat() if started_at else None,
        "created_at": now.isoformat(),
        "run_id": run_id,
    }


def told_number(call: Call, region: str | None) -> str | None:
    """The caller's number in E.164 where it can be read, else as it was written.

    A number without a country code is one of the region; where none is known it cannot be read.
    """
    try:
        return parse_number(call.customer_number, region or _NO_REGION).e164
    except CallOutcomeError:
        return call.customer_number


def number_column(written_number: str | None) -> str | None:
    """The number as its column keeps it: the same, or cut if no number is so long."""
    if written_number is None or len(written_number.encode()) <= LONGEST_NUMBER_BYTES:
        return written_number
    return written_number[:CUT_NUMBER]


def key_parameters(call: Call) -> dict[str, Any]:
    """Parameters that name one row."""
    return {"k_user": call.user_id, "k_workspace": call.workspace_id, "k_call": call.id}


def _encoded(call: Call) -> str:
    return json.dumps(call_to_json(call), ensure_ascii=False, separators=(",", ":"))


def call_of(row: Row[Any]) -> Call:
    """The call a ledger row holds."""
    return call_from_json(json.loads(row.record))


def recording_link_of(row: Row[Any], *, is_of_one: bool) -> RecordingLink:
    """The recording a ledger row tells of."""
    call = call_of(row)
    return RecordingLink(call.recording_url, call.recording_expires_at, is_of_one)


def claim_of(row: Row[Any]) -> Claim:
    """The ledger row as what its holder needs to deliver it."""
    return Claim(
        call=call_of(row),
        record_digest=row.record_digest,
        attempt=row.attempt,
        intent=row.intent,
        intent_at=row.intent_at,
        intent_contact_id=row.intent_contact_id,
        contact_id=row.contact_id,
        contact_match=row.contact_match,
        engagement_id=row.engagement_id,
        engagement_type=row.engagement_type,
        delivered_digest=row.delivered_digest,
        file_id=row.file_id,
        recording_status=row.recording_status,
        recording_attempt=row.recording_attempt,
        status=row.status,
        reason=row.reason,
        portal_id=row.portal_id,
    )
