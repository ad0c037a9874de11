"""HubSpot's OAuth: the link to send people to, the token requests, and reading their replies.

It must not send anything, keep anything or know a store; token bodies reach no error text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import httpx

from target_hubspot_calls.errors import HubSpotError, RateLimited, ReconnectRequired, Unavailable
from target_hubspot_calls.hubspot.api import (
    API_URL,
    APP_URL,
    CONNECT_S,
    INFO_PATH,
    REVOKE_PATH,
    TOKEN,
    TOKEN_PATH,
    USER_AGENT,
    checked_base_url,
)
from target_hubspot_calls.hubspot.failures import correlation_id_of, retry_after_s
from target_hubspot_calls.hubspot.wire import MalformedReply, object_or_empty, read_object
from target_hubspot_calls.tokens import TokenSet

REQUIRED_SCOPES = (
    "oauth",
    "crm.objects.contacts.read",
    "crm.objects.contacts.write",
    "files",
)
OPTIONAL_SCOPES = ("crm.schemas.contacts.write",)

# What the token endpoint says when it does not take the app, whatever is asked for.
_APP_AT_FAULT = ("bad_client_id", "bad_client_secret", "invalid_client", "unauthorized_client")
_DEAD_GRANT = ("invalid_grant", "bad_refresh_token", "bad_auth_code")
_CODE = re.compile(r"[A-Za-z][A-Za-z_]{0,63}\Z")
_TOKEN_TEXT = re.compile(r"[!-~]{1,4096}\Z")


class AppRefused(ReconnectRequired):
    """HubSpot takes neither client id nor secret: the operator must act before people can."""


@dataclass(frozen=True)
class TokenInfo:
    """What HubSpot says a token is good for; empty where it does not say."""

    portal_id: int | None = None
    scopes: tuple[str, ...] = ()


def utc_now() -> datetime:
    """The time, aware and in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class OAuthApp:
    """The operator's HubSpot app; printing it shows no secret."""

    client_id: str
    client_secret: str = field(repr=False)
    redirect_uri: str = ""
    api_url: str = API_URL
    app_url: str = APP_URL
    now: Callable[[], datetime] = field(default=utc_now, repr=False, compare=False)

    def authorize_url(self, state: str) -> str:
        """The address at which a person grants us access; HubSpot brings `state` back."""
        query = urlencode(
            {
                "client_id": self.client_id,
                "redirect_uri": self.redirect_uri,
                "scope": " ".join(REQUIRED_SCOPES),
                "optional_scope": " ".join(OPTIONAL_SCOPES),
                "state": state,
            }
        )
        return f"{checked_base_url(self.app_url, 'hubspot_app_url')}".rstrip("/") + (
            f"/oauth/authorize?{query}"
        )

    def exchange_request(self, code: str) -> httpx.Request:
        """The request that turns the code of a callback into tokens."""
        return self._form(
            TOKEN_PATH,
            grant_type="authorization_code",
            code=code,
            redirect_uri=self.redirect_uri,
        )

    def info_request(self, tokens: TokenSet) -> httpx.Request:
        """The request for what an access token is good for."""
        return self._form(
            INFO_PATH,
            token=tokens.access_token,
            token_type_hint="access_token",  # noqa: S106  the word, not one
        )

    def refresh_request(self, tokens: TokenSet) -> httpx.Request:
        """The request for a new access token."""
        return self._form(
            TOKEN_PATH,
            grant_type="refresh_token",
            refresh_token=tokens.refresh_token or "",
        )

    def revoke_request(self, tokens: TokenSet) -> httpx.Request:
        """The request that ends the grant at HubSpot."""
        return self._form(
            REVOKE_PATH,
            token=tokens.refresh_token or tokens.access_token,
            token_type_hint="refresh_token" if tokens.refresh_token else "access_token",
        )

    def read_tokens(self, response: httpx.Response, previous: TokenSet | None = None) -> TokenSet:
        """The tokens of a reply; what it leaves out is kept from `previous`.

        Raises ReconnectRequired (a person must act), RateLimited or Unavailable (later is fine).
        """
        if response.status_code != 200:
            raise _refusal(response)
        try:
            return self._read(read_object(response), previous)
        except MalformedReply as err:
            raise Unavailable(f"HubSpot's token reply is unreadable: {err}") from None

    def read_token_info(self, response: httpx.Response) -> TokenInfo:
        """What a token is good for, as a reply says. Raises as `read_tokens`."""
        if response.status_code != 200:
            raise _refusal(response)
        body = object_or_empty(response)
        return TokenInfo(_portal_id(body), _scopes(body))

    def read_revoked(self, response: httpx.Response) -> None:
        """Returns if the grant has ended, now or before. Raises as `read_tokens`."""
        code = _error_code(object_or_empty(response)).lower()
        if response.is_success or (response.status_code < 500 and code in _DEAD_GRANT):
            return
        raise _refusal(response)

    def _read(self, body: dict[str, object], previous: TokenSet | None) -> TokenSet:
        lifetime_s = body.get("expires_in")
        if not isinstance(lifetime_s, int | float) or not 0 < lifetime_s < 10**8:
            raise MalformedReply("expires_in is missing")
        refresh_token = _token(body, "refresh_token") or (
            previous.refresh_token if previous else None
        )
        if refresh_token is None:
            raise MalformedReply("refresh_token is missing")
        access_token = _token(body, "access_token")
        if access_token is None:
            raise MalformedReply("access_token is missing")
        return TokenSet(
            access_token=access_token,
            refresh_token=refresh_token,
            expires_at=self.now() + timedelta(seconds=lifetime_s),
            scopes=_scopes(body) or (previous.scopes if previous else ()),
            portal_id=_portal_id(body) or (previous.portal_id if previous else None),
        )

    def _form(self, path: str, **fields: str) -> httpx.Request:
        base_url = f"{checked_base_url(self.api_url)}".rstrip("/")
        return httpx.Request(
            "POST",
            base_url + path,
            data={"client_id": self.client_id, "client_secret": self.client_secret, **fields},
            headers={"Accept": "application/json", "User-Agent": USER_AGENT},
            extensions={**TOKEN.extensions(), "timeout": {"connect": CONNECT_S}},
        )


def _refusal(response: httpx.Response) -> HubSpotError:
    status = response.status_code
    body = object_or_empty(response)
    correlation_id = correlation_id_of(body)
    wait_s = retry_after_s(response)
    if status == 429:
        return RateLimited(
            "HubSpot's token endpoint is rate limited (429)",
            retry_after_s=10.0 if wait_s is None else wait_s,
            correlation_id=correlation_id,
        )
    if status in (408, 425, 477) or status >= 500 or status < 400:
        return Unavailable(
            f"HubSpot's token endpoint answered {status}",
            retry_after_s=wait_s,
            correlation_id=correlation_id,
        )
    code = _error_code(body)
    if code.lower() in _APP_AT_FAULT:
        return AppRefused(
            f"HubSpot does not take the app ({status} {code}); check HUBSPOT_CLIENT_ID and"
            " HUBSPOT_CLIENT_SECRET",
            correlation_id=correlation_id,
        )
    if code.lower() in _DEAD_GRANT:
        message = f"the HubSpot grant is invalid, expired or revoked ({code}); connect again"
    else:
        message = (
            f"HubSpot refuses the token request ({status} {code}); check the app's client id, "
            "client secret and redirect address, then connect again"
        )
    return ReconnectRequired(message, correlation_id=correlation_id)


def _error_code(body: dict[str, object]) -> str:
    for name in ("status", "error", "category"):
        code = body.get(name)
        if isinstance(code, str) and _CODE.match(code) and code.lower() != "error":
            return code
    return "no reason given"


def _token(body: dict[str, object], name: str) -> str | None:
    token = body.get(name)
    if token is None or token == "":
        return None
    if not isinstance(token, str) or not _TOKEN_TEXT.match(token):
        raise MalformedReply(f"{name} is no token")
    return token


def _scopes(body: dict[str, object]) -> tuple[str, ...]:
    scopes = body.get("scopes", body.get("scope"))
    if isinstance(scopes, str):
        return tuple(scopes.split())
    if isinstance(scopes, list):
        return tuple(scope for scope in scopes if isinstance(scope, str))
    return ()


def _portal_id(body: dict[str, object]) -> int | None:
    portal_id = body.get("hub_id")
    return portal_id if isinstance(portal_id, int) and not isinstance(portal_id, bool) else None
