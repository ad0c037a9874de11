"""The words of the webhooks card: ways of proof, and what came of requests.

Pure. The codes are those that the route counts by and answers with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from receiver.pages.words import Words, to_count
from receiver.webhook_standing import Counts
from target_hubspot_calls.store.webhook_auth import WebhookAuth

WAY_WORDS: Mapping[str, Words] = {
    WebhookAuth.SECRET: Words(
        "Secret header",
        "VAPI sends the secret along. The simplest: one piece of JSON to paste.",
    ),
    WebhookAuth.BEARER: Words(
        "Bearer token",
        "VAPI sends the secret along, and keeps it apart from the assistant as a credential.",
    ),
    WebhookAuth.HMAC: Words(
        "Signature (HMAC)",
        "VAPI signs each report and never sends the secret. The strongest.",
    ),
    WebhookAuth.HEADER: Words("Secret in a header of its own", ""),
    WebhookAuth.NONE: Words("None: anybody who knows the address can send reports", ""),
}
OFFERED_WAYS = (WebhookAuth.SECRET, WebhookAuth.BEARER, WebhookAuth.HMAC)
"""What a page makes; anything else is for whoever runs the installation."""

_OUTCOMES: Mapping[str, str] = {
    "stored": "reports",
    "quarantined": "set aside, without a usable call",
    "replayed": "sent a second time",
    "ignored": "other messages than reports",
    "other_assistant": "of other assistants",
    "disabled": "while it was off",
    "no_secret": "without a secret",
    "wrong_secret": "with a wrong secret",
    "no_secret_in_force": "while no secret was in force",
    "no_signature": "without a signature",
    "wrong_signature": "with a wrong signature",
    "malformed_signature": "with a signature in another form",
    "no_timestamp": "without a time",
    "malformed_timestamp": "with a time in another form",
    "stale_timestamp": "signed more than five minutes ago, or ahead",
    "no_message_id": "without a message id",
    "malformed_message_id": "with a message id in another form",
    "repeated_header": "with a header that came twice",
    "body_too_large": "too large",
    "body_timeout": "sent too slowly",
    "sender_gone": "broken off by the sender",
    "invalid_json": "that were no JSON",
    "invalid_length": "with a wrong length",
    "method_not_allowed": "that were no POST",
    "unsupported_encoding": "compressed",
    "busy": "while too much arrived at once",
    "stream_unavailable": "while nothing could be stored",
    "store_unavailable": "while the store could not be read",
    "secret_unreadable": "while the secret could not be opened",
    "internal_error": "by a fault of ours",
}
_ADVICE: Mapping[str, str] = {
    "unknown_webhook": "Turn the webhook on, then test again.",
    "secret_unreadable": (
        "Whoever runs this installation must bring back its encryption keys. Or make a new secret"
        " for the webhook, stop the old one at once, and paste the new one into VAPI."
    ),
    "stream_unavailable": "Whoever runs this installation should look at its disk and its log.",
    "store_unavailable": "Try again in a moment.",
    "busy": "Try again in a moment.",
    "test_not_answered": (
        "Whoever runs this installation should look at its disk and its log; reports of VAPI may"
        " wait in the same way."
    ),
}


@dataclass(frozen=True)
class Counted:
    """How many requests came to something, in words."""

    count: int
    words: str

    def __str__(self) -> str:
        return f"{to_count(self.count)} {self.words}"


def counted(counts: Counts) -> tuple[Counted, ...]:
    """The counts in words, the most frequent first."""
    return tuple(
        Counted(each.count, _OUTCOMES.get(word, word.replace("_", " ")))
        for word, each in counts.items()
    )


def advice_of(code: str) -> str:
    """What to do about an answer of the webhooks' door; empty where there is nothing to say."""
    return _ADVICE.get(code, "")
