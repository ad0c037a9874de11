"""Deletes what the operational store knows of a caller: ledger, outbox, history, created contacts.

The one place where rows of the ledger lose what they say. Knows nothing of the call stream, the
sync log's file, or who asked.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from sqlalchemy import (
    ColumnElement,
    Connection,
    CursorResult,
    Row,
    and_,
    bindparam,
    delete,
    text,
    update,
)

from target_hubspot_calls.call import Workspace
from target_hubspot_calls.store.database import is_shared, take_turn_to_accept, writing
from target_hubspot_calls.store.forgotten import (
    DONE,
    PERSONAL_COLUMNS,
    forgotten_values,
    without_person,
)
from target_hubspot_calls.store.ledger_conditions import CallKey, is_of, lock_calls
from target_hubspot_calls.store.ledger_rows import FORGOTTEN, call_of
from target_hubspot_calls.store.row_locks import pieces, update_in_order
from target_hubspot_calls.store.schema import calls as table
from target_hubspot_calls.store.schema import new_contacts, outbox
from target_hubspot_calls.store.sought_calls import (
    IS_OF_CALLS,
    SoughtCalls,
    by_workspace,
    ids_by_workspace,
    outbox_rows_of,
)

PIECE = 100
"""So many calls are changed in one transaction, as it holds up everybody else who writes."""


@dataclass(frozen=True)
class RowsForgotten:
    """What one transaction came to; calls that somebody delivers at this moment are `held`."""

    calls: int = 0
    held: frozenset[CallKey] = frozenset()
    outbox_rows: int = 0
    history_rows: int = 0


class Forgetting(SoughtCalls):
    """Deletes calls' data in the store. Every method raises StoreUnavailable."""

    def forget(
        self,
        keys: Sequence[CallKey],
        *,
        now: datetime,
        is_dead: Callable[[str], bool] = lambda holder: False,
    ) -> RowsForgotten:
        """Deletes what the calls' rows say, but of those that somebody delivers now.

        A call that has no row gets one, so that its report makes no call later either. Its rows on
        their way to the sync log, and in the history that several hosts share, change in the same
        transaction. At most PIECE calls at a time.
        """
        with writing(self._engine, by_rows=True) as connection:
            _overwrite_what_is_deleted(connection)
            take_turn_to_accept(connection)
            known = lock_calls(connection, keys)
            held = frozenset(k for k, row in known.items() if _is_held(row, now, is_dead))
            free = [key for key in keys if key not in held]
            begun = [key for key in free if key in known and known[key].state != FORGOTTEN]
            if begun:
                values = [_parameters(key, known[key], now) for key in begun]
                connection.execute(_FORGET, values)
            new = [key for key in free if key not in known]
            if new:
                connection.execute(table.insert(), [_new_row(key, now) for key in new])
            return RowsForgotten(
                calls=len(begun) + len(new),
                held=held,
                outbox_rows=_empty_outbox_rows(connection, free),
                history_rows=_empty_history(connection, free),
            )

    def forget_contacts(self, numbers: Collection[str], portal_ids: Collection[int] | None) -> int:
        """Deletes what is noted of contacts created for these E.164 numbers; returns how many."""
        condition: ColumnElement[bool] = new_contacts.c.number.in_(list(numbers))
        if portal_ids is not None:
            condition = and_(condition, new_contacts.c.portal_id.in_(list(portal_ids)))
        with writing(self._engine, by_rows=True) as connection:
            _overwrite_what_is_deleted(connection)
            return _count(connection.execute(delete(new_contacts).where(condition)))

    def finish(self, keys: Iterable[CallKey], *, now: datetime) -> None:
        """Notes that nothing of these calls is left anywhere."""
        for workspace, call_ids in ids_by_workspace(keys).items():
            for ids in pieces(call_ids):
                ours = (
                    is_of(workspace),
                    table.c.state == FORGOTTEN,
                    table.c.call_id.in_(ids),
                )
                with writing(self._engine, by_rows=True) as connection:
                    done = {"record_digest": DONE, "updated_at": now}
                    update_in_order(connection, table, ours, done)


_KEY_IS_GIVEN = and_(
    table.c.user_id == bindparam("k_user"),
    table.c.workspace_id == bindparam("k_workspace"),
    table.c.call_id == bindparam("k_call"),
)
_CHANGED = tuple(forgotten_values((Workspace("", ""), ""), None, datetime.min.replace(tzinfo=UTC)))
_FORGET = (
    update(table)
    .where(_KEY_IS_GIVEN)
    .values({name: bindparam(f"b_{name}", type_=table.c[name].type) for name in _CHANGED})
)

_EMPTY_HISTORY = text(
    "UPDATE hubspot_sync_logs SET "  # noqa: S608  names of columns, none of it from outside
    + ", ".join(f"{name} = NULL" for name in PERSONAL_COLUMNS)
    + f" WHERE {IS_OF_CALLS}"
)


def _is_held(row: Row[Any], now: datetime, is_dead: Callable[[str], bool]) -> bool:
    """Whether somebody may be writing this call to HubSpot at this moment."""
    if row.claimed_by is None or row.claimed_until is None or row.claimed_until <= now:
        return False
    return not is_dead(row.claimed_by)


def _parameters(key: CallKey, row: Row[Any], now: datetime) -> dict[str, Any]:
    workspace, call_id = key
    values = forgotten_values(key, call_of(row).source, now)
    return {f"b_{name}": value for name, value in values.items()} | {
        "k_user": workspace.user_id,
        "k_workspace": workspace.workspace_id,
        "k_call": call_id,
    }


def _new_row(key: CallKey, now: datetime) -> dict[str, Any]:
    """The row of a call that no target was ever given, and none shall be."""
    workspace, call_id = key
    owner = {"user_id": workspace.user_id, "workspace_id": workspace.workspace_id}
    return owner | {"call_id": call_id, "accepted_at": now} | forgotten_values(key, None, now)


def _empty_outbox_rows(connection: Connection, keys: Collection[CallKey]) -> int:
    rows = outbox_rows_of(connection, keys)
    for row_id, row in rows.items():
        connection.execute(
            update(outbox).where(outbox.c.id == row_id).values(row=without_person(row))
        )
    return len(rows)


def _empty_history(connection: Connection, keys: Collection[CallKey]) -> int:
    if not is_shared(connection.engine):
        return 0
    return sum(
        _count(connection.execute(_EMPTY_HISTORY, parameters)) for parameters in by_workspace(keys)
    )


def _overwrite_what_is_deleted(connection: Connection) -> None:
    """Has SQLite write zeros over what it deletes, which some builds of it do not by themselves."""
    if not is_shared(connection.engine):
        connection.exec_driver_sql("PRAGMA secure_delete = ON")


def _count(result: object) -> int:
    return cast("CursorResult[Any]", result).rowcount
