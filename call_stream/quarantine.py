"""What is kept of a report that is authentic but cannot become a call: whose it was, and why.

Pure. Nothing of an unusable body is allow-listed, so nothing of it is here.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

_UNKNOWN_REASON = "the report could not be used"


class UnusableEntry(msgspec.Struct, frozen=True, kw_only=True):
    """The payload of an entry in quarantine; `reason` is a sentence without any value of a body."""

    reason: str = _UNKNOWN_REASON
    webhook_id: str | None = None
    user_id: str = ""
    workspace_id: str = ""
    received_at: datetime | None = None
    message_type: str = "end-of-call-report"


def encode_unusable(unusable: UnusableEntry) -> bytes:
    """The payload."""
    return msgspec.json.encode(unusable)


def decode_unusable(payload: bytes) -> UnusableEntry:
    """What the payload says; as good as nothing where it cannot be read."""
    try:
        return msgspec.json.decode(payload, type=UnusableEntry)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return UnusableEntry()
