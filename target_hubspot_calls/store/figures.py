"""Figures of the whole store for whoever watches over it: counts and ages, nobody's names.

Reads only; the ledger's counts look at every call, so callers keep them for a while.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, func, select

from target_hubspot_calls.store.database import reading
from target_hubspot_calls.store.ledger_rows import DUE, WAITING
from target_hubspot_calls.store.schema import calls, connections, outbox


@dataclass(frozen=True)
class CallCount:
    """How many calls stand so; status and reason are None before the first outcome."""

    state: str
    status: str | None
    reason: str | None
    count: int


@dataclass(frozen=True)
class StoreFigures:
    """What the store says of itself at one moment, over all workspaces.

    `oldest_open_at` is when the call was accepted that has waited longest for a lasting outcome;
    `token_expires_at` when the first stored token dies that is still in use.
    """

    calls: tuple[CallCount, ...]
    oldest_open_at: datetime | None
    outbox_rows: int
    connections: Mapping[tuple[str, str], int]
    """How many, by kind and state."""
    token_expires_at: datetime | None


def load_figures(engine: Engine) -> StoreFigures:
    """The figures now, of one moment. Raises StoreUnavailable."""
    with reading(engine) as connection:
        return StoreFigures(
            calls=_call_counts(connection),
            oldest_open_at=connection.scalar(
                select(func.min(calls.c.accepted_at)).where(calls.c.state.in_((DUE, WAITING)))
            ),
            outbox_rows=connection.scalar(select(func.count()).select_from(outbox)) or 0,
            connections=_connection_counts(connection),
            token_expires_at=connection.scalar(
                select(func.min(connections.c.expires_at)).where(connections.c.state == "active")
            ),
        )


def _call_counts(connection: Connection) -> tuple[CallCount, ...]:
    columns = (calls.c.state, calls.c.status, calls.c.reason)
    rows = connection.execute(select(*columns, func.count()).group_by(*columns))
    return tuple(CallCount(*row) for row in rows)


def _connection_counts(connection: Connection) -> dict[tuple[str, str], int]:
    columns = (connections.c.kind, connections.c.state)
    rows: Any = connection.execute(select(*columns, func.count()).group_by(*columns))
    return {(kind, state): count for kind, state, count in rows}
