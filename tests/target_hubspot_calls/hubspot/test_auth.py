from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
import respx

from target_hubspot_calls.errors import (
    RateLimited,
    ReconnectRequired,
    SettingsError,
    Unavailable,
)
from target_hubspot_calls.hubspot.auth import MemoryTokens, PortalAuth, StaticTokens
from target_hubspot_calls.hubspot.client import HubSpotClient
from target_hubspot_calls.hubspot.oauth import OAuthApp
from target_hubspot_calls.tokens import TokenSet

URL = "https://api.hubapi.com/account-info/2026-09/details"
FRESH = {"access_token": "canary-access-2", "refresh_token": "canary-refresh-2", "expires_in": 1800}


class WatchedTokens(MemoryTokens):
    """Tokens that tell what was asked of them, in order."""

    def __init__(self, tokens: TokenSet, events: list[str]) -> None:
        super().__init__(tokens)
        self.events = events

    async def save(self, tokens: TokenSet) -> None:
        self.events.append(f"save {tokens.refresh_token}")
        await super().save(tokens)

    async def claim_refresh(self, holder: str, for_s: float = 30) -> bool:
        claimed = await super().claim_refresh(holder, for_s)
        self.events.append(f"claim {claimed}")
        return claimed

    async def release_refresh(self, holder: str) -> None:
        self.events.append("release")
        await super().release_refresh(holder)


@pytest.fixture
def an_auth(an_app: Callable[..., OAuthApp], clock: Any) -> Callable[..., PortalAuth]:
    def build(store: Any) -> PortalAuth:
        return PortalAuth(store, an_app(), now=clock.now, sleep=clock.sleep)

    return build


def a_reply(status: int, body: Any = None) -> httpx.Response:
    return httpx.Response(status, json=body or {})


def test_a_fresh_token_is_sent_as_it_is(
    an_auth: Callable[..., PortalAuth], a_token_set: Callable[..., TokenSet]
) -> None:
    events: list[str] = []

    async def scenario() -> None:
        flow = an_auth(WatchedTokens(a_token_set(), events)).async_auth_flow(
            httpx.Request("GET", URL)
        )
        request = await anext(flow)
        assert request.headers["Authorization"] == "Bearer canary-access-1"
        with pytest.raises(StopAsyncIteration):
            await flow.asend(a_reply(200))

    asyncio.run(scenario())

    assert events == []


def test_a_token_near_its_end_is_refreshed_and_saved_before_its_first_use(
    an_auth: Callable[..., PortalAuth], a_token_set: Callable[..., TokenSet], clock: Any
) -> None:
    events: list[str] = []
    tokens = a_token_set(expires_at=clock.now() + timedelta(seconds=119))

    async def scenario() -> None:
        flow = an_auth(WatchedTokens(tokens, events)).async_auth_flow(httpx.Request("GET", URL))
        refresh = await anext(flow)
        assert refresh.url.path == "/oauth/2026-09/token"
        assert "Authorization" not in refresh.headers
        assert b"refresh_token=canary-refresh-1" in refresh.content
        events.append("answered")
        request = await flow.asend(a_reply(200, FRESH))
        assert request.headers["Authorization"] == "Bearer canary-access-2"
        with pytest.raises(StopAsyncIteration):
            await flow.asend(a_reply(200))

    asyncio.run(scenario())

    assert events == ["claim True", "answered", "save canary-refresh-2", "release"]


def test_a_401_refreshes_once_and_sends_once_more(
    an_auth: Callable[..., PortalAuth], a_token_set: Callable[..., TokenSet]
) -> None:
    async def scenario() -> None:
        flow = an_auth(MemoryTokens(a_token_set())).async_auth_flow(httpx.Request("GET", URL))
        await anext(flow)
        refresh = await flow.asend(a_reply(401))
        assert refresh.url.path == "/oauth/2026-09/token"
        again = await flow.asend(a_reply(200, FRESH))
        assert again.headers["Authorization"] == "Bearer canary-access-2"
        with pytest.raises(StopAsyncIteration):
            await flow.asend(a_reply(401))

    asyncio.run(scenario())


def test_a_401_right_after_a_refresh_does_not_refresh_again(
    an_auth: Callable[..., PortalAuth], a_token_set: Callable[..., TokenSet], clock: Any
) -> None:
    async def scenario() -> None:
        store = MemoryTokens(a_token_set(expires_at=clock.now()))
        flow = an_auth(store).async_auth_flow(httpx.Request("GET", URL))
        await anext(flow)
        await flow.asend(a_reply(200, FRESH))
        with pytest.raises(StopAsyncIteration):
            await flow.asend(a_reply(401))

    asyncio.run(scenario())


def test_a_token_somebody_else_renewed_meanwhile_is_used(
    an_auth: Callable[..., PortalAuth], a_token_set: Callable[..., TokenSet]
) -> None:
    events: list[str] = []

    async def scenario() -> None:
        store = WatchedTokens(a_token_set(), events)
        flow = an_auth(store).async_auth_flow(httpx.Request("GET", URL))
        await anext(flow)
        await store.save(a_token_set(access_token="canary-access-9"))
        again = await flow.asend(a_reply(401))
        assert again.headers["Authorization"] == "Bearer canary-access-9"

    asyncio.run(scenario())

    assert events == ["save canary-refresh-1"]


def test_who_loses_the_claim_waits_and_rereads(
    an_auth: Callable[..., PortalAuth], a_token_set: Callable[..., TokenSet], clock: Any
) -> None:
    class Contested(MemoryTokens):
        async def load(self) -> TokenSet:
            if len(clock.slept) == 3:
                await self.save(a_token_set(access_token="canary-access-9"))
            return await super().load()

    async def scenario() -> None:
        store = Contested(a_token_set(expires_at=clock.now()))
        await store.claim_refresh("another process")
        request = await anext(an_auth(store).async_auth_flow(httpx.Request("GET", URL)))
        assert request.headers["Authorization"] == "Bearer canary-access-9"

    asyncio.run(scenario())

    assert clock.slept == [0.25] * 3


def test_who_loses_the_claim_takes_over_when_it_runs_out(
    an_auth: Callable[..., PortalAuth], a_token_set: Callable[..., TokenSet], clock: Any
) -> None:
    async def scenario() -> None:
        store = MemoryTokens(a_token_set(expires_at=clock.now()))
        await store.claim_refresh("a process that dies")

        async def sleep(seconds: float) -> None:
            await clock.sleep(seconds)
            if sum(clock.slept) >= 30:
                await store.release_refresh("a process that dies")

        auth = PortalAuth(store, an_auth(store)._oauth, now=clock.now, sleep=sleep)
        request = await anext(auth.async_auth_flow(httpx.Request("GET", URL)))
        assert request.url.path == "/oauth/2026-09/token"

    asyncio.run(scenario())

    assert sum(clock.slept) == 30


def test_a_claim_that_never_ends_makes_hubspot_unavailable_for_now(
    an_auth: Callable[..., PortalAuth], a_token_set: Callable[..., TokenSet], clock: Any
) -> None:
    async def scenario() -> None:
        store = MemoryTokens(a_token_set(expires_at=clock.now()))
        await store.claim_refresh("another process")
        with pytest.raises(Unavailable):
            await anext(an_auth(store).async_auth_flow(httpx.Request("GET", URL)))

    asyncio.run(scenario())

    assert 60 <= sum(clock.slept) < 62


def test_a_refused_refresh_token_asks_for_a_person_and_frees_the_claim(
    an_auth: Callable[..., PortalAuth], a_token_set: Callable[..., TokenSet], clock: Any
) -> None:
    events: list[str] = []

    async def scenario() -> None:
        store = WatchedTokens(a_token_set(expires_at=clock.now()), events)
        flow = an_auth(store).async_auth_flow(httpx.Request("GET", URL))
        await anext(flow)
        with pytest.raises(ReconnectRequired) as refused:
            await flow.asend(a_reply(400, {"error": "invalid_grant", "message": "canary"}))
        assert "canary" not in str(refused.value)

    asyncio.run(scenario())

    assert events == ["claim True", "release"]


def test_a_refresh_token_that_another_process_has_renewed_meanwhile_is_no_dead_grant(
    an_auth: Callable[..., PortalAuth], a_token_set: Callable[..., TokenSet], clock: Any
) -> None:
    renewed = a_token_set(access_token="canary-renewed")

    async def scenario() -> httpx.Request:
        store = MemoryTokens(a_token_set(expires_at=clock.now()))
        flow = an_auth(store).async_auth_flow(httpx.Request("GET", URL))
        await anext(flow)
        # This process is stopped here for longer than its claim lasts.
        await store.save(renewed)
        return await flow.asend(a_reply(400, {"error": "invalid_grant"}))

    request = asyncio.run(scenario())

    assert request.headers["Authorization"] == "Bearer canary-renewed"


def test_a_late_answer_is_not_used_where_the_store_has_a_newer_one(
    an_auth: Callable[..., PortalAuth], a_token_set: Callable[..., TokenSet], clock: Any
) -> None:
    class Newer(MemoryTokens):
        async def save(self, tokens: TokenSet) -> None:
            await super().save(a_token_set(access_token="canary-newer"))

    async def scenario() -> httpx.Request:
        flow = an_auth(Newer(a_token_set(expires_at=clock.now()))).async_auth_flow(
            httpx.Request("GET", URL)
        )
        await anext(flow)
        return await flow.asend(a_reply(200, FRESH))

    request = asyncio.run(scenario())

    assert request.headers["Authorization"] == "Bearer canary-newer"


def test_a_flow_that_is_abandoned_in_mid_refresh_frees_lock_and_claim(
    an_auth: Callable[..., PortalAuth], a_token_set: Callable[..., TokenSet], clock: Any
) -> None:
    events: list[str] = []

    async def scenario() -> None:
        auth = an_auth(WatchedTokens(a_token_set(expires_at=clock.now()), events))
        flow = auth.async_auth_flow(httpx.Request("GET", URL))
        await anext(flow)
        await flow.aclose()
        refresh = await anext(auth.async_auth_flow(httpx.Request("GET", URL)))
        assert refresh.url.path == "/oauth/2026-09/token"

    asyncio.run(scenario())

    assert events[:3] == ["claim True", "release", "claim True"]


def test_a_refused_service_key_asks_for_a_new_one(an_auth: Callable[..., PortalAuth]) -> None:
    async def scenario() -> None:
        flow = an_auth(StaticTokens("pat-na1-canary")).async_auth_flow(httpx.Request("GET", URL))
        request = await anext(flow)
        assert request.headers["Authorization"] == "Bearer pat-na1-canary"
        with pytest.raises(ReconnectRequired, match="service key refused") as refused:
            await flow.asend(a_reply(401))
        assert "canary" not in str(refused.value)

    asyncio.run(scenario())


def test_a_stale_token_without_an_app_asks_for_client_id_and_secret(
    a_token_set: Callable[..., TokenSet], clock: Any
) -> None:
    async def scenario() -> None:
        store = MemoryTokens(a_token_set(expires_at=clock.now()))
        with pytest.raises(ReconnectRequired, match="client id"):
            await anext(PortalAuth(store, now=clock.now).async_auth_flow(httpx.Request("GET", URL)))

    asyncio.run(scenario())


def test_a_refresh_token_from_the_settings_is_used_at_once(
    an_auth: Callable[..., PortalAuth],
) -> None:
    async def scenario() -> None:
        store = MemoryTokens.from_refresh_token("canary-refresh-7")
        refresh = await anext(an_auth(store).async_auth_flow(httpx.Request("GET", URL)))
        assert b"refresh_token=canary-refresh-7" in refresh.content

    asyncio.run(scenario())


@pytest.mark.parametrize("key", ["", "pat canary", "pat-canary\n", "päß-canary"])
def test_a_key_that_cannot_be_a_header_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(SettingsError, match="service_key") as refused:
        StaticTokens(key)
    with pytest.raises(SettingsError, match="refresh_token"):
        MemoryTokens.from_refresh_token(key)

    assert "canary" not in str(refused.value)


def test_fifty_requests_at_once_refresh_once(
    a_client: Callable[..., HubSpotClient], a_token_set: Callable[..., TokenSet], clock: Any
) -> None:
    async def scenario(hubspot: respx.MockRouter) -> None:
        token = hubspot.post("/oauth/2026-09/token").respond(json=FRESH)
        account = hubspot.get("/account-info/2026-09/details").respond(json={"portalId": 4711})
        store = MemoryTokens(a_token_set(expires_at=clock.now()))
        async with a_client(store=store) as client:
            await asyncio.gather(*[client.fetch_account() for _ in range(50)])
        assert (token.call_count, account.call_count) == (1, 50)

    with respx.mock(base_url="https://api.hubapi.com") as hubspot:
        asyncio.run(scenario(hubspot))


@pytest.mark.parametrize(
    ("status", "error"), [(429, RateLimited), (503, Unavailable)], ids=["429", "503"]
)
def test_a_token_endpoint_that_is_down_is_tried_a_few_times_and_then_later(
    status: int,
    error: type[Exception],
    a_client: Callable[..., HubSpotClient],
    a_token_set: Callable[..., TokenSet],
    clock: Any,
) -> None:
    async def scenario(hubspot: respx.MockRouter) -> int:
        token = hubspot.post("/oauth/2026-09/token").respond(status)
        store = MemoryTokens(a_token_set(expires_at=clock.now()))
        async with a_client(store=store) as client:
            with pytest.raises(error):
                await client.fetch_account()
        return token.call_count

    with respx.mock(base_url="https://api.hubapi.com") as hubspot:
        assert asyncio.run(scenario(hubspot)) == 3
