"""Who works on one store now: how many runs live, and who has an office.

Reads only, by the server's clock where there is one; who counts as alive for takeovers is the
business of `delivery`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Engine, func, select

from target_hubspot_calls.store.database import is_shared, reading, server_time
from target_hubspot_calls.store.runs import DEAD_AFTER
from target_hubspot_calls.store.schema import elections, runs


@dataclass(frozen=True)
class SharedWork:
    """What one look at the store shows."""

    runs: int | None
    """How many deliver; None where the store is one machine's, which knows that otherwise."""
    holder: str | None
    """Who has the office asked for; None where nobody has it now."""


def load_shared_work(engine: Engine, office: str) -> SharedWork:
    """Who works now. Raises StoreUnavailable."""
    with reading(engine) as connection:
        now = server_time(connection) or datetime.now(UTC)
        alive = None
        if is_shared(engine):
            heard = runs.c.seen_at > now - DEAD_AFTER
            alive = connection.scalar(select(func.count()).select_from(runs).where(heard))
        holding = (elections.c.office == office) & (elections.c.expires_at > now)
        holder = connection.scalar(select(elections.c.holder).where(holding))
    return SharedWork(alive, holder)
