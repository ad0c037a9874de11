"""Renews the tokens of all grants ahead of their end, for as long as the receiver runs.

Knows when and how often; how a token is renewed, and that one process does it at a time, is the
business of `hubspot/auth.py`.
"""

from __future__ import annotations

import asyncio
import logging
import random
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import TracebackType
from typing import Protocol

import httpx

from target_hubspot_calls.clock import Clock
from target_hubspot_calls.errors import (
    CallSyncError,
    NotConnected,
    ReconnectRequired,
    StoreUnavailable,
    TransientHubSpotError,
)
from target_hubspot_calls.hubspot.auth import PortalAuth, TokenStore
from target_hubspot_calls.hubspot.oauth import AppRefused, OAuthApp
from target_hubspot_calls.store.connections import Connection

logger = logging.getLogger("receiver")

LOOK_S = 30.0
# Ahead of whoever uses a token, who renews it 120 s before its end, and spread out.
_AHEAD_S = 300.0
_SPREAD_S = 300.0
_AT_ONCE = 4
_MOST_PER_LOOK = 5_000
_FIRST_WAIT_S, _LONGEST_WAIT_S = 30.0, 600.0
_END_S = 10.0

Send = Callable[[httpx.Request], Awaitable[httpx.Response]]


class ExpiringGrants(Protocol):
    """Where grants that end soon are found; may block. Raises StoreUnavailable."""

    def expiring(self, before: datetime, *, limit: int) -> tuple[Connection, ...]:
        """Living grants whose access token ends before that time."""


class KeptConnections(Protocol):
    """What is done to connections; may block. Raises StoreUnavailable."""

    def tokens(self, connection_id: str, /) -> TokenStore:
        """The tokens of one connection."""

    def require_reconnect(self, connection_id: str, detail: str, /) -> None:
        """Notes that the grant is dead until a person connects again."""


@dataclass
class _Trouble:
    """A grant that could not be renewed, and when to try it again."""

    failures: int
    again_at: float


class TokenKeeper:
    """An async context manager; while it is open, tokens are renewed before anybody needs them."""

    def __init__(
        self,
        grants: ExpiringGrants,
        connections: KeptConnections,
        app: OAuthApp,
        send: Send,
        *,
        clock: Clock | None = None,
        look_s: float = LOOK_S,
    ) -> None:
        self._grants = grants
        self._connections = connections
        self._app = app
        self._send = send
        self._clock = clock or Clock(random=random.Random().random)
        self._look_s = look_s
        self._troubles: dict[str, _Trouble] = {}
        self._stopping = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    async def __aenter__(self) -> TokenKeeper:
        self._running = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopping.set()
        if self._running is not None:
            # A renewal under way is let finish: its answer may hold the only token that works.
            await asyncio.wait([self._running], timeout=_END_S)
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    async def look(self) -> None:
        """Renews what ends soon, once. Raises StoreUnavailable."""
        now = self._clock.now()
        before = now + timedelta(seconds=_AHEAD_S + _SPREAD_S)
        found = await asyncio.to_thread(self._grants.expiring, before, limit=_MOST_PER_LOOK)
        self._forget_others({connection.id for connection in found})
        turns = asyncio.Semaphore(_AT_ONCE)

        async def renew(connection: Connection) -> None:
            async with turns:
                if not self._stopping.is_set():
                    await self._renew(connection)

        due = [one for one in found if self._is_due(one, now)]
        await asyncio.gather(*(renew(one) for one in due))

    async def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                await self.look()
            except StoreUnavailable as err:
                logger.warning("tokens are not renewed now: %s", err)
            except Exception as err:  # noqa: BLE001  one odd row must not end the renewing of all
                logger.error("renewing tokens failed with %s", type(err).__name__)
            await self._wait(self._look_s * (0.8 + 0.4 * self._clock.random()))

    async def _wait(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return

    def _is_due(self, connection: Connection, now: datetime) -> bool:
        trouble = self._troubles.get(connection.id)
        if trouble is not None and trouble.again_at > self._clock.monotonic():
            return False
        ends_at = connection.expires_at
        return ends_at is not None and (ends_at - now).total_seconds() < _ahead_s(connection)

    async def _renew(self, connection: Connection) -> None:
        tokens = self._connections.tokens(connection.id)
        auth = PortalAuth(
            tokens,
            self._app,
            now=self._clock.now,
            sleep=self._clock.sleep,
            refresh_margin_s=_ahead_s(connection),
        )
        try:
            stale = await tokens.load()
            try:
                await auth.renew_ahead(self._send)
            except AppRefused:
                raise
            except ReconnectRequired as err:
                if await tokens.load() == stale:
                    await self._give_up(connection, err)
                return
        except NotConnected:
            return
        except CallSyncError as err:
            self._note_trouble(connection, err)
            return
        self._troubles.pop(connection.id, None)

    async def _give_up(self, connection: Connection, err: ReconnectRequired) -> None:
        """The grant is dead: a person must connect again, and the page says so."""
        logger.warning("a HubSpot grant is dead, its workspace must connect again: %s", err)
        await asyncio.to_thread(self._connections.require_reconnect, connection.id, str(err))

    def _note_trouble(self, connection: Connection, err: CallSyncError) -> None:
        """Later, more and more rarely; told once, for a HubSpot that is away is nobody's alarm."""
        before = self._troubles.get(connection.id)
        failures = before.failures + 1 if before else 1
        wait_s = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2.0 ** min(failures - 1, 10))
        wait_s *= 0.5 + 0.5 * self._clock.random()
        level = logging.INFO
        if isinstance(err, TransientHubSpotError):
            wait_s = max(wait_s, err.retry_after_s or 0.0)
        elif not isinstance(err, StoreUnavailable):
            wait_s, level = _LONGEST_WAIT_S, logging.ERROR
        if before is None:
            logger.log(level, "a HubSpot token could not be renewed yet: %s", err)
        self._troubles[connection.id] = _Trouble(failures, self._clock.monotonic() + wait_s)

    def _forget_others(self, ids: set[str]) -> None:
        for connection_id in self._troubles.keys() - ids:
            del self._troubles[connection_id]


def _ahead_s(connection: Connection) -> float:
    """How long before its end the token is renewed: the same for one token, spread over all.

    At most a third of its life, so that a token made to live shortly is not renewed all the time.
    """
    ends_at = connection.expires_at
    if ends_at is None:
        return 0.0
    dice = zlib.crc32(f"{connection.id}{ends_at.isoformat()}".encode()) / 2**32
    life_s = max(0.0, (ends_at - connection.updated_at).total_seconds())
    return min(_AHEAD_S + _SPREAD_S * dice, life_s / 3)
