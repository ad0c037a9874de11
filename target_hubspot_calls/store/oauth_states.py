"""Consent under way at HubSpot: whose it is, in which browser, and that it comes back once.

Keeps only digests of states; knows neither HubSpot nor requests.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from sqlalchemy import Engine, delete, insert, select, update

from target_hubspot_calls.store.database import reading, writing
from target_hubspot_calls.store.schema import oauth_states

LIFETIME = timedelta(minutes=10)
# Kept a while after their end, so that people hear "expired" and not "unknown".
_KEPT = timedelta(days=1)
_MOST_PER_WORKSPACE = 50


class Standing(StrEnum):
    """Whether a state that came back may be used."""

    GOOD = "good"
    USED = "used"
    EXPIRED = "expired"


@dataclass(frozen=True)
class ReturnedState:
    """What was known when the state was given out. Only a good one leads on."""

    standing: Standing
    user_id: str
    workspace_id: str
    browser_digest: bytes | None
    options: Mapping[str, str]


class OAuthStates:
    """The states of all workspaces. Every method raises StoreUnavailable."""

    def __init__(
        self,
        engine: Engine,
        *,
        lifetime: timedelta = LIFETIME,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._engine = engine
        self._lifetime = lifetime
        self._clock = clock

    def create(
        self,
        user_id: str,
        workspace_id: str,
        *,
        browser_digest: bytes | None,
        options: Mapping[str, str],
    ) -> str:
        """A new state, 256 random bits, good for ten minutes and one use."""
        now = self._clock()
        state = secrets.token_urlsafe(32)
        row = {
            "digest": _digest(state),
            "user_id": user_id,
            "workspace_id": workspace_id,
            "browser_digest": browser_digest,
            "options": dict(options),
            "created_at": now,
            "expires_at": now + self._lifetime,
        }
        of_workspace = (
            oauth_states.c.user_id == user_id,
            oauth_states.c.workspace_id == workspace_id,
        )
        too_many = (
            select(oauth_states.c.digest)
            .where(*of_workspace)
            .order_by(oauth_states.c.created_at.desc(), oauth_states.c.digest)
            .offset(_MOST_PER_WORKSPACE - 1)
            .limit(1_000)
        )
        with writing(self._engine) as connection:
            connection.execute(delete(oauth_states).where(oauth_states.c.expires_at <= now - _KEPT))
            excess = connection.scalars(too_many).all()
            if excess:
                connection.execute(delete(oauth_states).where(oauth_states.c.digest.in_(excess)))
            connection.execute(insert(oauth_states).values(row))
        return state

    def use(self, state: str) -> ReturnedState | None:
        """What the state stands for, None if it was never given out. It is used up from now on."""
        now = self._clock()
        this_one = oauth_states.c.digest == _digest(state)
        with reading(self._engine) as connection:
            # Anybody can make up a state; none but ours may hold up who writes to the store.
            if connection.execute(select(oauth_states.c.digest).where(this_one)).first() is None:
                return None
        with writing(self._engine) as connection:
            claimed = connection.execute(
                update(oauth_states)
                .where(this_one, oauth_states.c.used_at.is_(None))
                .values(used_at=now)
            )
            row = connection.execute(select(oauth_states).where(this_one)).first()
        if row is None:
            return None
        standing = Standing.GOOD
        if row.expires_at <= now:
            standing = Standing.EXPIRED
        if claimed.rowcount == 0:
            standing = Standing.USED
        return ReturnedState(
            standing, row.user_id, row.workspace_id, row.browser_digest, row.options or {}
        )


def _digest(state: str) -> bytes:
    return hashlib.sha256(state.encode("utf-8", "replace")).digest()
