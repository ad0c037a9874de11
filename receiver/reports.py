"""From the bytes of an authentic body to the entry that is stored, or to why none is.

Pure: no HTTP, no clock, no disk. Only allow-listed fields go on; the body itself never does.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from call_stream.excerpt import MalformedBody, cut_excerpt
from call_stream.quarantine import UnusableEntry, encode_unusable
from call_stream.record import OtherMessage, UnusableReport
from call_stream.stream import MAX_PAYLOAD_BYTES, EntryKind
from receiver.answers import Refusal


class Arrival(NamedTuple):
    """Where a body came from and when."""

    webhook_id: str
    user_id: str
    workspace_id: str
    received_at: datetime


class StorableEntry(NamedTuple):
    """What is appended for a report; `call_id` is None when it goes to quarantine."""

    kind: EntryKind
    payload: bytes
    call_id: str | None


class IgnoredMessage(NamedTuple):
    """Any other message of VAPI's; `message_type` is what it calls itself, if anything."""

    message_type: str | None


def read_report(body: bytes, arrival: Arrival) -> StorableEntry | IgnoredMessage:
    """The entry for a call report, or what other message it is. Raises Refusal 400."""
    try:
        call_id, payload = cut_excerpt(
            body,
            user_id=arrival.user_id,
            workspace_id=arrival.workspace_id,
            webhook_id=arrival.webhook_id,
            received_at=arrival.received_at,
        )
    except OtherMessage as other:
        return IgnoredMessage(other.message_type)
    except UnusableReport as err:
        return _quarantined(err.reason, arrival)
    except MalformedBody as err:
        raise Refusal(400, "invalid_json", f"The body cannot be used: {err.why}.") from None
    if len(payload) > MAX_PAYLOAD_BYTES:  # 1e9 has three bytes in a body and twelve in a payload
        return _quarantined("the report holds more than can be stored", arrival)
    return StorableEntry(EntryKind.REPORT, payload, call_id)


def _quarantined(reason: str, arrival: Arrival) -> StorableEntry:
    """What people need to find the sender."""
    unusable = UnusableEntry(
        reason=reason,
        webhook_id=arrival.webhook_id,
        user_id=arrival.user_id,
        workspace_id=arrival.workspace_id,
        received_at=arrival.received_at,
    )
    return StorableEntry(EntryKind.QUARANTINE, encode_unusable(unusable), None)
