"""The check that each webhook's requests must pass, built once for as long as the webhook is known.

Chooses by the webhook's way of proof; how a proof is checked is in `signatures.py` and
`hmac_signatures.py`.
"""

from __future__ import annotations

from receiver.hmac_signatures import SignedCheck
from receiver.signatures import Check, ClosedCheck, OpenCheck, SecretCheck, Webhook
from target_hubspot_calls.store.webhook_auth import HmacPlan, SecretHeader, WebhookAuth


class Checks:
    """The checks of the webhooks in use, at most `most` of them at a time."""

    def __init__(self, *, public_url: str, most: int) -> None:
        self._public_url = public_url
        self._most = most
        self._built: dict[str, tuple[Webhook, Check]] = {}

    def of(self, webhook_id: str, webhook: Webhook) -> Check:
        """The check of this webhook as it is now."""
        built = self._built.get(webhook_id)
        if built is None or built[0] is not webhook:
            if len(self._built) >= self._most:
                self._built.clear()
            built = self._built[webhook_id] = webhook, build_check(webhook, self._public_url)
        return built[1]


def build_check(webhook: Webhook, public_url: str) -> Check:
    """The check of one webhook; a way of proof that is not understood lets nobody in."""
    options = webhook.options
    if webhook.auth == WebhookAuth.HMAC and isinstance(options, HmacPlan):
        return SignedCheck(
            options,
            webhook.signing_secrets,
            all_keys_open=webhook.is_readable,
            public_url=public_url,
        )
    if not webhook.is_readable:
        return ClosedCheck()
    if webhook.auth == WebhookAuth.NONE:
        return OpenCheck()
    if isinstance(options, SecretHeader):
        return SecretCheck(webhook.accepts, options)
    return ClosedCheck()
