"""All calls that changed in a span of time, window by window, from a list without a cursor.

Knows only that VAPI filters by `updatedAt` and cuts lists at a limit; nothing here builds on the
order of a list unless it was checked. It must not know Singer, HTTP or the call record.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

import msgspec

from call_stream.values import JsonObject, to_moment, to_object
from tap_vapi.vapi import MOST_CALLS, BeyondRetention, VapiError

PAGE = 200
"""Calls asked for at once. One may take 140 KB, and VAPI's own most, 1,000, more than memory."""

_FIRST_WINDOW = timedelta(hours=1)
_LONGEST_WINDOW = timedelta(days=2)
_SHORTEST_WINDOW = timedelta(milliseconds=1)
# VAPI's clock and ours differ; the oldest day that it still keeps is on its way out.
_RETENTION_MARGIN = timedelta(minutes=10)

logger = logging.getLogger("tap-vapi")


class CallLists(Protocol):
    """What is asked of VAPI."""

    def list_calls(
        self,
        *,
        updated_ge: datetime,
        updated_le: datetime,
        created_le: datetime | None = None,
        limit: int,
    ) -> list[msgspec.Raw]:
        """Up to `limit` calls of the time. Raises BeyondRetention, VapiError."""


@dataclass(frozen=True)
class WindowRead:
    """Every call that changed before `until` has been given out."""

    until: datetime


def read_calls(
    vapi: CallLists,
    start: datetime,
    end: datetime,
    *,
    page: int = PAGE,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Iterator[JsonObject | WindowRead]:
    """Each call that changed from `start` to `end`, and after each whole window a `WindowRead`.

    A call that changes while it is read is given out as it is later. Raises VapiError.
    """
    at, size = start, _FIRST_WINDOW
    before: frozenset[object] = frozenset()
    while at < end:
        until = min(at + size, end)
        try:
            found = vapi.list_calls(updated_ge=at, updated_le=until, limit=page)
        except BeyondRetention as err:
            at = _earliest_kept(vapi, err, at, end, now=now(), size=size, page=page)
            continue
        calls = [_to_call(raw) for raw in found]
        if len(found) >= page:
            if until - at > _SHORTEST_WINDOW:
                size = max(_SHORTEST_WINDOW, (until - at) / 2)
                continue
            calls = _read_instant(vapi, at, until)
        # Windows share their border, so that nothing falls between; what is there comes once.
        yield from (call for call in calls if _telling(call) not in before)
        yield WindowRead(until)
        before = frozenset(map(_telling, calls))
        at = until
        if len(found) < page // 3:
            size = min(size * 2, _LONGEST_WINDOW)


def _read_instant(vapi: CallLists, at: datetime, until: datetime) -> list[JsonObject]:
    """The calls of a window too short to be halved: many can change in one instant.

    Pages back by `createdAt`, which is right only for lists that come newest first. Raises
    VapiError for others, and where more calls share an instant than one list can hold.
    """
    calls: dict[str, JsonObject] = {}
    created_le = None
    while True:
        found = vapi.list_calls(
            updated_ge=at, updated_le=until, created_le=created_le, limit=MOST_CALLS
        )
        listed = [_to_call(raw) for raw in found]
        known = len(calls)
        calls.update((call["id"], call) for call in listed)
        if len(listed) < MOST_CALLS:
            return [*calls.values()]
        created = [_created_at(call) for call in listed]
        if created != sorted(created, reverse=True):
            raise VapiError(
                f"VAPI lists {MOST_CALLS} calls of one instant in no order, so that the others"
                f" cannot be found; they changed at {at.isoformat()}."
            )
        if len(calls) == known:
            raise VapiError(
                f"More than {MOST_CALLS} calls were made and changed in one instant, and VAPI lists"
                f" no more; they changed at {at.isoformat()}."
            )
        created_le = created[-1]


def _earliest_kept(
    vapi: CallLists,
    err: BeyondRetention,
    at: datetime,
    end: datetime,
    *,
    now: datetime,
    size: timedelta,
    page: int,
) -> datetime:
    """The earliest start after `at` that VAPI still keeps calls of, to some minutes.

    By the days that VAPI named, else by trial. Raises BeyondRetention where there is none.
    """

    def is_kept(start: datetime) -> bool:
        try:
            vapi.list_calls(updated_ge=start, updated_le=min(start + size, end), limit=page)
        except BeyondRetention:
            return False
        return True

    kept = end if err.days is None else now - timedelta(days=err.days) + _RETENTION_MARGIN
    if not (at < kept < end and is_kept(kept)):
        refused, kept = at, end
        while kept - refused > _RETENTION_MARGIN:
            middle = refused + (kept - refused) / 2
            refused, kept = (refused, middle) if is_kept(middle) else (middle, kept)
    if kept == end:
        raise err
    logger.warning(
        "VAPI no longer keeps calls that changed before %s; reading begins there and not at %s.",
        kept.isoformat(timespec="minutes"),
        at.isoformat(timespec="minutes"),
    )
    return kept


def _to_call(raw: msgspec.Raw) -> JsonObject:
    try:
        call = to_object(msgspec.json.decode(raw))
    except (msgspec.DecodeError, RecursionError):
        call = {}
    if not isinstance(call.get("id"), str):
        raise VapiError("VAPI lists a call without an id.")
    return call


def _telling(call: JsonObject) -> object:
    """What two lists that hold the call, unchanged in between, say of it alike."""
    return call["id"], call.get("updatedAt")


def _created_at(call: JsonObject) -> datetime:
    created = to_moment(call.get("createdAt"))
    if created is None:
        raise VapiError("VAPI lists a call without the time it was made.")
    return created
