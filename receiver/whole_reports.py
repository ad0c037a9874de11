"""The way of nearly every report: sent in one piece, by a webhook at hand, to be stored.

Does what the route of `webhooks.py` does, without a task, and leaves to it whatever is not that
plain: what is refused, signed, ignored, or takes asking the database.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable, Mapping
from datetime import datetime

from call_stream.stream import EventLoopWriter
from receiver.answers import Refusal, ok_lines, refusal_lines
from receiver.at_once import WholeRequest
from receiver.checks import Checks
from receiver.event_log import Event
from receiver.in_flight import InFlight, Reservation
from receiver.lookups import WebhookLookup
from receiver.reports import Arrival, IgnoredMessage, read_report
from receiver.request_ids import REQUEST_ID_HEADER, to_request_id

Headers = Mapping[bytes, bytes]


class WholeReports:
    """Takes whole requests for one `WebhookRoute`, whose parts it is given."""

    def __init__(
        self,
        path_prefix: str,
        *,
        stream: EventLoopWriter,
        lookup: WebhookLookup,
        checks: Checks,
        in_flight: InFlight,
        max_body_bytes: int,
        check_head: Callable[[str, str, Headers], int],
        tell: Callable[[Event, float], None],
        keep: Callable[[bytes, Arrival, Event, str], None] | None,
        to_refusal: Callable[[BaseException], Refusal],
        clock: Callable[[], datetime],
    ) -> None:
        self.path_prefix = path_prefix.encode("ascii")
        self._prefix_length = len(path_prefix)
        self._stream = stream
        self._lookup = lookup
        self._checks = checks
        self._in_flight = in_flight
        self._max_body_bytes = max_body_bytes
        self._check_head = check_head
        self._tell = tell
        self._keep = keep
        self._to_refusal = to_refusal
        self._clock = clock

    def take(self, request: WholeRequest, body: bytes) -> bool:
        """Whether the report goes into the stream, to be answered once it is there.

        If not, nothing has happened, and the request goes its ordinary way.
        """
        started = time.perf_counter()
        webhook_id = request.path[self._prefix_length :]
        webhook = self._lookup.at_hand(webhook_id)
        if webhook is None or webhook.disabled_at is not None or webhook.assistant_ids:
            return False
        headers = dict(request.scope["headers"])
        now = self._clock()
        reservation = None
        try:
            self._check_head("POST", webhook_id, headers)
            if len(body) > self._max_body_bytes:  # sent in chunks, its length was not announced
                return False
            check = self._checks.of(webhook_id, webhook)
            if check.begin(headers, request.scope, now) is not None:
                return False
            arrival = Arrival(webhook_id, webhook.user_id, webhook.workspace_id, now)
            entry = read_report(body, arrival)
            if isinstance(entry, IgnoredMessage):
                return False
            reservation = self._in_flight.reserve(len(body))
            owner = (webhook.user_id, webhook.workspace_id)
            stored = self._stream.append_async(entry.kind, entry.payload, owner=owner)
        except Exception:  # noqa: BLE001  the ordinary way meets it again, and answers
            if reservation is not None:
                reservation.release()
            return False
        event = Event(
            to_request_id(headers.get(REQUEST_ID_HEADER)),
            now,
            webhook_id,
            is_known=True,
            call_id=entry.call_id,
            body_read=True,
            body_bytes=len(body),
        )
        keep = None
        if self._keep is not None:
            keep = functools.partial(self._keep, body, arrival, event)
        stored.add_done_callback(
            functools.partial(self._finish, request, event, keep, reservation, started)
        )
        return True

    def _finish(
        self,
        request: WholeRequest,
        event: Event,
        keep: Callable[[str], None] | None,
        reservation: Reservation,
        started: float,
        stored: asyncio.Future[int],
    ) -> None:
        """Answers the request, now that its report is in the stream or cannot be."""
        reservation.release()
        failure = stored.exception()
        if failure is None:
            event.status = 200
            event.outcome = "stored" if event.call_id else "quarantined"
            if keep is not None:
                keep(event.outcome)
            lines = ok_lines(event.request_id)
        else:
            refusal = self._to_refusal(failure)
            event.status, event.outcome = refusal.status, refusal.code
            event.sentence = refusal.sentence
            lines = refusal_lines(refusal, event.request_id)
        self._tell(event, started)
        request.answer(*lines)
