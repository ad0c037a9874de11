"""A command line for the shell that sends a test call to a webhook, proving itself as VAPI would.

Pure. Knows shells, curl and openssl; what it returns holds the webhook's secret.
"""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from shlex import quote
from typing import TYPE_CHECKING

from target_hubspot_calls.store.webhook_auth import HmacEncoding, HmacPlan, Part, SecretHeader

if TYPE_CHECKING:
    from target_hubspot_calls.store.webhooks import Webhook

_LENGTH = timedelta(seconds=42)
# In double quotes, as the shell fills them in; $b, $t and $i are set before.
_IN_SHELL = {
    Part.BODY: '"$b"',
    Part.TIMESTAMP: '"$t"',
    Part.METHOD: "POST",
    Part.MESSAGE_ID: '"$i"',
}


def to_trial_command(webhook: Webhook, url: str, secret: str, *, at: datetime) -> str:
    """One line for sh or bash; it needs curl, and openssl where requests are signed.

    The call it tells of ended at `at`. It has no number, so nothing of it reaches HubSpot.
    """
    body = quote(_report(webhook, at))
    if isinstance(webhook.options, HmacPlan):
        return _signed(webhook.options, url, secret, body)
    headers = []
    if isinstance(webhook.options, SecretHeader):
        shown = f"Bearer {secret}" if webhook.options.bearer_prefix else secret
        headers = [quote(f"{webhook.options.header}: {shown}")]
    return _curl(url, headers, body)


def _signed(plan: HmacPlan, url: str, secret: str, body: str) -> str:
    key = base64.b64decode(secret) if plan.secret_is_base64 else secret.encode()
    parts = {str(part): written for part, written in _IN_SHELL.items()} | {Part.URL: quote(url)}
    payload = "".join(parts.get(part, quote(part)) for part in plan.payload_parts)
    # A key as text could not be told from an option, nor hold every byte.
    digest = f"openssl dgst -{plan.algorithm} -mac HMAC -macopt hexkey:{key.hex()}"
    written = (
        f"{digest} -r | cut -d' ' -f1"
        if plan.encoding == HmacEncoding.HEX
        else f"{digest} -binary | openssl base64 -A"
    )
    set_before = [f"b={body}", "t=$(date +%s)"]
    headers = [f'{quote(plan.signature_header + ": " + plan.prefix)}"$s"']
    if plan.include_timestamp:
        headers.append(f'{quote(plan.timestamp_header + ": ")}"$t"')
    if plan.message_id_header is not None:
        set_before.append("i=try-$t")
        headers.append(f'{quote(plan.message_id_header + ": ")}"$i"')
    set_before.append(f"s=$(printf %s {payload} | {written})")
    return "; ".join([*set_before, _curl(url, headers, '"$b"')])


def _curl(url: str, headers: list[str], body: str) -> str:
    words = ["curl -sS", "-H 'Content-Type: application/json'"]
    words += [f"-H {header}" for header in headers]
    return " ".join([*words, f"--data-binary {body}", quote(url)])


def _report(webhook: Webhook, at: datetime) -> str:
    began, ended = (
        f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.000Z}" for moment in (at - _LENGTH, at)
    )
    call = {"id": f"try-{webhook.id[:8]}-{at:%H%M%S}", "type": "webCall"}
    if webhook.assistant_ids:
        call["assistantId"] = webhook.assistant_ids[0]
    return json.dumps(
        {
            "message": {
                "type": "end-of-call-report",
                "startedAt": began,
                "endedAt": ended,
                "endedReason": "customer-ended-call",
                "analysis": {"summary": "A test call. Nobody was on the phone."},
                "call": call,
            }
        }
    )
