"""The tap's second door: calls that VAPI's REST API lists, as records, and how far they were read.

Knows call records and windows; it must not know Singer's messages or where a bookmark is kept.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from call_stream.record import UnusableReport, record_from_rest_call
from call_stream.values import JsonObject, to_moment, to_text
from tap_vapi.vapi import Vapi
from tap_vapi.windows import WindowRead, read_calls

DEFAULT_REACH = timedelta(days=14)
"""How far back a first run reads: what VAPI keeps on a pay-as-you-go plan."""
LOOK_BACK = timedelta(minutes=10)
"""How much is read again by each run: analyses land late, and VAPI's clock is not ours."""

_ENDED = "ended"
_NUMBERS_KEPT = 1000

Record = dict[str, Any]

logger = logging.getLogger("tap-vapi")


@dataclass(frozen=True)
class Span:
    """The time of which calls are read; `until` is None for now."""

    since: datetime
    until: datetime | None = None


class ApiDoor:
    """Records of ended calls, by when VAPI changed them last. Methods raise VapiError."""

    def __init__(
        self, vapi: Vapi, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._vapi = vapi
        self._now = now
        self._numbers: OrderedDict[str, str | None] = OrderedDict()

    def read(self, span: Span) -> Iterator[Record | WindowRead]:
        """The records, and after those of each whole window how far it went.

        `user_id` and `workspace_id` are blank: VAPI knows neither.
        """
        end = span.until or self._now()
        count = 0
        for found in read_calls(self._vapi, span.since, end, now=self._now):
            if isinstance(found, WindowRead):
                yield found
            elif found.get("status") == _ENDED:
                # A call under way is listed too; it changes once more when it ends.
                record = self._to_record(found)
                if record is not None:
                    count += 1
                    yield record
        logger.info(
            "Read %d ended %s from VAPI's API, changed from %s to %s",
            count,
            "call" if count == 1 else "calls",
            _in_words(span.since),
            _in_words(end),
        )

    def _to_record(self, call: JsonObject) -> Record | None:
        changed_at = to_moment(call.get("updatedAt"))
        try:
            record = record_from_rest_call(
                call, user_id="", workspace_id="", received_at=self._now()
            )
        except UnusableReport:
            return None
        told = msgspec.structs.asdict(record)
        told["phone_number"] = told["phone_number"] or self._number_of(call)
        told["sequence"] = to_epoch_ms(changed_at or self._now())
        return told

    def _number_of(self, call: JsonObject) -> str | None:
        """Our line, which lists of calls name by its id alone."""
        number_id = to_text(call.get("phoneNumberId"), 200)
        if number_id is None:
            return None
        if number_id not in self._numbers:
            self._numbers[number_id] = self._vapi.fetch_number(number_id)
            while len(self._numbers) > _NUMBERS_KEPT:
                self._numbers.popitem(last=False)
        return self._numbers[number_id]


def span_of(
    bookmark_ms: int | None, start: datetime | None, end: datetime | None, now: datetime
) -> Span:
    """What a run reads: from a little before the bookmark, else from the start that is set."""
    if bookmark_ms is not None:
        since = datetime.fromtimestamp(bookmark_ms / 1000, UTC) - LOOK_BACK
        return Span(max(since, start) if start else since, end)
    return Span(start or now - DEFAULT_REACH, end)


def to_epoch_ms(moment: datetime) -> int:
    """Milliseconds since 1970."""
    return round(moment.timestamp() * 1000)


def _in_words(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
