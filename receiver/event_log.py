"""One log line for each request to a webhook: plain words, and the same as fields.

Knows what may be said of a request: ids and words of ours, never a body or a secret.
"""

from __future__ import annotations

import json
import logging
import re
import time
import traceback
from dataclasses import dataclass

logger = logging.getLogger("receiver")

# VAPI asks this of the server URL of a phone number that has no assistant; the call fails.
_ASKS_FOR_AN_ASSISTANT = "assistant-request"
_PLAIN_ID = re.compile(r"[A-Za-z0-9._:-]{1,200}")
_PLAIN_TYPE = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LONGEST_ID = 200


@dataclass(slots=True)
class Event:
    """What becomes of one request."""

    webhook_id: str | None = None
    call_id: str | None = None
    message_type: str | None = None
    outcome: str = "failed"
    status: int = 0
    sentence: str = ""
    body_read: bool = False


def log_event(event: Event, started: float) -> None:
    """Write the line; `started` is the time.perf_counter() of the request's beginning."""
    level = _level(event)
    if not logger.isEnabledFor(level):
        return
    ms = (time.perf_counter() - started) * 1000
    fields = {
        "event": "webhook",
        "webhook_id": event.webhook_id,
        "call_id": event.call_id,
        "outcome": event.outcome,
        "status": event.status,
        "ms": round(ms, 2),
    }
    if event.outcome == "ignored":
        fields["message_type"] = _shown_type(event.message_type)
    webhook = f", webhook {event.webhook_id}" if event.webhook_id else ""
    logger.log(level, "%s%s, %.1f ms", _words(event), webhook, ms, extra={"fields": fields})


def log_fault(err: Exception) -> None:
    """Write where a fault of ours is, without its text: it might repeat a value of the body."""
    where = "".join(traceback.format_tb(err.__traceback__))
    logger.error("a webhook request failed with %s\n%s", type(err).__name__, where)


def _level(event: Event) -> int:
    if event.status >= 500 or event.message_type == _ASKS_FOR_AN_ASSISTANT:
        return logging.WARNING
    return logging.INFO


def _words(event: Event) -> str:
    if event.outcome == "stored":
        return f"call {_shown_id(event.call_id or '')} stored"
    if event.outcome == "quarantined":
        return "a report that names no usable call put into quarantine"
    if event.outcome == "sender_gone":
        return "the sender hung up before its message was whole"
    if event.message_type == _ASKS_FOR_AN_ASSISTANT:
        return (
            "VAPI asks for an assistant (assistant-request): this URL is the server of a phone"
            " number without an assistant, so its calls fail; give the number an assistant in VAPI"
        )
    if event.outcome == "ignored":
        return f"message of type {_shown_type(event.message_type)} ignored"
    why = f" ({event.sentence.rstrip('.')})" if event.status >= 500 else ""
    return f"message refused with {event.status} {event.outcome}{why}"


def _shown_id(text: str) -> str:
    """An id as it is; one that could break or fake a line in quotes, escaped and cut."""
    return text if _PLAIN_ID.fullmatch(text) else json.dumps(text[:_LONGEST_ID])


def _shown_type(text: str | None) -> str:
    return text if text is not None and _PLAIN_TYPE.fullmatch(text) else "unknown"
