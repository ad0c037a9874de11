"""POST /api/webhooks/{webhook_id}: check, append, and answer only when the call is on disk.

A plain ASGI route, because it is the hot one. Knows nothing of HubSpot or the sync log.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from starlette.types import Receive, Scope, Send

from call_stream.stream import CallStreamWriter, StreamUnavailable
from receiver.answers import Refusal, body_message, error_body, send_ok, start_message
from receiver.bodies import SenderGone, body_too_large, drain, read_body
from receiver.event_log import Event, log_event, log_fault
from receiver.lookups import WebhookLookup
from receiver.reports import Arrival, IgnoredMessage, read_report
from receiver.settings import ReceiverSettings
from receiver.signatures import Webhook, is_authentic, refuse_unknown
from target_hubspot_calls.errors import StoreUnavailable

PATH_PREFIX = "/api/webhooks/"
_WEBHOOK_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class WebhookRoute:
    """The ASGI face of all webhooks."""

    def __init__(
        self,
        settings: ReceiverSettings,
        *,
        stream: CallStreamWriter,
        lookup: WebhookLookup,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._settings = settings
        self._stream = stream
        self._lookup = lookup
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request and writes its log line."""
        started = time.perf_counter()
        event = Event()
        refusal: Refusal | None = None
        try:
            await self._take(scope, receive, event)
            event.status = 200
        except SenderGone:
            event.outcome = "sender_gone"
        except Refusal as err:
            refusal = err
        except Exception as err:  # noqa: BLE001  the sender shall have an answer of our form
            log_fault(err)
            refusal = Refusal(500, "internal_error", "The receiver failed; the log says where.")
        if refusal is not None:
            event.status, event.outcome = refusal.status, refusal.code
            event.sentence = refusal.sentence
        log_event(event, started)
        if refusal is not None:
            await _send_refusal(refusal, receive, send, body_read=event.body_read)
        elif event.status:
            await send_ok(send)

    async def _take(self, scope: Scope, receive: Receive, event: Event) -> None:
        """Returns when the request may be answered 200. Raises Refusal and SenderGone."""
        webhook_id = scope["path"][len(PATH_PREFIX) :]
        headers: dict[bytes, bytes] = dict(scope["headers"])
        self._check_head(scope["method"], webhook_id, headers)
        event.webhook_id = webhook_id
        webhook = await self._authentic_webhook(webhook_id, headers)
        body = await read_body(
            receive,
            max_bytes=self._settings.max_body_bytes,
            timeout_s=self._settings.body_timeout_s,
        )
        event.body_read = True
        arrival = Arrival(webhook_id, webhook.user_id, webhook.workspace_id, self._clock())
        entry = read_report(body, arrival)
        if isinstance(entry, IgnoredMessage):
            event.outcome, event.message_type = "ignored", entry.message_type
            return
        event.call_id = entry.call_id
        try:
            await self._stream.append_async(entry.kind, entry.payload)
        except StreamUnavailable as err:
            raise self._unavailable("stream_unavailable", str(err)) from err
        event.outcome = "stored" if entry.call_id else "quarantined"

    def _check_head(self, method: str, webhook_id: str, headers: Mapping[bytes, bytes]) -> None:
        """Raises Refusal for what can be refused without asking or reading anything."""
        if not _WEBHOOK_ID.fullmatch(webhook_id):
            raise _unknown_webhook()
        if method != "POST":
            raise Refusal(405, "method_not_allowed", "Webhooks take POST only.", {"Allow": "POST"})
        if headers.get(b"content-encoding", b"").strip().lower() not in (b"", b"identity"):
            raise Refusal(
                415, "unsupported_encoding", "Compressed bodies are not taken; send plain JSON."
            )
        length = headers.get(b"content-length", b"0")
        if not length.isdigit():
            raise Refusal(400, "invalid_length", "Content-Length is not a number.")
        if len(length) > 19 or int(length) > self._settings.max_body_bytes:
            raise body_too_large(self._settings.max_body_bytes)

    async def _authentic_webhook(self, webhook_id: str, headers: Mapping[bytes, bytes]) -> Webhook:
        """The webhook in use whose secret the headers carry. Raises Refusal 401, 404 and 503."""
        try:
            webhook = await self._lookup.find(webhook_id)
        except StoreUnavailable as err:
            raise self._unavailable(
                "store_unavailable", "Webhooks cannot be looked up at present."
            ) from err
        if webhook is None:
            refuse_unknown(headers)
            raise _unknown_webhook()
        authentic = is_authentic(webhook, headers)
        if webhook.disabled_at is not None:
            raise _unknown_webhook()
        if not authentic:
            raise Refusal(401, "unauthorized", "The webhook's secret is missing or wrong.")
        return webhook

    def _unavailable(self, code: str, sentence: str) -> Refusal:
        return Refusal(503, code, sentence, {"Retry-After": str(self._settings.retry_after_s)})


def _unknown_webhook() -> Refusal:
    return Refusal(404, "unknown_webhook", "There is no such webhook, or it is disabled.")


async def _send_refusal(refusal: Refusal, receive: Receive, send: Send, *, body_read: bool) -> None:
    body = error_body(refusal.code, refusal.sentence)
    if body_read:
        await send(start_message(refusal.status, body, refusal.headers))
        await send(body_message(body))
        return
    # The rest of the body would stand before the next request: this connection ends here.
    await send(start_message(refusal.status, body, {**refusal.headers, "Connection": "close"}))
    await send(body_message(body, more=True))
    await drain(receive)
    await send(body_message(b""))
