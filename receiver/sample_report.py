"""A report of a call that never was, to see that reports arrive and what becomes of them.

Pure. Says in its own text that it is a test; nobody in it exists.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

_LENGTH = timedelta(seconds=42)


def build_sample_report(
    call_id: str, *, at: datetime, number: str | None, assistant_id: str | None
) -> bytes:
    """The body of a webhook request as VAPI would send it of a call that ended at `at`.

    Without a number it is a web call, which has nobody to find a contact by.
    """
    summary = (
        f"Test call, sent from the Integration page on {at.astimezone(UTC):%Y-%m-%d %H:%M} UTC."
        " Nobody was on the phone; this entry can be deleted."
    )
    transcript = "AI: This is a test call.\nUser: It has arrived.\n"
    call: dict[str, object] = {
        "id": call_id,
        "type": "inboundPhoneCall" if number else "webCall",
        "createdAt": _iso(at - _LENGTH),
        "updatedAt": _iso(at - _LENGTH),
    }
    message: dict[str, object] = {
        "type": "end-of-call-report",
        "timestamp": int(at.timestamp() * 1000),
        "startedAt": _iso(at - _LENGTH),
        "endedAt": _iso(at),
        "durationMs": int(_LENGTH.total_seconds() * 1000),
        "endedReason": "customer-ended-call",
        "analysis": {"summary": summary, "successEvaluation": "true"},
        "artifact": {"transcript": transcript, "messages": []},
        "call": call,
        "assistant": {"name": "Test"},
    }
    if number:
        call["customer"] = message["customer"] = {"number": number}
    if assistant_id:
        call["assistantId"] = assistant_id
        message["assistant"] = {"id": assistant_id, "name": "Test"}
    return json.dumps({"message": message}).encode()


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
