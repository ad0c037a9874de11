"""People signed in to the pages: each session opens what its access key opens, and dies with it.

Keeps only digests of session ids; knows neither cookies nor requests.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Engine, and_, delete, insert, not_, select, update

from target_hubspot_calls.store.database import reading, writing
from target_hubspot_calls.store.schema import access_keys, sessions

IDLE = timedelta(hours=12)
LIFETIME = timedelta(days=7)
# One write a minute at most, however many requests a page makes.
_SEEN_AGAIN_AFTER = timedelta(minutes=1)


@dataclass(frozen=True)
class Session:
    """One signed-in browser; `expires_at` is when it ends even in use."""

    digest: bytes
    access_key_id: str
    user_id: str
    workspace_id: str
    created_at: datetime
    seen_at: datetime
    expires_at: datetime


class Sessions:
    """The sessions of all workspaces. Every method raises StoreUnavailable."""

    def __init__(
        self,
        engine: Engine,
        *,
        idle: timedelta = IDLE,
        lifetime: timedelta = LIFETIME,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._engine = engine
        self._idle = idle
        self._lifetime = lifetime
        self._clock = clock

    def create(self, access_key_id: str) -> tuple[Session, str] | None:
        """A new session and its id, which can be had only now; None if the key was revoked."""
        now = self._clock()
        session_id = secrets.token_urlsafe(32)
        row: dict[str, Any] = {
            "digest": _digest(session_id),
            "access_key_id": access_key_id,
            "created_at": now,
            "seen_at": now,
            "expires_at": now + self._lifetime,
        }
        with writing(self._engine) as connection:
            connection.execute(delete(sessions).where(not_(self._is_alive(now))))
            owner = connection.execute(
                select(access_keys.c.user_id, access_keys.c.workspace_id).where(
                    access_keys.c.id == access_key_id, access_keys.c.revoked_at.is_(None)
                )
            ).first()
            if owner is None:
                return None
            connection.execute(insert(sessions).values(row))
        return Session(user_id=owner.user_id, workspace_id=owner.workspace_id, **row), session_id

    def find(self, session_id: str, *, is_used: bool = True) -> Session | None:
        """The session, None if it has ended or its key was revoked.

        Noted as seen just now if it is used; one that is only looked at ends as if it were not.
        """
        now = self._clock()
        chosen = (
            select(sessions, access_keys.c.user_id, access_keys.c.workspace_id)
            .join(access_keys, access_keys.c.id == sessions.c.access_key_id)
            # Looked up by digest: what the time of the answer tells of a digest leads to no id.
            .where(sessions.c.digest == _digest(session_id))
            .where(access_keys.c.revoked_at.is_(None), self._is_alive(now))
        )
        with reading(self._engine) as connection:
            row = connection.execute(chosen).first()
        if row is None:
            return None
        session = Session(**row._mapping)
        if is_used and now - session.seen_at > _SEEN_AGAIN_AFTER:
            self._note_seen(session, now)
        return session

    def end(self, session: Session) -> None:
        """Signs the browser out."""
        with writing(self._engine) as connection:
            connection.execute(delete(sessions).where(sessions.c.digest == session.digest))

    def idle_until(self, session: Session) -> datetime:
        """When the session ends if nobody uses it any more."""
        return min(self._clock() + self._idle, session.expires_at)

    def _note_seen(self, session: Session, now: datetime) -> None:
        with writing(self._engine) as connection:
            connection.execute(
                update(sessions).where(sessions.c.digest == session.digest).values(seen_at=now)
            )

    def _is_alive(self, now: datetime) -> ColumnElement[bool]:
        return and_(sessions.c.expires_at > now, sessions.c.seen_at > now - self._idle)


def _digest(session_id: str) -> bytes:
    return hashlib.sha256(session_id.encode("utf-8", "replace")).digest()
