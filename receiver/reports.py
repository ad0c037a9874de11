"""From the bytes of an authentic body to the entry that is stored, or to why none is.

Pure: no HTTP, no clock, no disk. Only allow-listed fields go on; the body itself never does.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import msgspec

from call_stream.record import (
    CallRecord,
    OtherMessage,
    UnusableReport,
    encode_record,
    record_from_report,
)
from call_stream.stream import MAX_PAYLOAD_BYTES, EntryKind
from receiver.answers import Refusal


@dataclass(frozen=True, slots=True)
class Arrival:
    """Where a body came from and when."""

    webhook_id: str
    user_id: str
    workspace_id: str
    received_at: datetime


@dataclass(frozen=True, slots=True)
class StorableEntry:
    """What is appended for a report; `call_id` is None when it goes to quarantine."""

    kind: EntryKind
    payload: bytes
    call_id: str | None


@dataclass(frozen=True, slots=True)
class IgnoredMessage:
    """Any other message of VAPI's; `message_type` is what it calls itself, if anything."""

    message_type: str | None


def read_report(body: bytes, arrival: Arrival) -> StorableEntry | IgnoredMessage:
    """The entry for a call report, or what other message it is. Raises Refusal 400."""
    parsed = _parse(body)
    try:
        record = record_from_report(
            parsed,
            user_id=arrival.user_id,
            workspace_id=arrival.workspace_id,
            webhook_id=arrival.webhook_id,
            received_at=arrival.received_at,
        )
    except OtherMessage as other:
        return IgnoredMessage(other.message_type)
    except UnusableReport as err:
        return _quarantined(err.reason, arrival)
    except RecursionError:
        raise _not_json("it is nested too deeply") from None
    payload = _encode(record)
    if payload is None:
        return _quarantined("the report holds values that cannot be stored", arrival)
    return StorableEntry(EntryKind.CALL, payload, record.id)


def _parse(body: bytes) -> dict[str, object]:
    try:
        parsed = msgspec.json.decode(body)
    except RecursionError:  # no ValueError: it would pass for a fault of ours
        raise _not_json("it is nested too deeply") from None
    except (msgspec.DecodeError, ValueError):
        raise _not_json("it is not well-formed UTF-8 JSON") from None
    if not isinstance(parsed, dict):
        raise _not_json("its top level is not an object")
    return parsed


def _encode(record: CallRecord) -> bytes | None:
    try:
        payload = encode_record(record)
    except (OverflowError, RecursionError, TypeError, ValueError, msgspec.MsgspecError):
        return None
    return payload if len(payload) <= MAX_PAYLOAD_BYTES else None


def _quarantined(reason: str, arrival: Arrival) -> StorableEntry:
    """What people need to find the sender; nothing of an unusable body is allow-listed but that."""
    payload = msgspec.json.encode(
        {
            "reason": reason,
            "webhook_id": arrival.webhook_id,
            "user_id": arrival.user_id,
            "workspace_id": arrival.workspace_id,
            "received_at": arrival.received_at.isoformat(),
            "message_type": "end-of-call-report",
        }
    )
    return StorableEntry(EntryKind.QUARANTINE, payload, None)


def _not_json(why: str) -> Refusal:
    return Refusal(400, "invalid_json", f"The body cannot be used: {why}.")
