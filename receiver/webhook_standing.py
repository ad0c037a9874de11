"""How a webhook stands: whether it is in use, and what has come of its requests so far.

Pure. Knows the words that the route counts by; which words people read is for pages and commands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from target_hubspot_calls.store.webhook_counts import Count
from target_hubspot_calls.store.webhooks import Webhook

Counts = Mapping[str, Count]

TESTED = "tested"
"""The word for test calls of our own, which say nothing of VAPI."""
# What a request that proved itself can come to; any other word but `tested` is a refusal.
_TAKEN = ("stored", "quarantined", "replayed")
_IGNORED = ("ignored", "other_assistant")
_NOT_REFUSED = (*_TAKEN, *_IGNORED, TESTED)


class WebhookState(StrEnum):
    """Whether reports are taken at a webhook."""

    ACTIVE = "active"
    DISABLED = "disabled"
    UNREADABLE = "unreadable secret"


@dataclass(frozen=True)
class Heard:
    """What came of a webhook's requests, by word, the most frequent first; no test calls."""

    taken: Counts
    ignored: Counts
    refused: Counts

    @property
    def last_heard_at(self) -> datetime | None:
        """When a request last proved itself."""
        return _last((self.taken, self.ignored))

    @property
    def last_refused_at(self) -> datetime | None:
        """When a request was last refused."""
        return _last((self.refused,))


def heard_of(counts: Counts) -> Heard:
    """The counts of one webhook, sorted by what they mean."""
    return Heard(
        taken={word: each for word, each in counts.items() if word in _TAKEN},
        ignored={word: each for word, each in counts.items() if word in _IGNORED},
        refused={word: each for word, each in counts.items() if word not in _NOT_REFUSED},
    )


def state_of(webhook: Webhook) -> WebhookState:
    """Whether the webhook takes reports now."""
    if webhook.disabled_at is not None:
        return WebhookState.DISABLED
    return WebhookState.ACTIVE if webhook.is_readable else WebhookState.UNREADABLE


def total(counts: Counts) -> int:
    """How many requests these are together."""
    return sum(each.count for each in counts.values())


def _last(groups: Sequence[Counts]) -> datetime | None:
    moments = [each.last_at for counts in groups for each in counts.values()]
    return max(moments, default=None)
