"""Access keys for the API and the pages, each bound to one user and workspace.

Keeps only SHA-256 digests: the keys are random enough that a slow hash would add nothing.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, insert, select, update
from uuid_utils import uuid7

from target_hubspot_calls.errors import CallSyncError
from target_hubspot_calls.store.database import reading, writing
from target_hubspot_calls.store.schema import access_keys

_PREFIX = "hck_"


class UnknownAccessKey(CallSyncError):
    """No access key has this id."""

    def __init__(self, key_id: str) -> None:
        super().__init__(f"There is no access key {key_id}; `hubspot-calls keys list` shows them.")


@dataclass(frozen=True)
class AccessKey:
    """What an access key opens; `hint` is the key's last four characters."""

    id: str
    user_id: str
    workspace_id: str
    hint: str
    created_at: datetime
    revoked_at: datetime | None


_SHOWN = tuple(access_keys.c[name] for name in AccessKey.__dataclass_fields__)


class AccessKeys:
    """The access keys of all workspaces. Every method raises StoreUnavailable."""

    def __init__(
        self, engine: Engine, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._engine = engine
        self._clock = clock

    def create(self, user_id: str, workspace_id: str) -> tuple[AccessKey, str]:
        """A new access key and its text, which can be had only now."""
        text = _PREFIX + secrets.token_urlsafe(32)
        key = AccessKey(
            id=str(uuid7()),
            user_id=user_id,
            workspace_id=workspace_id,
            hint=text[-4:],
            created_at=self._clock(),
            revoked_at=None,
        )
        with writing(self._engine) as connection:
            connection.execute(insert(access_keys).values(**vars(key), digest=_digest(text)))
        return key, text

    def authenticate(self, key: str) -> AccessKey | None:
        """What `key` opens, or None if it is unknown or revoked."""
        if not key.startswith(_PREFIX):
            return None
        # Looked up by digest: what the time of the answer tells of a digest leads to no key.
        found = self._select(
            access_keys.c.digest == _digest(key), access_keys.c.revoked_at.is_(None)
        )
        return found[0] if found else None

    def list(
        self, user_id: str | None = None, workspace_id: str | None = None
    ) -> tuple[AccessKey, ...]:
        """All access keys, or those of a user or workspace, revoked ones too, oldest first."""
        conditions = []
        if user_id is not None:
            conditions.append(access_keys.c.user_id == user_id)
        if workspace_id is not None:
            conditions.append(access_keys.c.workspace_id == workspace_id)
        return self._select(*conditions)

    def revoke(self, key_id: str) -> None:
        """Takes the key out of use, for good. Raises UnknownAccessKey."""
        if not self._select(access_keys.c.id == key_id):
            raise UnknownAccessKey(key_id)
        with writing(self._engine) as connection:
            connection.execute(
                update(access_keys)
                .where(access_keys.c.id == key_id, access_keys.c.revoked_at.is_(None))
                .values(revoked_at=self._clock())
            )

    def _select(self, *conditions: Any) -> tuple[AccessKey, ...]:
        chosen = select(*_SHOWN).where(*conditions).order_by(access_keys.c.id)
        with reading(self._engine) as connection:
            return tuple(AccessKey(**row._mapping) for row in connection.execute(chosen))


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()
