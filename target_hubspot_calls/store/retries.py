"""Puts calls that stand at error or skipped back in line, due now.

Knows the ledger's rows and not why a call failed; a call that is in HubSpot is never touched.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, cast

from sqlalchemy import (
    ColumnElement,
    Connection,
    CursorResult,
    Engine,
    and_,
    case,
    func,
    not_,
    or_,
    select,
    update,
)

from target_hubspot_calls.call import Workspace
from target_hubspot_calls.errors import Status
from target_hubspot_calls.store.database import reading, writing
from target_hubspot_calls.store.ledger_rows import DUE
from target_hubspot_calls.store.schema import calls as table

# Parameters of one statement stay far below SQLite's limit of 32,766.
_KEYS_PER_STATEMENT = 500
_UNDONE = (Status.ERROR.value, Status.SKIPPED.value)


class CallRetry(StrEnum):
    """What asking for one call again came to."""

    QUEUED = "queued"
    IN_LINE = "in_line"
    WRITTEN = "written"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Retried:
    """How many undone calls match, and how many of them were put in line or are there already."""

    matched: int
    queued: int
    in_line: int


@dataclass(frozen=True)
class RetryFilter:
    """Which undone calls, by their latest outcome; None lets everything pass.

    `since` and `until` bound when that outcome came. `query` is looked for in call id, number,
    message and contact id; `digits` are those of a number it may be. `numbers` are ways to write
    one number, `number_end` is how it may end.
    """

    user_id: str | None = None
    workspace_id: str | None = None
    call_id: str | None = None
    status: str | None = None
    reason: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    phone_number: str | None = None
    query: str | None = None
    digits: str | None = None
    numbers: tuple[str, ...] = ()
    number_end: str | None = None

    @property
    def reads_records(self) -> bool:
        """True if no column says whether a call matches."""
        return bool(self.phone_number or self.query or self.numbers)

    def fits(self, call_id: str, message: str | None, contact_id: str | None, record: str) -> bool:
        """Whether what no column says matches."""
        number = json.loads(record).get("customer_number") or ""
        if self.phone_number and number != self.phone_number:
            return False
        ends_so = self.number_end is not None and number.endswith(self.number_end)
        if self.numbers and number not in self.numbers and not ends_so:
            return False
        if not self.query:
            return True
        query = self.query.lower()
        return (
            query in call_id.lower()
            or self.query in number
            or bool(self.digits and self.digits in number)
            or query in (message or "").lower()
            or self.query in (contact_id or "")
        )


class Retries:
    """Calls of all workspaces, put back in line. Every method raises StoreUnavailable."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def count(self, wanted: RetryFilter, *, now: datetime) -> Retried:
        """What `put_back` would come to now; nothing is changed."""
        with reading(self._engine) as connection:
            if not wanted.reads_records:
                return _counted(connection, [_is_wanted(wanted)], now)
            counts = Retried(0, 0, 0)
            for keys in _chunks(list(_matching(connection, wanted))):
                counts = _sum(counts, _counted(connection, [_is_wanted(wanted), _is_in(keys)], now))
            return counts

    def put_back(self, wanted: RetryFilter, *, now: datetime) -> Retried:
        """Makes the calls due now with their tries counted anew; asking twice changes nothing."""
        if not wanted.reads_records:
            return self._put_back([_is_wanted(wanted)], now)
        with reading(self._engine) as connection:
            matching = list(_matching(connection, wanted))
        counts = Retried(0, 0, 0)
        for keys in _chunks(matching):
            counts = _sum(counts, self._put_back([_is_wanted(wanted), _is_in(keys)], now))
        return counts

    def put_back_call(self, workspace: Workspace, call_id: str, *, now: datetime) -> CallRetry:
        """Makes one call due now, unless it is written, or in line already."""
        is_it = and_(
            table.c.user_id == workspace.user_id,
            table.c.workspace_id == workspace.workspace_id,
            table.c.call_id == call_id,
        )
        with writing(self._engine) as connection:
            status = connection.execute(select(table.c.status).where(is_it)).one_or_none()
            if status is None:
                return CallRetry.UNKNOWN
            if status[0] == Status.SUCCESS.value:
                return CallRetry.WRITTEN
            queued = _queue(connection, [is_it, table.c.status.in_(_UNDONE)], now)
        return CallRetry.QUEUED if queued else CallRetry.IN_LINE

    def _put_back(self, conditions: Sequence[ColumnElement[bool]], now: datetime) -> Retried:
        with writing(self._engine) as connection:
            counts = _counted(connection, conditions, now)
            _queue(connection, conditions, now)
        return counts


def _queue(connection: Connection, conditions: Sequence[ColumnElement[bool]], now: datetime) -> int:
    statement = (
        update(table)
        .where(*conditions, not_(_is_in_line(now)))
        .values(state=DUE, due_at=now, attempt=0, updated_at=now)
    )
    return cast("CursorResult[Any]", connection.execute(statement)).rowcount


def _counted(
    connection: Connection, conditions: Sequence[ColumnElement[bool]], now: datetime
) -> Retried:
    in_line = func.coalesce(func.sum(case((_is_in_line(now), 1), else_=0)), 0)
    matched, waiting = connection.execute(select(func.count(), in_line).where(*conditions)).one()
    return Retried(int(matched), int(matched) - int(waiting), int(waiting))


def _is_wanted(wanted: RetryFilter) -> ColumnElement[bool]:
    conditions: list[ColumnElement[bool]] = [table.c.status.in_(_UNDONE)]
    for name in ("user_id", "workspace_id", "call_id", "status", "reason"):
        if (value := getattr(wanted, name)) is not None:
            conditions.append(table.c[name] == value)
    if wanted.since is not None:
        conditions.append(table.c.settled_at >= wanted.since)
    if wanted.until is not None:
        conditions.append(table.c.settled_at < wanted.until)
    return and_(*conditions)


def _is_in_line(now: datetime) -> ColumnElement[bool]:
    """Due, or being delivered at this moment."""
    # Without the first half, a claim that is not there would make the whole neither true nor false.
    is_claimed = and_(table.c.claimed_until.is_not(None), table.c.claimed_until > now)
    return and_(table.c.state == DUE, or_(table.c.due_at <= now, is_claimed))


_Key = tuple[str, str, str]


def _matching(connection: Connection, wanted: RetryFilter) -> Iterator[_Key]:
    query = select(
        table.c.user_id,
        table.c.workspace_id,
        table.c.call_id,
        table.c.error_message,
        table.c.contact_id,
        table.c.record,
    ).where(_is_wanted(wanted))
    for row in connection.execution_options(yield_per=_KEYS_PER_STATEMENT).execute(query):
        if wanted.fits(row.call_id, row.error_message, row.contact_id, row.record):
            yield row.user_id, row.workspace_id, row.call_id


def _is_in(keys: Sequence[_Key]) -> ColumnElement[bool]:
    by_workspace: dict[tuple[str, str], list[str]] = {}
    for user_id, workspace_id, call_id in keys:
        by_workspace.setdefault((user_id, workspace_id), []).append(call_id)
    return or_(
        *(
            and_(
                table.c.user_id == user_id,
                table.c.workspace_id == workspace_id,
                table.c.call_id.in_(ids),
            )
            for (user_id, workspace_id), ids in by_workspace.items()
        )
    )


def _chunks(keys: Sequence[_Key]) -> Iterator[Sequence[_Key]]:
    return (keys[i : i + _KEYS_PER_STATEMENT] for i in range(0, len(keys), _KEYS_PER_STATEMENT))


def _sum(one: Retried, other: Retried) -> Retried:
    return Retried(
        one.matched + other.matched, one.queued + other.queued, one.in_line + other.in_line
    )
