"""What people and scripts are shown of webhooks: their state, their counts, raw reports, warnings.

Pure but for printing the table; never shows a secret.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hubspot_calls.output import Column, is_wide, print_table
from target_hubspot_calls.store.webhook_auth import HmacPlan, WebhookAuth, to_json_options
from target_hubspot_calls.store.webhook_counts import Count
from target_hubspot_calls.store.webhooks import Webhook

if TYPE_CHECKING:
    from receiver.raw_reports import RawReport

Counts = Mapping[str, Count]

# What a request that proved itself can come to; every other word is a refusal.
_TAKEN = ("stored", "quarantined", "replayed")
_IGNORED = ("ignored", "other_assistant")


def warnings_of(webhook: Webhook) -> list[str]:
    """What whoever runs this webhook should know, as sentences without a full stop."""
    found = []
    if webhook.auth is WebhookAuth.NONE:
        found.append(
            f"webhook {webhook.id} takes calls from anyone who knows its address (auth none)"
        )
    if isinstance(webhook.options, HmacPlan) and not webhook.options.signs_timestamp:
        found.append(
            f"webhook {webhook.id} signs no timestamp, so a captured request never grows too old"
        )
    if not webhook.is_readable:
        found.append(
            f"webhook {webhook.id} answers 503: its secret does not open with the encryption keys;"
            " bring back the key file or HUBSPOT_CALLS_ENCRYPTION_KEYS, or rotate its secret with"
            " --keep-old 0"
        )
    return found


def to_listed(webhook: Webhook, url: str, counts: Counts) -> dict[str, Any]:
    """A webhook as `list --json` shows it."""
    return {
        "webhook_id": webhook.id,
        "url": url,
        "user_id": webhook.user_id,
        "workspace_id": webhook.workspace_id,
        "auth": webhook.auth,
        "created_at": webhook.created_at,
        "disabled_at": webhook.disabled_at,
        "label": webhook.label,
        "auth_options": to_json_options(webhook.options),
        "assistant_ids": webhook.assistant_ids,
        "state": _state(webhook),
        "counts": {word: each.count for word, each in counts.items()},
        "last_heard_at": _last(_of(counts, _TAKEN + _IGNORED)),
        "last_refused_at": _last(_refused(counts)),
    }


def print_webhooks(found: Sequence[tuple[Webhook, Counts]]) -> None:
    """Print the table of webhooks."""
    wide = is_wide()
    titles = ["webhook id", "user", "workspace", "auth", "state"]
    titles += ["taken", "ignored", "refused", "last heard (UTC)"]
    titles += ["label", "made (UTC)"] if wide else []
    rows = []
    for webhook, counts in found:
        row: list[object] = [webhook.id, webhook.user_id, webhook.workspace_id, webhook.auth]
        row += [_state(webhook), _sum(_of(counts, _TAKEN)), _sum(_of(counts, _IGNORED))]
        row += [_told(_refused(counts)), _last(_of(counts, _TAKEN + _IGNORED))]
        rows.append([*row, webhook.label, webhook.created_at] if wide else row)
    print_table([Column(title, fold=title == "refused") for title in titles], rows)


def to_raw_document(report: RawReport) -> dict[str, Any]:
    """A raw report with its body as JSON, or as text where it is none."""
    arrival = report.arrival
    document: dict[str, Any] = {
        "received_at": arrival.received_at,
        "webhook_id": arrival.webhook_id,
        "user_id": arrival.user_id,
        "workspace_id": arrival.workspace_id,
        "request_id": report.request_id,
        "call_id": report.call_id,
        "outcome": report.outcome,
    }
    try:
        return {**document, "body": json.loads(report.body)}
    except (ValueError, RecursionError):
        return {**document, "body_text": report.body.decode("utf-8", "backslashreplace")}


def _state(webhook: Webhook) -> str:
    if webhook.disabled_at is not None:
        return "disabled"
    return "active" if webhook.is_readable else "unreadable secret"


def _of(counts: Counts, words: Sequence[str]) -> Counts:
    return {word: counts[word] for word in words if word in counts}


def _refused(counts: Counts) -> Counts:
    return {w: each for w, each in counts.items() if w not in _TAKEN + _IGNORED}


def _sum(counts: Counts) -> int:
    return sum(each.count for each in counts.values())


def _last(counts: Counts) -> Any:
    return max((each.last_at for each in counts.values()), default=None)


def _told(counts: Counts) -> str:
    """How many were refused, and why the most frequent first."""
    if not counts:
        return "0"
    reasons = ", ".join(f"{word} {each.count}" for word, each in counts.items())
    return f"{_sum(counts)}: {reasons}"
