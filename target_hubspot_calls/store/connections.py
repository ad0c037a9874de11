"""Which workspace is connected to which portal, and how well that connection is.

Holds tokens only sealed and hands out none; opening them is the business of `stored_tokens.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Engine, and_, delete, insert, select, update
from uuid_utils import uuid7

from target_hubspot_calls.errors import SettingsError
from target_hubspot_calls.store.database import reading, writing
from target_hubspot_calls.store.row_locks import insert_if_new
from target_hubspot_calls.store.schema import connections
from target_hubspot_calls.store.sealed import (
    TOKENS,
    check_sealed,
    holds_sealed,
    reencrypt_sealed,
)
from target_hubspot_calls.store.stored_tokens import StoredTokens, seal_tokens
from target_hubspot_calls.store.vault import Vault
from target_hubspot_calls.tokens import TokenSet


class ConnectionKind(StrEnum):
    """How the portal let us in."""

    OAUTH = "oauth"
    SERVICE_KEY = "service_key"


class ConnectionState(StrEnum):
    """Whether calls can be delivered over the connection, or what a person must do first."""

    ACTIVE = "active"
    RECONNECT_REQUIRED = "reconnect_required"
    MISSING_SCOPE = "missing_scope"


@dataclass(frozen=True)
class Connection:
    """One workspace's connection to one portal, without its tokens.

    Connecting again makes a new one with a new id; what is reported about the old id has no effect.
    """

    id: str
    user_id: str
    workspace_id: str
    kind: ConnectionKind
    portal_id: int | None
    scopes: tuple[str, ...]
    expires_at: datetime | None
    state: ConnectionState
    state_detail: str | None
    blocked_until: datetime | None
    blocked_reason: str | None
    created_at: datetime
    updated_at: datetime


# Never the column with the tokens.
SHOWN = tuple(
    connections.c[name] for name in Connection.__dataclass_fields__ if name in connections.c
)


def holds_tokens(engine: Engine) -> bool:
    """True if anything sealed is stored: then a missing key file must not be made anew."""
    return holds_sealed(engine)


class Connections:
    """The connections of all workspaces. Every method raises StoreUnavailable."""

    def __init__(
        self,
        engine: Engine,
        vault: Vault,
        *,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        """Without a `clock` of the caller's, hosts agree on times by the store's own."""
        self._engine = engine
        self._vault = vault
        self._given_clock = clock
        self._clock = clock or (lambda: datetime.now(UTC))

    def add_service_key(self, user_id: str, workspace_id: str, key: str) -> Connection:
        """The workspace's new connection with a static key. Raises SettingsError for an odd key."""
        key = key.strip()
        if not key or not key.isascii() or not key.isprintable() or " " in key:
            raise SettingsError(["the service key is empty or has characters no key has"])
        return self._add(user_id, workspace_id, ConnectionKind.SERVICE_KEY, TokenSet(key))

    def add_oauth(self, user_id: str, workspace_id: str, tokens: TokenSet) -> Connection:
        """The workspace's new connection with the tokens of a grant."""
        return self._add(user_id, workspace_id, ConnectionKind.OAUTH, tokens)

    def keep_oauth(self, user_id: str, workspace_id: str, tokens: TokenSet) -> Connection:
        """The workspace's connection, made with these tokens only where there is none yet."""
        row = new_row(
            self._vault, user_id, workspace_id, ConnectionKind.OAUTH, tokens, self._clock()
        )
        this_one = is_of(user_id, workspace_id)
        with writing(self._engine, by_rows=True) as connection:
            known = connection.execute(select(*SHOWN).where(this_one)).first()
            if known is None:
                insert_if_new(connection, connections, row)
                known = connection.execute(select(*SHOWN).where(this_one)).one()
            return connection_of(known)

    def get(self, user_id: str, workspace_id: str) -> Connection | None:
        """The workspace's connection, or None if it has none."""
        found = self.list(user_id, workspace_id)
        return found[0] if found else None

    def list(
        self, user_id: str | None = None, workspace_id: str | None = None
    ) -> tuple[Connection, ...]:
        """All connections, or those of a user or workspace, oldest first."""
        chosen = select(*SHOWN).order_by(connections.c.id)
        if user_id is not None:
            chosen = chosen.where(connections.c.user_id == user_id)
        if workspace_id is not None:
            chosen = chosen.where(connections.c.workspace_id == workspace_id)
        with reading(self._engine) as connection:
            return tuple(connection_of(row) for row in connection.execute(chosen))

    def remove(self, user_id: str, workspace_id: str) -> bool:
        """True if there was a connection; it and its tokens are gone."""
        this_one = is_of(user_id, workspace_id)
        with writing(self._engine) as connection:
            return connection.execute(delete(connections).where(this_one)).rowcount > 0

    def set_portal(self, connection_id: str, portal_id: int) -> None:
        """Notes which portal the connection turned out to lead to."""
        self._change(connection_id, {"portal_id": portal_id})

    def require_reconnect(self, connection_id: str, detail: str) -> None:
        """Notes that the grant is dead until a person connects again; `detail` is a sentence."""
        self._change(
            connection_id,
            {"state": ConnectionState.RECONNECT_REQUIRED, "state_detail": detail},
        )

    def lack_scope(self, connection_id: str, detail: str) -> None:
        """Notes that a scope is missing until a person grants it; `detail` is a sentence."""
        self._change(
            connection_id, {"state": ConnectionState.MISSING_SCOPE, "state_detail": detail}
        )

    def block_until(self, connection_id: str, until: datetime, reason: str, detail: str) -> None:
        """Notes that the portal takes nothing before `until`; `detail` is a sentence."""
        self._change(
            connection_id,
            {"blocked_until": until, "blocked_reason": reason, "state_detail": detail},
        )

    def activate(self, connection_id: str) -> None:
        """Notes that the connection works: no state, wait or detail is left over."""
        self._change(
            connection_id,
            {
                "state": ConnectionState.ACTIVE,
                "state_detail": None,
                "blocked_until": None,
                "blocked_reason": None,
            },
        )

    def tokens(self, connection_id: str) -> StoredTokens:
        """The tokens of one connection, for `hubspot/auth.py`."""
        return StoredTokens(self._engine, self._vault, connection_id, clock=self._given_clock)

    def check_keys(self) -> None:
        """Raises WrongEncryptionKey if any stored tokens do not open with the keys given."""
        check_sealed(self._engine, self._vault, TOKENS)

    def reencrypt(self) -> int:
        """How many connections were put under the newest key; the others were already.

        Each is done by itself, so it may be broken off and started again. Raises
        WrongEncryptionKey, naming the connections no key opens, after all others are done.
        """
        return reencrypt_sealed(self._engine, self._vault, TOKENS)

    def _add(
        self, user_id: str, workspace_id: str, kind: ConnectionKind, tokens: TokenSet
    ) -> Connection:
        row = new_row(self._vault, user_id, workspace_id, kind, tokens, self._clock())
        with writing(self._engine) as connection:
            connection.execute(delete(connections).where(is_of(user_id, workspace_id)))
            connection.execute(insert(connections).values(row))
            chosen = select(*SHOWN).where(connections.c.id == row["id"])
            return connection_of(connection.execute(chosen).one())

    def _change(self, connection_id: str, changes: Mapping[str, Any]) -> None:
        with writing(self._engine, by_rows=True) as connection:
            connection.execute(
                update(connections)
                .where(connections.c.id == connection_id)
                .values({**changes, "updated_at": self._clock()})
            )


def is_of(user_id: str, workspace_id: str) -> ColumnElement[bool]:
    """The condition that a row is the workspace's."""
    return and_(connections.c.user_id == user_id, connections.c.workspace_id == workspace_id)


def new_row(
    vault: Vault,
    user_id: str,
    workspace_id: str,
    kind: ConnectionKind,
    tokens: TokenSet,
    now: datetime,
) -> dict[str, Any]:
    """The row of a connection that begins now."""
    return {
        "id": str(uuid7()),
        "user_id": user_id,
        "workspace_id": workspace_id,
        "kind": kind,
        "portal_id": tokens.portal_id,
        "tokens": seal_tokens(vault, tokens),
        "expires_at": tokens.expires_at,
        "scopes": list(tokens.scopes),
        "state": ConnectionState.ACTIVE,
        "created_at": now,
        "updated_at": now,
    }


def connection_of(row: Any) -> Connection:
    """The connection that a row with the columns of `SHOWN` holds."""
    fields = {name: row._mapping[name] for name in Connection.__dataclass_fields__}
    fields["kind"] = ConnectionKind(fields["kind"])
    fields["state"] = ConnectionState(fields["state"])
    fields["scopes"] = tuple(fields["scopes"])
    return Connection(**fields)
