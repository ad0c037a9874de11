from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from target_hubspot_calls.errors import (
    HubSpotError,
    RateLimited,
    ReconnectRequired,
    SettingsError,
    Unavailable,
)
from target_hubspot_calls.hubspot.oauth import AppRefused, OAuthApp
from target_hubspot_calls.tokens import TokenSet

REPLY = {
    "token_type": "bearer",
    "access_token": "canary-access-2",
    "refresh_token": "canary-refresh-2",
    "expires_in": 1800,
    "hub_id": 4712,
    "scopes": ["oauth", "files"],
}


def form_of(request: httpx.Request) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(request.content.decode()).items()}


def test_the_authorize_link_asks_for_what_the_contract_says(
    an_app: Callable[..., OAuthApp],
) -> None:
    link = urlsplit(an_app().authorize_url("state-1"))

    assert f"{link.scheme}://{link.netloc}{link.path}" == "https://app.hubspot.com/oauth/authorize"
    assert parse_qs(link.query) == {
        "client_id": ["app-1"],
        "redirect_uri": ["https://calls.example/callback"],
        "scope": ["oauth crm.objects.contacts.read crm.objects.contacts.write files"],
        "optional_scope": ["crm.schemas.contacts.write"],
        "state": ["state-1"],
    }


def test_the_app_prints_no_secret(an_app: Callable[..., OAuthApp]) -> None:
    assert "canary" not in repr(an_app())


def test_secrets_travel_in_the_form_and_never_in_the_address(
    an_app: Callable[..., OAuthApp], a_token_set: Callable[..., TokenSet]
) -> None:
    app = an_app()
    requests = [
        app.exchange_request("canary-code"),
        app.refresh_request(a_token_set()),
        app.revoke_request(a_token_set()),
    ]

    assert [str(request.url) for request in requests] == [
        "https://api.hubapi.com/oauth/2026-09/token",
        "https://api.hubapi.com/oauth/2026-09/token",
        "https://api.hubapi.com/oauth/2026-09/token/revoke",
    ]
    secret = {"client_id": "app-1", "client_secret": "canary-client-secret"}
    assert [form_of(request) for request in requests] == [
        {
            **secret,
            "grant_type": "authorization_code",
            "code": "canary-code",
            "redirect_uri": "https://calls.example/callback",
        },
        {**secret, "grant_type": "refresh_token", "refresh_token": "canary-refresh-1"},
        {**secret, "token": "canary-refresh-1", "token_type_hint": "refresh_token"},
    ]


def test_an_api_address_without_https_is_refused(an_app: Callable[..., OAuthApp]) -> None:
    with pytest.raises(SettingsError):
        an_app("http://api.hubapi.com").exchange_request("code")


def test_a_reply_becomes_tokens_that_expire_by_our_clock(
    an_app: Callable[..., OAuthApp], a_token_set: Callable[..., TokenSet], clock: Any
) -> None:
    tokens = an_app().read_tokens(httpx.Response(200, json=REPLY), previous=a_token_set())

    assert tokens == TokenSet(
        access_token="canary-access-2",
        refresh_token="canary-refresh-2",
        expires_at=clock.now() + timedelta(seconds=1800),
        scopes=("oauth", "files"),
        portal_id=4712,
    )


def test_what_a_reply_leaves_out_is_kept(
    an_app: Callable[..., OAuthApp], a_token_set: Callable[..., TokenSet]
) -> None:
    reply = {"access_token": "canary-access-2", "expires_in": 1800}

    tokens = an_app().read_tokens(httpx.Response(200, json=reply), previous=a_token_set())

    assert tokens.refresh_token == "canary-refresh-1"
    assert tokens.scopes == ("oauth",)
    assert tokens.portal_id == 4711


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, {"error": "invalid_grant", "status": "BAD_REFRESH_TOKEN"}, ReconnectRequired),
        (400, {"error": "invalid_grant"}, ReconnectRequired),
        (400, {"status": "BAD_CLIENT_SECRET", "message": "canary"}, AppRefused),
        (401, {"error": "invalid_client"}, AppRefused),
        (429, {"policyName": "TEN_SECONDLY_ROLLING"}, RateLimited),
        (500, {"message": "canary"}, Unavailable),
        (503, None, Unavailable),
        (302, None, Unavailable),
        (200, None, Unavailable),
        (200, {"access_token": "canary-access-2"}, Unavailable),
        (200, {"expires_in": 1800, "refresh_token": "canary"}, Unavailable),
        (200, {**REPLY, "expires_in": "1800"}, Unavailable),
        (200, {**REPLY, "expires_in": 0}, Unavailable),
        (200, {**REPLY, "access_token": "canary\r\nX-Evil: 1"}, Unavailable),
        (200, {**REPLY, "refresh_token": ["canary"]}, Unavailable),
    ],
    ids=str,
)
def test_a_bad_reply_says_what_comes_next_and_shows_no_token(
    status: int,
    body: Any,
    error: type[HubSpotError],
    an_app: Callable[..., OAuthApp],
    a_token_set: Callable[..., TokenSet],
) -> None:
    content: dict[str, Any] = {"json": body} if body else {"content": b"<html>canary</html>"}

    with pytest.raises(HubSpotError) as refused:
        an_app().read_tokens(httpx.Response(status, **content), previous=a_token_set())

    assert type(refused.value) is error
    assert "canary" not in str(refused.value)


def test_a_code_without_a_refresh_token_in_its_reply_is_unusable(
    an_app: Callable[..., OAuthApp],
) -> None:
    reply = {"access_token": "canary-access-2", "expires_in": 1800}

    with pytest.raises(Unavailable, match="refresh_token is missing"):
        an_app().read_tokens(httpx.Response(200, json=reply))
