"""A person's grant at HubSpot: the code of a callback for tokens, and its end.

It must not know whose grant it is nor where tokens are kept; no text of HubSpot's leaves it.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Self, TypeVar

import httpx

from target_hubspot_calls.errors import HubSpotError, Unavailable
from target_hubspot_calls.hubspot.exchange import fetch_response
from target_hubspot_calls.hubspot.oauth import OAuthApp
from target_hubspot_calls.hubspot.retry import RetryPolicy, is_worth_another_try, with_retry
from target_hubspot_calls.hubspot.transport import open_http
from target_hubspot_calls.tokens import TokenSet

logger = logging.getLogger(__name__)

Reply = TypeVar("Reply")

# A person is watching: a short wait is better than a long silence.
_PATIENCE = RetryPolicy(tries=3, total_wait_s=4.0)
_REVOKE_S = 10.0


class GrantClient:
    """The token endpoint of one app. Every method raises the HubSpotError family."""

    def __init__(
        self,
        app: OAuthApp,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        rng: random.Random | None = None,
    ) -> None:
        self.app = app
        self._http = open_http(app.api_url, transport=transport)
        self._sleep = sleep
        self._rng = rng or random.Random()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def send(self, request: httpx.Request) -> httpx.Response:
        """The answer, whatever its status. Raises Unavailable when there is none."""
        return await fetch_response(self._http, request)

    def authorize_url(self, state: str) -> str:
        """The address at which a person grants us access."""
        return self.app.authorize_url(state)

    async def exchange(self, code: str) -> TokenSet:
        """The tokens for a code, with portal and scopes. Raises ReconnectRequired, AppRefused."""
        request = self.app.exchange_request(code)

        async def once() -> TokenSet:
            return self.app.read_tokens(await self.send(request))

        # A code works once: if its first use had an answer that was lost, a second one is refused.
        tokens = await self._with_patience(once, worth=_was_never_sent)
        if tokens.portal_id is not None and tokens.scopes:
            return tokens
        return await self._completed(tokens)

    async def revoke(self, tokens: TokenSet) -> None:
        """Ends the grant at HubSpot; one that has ended already is no fault."""
        try:
            async with asyncio.timeout(_REVOKE_S):
                await self._revoke(tokens)
                if tokens.refresh_token is not None:
                    # Whether access tokens die with the refresh token is not documented.
                    await self._revoke(replace(tokens, refresh_token=None))
        except TimeoutError as err:
            raise Unavailable(f"no answer from HubSpot within {_REVOKE_S:g} s") from err

    async def _revoke(self, tokens: TokenSet) -> None:
        request = self.app.revoke_request(tokens)

        async def once() -> None:
            self.app.read_revoked(await self.send(request))

        await self._with_patience(once, worth=is_worth_another_try)

    async def _completed(self, tokens: TokenSet) -> TokenSet:
        """The tokens with what HubSpot knows of them; as they are where it does not say."""
        try:
            known = self.app.read_token_info(await self.send(self.app.info_request(tokens)))
        except HubSpotError as err:
            logger.info("what the new token is good for is not known: %s", err.reason)
            return tokens
        return replace(
            tokens,
            portal_id=tokens.portal_id if tokens.portal_id is not None else known.portal_id,
            scopes=tokens.scopes or known.scopes,
        )

    async def _with_patience(
        self, action: Callable[[], Awaitable[Reply]], worth: Callable[[BaseException], bool]
    ) -> Reply:
        return await with_retry(
            action, policy=_PATIENCE, sleep=self._sleep, rng=self._rng, worth=worth
        )


def _was_never_sent(err: BaseException) -> bool:
    return isinstance(err, Unavailable) and isinstance(
        err.__cause__, httpx.ConnectError | httpx.ConnectTimeout
    )
