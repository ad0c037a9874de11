"""POST /api/webhooks/{webhook_id}: check, append, and answer only when the call is on disk.

A plain ASGI route, because it is the hot one. Knows nothing of HubSpot or the sync log.
"""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from starlette.types import Receive, Scope, Send

from call_stream.excerpt import record_from_excerpt
from call_stream.record import UnusableReport
from call_stream.stream import EventLoopWriter, StreamUnavailable
from receiver.answers import Refusal, body_message, error_body, send_ok, start_message
from receiver.bodies import SenderGone, body_too_large, drain, read_body
from receiver.checks import Checks
from receiver.event_log import Event, EventLog, OnEvent, log_fault
from receiver.in_flight import InFlight
from receiver.lookups import TooManyStrangers, WebhookLookup
from receiver.raw_reports import KeepRaw, RawReport
from receiver.replays import StoredOnce
from receiver.reports import Arrival, IgnoredMessage, StorableEntry, read_report
from receiver.request_ids import REQUEST_ID_HEADER, to_request_id
from receiver.settings import ReceiverSettings
from receiver.signatures import Claim, SecretUnreadable, Unproven, Webhook, refuse_unknown
from receiver.whole_reports import WholeReports
from target_hubspot_calls.errors import StoreUnavailable

PATH_PREFIX = "/api/webhooks/"
TRIAL = "hubspot_calls.trial"
"""The ASGI extension of a test call of ours; what comes over the network cannot have it."""
_WEBHOOK_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
# So much of a refused body the server reads past by itself, and the connection goes on.
_SMALL_BODY_BYTES = 64 * 1024


@dataclass(frozen=True)
class WebhookDesk:
    """What the route works with beside the stream: who hears of events, who keeps raw bodies."""

    on_event: Sequence[OnEvent] = ()
    keep_raw: KeepRaw | None = None
    in_flight: InFlight | None = None


class WebhookRoute:
    """The ASGI face of all webhooks."""

    def __init__(
        self,
        settings: ReceiverSettings,
        *,
        stream: EventLoopWriter,
        lookup: WebhookLookup,
        desk: WebhookDesk | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        desk = desk or WebhookDesk()
        self._settings = settings
        self._stream = stream
        self._lookup = lookup
        self._checks = Checks(public_url=settings.public_url, most=settings.webhook_cache_size)
        self._stored_once = StoredOnce()
        self._in_flight = desk.in_flight or InFlight(
            settings.max_in_flight_bytes, retry_after_s=settings.retry_after_s
        )
        self._keep_raw = desk.keep_raw
        self._log = EventLog()
        self._on_event = tuple(desk.on_event)
        self._clock = clock
        self.at_once = WholeReports(
            PATH_PREFIX,
            stream=stream,
            lookup=lookup,
            checks=self._checks,
            in_flight=self._in_flight,
            max_body_bytes=self._settings.max_body_bytes,
            check_head=self._check_head,
            tell=self._tell,
            keep=self._keep if desk.keep_raw is not None else None,
            to_refusal=self._to_refusal,
            clock=clock,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, writes its log line and tells who wants to hear of it."""
        started = time.perf_counter()
        headers: dict[bytes, bytes] = dict(scope["headers"])
        event = Event(to_request_id(headers.get(REQUEST_ID_HEADER)), self._clock())
        event.is_trial = TRIAL in scope.get("extensions", ())
        refusal: Refusal | None = None
        try:
            await self._take(scope, headers, receive, event)
            event.status = 200
        except SenderGone:
            event.outcome = "sender_gone"
        except Refusal as err:
            refusal = err
        except Exception as err:  # noqa: BLE001  the sender shall have an answer of our form
            refusal = self._to_refusal(err)
        if refusal is not None:
            event.status, event.outcome = refusal.status, refusal.code
            event.sentence = refusal.sentence
        self._tell(event, started)
        if refusal is not None:
            await _send_refusal(refusal, headers, receive, send, event)
        elif event.status:
            await send_ok(scope, send, event.request_id)

    def forget(self, webhook_id: str) -> None:
        """Looks the webhook up anew at its next request, so that a change acts at once."""
        self._lookup.forget(webhook_id)

    def _tell(self, event: Event, started: float) -> None:
        seconds = time.perf_counter() - started
        self._log.write(event, started, seconds)
        if self._on_event:
            for hear in self._on_event:
                try:
                    hear(event, seconds)
                except Exception as err:  # noqa: BLE001  what is stored stays answered so
                    log_fault(err)

    async def _take(
        self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, event: Event
    ) -> None:
        """Returns when the request may be answered 200. Raises Refusal and SenderGone."""
        webhook_id = scope["path"][len(PATH_PREFIX) :]
        announced_bytes = self._check_head(scope["method"], webhook_id, headers)
        event.webhook_id = webhook_id
        try:
            webhook = await self._find(webhook_id, headers, event)
            claim = self._checks.of(webhook_id, webhook).begin(headers, scope, event.at)
            # Announcing costs nothing, so only who is proven already gets all the room at once.
            with self._in_flight.reserve(announced_bytes if claim is None else 0) as reservation:
                body = await read_body(
                    receive,
                    max_bytes=self._settings.max_body_bytes,
                    timeout_s=self._settings.body_timeout_s,
                    reservation=reservation,
                )
                event.body_read, event.body_bytes = True, len(body)
                arrival = Arrival(webhook_id, webhook.user_id, webhook.workspace_id, event.at)
                await self._take_body(body, arrival, webhook, claim, event)
        except Unproven as err:
            event.why = err.why
            raise Refusal(
                401, "unauthorized", "The webhook's secret or signature is missing or wrong."
            ) from None
        except SecretUnreadable:
            raise self._unavailable(
                "secret_unreadable",
                "The webhook's secret does not open with the receiver's encryption keys.",
            ) from None
        except TooManyStrangers:
            raise self._unavailable(
                "busy", "Too many unknown webhooks are asked for; come back later."
            ) from None
        except StoreUnavailable as err:
            raise self._unavailable(
                "store_unavailable", "Webhooks cannot be looked up at present."
            ) from err

    def _check_head(self, method: str, webhook_id: str, headers: Mapping[bytes, bytes]) -> int:
        """The announced length or 0. Raises Refusal for what needs no asking or reading."""
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
        if len(length) > 19 or (announced := int(length)) > self._settings.max_body_bytes:
            raise body_too_large(self._settings.max_body_bytes)
        return announced

    async def _find(self, webhook_id: str, headers: Mapping[bytes, bytes], event: Event) -> Webhook:
        """The webhook in use. Raises Refusal 404, StoreUnavailable."""
        # Most are at hand, and a coroutine for the answer costs more than the answer.
        webhook = self._lookup.at_hand(webhook_id)
        if webhook is None:
            webhook = await self._lookup.find_for_sender(webhook_id)
        event.is_known = webhook is not None
        if webhook is None or webhook.disabled_at is not None:
            refuse_unknown(headers)
            event.why = "disabled" if webhook is not None else None
            raise _unknown_webhook()
        return webhook

    async def _take_body(
        self, body: bytes, arrival: Arrival, webhook: Webhook, claim: Claim | None, event: Event
    ) -> None:
        """Returns when nothing of the body needs storing any more. Raises Refusal, Unproven."""
        marks = claim.prove(body) if claim is not None else ()
        try:
            entry = read_report(body, arrival)
        except Refusal as refusal:
            self._keep(body, arrival, event, refusal.code)
            raise
        if isinstance(entry, IgnoredMessage):
            event.outcome, event.message_type = "ignored", entry.message_type
            return
        event.call_id = entry.call_id
        if webhook.assistant_ids and not _is_for(webhook, entry):
            event.outcome = "other_assistant"
            return
        if claim is None:
            await self._append(entry, arrival)
        elif not await self._store_once(entry, marks, claim, arrival):
            event.outcome = "replayed"
            return
        event.outcome = "stored" if entry.call_id else "quarantined"
        self._keep(body, arrival, event, event.outcome)

    async def _store_once(
        self, entry: StorableEntry, marks: Sequence[bytes], claim: Claim, arrival: Arrival
    ) -> bool:
        return await self._stored_once.store(
            marks,
            functools.partial(self._append, entry, arrival),
            keep_until_s=claim.keep_until_s,
            now_s=arrival.received_at.timestamp(),
        )

    async def _append(self, entry: StorableEntry, arrival: Arrival) -> None:
        owner = (arrival.user_id, arrival.workspace_id)
        await self._stream.append_async(entry.kind, entry.payload, owner=owner)

    def _keep(self, body: bytes, arrival: Arrival, event: Event, outcome: str) -> None:
        if self._keep_raw is None:
            return
        try:
            self._keep_raw(RawReport(arrival, event.request_id, event.call_id, outcome, body))
        except Exception as err:  # noqa: BLE001  missed by support, and by no call
            log_fault(err)

    def _to_refusal(self, failure: BaseException) -> Refusal:
        """What the sender is told of a report that could not be stored."""
        if isinstance(failure, StreamUnavailable):
            return self._unavailable("stream_unavailable", str(failure))
        log_fault(failure)
        return Refusal(500, "internal_error", "The receiver failed; the log says where.")

    def _unavailable(self, code: str, sentence: str) -> Refusal:
        return Refusal(503, code, sentence, {"Retry-After": str(self._settings.retry_after_s)})


def _is_for(webhook: Webhook, entry: StorableEntry) -> bool:
    """Whether the report is of an assistant the webhook takes; one that names none is of none.

    What names no usable call is for whoever looks after the webhook.
    """
    if entry.call_id is None:
        return True
    try:
        return record_from_excerpt(entry.payload).assistant_id in webhook.assistant_ids
    except UnusableReport:
        return True


def _unknown_webhook() -> Refusal:
    return Refusal(404, "unknown_webhook", "There is no such webhook, or it is disabled.")


async def _send_refusal(
    refusal: Refusal, headers: Mapping[bytes, bytes], receive: Receive, send: Send, event: Event
) -> None:
    body = error_body(refusal.code, refusal.sentence)
    fields = {**refusal.headers, "X-Request-ID": event.request_id}
    if event.body_read or _is_small(headers):
        await send(start_message(refusal.status, body, fields))
        await send(body_message(body))
        return
    # The rest of the body would stand before the next request: this connection ends here.
    await send(start_message(refusal.status, body, {**fields, "Connection": "close"}))
    await send(body_message(body, more=True))
    await drain(receive)
    await send(body_message(b""))


def _is_small(headers: Mapping[bytes, bytes]) -> bool:
    """Whether reading past the body costs less than a new connection would."""
    length = headers.get(b"content-length", b"0")
    return (
        b"transfer-encoding" not in headers
        and len(length) <= 5
        and length.isdigit()
        and int(length) <= _SMALL_BODY_BYTES
    )
