"""One log line for each request to a webhook: plain words, and the same as fields.

Knows what may be said of a request: ids and words of ours, never a body or a secret.
"""

from __future__ import annotations

import functools
import json
import logging
import re
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from receiver.quick_log import log_line

logger = logging.getLogger("receiver")

# VAPI asks this of the server URL of a phone number that has no assistant; the call fails.
_ASKS_FOR_AN_ASSISTANT = "assistant-request"
_PLAIN_ID = re.compile(r"[A-Za-z0-9._:-]{1,200}")
_PLAIN_TYPE = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LONGEST_ID = 200

MOST_REFUSED_PER_S = 50

_SAID = {
    "quarantined": "a report that names no usable call put into quarantine",
    "replayed": "a signed report that was stored before answered and not stored again",
    "other_assistant": "a report of an assistant that the webhook is not for ignored",
    "sender_gone": "the sender hung up before its message was whole",
}


@dataclass(slots=True)
class Event:
    """What becomes of one request.

    `outcome` is one word for it; `why` a finer one, where there is. `is_known` says that the
    webhook exists, so that the event can be counted for it; `is_trial`, that we sent it ourselves.
    """

    request_id: str
    at: datetime
    webhook_id: str | None = None
    is_known: bool = False
    call_id: str | None = None
    message_type: str | None = None
    outcome: str = "failed"
    why: str | None = None
    status: int = 0
    sentence: str = ""
    body_read: bool = False
    body_bytes: int = 0
    is_trial: bool = False


OnEvent = Callable[[Event, float], None]
"""Hears of each event, with the seconds it took, before the sender is answered."""


class EventLog:
    """Writes the lines, of refused senders' at most so many a second: anybody can be refused."""

    def __init__(self, *, most_refused_per_s: int = MOST_REFUSED_PER_S) -> None:
        self._most = most_refused_per_s
        self._second = 0
        self._refused = 0

    def write(self, event: Event, started: float, seconds: float) -> None:
        """Write the line of a request that began at `started`, by time.perf_counter()."""
        if int(started) != self._second:
            self._begin_second(int(started))
        if 400 <= event.status < 500:
            self._refused += 1
            if self._refused > self._most:
                return
        log_event(event, seconds)

    def _begin_second(self, second: int) -> None:
        left_out = self._refused - self._most
        self._second, self._refused = second, 0
        if left_out > 0:
            fields = {"event": "webhooks_refused", "count": left_out}
            logger.info("%d more messages refused", left_out, extra={"fields": fields})


def log_event(event: Event, seconds: float) -> None:
    """Write the line of a request that took so long."""
    log_line(logger, _level(event), functools.partial(_said_of, event, seconds * 1000))


def _said_of(event: Event, ms: float, wants_fields: bool) -> tuple[str, dict[str, object]]:
    """The line's words and, for whoever wants more than `why`, its fields."""
    fields: dict[str, object] = {} if event.why is None else {"why": event.why}
    if wants_fields:
        fields |= {
            "event": "webhook",
            "request_id": event.request_id,
            "webhook_id": event.webhook_id,
            "call_id": event.call_id,
            "outcome": event.outcome,
            "status": event.status,
            "ms": round(ms, 2),
        }
        if event.outcome == "ignored":
            fields["message_type"] = _shown_type(event.message_type)
    webhook = f", webhook {event.webhook_id}" if event.webhook_id else ""
    return f"{_words(event)}{webhook}, {ms:.1f} ms", fields


def log_fault(err: BaseException) -> None:
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
    if event.outcome in _SAID:
        return _SAID[event.outcome]
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
