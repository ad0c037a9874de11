"""How a sender proves itself to a webhook: the other side of `checks.py`, for tests of a webhook.

Pure. Knows VAPI's ways of proof and bytes; must not know how secrets are kept.
"""

from __future__ import annotations

import base64
import hmac
from datetime import datetime

from target_hubspot_calls.store.webhook_auth import (
    AuthOptions,
    HmacEncoding,
    HmacPlan,
    Part,
    SecretHeader,
)


def proving_headers(
    options: AuthOptions,
    *,
    secret: str,
    signing_key: bytes,
    body: bytes,
    url: str,
    message_id: str,
    at: datetime,
) -> dict[str, str]:
    """The headers that prove a POST of `body` to `url`; none for a webhook that is open."""
    if isinstance(options, HmacPlan):
        return _signed(options, signing_key, body, url, message_id, at)
    if isinstance(options, SecretHeader):
        return {options.header: f"Bearer {secret}" if options.bearer_prefix else secret}
    return {}


def _signed(
    plan: HmacPlan, key: bytes, body: bytes, url: str, message_id: str, at: datetime
) -> dict[str, str]:
    timestamp = str(int(at.timestamp()))
    named = {
        Part.BODY: body,
        Part.TIMESTAMP: timestamp.encode(),
        Part.METHOD: b"POST",
        Part.URL: url.encode(),
        Part.MESSAGE_ID: message_id.encode(),
    }
    texts: dict[str, bytes] = {str(part): content for part, content in named.items()}
    payload = b"".join(texts.get(part, part.encode()) for part in plan.payload_parts)
    digest = hmac.digest(key, payload, str(plan.algorithm))
    is_hex = plan.encoding == HmacEncoding.HEX
    written = digest.hex() if is_hex else base64.b64encode(digest).decode()
    headers = {plan.signature_header: plan.prefix + written}
    if plan.include_timestamp:
        headers[plan.timestamp_header] = timestamp
    if plan.message_id_header is not None:
        headers[plan.message_id_header] = message_id
    return headers
