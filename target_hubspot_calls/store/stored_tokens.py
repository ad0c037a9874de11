"""The tokens of one connection: opened, renewed and claimed for renewal, never printed.

Knows neither HTTP nor when a token should be renewed; that is the business of `hubspot/auth.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, or_, select, update

from target_hubspot_calls.errors import NotConnected
from target_hubspot_calls.store.database import reading, server_time, writing
from target_hubspot_calls.store.schema import connections
from target_hubspot_calls.store.vault import Vault
from target_hubspot_calls.tokens import TokenSet


def seal_tokens(vault: Vault, tokens: TokenSet) -> bytes:
    """The tokens as stored, unreadable without the key."""
    return vault.encrypt(msgspec.json.encode(tokens).decode())


def open_tokens(vault: Vault, sealed: bytes) -> TokenSet:
    """The tokens that were sealed. Raises WrongEncryptionKey."""
    return msgspec.json.decode(vault.decrypt(sealed), type=TokenSet)


@dataclass(frozen=True)
class _Claim:
    """Who may renew the tokens, and as what they were stored when it was allowed to."""

    holder: str
    sealed: bytes = field(repr=False)


class StoredTokens:
    """Tokens of one connection, shared by every process; its methods work in a thread.

    Once the connection has been removed or replaced, `load` and `save` raise NotConnected, so that
    an old grant neither comes back nor overwrites a new one.
    """

    def __init__(
        self,
        engine: Engine,
        vault: Vault,
        connection_id: str,
        *,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        """Without a `clock` it is the store's: that of PostgreSQL's server, else this machine's."""
        self._engine = engine
        self._vault = vault
        self._id = connection_id
        self._clock = clock
        # The claim that was made through this object and has not ended here yet.
        self._claim: _Claim | None = None

    async def load(self) -> TokenSet:
        """The tokens as they are now. Raises NotConnected, WrongEncryptionKey, StoreUnavailable."""
        return await asyncio.to_thread(self._load)

    async def save(self, tokens: TokenSet) -> None:
        """Stores renewed tokens and ends the claim. Raises NotConnected, StoreUnavailable.

        Where the claim ran out and another has renewed them since, theirs stay: they are newer.
        """
        await asyncio.to_thread(self._save, tokens)

    async def claim_refresh(self, holder: str, for_s: float = 30) -> bool:
        """True for one holder at a time: it alone may renew, for `for_s` seconds at most.

        Whoever gets it reads the tokens again first: another may just have renewed them.
        """
        return await asyncio.to_thread(self._claim_refresh, holder, for_s)

    async def release_refresh(self, holder: str) -> None:
        """Ends the claim of `holder`, and nobody else's."""
        await asyncio.to_thread(self._release_refresh, holder)

    def _load(self) -> TokenSet:
        with reading(self._engine) as connection:
            sealed = connection.scalar(
                select(connections.c.tokens).where(connections.c.id == self._id)
            )
        if sealed is None:
            raise self._gone()
        return open_tokens(self._vault, sealed)

    def _save(self, tokens: TokenSet) -> None:
        changes: dict[str, Any] = {
            "tokens": seal_tokens(self._vault, tokens),
            "expires_at": tokens.expires_at,
            "refresh_holder": None,
            "refresh_until": None,
        }
        if tokens.scopes:
            changes["scopes"] = list(tokens.scopes)
        if tokens.portal_id is not None:
            changes["portal_id"] = tokens.portal_id
        this_one = connections.c.id == self._id
        may_write = update(connections).where(this_one)
        if (claim := self._claim) is not None:
            # Whoever was stopped for longer than its claim lasted may bring an old answer. Where
            # nobody has renewed them yet it is none, whoever is about to.
            may_write = may_write.where(
                or_(
                    connections.c.refresh_holder == claim.holder,
                    connections.c.tokens == claim.sealed,
                )
            )
        with writing(self._engine, by_rows=True) as connection:
            changes["updated_at"] = self._now(connection)
            saved = connection.execute(may_write.values(changes)).rowcount
            is_there = saved or connection.scalar(select(connections.c.id).where(this_one))
        self._claim = None
        if not is_there:
            raise self._gone()

    def _claim_refresh(self, holder: str, for_s: float) -> bool:
        with writing(self._engine, by_rows=True) as connection:
            now = self._now(connection)
            free = or_(connections.c.refresh_holder.is_(None), connections.c.refresh_until <= now)
            claim = (
                update(connections)
                .where(connections.c.id == self._id, free)
                .values(refresh_holder=holder, refresh_until=now + timedelta(seconds=for_s))
            )
            found = connection.execute(claim.returning(connections.c.tokens)).first()
        if found is None:
            return False
        self._claim = _Claim(holder, found.tokens)
        return True

    def _release_refresh(self, holder: str) -> None:
        if self._claim is not None and self._claim.holder == holder:
            self._claim = None
        with writing(self._engine, by_rows=True) as connection:
            connection.execute(
                update(connections)
                .where(connections.c.id == self._id, connections.c.refresh_holder == holder)
                .values(refresh_holder=None, refresh_until=None)
            )

    def _now(self, connection: Connection) -> datetime:
        if self._clock is not None:
            return self._clock()
        return server_time(connection) or datetime.now(UTC)

    def _gone(self) -> NotConnected:
        return NotConnected(
            "The HubSpot connection was removed or replaced meanwhile; the call waits for the"
            " workspace's connection."
        )
