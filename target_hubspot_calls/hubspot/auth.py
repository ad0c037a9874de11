"""The bearer token of one portal as an httpx auth flow: fresh before it is needed, once on 401.

It must not know where tokens are kept, nor what the request it signs is for.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Protocol

import httpx

from target_hubspot_calls.errors import ReconnectRequired, SettingsError, Unavailable
from target_hubspot_calls.hubspot.oauth import OAuthApp, utc_now
from target_hubspot_calls.tokens import TokenSet

REFRESH_MARGIN_S = 120.0
# Longer than the deadline of a token request, so a claim is never outlived by its own request.
CLAIM_S = 30.0
POLL_S = 0.25
_KEY = re.compile(r"[!-~]{1,1024}\Z")


class TokenStore(Protocol):
    """Where one portal's tokens live, perhaps shared with other processes."""

    async def load(self) -> TokenSet:
        """The tokens as they are now."""

    async def save(self, tokens: TokenSet) -> None:
        """Keeps the tokens; durable when it returns."""

    async def claim_refresh(self, holder: str, for_s: float = CLAIM_S) -> bool:
        """True if `holder` alone may refresh for so many seconds."""

    async def release_refresh(self, holder: str) -> None:
        """Ends the holder's claim, if it still has it."""


class MemoryTokens:
    """Tokens of one process: a refresh token from the settings, or a test's."""

    def __init__(self, tokens: TokenSet) -> None:
        self._tokens = tokens
        self._holder: str | None = None

    @classmethod
    def from_refresh_token(cls, refresh_token: str) -> MemoryTokens:
        """Tokens whose first use is a refresh. Raises SettingsError."""
        _check_key(refresh_token, "refresh_token")
        long_ago = datetime(1970, 1, 1, tzinfo=UTC)
        return cls(TokenSet("expired", refresh_token=refresh_token, expires_at=long_ago))

    async def load(self) -> TokenSet:
        """The tokens as they are now."""
        return self._tokens

    async def save(self, tokens: TokenSet) -> None:
        """Keeps the tokens for as long as the process lives."""
        self._tokens = tokens

    async def claim_refresh(self, holder: str, for_s: float = CLAIM_S) -> bool:
        """True unless another holder has claimed; for_s is not needed within one process."""
        if self._holder not in (None, holder):
            return False
        self._holder = holder
        return True

    async def release_refresh(self, holder: str) -> None:
        """Ends the holder's claim, if it still has it."""
        if self._holder == holder:
            self._holder = None


class StaticTokens(MemoryTokens):
    """A service key: it never expires and cannot be renewed. Raises SettingsError."""

    def __init__(self, key: str) -> None:
        _check_key(key, "service_key")
        super().__init__(TokenSet(key))


class _Turn:
    """One task's turn to refresh: `oauth` is None when the tokens are new already."""

    def __init__(self, tokens: TokenSet, oauth: OAuthApp | None = None) -> None:
        self.tokens = tokens
        self.oauth = oauth


class PortalAuth(httpx.Auth):
    """Bearer token of one portal. Refreshes once when stale, or once on 401."""

    def __init__(
        self,
        store: TokenStore,
        oauth: OAuthApp | None = None,
        *,
        now: Callable[[], datetime] = utc_now,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        refresh_margin_s: float = REFRESH_MARGIN_S,
    ) -> None:
        self._store = store
        self._oauth = oauth
        self._now = now
        self._sleep = sleep
        self._refresh_margin_s = refresh_margin_s
        self._lock = asyncio.Lock()
        self._holder = secrets.token_hex(8)

    async def async_auth_flow(
        self, request: httpx.Request
    ) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Signs the request. Raises ReconnectRequired, or what the token endpoint is down with."""
        tokens = await self._store.load()
        stale = tokens.expires_within(self._refresh_margin_s, now=self._now())
        while True:
            if stale:
                async with self._turn(tokens) as turn:
                    if turn.oauth is not None:
                        response = yield turn.oauth.refresh_request(tokens)
                        turn.tokens = await self._keep(response, tokens, turn.oauth)
                tokens = turn.tokens
            request.headers["Authorization"] = tokens.bearer()
            response = yield request
            if response.status_code != 401 or stale:
                return
            stale = True

    async def renew_ahead(self, send: Callable[[httpx.Request], Awaitable[httpx.Response]]) -> None:
        """Renews tokens that are stale, without a request of their own. Raises as the flow does."""
        tokens = await self._store.load()
        if not tokens.expires_within(self._refresh_margin_s, now=self._now()):
            return
        async with self._turn(tokens) as turn:
            if turn.oauth is not None:
                response = await send(turn.oauth.refresh_request(tokens))
                await self._keep(response, tokens, turn.oauth)

    @asynccontextmanager
    async def _turn(self, stale: TokenSet) -> AsyncIterator[_Turn]:
        async with self._lock:
            current = await self._store.load()
            if current != stale:
                yield _Turn(current)
                return
            oauth = self._app_for(stale)
            renewed = await self._claim(stale)
            if renewed is not None:
                yield _Turn(renewed)
                return
            try:
                yield _Turn(stale, oauth)
            finally:
                await self._store.release_refresh(self._holder)

    async def _claim(self, stale: TokenSet) -> TokenSet | None:
        """None when the claim is ours, else the tokens another process has just saved."""
        waited_s = 0.0
        while True:
            claimed = await self._store.claim_refresh(self._holder, CLAIM_S)
            current = await self._store.load()
            if current != stale:
                if claimed:
                    await self._store.release_refresh(self._holder)
                return current
            if claimed:
                return None
            if waited_s > 2 * CLAIM_S:
                raise Unavailable("another process has been refreshing the token for too long")
            await self._sleep(POLL_S)
            waited_s += POLL_S

    async def _keep(self, response: httpx.Response, stale: TokenSet, oauth: OAuthApp) -> TokenSet:
        """The new tokens, saved before their first use: the old ones may be dead by now."""
        await response.aread()
        try:
            fresh = oauth.read_tokens(response, previous=stale)
        except ReconnectRequired:
            current = await self._store.load()
            if current == stale:
                raise
            # Our claim ran out while we were stopped, and another renewed them: ours were old.
            return current
        await self._store.save(fresh)
        # Not what we saved where, for the same reason, another has renewed them since.
        return await self._store.load()

    def _app_for(self, stale: TokenSet) -> OAuthApp:
        if stale.refresh_token is None:
            raise ReconnectRequired(
                "service key refused by HubSpot (401): it was rotated or deleted; add a new one"
            )
        if self._oauth is None:
            raise ReconnectRequired(
                "the access token is stale and no client id and secret are set to renew it"
            )
        return self._oauth


def _check_key(key: str, setting: str) -> None:
    if not _KEY.match(key):
        raise SettingsError([f"{setting} is empty or has characters no token has"])
