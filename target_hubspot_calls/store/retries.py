"""Puts calls that stand at error or skipped back in line, due now.

Knows the ledger's rows and not why a call failed; a call that is in HubSpot is never touched.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Select,
    and_,
    case,
    false,
    func,
    or_,
    select,
    text,
    update,
)

from target_hubspot_calls.call import Workspace
from target_hubspot_calls.errors import Status
from target_hubspot_calls.store.database import reading, writing
from target_hubspot_calls.store.ledger_rows import DUE, FORGOTTEN, number_column
from target_hubspot_calls.store.row_locks import in_order
from target_hubspot_calls.store.schema import UNDONE
from target_hubspot_calls.store.schema import calls as table

# So many are named in one statement: parameters stay far below SQLite's limit of 32,766.
_KEYS_PER_STATEMENT = 500
# So many are put in line in one transaction, as it holds up everybody else who writes.
PIECE = 100
# Who waits for SQLite looks again every now and then, so the store is then left alone for a while:
# at least so long, and as long as it was held.
_SHORTEST_PAUSE_S = 0.01
_IS_UNDONE = text(UNDONE)
# Of the others the data was deleted: there is nothing left to send.
_IS_KEPT = table.c.state != FORGOTTEN


class CallKey(NamedTuple):
    """What names one call."""

    user_id: str
    workspace_id: str
    call_id: str


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
class UndoneGroup:
    """Calls of one workspace that stand so: how many are not in line, and how many are already."""

    workspace: Workspace
    status: str
    reason: str
    queued: int
    in_line: int


@dataclass(frozen=True)
class NewOutcome:
    """What became of a call after it was put in line; `due_at` is when it is tried again."""

    key: CallKey
    status: str
    reason: str
    message: str | None
    due_at: datetime | None


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

    def fits(
        self, call_id: str, number: str | None, message: str | None, contact_id: str | None
    ) -> bool:
        """Whether a call has the text that is looked for."""
        if not self.query:
            return True
        query, number = self.query.lower(), number or ""
        return (
            query in call_id.lower()
            or self.query in number
            or bool(self.digits and self.digits in number)
            or query in (message or "").lower()
            or self.query in (contact_id or "")
        )


def total_of(groups: Iterable[UndoneGroup]) -> Retried:
    """The counts of all groups together."""
    queued = in_line = 0
    for group in groups:
        queued += group.queued
        in_line += group.in_line
    return Retried(queued + in_line, queued, in_line)


class Retries:
    """Calls of all workspaces, put back in line. Every method raises StoreUnavailable."""

    def __init__(
        self,
        engine: Engine,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._engine = engine
        self._monotonic = monotonic
        self._sleep = sleep

    def count(self, wanted: RetryFilter, *, now: datetime) -> Retried:
        """What `put_back` would come to now; nothing is changed."""
        return total_of(self.groups(wanted, now=now))

    def groups(self, wanted: RetryFilter, *, now: datetime) -> list[UndoneGroup]:
        """The same by workspace, status and reason, most calls first; nothing is changed."""
        counts: dict[tuple[str, str, str, str], tuple[int, int]] = {}
        with reading(self._engine) as connection:
            for conditions in self._conditions(connection, wanted):
                for *group, matched, waiting in connection.execute(_counted(conditions, now)):
                    user_id, workspace_id, status, reason = group
                    key = (user_id, workspace_id, status, reason or "")
                    before = counts.get(key, (0, 0))
                    counts[key] = (before[0] + matched - waiting, before[1] + waiting)
        groups = [
            UndoneGroup(Workspace(key[0], key[1]), key[2], key[3], *numbers)
            for key, numbers in counts.items()
        ]
        return sorted(
            groups, key=lambda each: (-each.queued - each.in_line, each.workspace, each.reason)
        )

    def put_back(
        self,
        wanted: RetryFilter,
        *,
        now: datetime,
        tell: Callable[[Sequence[CallKey]], None] = lambda keys: None,
    ) -> Retried:
        """Makes the calls due now with their tries counted anew; asking twice changes nothing.

        Does it in pieces, so that nobody waits for the store for long, and a call that meets the
        filter only later is left out. `tell` hears which calls each piece put in line.
        """
        with reading(self._engine) as connection:
            keys = list(_matching(connection, wanted))
        matched = queued = 0
        held_s = 0.0
        for number, piece in enumerate(_pieces(keys, PIECE)):
            if number:
                self._sleep(max(_SHORTEST_PAUSE_S, held_s))
            found, put, held_s = self._put_back(wanted, piece, now)
            matched, queued = matched + found, queued + len(put)
            tell(put)
        return Retried(matched, queued, matched - queued)

    def put_back_call(self, workspace: Workspace, call_id: str, *, now: datetime) -> CallRetry:
        """Makes one call due now, unless it is written, or in line already."""
        key = CallKey(workspace.user_id, workspace.workspace_id, call_id)
        with writing(self._engine, by_rows=True) as connection:
            query = select(table.c.status, _is_in_line(now)).where(_is_in([key]), _IS_KEPT)
            found = connection.execute(query.with_for_update()).one_or_none()
            if found is None:
                return CallRetry.UNKNOWN
            status, is_in_line = found
            if status == Status.SUCCESS.value:
                return CallRetry.WRITTEN
            if status is None or is_in_line:
                return CallRetry.IN_LINE
            _queue(connection, [key], now)
        return CallRetry.QUEUED

    def outcomes(self, keys: Iterable[CallKey], *, since: datetime) -> list[NewOutcome]:
        """What became of those calls that have been tried since then, in no order."""
        columns = (table.c.status, table.c.reason, table.c.error_message, table.c.due_at)
        found: list[NewOutcome] = []
        with reading(self._engine) as connection:
            for piece in _pieces(list(keys)):
                query = select(*_KEY, *columns).where(_is_in(piece), table.c.settled_at >= since)
                found += [
                    NewOutcome(CallKey(*row[:3]), *row[3:]) for row in connection.execute(query)
                ]
        return found

    def _conditions(
        self, connection: Connection, wanted: RetryFilter
    ) -> Iterator[ColumnElement[bool]]:
        """What together finds the calls: a text is looked for here, and its calls named by key."""
        if not wanted.query:
            yield _is_wanted(wanted)
            return
        for keys in _pieces(list(_matching(connection, wanted))):
            yield and_(_is_wanted(wanted), _is_in(keys))

    def _put_back(
        self, wanted: RetryFilter, keys: Sequence[CallKey], now: datetime
    ) -> tuple[int, list[CallKey], float]:
        """How many of the calls still match, which were put in line, and how long that took."""
        with writing(self._engine, by_rows=True) as connection:
            # From now on others wait.
            began = self._monotonic()
            wanted_here = (_is_wanted(wanted), _is_in(keys), _IS_KEPT)
            query = select(*_KEY, _is_in_line(now)).where(*wanted_here)
            query = query.order_by(*in_order(connection, _KEY)).with_for_update()
            found = connection.execute(query).all()
            queued = [CallKey(*row[:3]) for row in found if not row[3]]
            if queued:
                _queue(connection, queued, now)
        return len(found), queued, self._monotonic() - began


_KEY = (table.c.user_id, table.c.workspace_id, table.c.call_id)


def _queue(connection: Connection, keys: Sequence[CallKey], now: datetime) -> None:
    values = {"state": DUE, "due_at": now, "attempt": 0, "updated_at": now}
    connection.execute(update(table).where(_is_in(keys)).values(**values))


def _counted(condition: ColumnElement[bool], now: datetime) -> Select[Any]:
    groups = (table.c.user_id, table.c.workspace_id, table.c.status, table.c.reason)
    in_line = func.coalesce(func.sum(case((_is_in_line(now), 1), else_=0)), 0)
    return select(*groups, func.count(), in_line).where(condition, _IS_KEPT).group_by(*groups)


def _is_wanted(wanted: RetryFilter) -> ColumnElement[bool]:
    conditions: list[ColumnElement[bool]] = []
    for name in ("user_id", "workspace_id", "call_id", "status", "reason"):
        if (value := getattr(wanted, name)) is not None:
            conditions.append(table.c[name] == value)
    if wanted.since is not None:
        conditions.append(table.c.settled_at >= wanted.since)
    if wanted.until is not None:
        conditions.append(table.c.settled_at < wanted.until)
    if wanted.phone_number:
        conditions.append(_has_number([wanted.phone_number]))
    if wanted.numbers:
        end = table.c.customer_number.endswith(wanted.number_end or "", autoescape=True)
        ends_so = false() if wanted.number_end is None else end
        conditions.append(or_(_has_number(wanted.numbers), ends_so))
    return and_(_IS_UNDONE, *conditions)


def _has_number(numbers: Iterable[str]) -> ColumnElement[bool]:
    return table.c.customer_number.in_([number_column(number) for number in numbers])


def _is_in_line(now: datetime) -> ColumnElement[bool]:
    """Due, or being delivered at this moment."""
    # Without the first half, a claim that is not there would make the whole neither true nor false.
    is_claimed = and_(table.c.claimed_until.is_not(None), table.c.claimed_until > now)
    return and_(table.c.state == DUE, or_(table.c.due_at <= now, is_claimed))


def _matching(connection: Connection, wanted: RetryFilter) -> Iterator[CallKey]:
    """The calls, in the order of their keys; only a search for a text reads more than the index."""
    texts = (table.c.customer_number, table.c.error_message, table.c.contact_id)
    columns = (*_KEY, *texts) if wanted.query else _KEY
    query = select(*columns).where(_is_wanted(wanted)).order_by(*_KEY)
    for row in connection.execution_options(yield_per=_KEYS_PER_STATEMENT).execute(query):
        if not wanted.query or wanted.fits(*row[2:]):
            yield CallKey(*row[:3])


def _is_in(keys: Sequence[CallKey]) -> ColumnElement[bool]:
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


def _pieces(
    keys: Sequence[CallKey], size: int = _KEYS_PER_STATEMENT
) -> Iterator[Sequence[CallKey]]:
    return (keys[i : i + size] for i in range(0, len(keys), size))
