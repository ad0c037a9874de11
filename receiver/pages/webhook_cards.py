"""What the webhooks card shows of each webhook, and what is to be pasted into VAPI for it.

Pure but for reading the store; a secret is in it only right after it was made.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from receiver.pages.webhook_words import WAY_WORDS, Counted, counted
from receiver.pages.words import Words
from receiver.vapi_settings import to_credential, to_vapi_settings
from receiver.webhook_standing import Counts, Heard, WebhookState, heard_of, state_of, total
from receiver.webhooks import PATH_PREFIX
from target_hubspot_calls.call import Workspace
from target_hubspot_calls.store.webhook_auth import HmacPlan, SecretHeader, WebhookAuth
from target_hubspot_calls.store.webhook_counts import WebhookCounts
from target_hubspot_calls.store.webhooks import Webhook, Webhooks

_SECRET_PLACEHOLDER = "<the secret of this webhook>"  # noqa: S105  stands where none is known
_FIELD_NAMES = {
    "type": "Type",
    "token": "Token",
    "headerName": "Header name",
    "bearerPrefixEnabled": "Bearer prefix",
    "secretKey": "Secret key",
    "secretIsBase64": "Secret is base64",
    "algorithm": "Algorithm",
    "signatureHeader": "Signature header",
    "signatureEncoding": "Signature encoding",
    "includeTimestamp": "Include timestamp",
    "payloadFormat": "Payload format",
    "timestampHeader": "Timestamp header",
    "signaturePrefix": "Signature prefix",
    "messageIdHeader": "Message ID header",
}
_VALUES = {"hmac": "HMAC", "bearer": "Bearer token", "True": "on", "False": "off"}


@dataclass(frozen=True)
class Setup:
    """What VAPI is told, as JSON and as fields to fill in; no credential where none is needed."""

    url: str
    settings: str
    credential: str | None
    credential_fields: Sequence[tuple[str, str]]
    headers: Sequence[tuple[str, str]]
    retries: int
    base_delay_s: int


@dataclass(frozen=True)
class WebhookCard:
    """One webhook as people see it."""

    webhook: Webhook
    heard: Heard
    setup: Setup

    @property
    def name(self) -> str:
        """What people call it."""
        return self.webhook.label or f"Webhook …{self.webhook.id[-4:]}"

    @property
    def way(self) -> Words:
        """How VAPI proves itself to it."""
        return WAY_WORDS[self.webhook.auth]

    @property
    def is_on(self) -> bool:
        """Whether anybody may send reports."""
        return self.webhook.disabled_at is None

    @property
    def is_unreadable(self) -> bool:
        """Whether its secret does not open, so that nobody can be let in."""
        return state_of(self.webhook) is WebhookState.UNREADABLE

    @property
    def has_secret(self) -> bool:
        """Whether there is a secret to make anew."""
        return self.webhook.auth is not WebhookAuth.NONE

    @property
    def warning(self) -> str:
        """What whoever looks after the webhook should know; empty if all is well."""
        options = self.webhook.options
        if self.is_on and self.is_unreadable:
            return (
                "Reports are refused: the secret does not open with the encryption keys of this"
                " installation. Make a new secret and stop the old one at once."
            )
        if not self.has_secret:
            return "Anybody who knows the address can send reports to this webhook."
        if isinstance(options, HmacPlan) and not options.signs_timestamp:
            return "No time is signed, so a copied request never grows too old."
        return ""

    @property
    def taken(self) -> int:
        """How many reports were taken."""
        return total(self.heard.taken)

    @property
    def ignored(self) -> int:
        """How many requests were right and not for us."""
        return total(self.heard.ignored)

    @property
    def refused(self) -> int:
        """How many requests were refused."""
        return total(self.heard.refused)

    @property
    def ignored_why(self) -> tuple[Counted, ...]:
        """Why requests were ignored."""
        return counted(self.heard.ignored)

    @property
    def refused_why(self) -> tuple[Counted, ...]:
        """Why requests were refused."""
        return counted(self.heard.refused)

    @property
    def hears_too_much(self) -> bool:
        """Whether VAPI sends messages that nobody reads."""
        return "ignored" in self.heard.ignored


def load_webhook_cards(
    webhooks: Webhooks, counts: WebhookCounts, workspace: Workspace, *, public_url: str
) -> list[WebhookCard]:
    """The workspace's webhooks, newest first. Raises StoreUnavailable."""
    found = webhooks.list(workspace.user_id, workspace.workspace_id)
    known = counts.of([webhook.id for webhook in found])
    cards = [webhook_card(each, known[each.id], public_url=public_url) for each in found]
    return cards[::-1]


def webhook_card(
    webhook: Webhook, counts: Counts, *, public_url: str, secret: str = ""
) -> WebhookCard:
    """The webhook; its secret is in what VAPI is told if it is given."""
    return WebhookCard(webhook, heard_of(counts), _setup(webhook, public_url, secret))


def _setup(webhook: Webhook, public_url: str, secret: str) -> Setup:
    url = f"{public_url}{PATH_PREFIX}{webhook.id}"
    shown = secret or _SECRET_PLACEHOLDER
    settings = to_vapi_settings(url, webhook.auth, webhook.options, shown)
    credential = to_credential(webhook.auth, webhook.options, shown)
    plan: dict[str, Any] = credential["authenticationPlan"] if credential else {}
    backoff = settings["server"]["backoffPlan"]
    headers: list[tuple[str, str]] = []
    if credential is None and isinstance(webhook.options, SecretHeader):
        headers = [(webhook.options.header, shown)]
    return Setup(
        url,
        settings=_to_json(settings),
        credential=_to_json(credential) if credential else None,
        credential_fields=[(_FIELD_NAMES[name], _written(value)) for name, value in plan.items()],
        headers=headers,
        retries=backoff["maxRetries"],
        base_delay_s=backoff["baseDelaySeconds"],
    )


def _to_json(document: object) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False)


def _written(value: object) -> str:
    return _VALUES.get(str(value), str(value))
