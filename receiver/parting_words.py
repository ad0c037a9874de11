"""What a sender is told whose connection we end.

Knows sentences only; when they are said is protocol.py's business.
"""

from __future__ import annotations

from receiver.answers import Refusal
from receiver.connections import TurnedAway

_MALFORMED = Refusal(400, "malformed_request", "The request is not well-formed HTTP.")
_HEAD_TOO_LARGE = Refusal(431, "head_too_large", "The request's headers are too large.")
_SLOW_HEAD = Refusal(408, "head_timeout", "The request's headers did not arrive in time.")
_SLOW_BODY = Refusal(408, "body_timeout", "The request's body did not arrive in time.")
_TOO_MANY = Refusal(
    503,
    "too_many_connections",
    "The receiver has too many connections; come back later.",
    {"Retry-After": "5"},
)
STOPPING = Refusal(
    503, "stopping", "The receiver is stopping; come back later.", {"Retry-After": "5"}
)
PARTING_WORDS = {
    TurnedAway.MALFORMED: _MALFORMED,
    TurnedAway.HEAD_TOO_LARGE: _HEAD_TOO_LARGE,
    TurnedAway.SLOW_HEAD: _SLOW_HEAD,
    TurnedAway.SLOW_BODY: _SLOW_BODY,
    TurnedAway.SHED: _TOO_MANY,
    TurnedAway.TOO_MANY: _TOO_MANY,
}
