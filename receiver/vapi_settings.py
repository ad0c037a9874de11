"""What to paste into VAPI so that it reports to a webhook and proves itself as the webhook asks.

Pure: knows VAPI's Server object and its custom credentials; must not know a page or a terminal.
Source: VAPI's API reference, read 2026-11-22.
"""

from __future__ import annotations

from typing import Any

from target_hubspot_calls.store.webhook_auth import AuthOptions, HmacPlan, SecretHeader, WebhookAuth

_CREDENTIAL_NAME = "hubspot-calls"


def to_vapi_settings(
    url: str, auth: WebhookAuth, options: AuthOptions, secret: str
) -> dict[str, Any]:
    """The part of an assistant that makes VAPI report here.

    Its `secret` field left the schema on 2025-05-20, while a custom header of the same name is
    taken by old and new accounts.
    """
    server: dict[str, Any] = {"url": url}
    if to_credential(auth, options, secret) is not None:
        server["credentialId"] = f"<id of the {auth} credential>"
    elif isinstance(options, SecretHeader):
        server["headers"] = {options.header: secret}
    # VAPI does not repeat a refused report unless a plan says so.
    server["backoffPlan"] = {"type": "exponential", "maxRetries": 5, "baseDelaySeconds": 2}
    return {"serverMessages": ["end-of-call-report"], "server": server}


def to_credential(auth: WebhookAuth, options: AuthOptions, secret: str) -> dict[str, Any] | None:
    """The custom credential that VAPI needs for this, None where its server settings say all."""
    plan: dict[str, Any]
    if auth is WebhookAuth.BEARER and isinstance(options, SecretHeader):
        plan = {
            "type": "bearer",
            "token": secret,
            "headerName": options.header,
            "bearerPrefixEnabled": options.bearer_prefix,
        }
    elif isinstance(options, HmacPlan):
        plan = _to_hmac_plan(options, secret)
    else:
        return None
    return {
        "provider": "custom-credential",
        "name": _CREDENTIAL_NAME,
        "authenticationPlan": plan,
    }


def _to_hmac_plan(options: HmacPlan, secret: str) -> dict[str, Any]:
    """VAPI's HMACAuthenticationPlan, with every field said: a default of its could change."""
    plan: dict[str, Any] = {
        "type": "hmac",
        "secretKey": secret,
        "secretIsBase64": options.secret_is_base64,
        "algorithm": str(options.algorithm),
        "signatureHeader": options.signature_header,
        "signatureEncoding": str(options.encoding),
        "includeTimestamp": options.include_timestamp,
        "payloadFormat": options.payload_format,
    }
    if options.include_timestamp:
        plan["timestampHeader"] = options.timestamp_header
    if options.prefix:
        plan["signaturePrefix"] = options.prefix
    if options.message_id_header is not None:
        plan["messageIdHeader"] = options.message_id_header
    return plan
