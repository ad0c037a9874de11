"""Which calls a caller's data is in, by number, e-mail address, call id or age: asked of the store.

Reads only; what is deleted of them is the business of `forgetting.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Engine,
    Row,
    and_,
    func,
    select,
    text,
    true,
)

from target_hubspot_calls.call import Workspace
from target_hubspot_calls.store.database import is_shared, reading
from target_hubspot_calls.store.forgotten import BEGUN, PERSONAL_COLUMNS
from target_hubspot_calls.store.ledger_conditions import CallKey, is_of
from target_hubspot_calls.store.ledger_rows import FORGOTTEN, SETTLED, call_of
from target_hubspot_calls.store.row_locks import pieces
from target_hubspot_calls.store.schema import calls as table
from target_hubspot_calls.store.schema import new_contacts, outbox

_ROWS_AT_ONCE = 500
_ESCAPE = "/"

IsCaller = Callable[[str], bool]
"""Whether a written number, or e-mail address, is the caller's."""


@dataclass(frozen=True)
class Sought:
    """Which calls; a call is meant if anything here names it, within the owner that is given.

    `digits` are the national ones of the number that `is_number` knows in all its spellings.
    """

    user_id: str | None = None
    workspace_id: str | None = None
    digits: str | None = None
    is_number: IsCaller = lambda written: False
    email: str | None = None
    call_ids: tuple[str, ...] = ()
    settled_before: datetime | None = None

    def is_of_owner(self, workspace: Workspace) -> bool:
        """Whether calls of this workspace are looked for at all."""
        return self.user_id in (None, workspace.user_id) and self.workspace_id in (
            None,
            workspace.workspace_id,
        )


@dataclass(frozen=True)
class LedgerCall:
    """A call that is sought, by its ledger row; `source` is the door it came by, where it says so.

    `is_forgotten` is True for one whose deletion was begun and may not have come to its end, and
    `may_be_written` where a note was announced and nobody knows whether HubSpot wrote it.
    """

    key: CallKey
    is_forgotten: bool
    number: str | None
    portal_id: int | None
    contact_id: str | None
    engagement_id: str | None
    engagement_type: str | None
    file_id: str | None
    may_be_written: bool
    source: str | None = None


class SoughtCalls:
    """Calls of all workspaces. Every method raises StoreUnavailable."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def find(self, sought: Sought) -> list[LedgerCall]:
        """The calls that are sought, and those whose deletion an earlier run did not end."""
        with reading(self._engine) as connection:
            spellings = list(_spellings(connection, table.c.customer_number, sought))
            found: dict[CallKey, LedgerCall] = {}
            for condition in _conditions(sought, spellings):
                query = select(table).where(_is_of_owner(sought), condition)
                rows = connection.execution_options(yield_per=_ROWS_AT_ONCE).execute(query)
                found |= {(call := _ledger_call(row)).key: call for row in rows}
        return list(found.values())

    def load(self, keys: Iterable[CallKey]) -> list[LedgerCall]:
        """Those of the calls that are in the ledger."""
        with reading(self._engine) as connection:
            return [_ledger_call(row) for row in _rows(connection, keys)]

    def in_history(self, sought: Sought) -> set[CallKey]:
        """The calls of the number in the history that several hosts share; none on SQLite."""
        if not is_shared(self._engine) or sought.digits is None:
            return set()
        with reading(self._engine) as connection:
            rows = connection.execute(_HISTORY_CALLS, {"pattern": _pattern(sought.digits)})
            return {
                key
                for *owner, call_id, number in rows
                if sought.is_number(number) and sought.is_of_owner((key := _key(owner, call_id))[0])
            }

    def in_outbox(self, keys: Collection[CallKey]) -> int:
        """How many rows of these calls wait for the sync log."""
        with reading(self._engine) as connection:
            return len(outbox_rows_of(connection, keys))

    def waits_in_outbox(self, keys: Collection[CallKey]) -> bool:
        """Whether any row of these calls waits, though it may tell of nobody any more."""
        with reading(self._engine) as connection:
            return bool(outbox_rows_of(connection, keys, all_rows=True))

    def count_history(self, keys: Collection[CallKey]) -> int:
        """How many rows of the shared history tell of these calls' people; 0 on SQLite."""
        if not is_shared(self._engine):
            return 0
        with reading(self._engine) as connection:
            return sum(
                connection.execute(_COUNT_HISTORY, parameters).scalar_one()
                for parameters in by_workspace(keys)
            )

    def contacts_created(self, numbers: Collection[str]) -> list[tuple[int, str]]:
        """Portal and contact id of each contact that was created for these E.164 numbers."""
        query = select(new_contacts.c.portal_id, new_contacts.c.contact_id).where(
            new_contacts.c.number.in_(list(numbers)), new_contacts.c.contact_id.is_not(None)
        )
        with reading(self._engine) as connection:
            return [(portal_id, contact_id) for portal_id, contact_id in connection.execute(query)]


IS_OF_CALLS = """
    user_id = :user_id AND workspace_id = :workspace_id AND call_id = ANY(CAST(:ids AS TEXT[]))
    AND ({personal})
""".format(personal=" OR ".join(f"{name} IS NOT NULL" for name in PERSONAL_COLUMNS))
_COUNT_HISTORY = text(f"SELECT count(*) FROM hubspot_sync_logs WHERE {IS_OF_CALLS}")  # noqa: S608
_HISTORY_CALLS = text("""
SELECT DISTINCT user_id, workspace_id, call_id, phone_number
FROM hubspot_sync_logs
WHERE call_id IS NOT NULL AND phone_number LIKE :pattern
""")


def _conditions(sought: Sought, spellings: Sequence[str]) -> Iterator[ColumnElement[bool]]:
    """Each finds some of the calls; a statement names no more keys than a database takes."""
    yield and_(table.c.state == FORGOTTEN, table.c.record_digest == BEGUN)
    for some in pieces(spellings):
        yield table.c.customer_number.in_(some)
    for some in pieces(set(sought.call_ids)):
        yield table.c.call_id.in_(some)
    if sought.email is not None:
        # The record is JSON without blanks; asking the database for it spares decoding them all.
        written = sought.email.lower().replace("\\", "\\\\").replace('"', '\\"')
        yield func.lower(table.c.record).contains(
            f'"customer_email":"{written}"', autoescape=True, escape=_ESCAPE
        )
    if sought.settled_before is not None:
        yield and_(table.c.state == SETTLED, table.c.settled_at < sought.settled_before)


def _is_of_owner(sought: Sought) -> ColumnElement[bool]:
    conditions: list[ColumnElement[bool]] = [true()]
    if sought.user_id is not None:
        conditions.append(table.c.user_id == sought.user_id)
    if sought.workspace_id is not None:
        conditions.append(table.c.workspace_id == sought.workspace_id)
    return and_(*conditions)


def _spellings(connection: Connection, column: Column[str | None], sought: Sought) -> Iterator[str]:
    """Every way in which the caller's number is written in a column."""
    if sought.digits is None:
        return
    query = select(column).where(column.like(_pattern(sought.digits))).distinct()
    for written in connection.execute(query).scalars():
        if written is not None and sought.is_number(written):
            yield written


def _pattern(digits: str) -> str:
    """What a text is like that has these digits in this order, whatever stands between them."""
    return f"%{'%'.join(digits)}%"


def _ledger_call(row: Row[Any]) -> LedgerCall:
    return LedgerCall(
        key=(Workspace(row.user_id, row.workspace_id), row.call_id),
        is_forgotten=row.state == FORGOTTEN,
        number=row.customer_number,
        portal_id=row.portal_id,
        contact_id=row.contact_id,
        engagement_id=row.engagement_id,
        engagement_type=row.engagement_type,
        file_id=row.file_id,
        may_be_written=row.intent is not None and row.engagement_id is None,
        source=call_of(row).source,
    )


def _rows(connection: Connection, keys: Iterable[CallKey]) -> Iterator[Row[Any]]:
    for workspace, call_ids in ids_by_workspace(keys).items():
        for ids in pieces(call_ids):
            query = select(table).where(is_of(workspace), table.c.call_id.in_(ids))
            yield from connection.execute(query)


def outbox_rows_of(
    connection: Connection, keys: Collection[CallKey], *, all_rows: bool = False
) -> dict[str, Mapping[str, Any]]:
    """Rows that tell of the calls' people, or all rows of the calls, by id."""
    wanted = set(keys)
    found: dict[str, Mapping[str, Any]] = {}
    last = ""
    while True:
        chosen = select(outbox.c.id, outbox.c.row).where(outbox.c.id > last)
        rows = connection.execute(chosen.order_by(outbox.c.id).limit(_ROWS_AT_ONCE)).all()
        for row_id, row in rows:
            owner = (row.get("user_id") or "", row.get("workspace_id") or "")
            is_told = all_rows or any(row.get(name) is not None for name in PERSONAL_COLUMNS)
            if is_told and _key(owner, row.get("call_id") or "") in wanted:
                found[row_id] = row
        if len(rows) < _ROWS_AT_ONCE:
            return found
        last = rows[-1].id


def by_workspace(keys: Iterable[CallKey]) -> Iterator[dict[str, Any]]:
    """The calls as parameters of statements: a workspace and some ids of its calls each."""
    for workspace, call_ids in ids_by_workspace(keys).items():
        for ids in pieces(call_ids):
            owner = {"user_id": workspace.user_id, "workspace_id": workspace.workspace_id}
            yield owner | {"ids": list(ids)}


def ids_by_workspace(keys: Iterable[CallKey]) -> dict[Workspace, set[str]]:
    """The ids of the calls of each workspace."""
    found: dict[Workspace, set[str]] = {}
    for workspace, call_id in keys:
        found.setdefault(workspace, set()).add(call_id)
    return found


def _key(owner: Sequence[str], call_id: str) -> CallKey:
    return Workspace(owner[0], owner[1]), call_id
