"""Grants given by people in the browser: stored, taken back, and watched for their end.

Knows connections and what stood before them; sends nothing to HubSpot.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, delete, insert, not_, or_, select

from target_hubspot_calls.errors import CallSyncError, WrongEncryptionKey
from target_hubspot_calls.store.connections import (
    SHOWN,
    Connection,
    ConnectionKind,
    ConnectionState,
    connection_of,
    is_of,
    new_row,
)
from target_hubspot_calls.store.database import reading, writing
from target_hubspot_calls.store.schema import connections
from target_hubspot_calls.store.stored_tokens import open_tokens
from target_hubspot_calls.store.vault import Vault
from target_hubspot_calls.tokens import TokenSet


@dataclass(frozen=True)
class EndedConnection:
    """A connection that is gone from the store; `tokens` is None where no key opened them."""

    connection: Connection
    tokens: TokenSet | None


class PortalDiffers(CallSyncError):
    """The workspace is connected to another portal than the new grant leads to."""

    def __init__(self, connected: int, granted: int | None) -> None:
        super().__init__(f"The workspace is connected to portal {connected}, not to {granted}.")
        self.connected = connected
        self.granted = granted


class Grants:
    """The grants of all workspaces. Every method raises StoreUnavailable."""

    def __init__(
        self,
        engine: Engine,
        vault: Vault,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._engine = engine
        self._vault = vault
        self._clock = clock

    def store(
        self, user_id: str, workspace_id: str, tokens: TokenSet, *, may_change_portal: bool
    ) -> EndedConnection | None:
        """Connects the workspace, and returns what stood in its place.

        Raises PortalDiffers, and changes nothing, if that led to another portal and
        `may_change_portal` is not said.
        """
        row = new_row(
            self._vault, user_id, workspace_id, ConnectionKind.OAUTH, tokens, self._clock()
        )
        with writing(self._engine) as connection:
            before = self._load(connection, user_id, workspace_id)
            known = before.connection.portal_id if before else None
            if known is not None and known != tokens.portal_id and not may_change_portal:
                raise PortalDiffers(known, tokens.portal_id)
            connection.execute(delete(connections).where(is_of(user_id, workspace_id)))
            connection.execute(insert(connections).values(row))
        return before

    def take(self, user_id: str, workspace_id: str) -> EndedConnection | None:
        """Ends the workspace's connection, of whatever kind; None if it has none."""
        with writing(self._engine) as connection:
            before = self._load(connection, user_id, workspace_id)
            connection.execute(delete(connections).where(is_of(user_id, workspace_id)))
        return before

    def expiring(self, before: datetime, *, limit: int) -> tuple[Connection, ...]:
        """Grants that live and whose access token ends before that time, the first to end first.

        Without those of settings (their owner's name begins with a colon): another app may be set
        there, and who runs with those settings renews them.
        """
        chosen = (
            select(*SHOWN)
            .where(
                connections.c.kind == ConnectionKind.OAUTH,
                connections.c.state != ConnectionState.RECONNECT_REQUIRED,
                connections.c.expires_at < before,
                not_(connections.c.user_id.startswith(":")),
            )
            .order_by(connections.c.expires_at, connections.c.id)
            .limit(limit)
        )
        with reading(self._engine) as connection:
            return tuple(connection_of(row) for row in connection.execute(chosen))

    def is_in_use(self, tokens: TokenSet) -> bool:
        """True if a connection lives on this refresh token: revoking the token would end it."""
        chosen = select(connections.c.tokens).where(
            connections.c.kind == ConnectionKind.OAUTH,
            or_(connections.c.portal_id.is_(None), connections.c.portal_id == tokens.portal_id),
        )
        with reading(self._engine) as connection:
            held = [self._opened(sealed) for sealed in connection.scalars(chosen)]
        return any(one.refresh_token == tokens.refresh_token for one in held if one is not None)

    def _load(self, connection: Any, user_id: str, workspace_id: str) -> EndedConnection | None:
        row = connection.execute(
            select(*SHOWN, connections.c.tokens)
            .where(is_of(user_id, workspace_id))
            .with_for_update()
        ).first()
        if row is None:
            return None
        return EndedConnection(connection_of(row), self._opened(row.tokens))

    def _opened(self, sealed: bytes) -> TokenSet | None:
        """The tokens; what no key opens can be ended all the same."""
        try:
            return open_tokens(self._vault, sealed)
        except WrongEncryptionKey:
            return None
