"""How far a stream that several hosts share has been read: the Singer state its target confirmed.

Knows who may move it, and that it never goes back; what a state says inside is the caller's
business.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Engine, delete, insert, select, update

from target_hubspot_calls.store.database import reading, writing
from target_hubspot_calls.store.schema import elections
from target_hubspot_calls.store.schema import sync_states as table


class SyncStates:
    """The states of all shared streams. Every method raises StoreUnavailable."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def load(self, stream: str) -> str | None:
        """The state saved last; None where nothing has been confirmed yet."""
        with reading(self._engine) as connection:
            return connection.scalar(select(table.c.state).where(table.c.stream == stream))

    def save(
        self,
        stream: str,
        state: str,
        *,
        office: str,
        holder: str,
        is_older: Callable[[str, str], bool],
        now: datetime,
    ) -> bool:
        """Whether the state was kept: only of the office's last holder, and never an older one.

        `is_older` says of two states whether the first is behind the second. A holder whose time
        ran out still counts while nobody has followed: then nobody else has read anything.
        """
        this_one = table.c.stream == stream
        with writing(self._engine, by_rows=True) as connection:
            # Whoever wants to follow waits until this is done, and so do others who save.
            holding = connection.scalar(
                select(elections.c.holder).where(elections.c.office == office).with_for_update()
            )
            if holding != holder:
                return False
            known = connection.scalar(select(table.c.state).where(this_one))
            if known is None:
                row = {"stream": stream, "state": state, "updated_at": now}
                connection.execute(insert(table).values(row))
                return True
            if is_older(state, known):
                return False
            connection.execute(update(table).where(this_one).values(state=state, updated_at=now))
            return True

    def forget(self, stream: str) -> bool:
        """Whether there was a state to forget; the next reader begins at the beginning."""
        with writing(self._engine, by_rows=True) as connection:
            return bool(connection.execute(delete(table).where(table.c.stream == stream)).rowcount)
