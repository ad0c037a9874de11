"""What people and scripts are shown of webhooks: their state, their counts, raw reports, warnings.

Pure but for printing the table; never shows a secret.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hubspot_calls.output import Column, print_table
from receiver.webhook_standing import Counts, heard_of, state_of, total
from target_hubspot_calls.store.webhook_auth import HmacPlan, WebhookAuth, to_json_options
from target_hubspot_calls.store.webhooks import Webhook

if TYPE_CHECKING:
    from receiver.raw_reports import RawReport


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
    heard = heard_of(counts)
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
        "state": state_of(webhook),
        "counts": {word: each.count for word, each in counts.items()},
        "last_heard_at": heard.last_heard_at,
        "last_refused_at": heard.last_refused_at,
    }


def print_webhooks(found: Sequence[tuple[Webhook, Counts]]) -> None:
    """Print the table of webhooks; below one another where the terminal is narrow."""
    titles = ["webhook id", "user", "workspace", "auth", "state"]
    titles += ["taken", "ignored", "refused", "last heard (UTC)"]
    titles += ["label", "made (UTC)"]
    rows = []
    for webhook, counts in found:
        heard = heard_of(counts)
        row: list[object] = [webhook.id, webhook.user_id, webhook.workspace_id, webhook.auth]
        row += [state_of(webhook), total(heard.taken), total(heard.ignored)]
        row += [_told(heard.refused), heard.last_heard_at]
        rows.append([*row, webhook.label, webhook.created_at])
    columns = [Column(title, fold=title in ("refused", "label")) for title in titles]
    print_table(columns, rows, stacks=True)


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


def _told(counts: Counts) -> str:
    """How many were refused, and why the most frequent first."""
    if not counts:
        return "0"
    reasons = ", ".join(f"{word} {each.count}" for word, each in counts.items())
    return f"{total(counts)}: {reasons}"
