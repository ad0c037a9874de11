"""The token endpoint and its neighbours: issue, refresh, introspect, revoke.

Their errors have OAuth's shape as well as HubSpot's. Source: HubSpot OAuth guide.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any
from urllib.parse import parse_qs

from .answers import Answer, HubSpotError, json_answer, new_correlation_id, no_content, unknown_path
from .oauth import App, Grant, Issued, Refresh
from .requests import Request

_USER_ID = 4_711


class TokenError(Exception):
    """A refusal of the token endpoint."""

    def __init__(self, status_word: str, message: str, error: str) -> None:
        super().__init__(message)
        self.status_word = status_word
        self.message = message
        self.error = error

    def answer(self) -> Answer:
        """The 400 with both shapes."""
        return json_answer(
            400,
            {
                "status": self.status_word,
                "message": self.message,
                "correlationId": new_correlation_id(),
                "error": self.error,
                "error_description": self.message,
            },
        )


def token(request: Request) -> Answer:
    """200 with tokens for a code or a refresh token."""
    form = _form(request)
    try:
        app = _app(request, form)
        grant_type = form.get("grant_type", "")
        if grant_type == "authorization_code":
            issued = _from_code(request, app, form)
        elif grant_type == "refresh_token":
            issued = _from_refresh(request, app, form)
        else:
            raise TokenError(
                "UNKNOWN_GRANT_TYPE",
                "unknown grant type, must be authorization_code or refresh_token",
                "unsupported_grant_type",
            )
    except TokenError as err:
        return err.answer()
    return json_answer(200, _shown(issued))


def introspect(request: Request) -> Answer:
    """200 with what a token is worth; an unknown one is `active: false`."""
    form = _form(request)
    try:
        _app(request, form)
    except TokenError as err:
        return err.answer()
    written = form.get("token") or form.get("access_token") or form.get("refresh_token") or ""
    authority, now = request.state.authority, request.state.clock()
    access = authority.grants.get(written)
    if access is not None and access.expires_at is not None:
        left = max(0, int(access.expires_at - now))
        return json_answer(
            200,
            {
                "active": not access.revoked and left > 0,
                "token_use": "access_token",
                "token_type": "bearer",
                "hub_id": access.portal_id,
                "user_id": _USER_ID,
                "client_id": access.client_id,
                "scopes": [*access.scopes],
                "expires_in": left,
            },
        )
    refresh = authority.refreshes.get(written)
    if refresh is not None:
        return json_answer(
            200,
            {
                "active": not refresh.revoked,
                "token_use": "refresh_token",
                "token_type": "refresh",
                "hub_id": refresh.portal_id,
                "user_id": _USER_ID,
                "client_id": refresh.client_id,
                "scopes": [*refresh.scopes],
            },
        )
    return json_answer(200, {"active": False})


def revoke(request: Request) -> Answer:
    """200; the token works no more. Access tokens live on, as with the old endpoint."""
    form = _form(request)
    try:
        _app(request, form)
    except TokenError as err:
        return err.answer()
    written = form.get("token", "")
    found: Refresh | Grant | None = request.state.authority.refreshes.get(written)
    found = found or request.state.authority.grants.get(written)
    if found is not None:
        found.revoked = True
    return json_answer(200, {})


def access_token_information(request: Request) -> Answer:
    """200 with what an access token is worth (v1 only)."""
    if request.version != "v1":
        raise unknown_path()
    written = request.params["token"]
    grant = request.state.authority.grants.get(written)
    now = request.state.clock()
    if grant is None or grant.revoked or grant.expires_at is None or grant.expires_at <= now:
        raise HubSpotError(404, "access token is invalid or expired", "OBJECT_NOT_FOUND")
    return json_answer(
        200,
        {
            "token": written,
            "user": "owner@example.com",
            "hub_domain": "example.com",
            "scopes": [*grant.scopes],
            "hub_id": grant.portal_id,
            "app_id": request.state.authority.apps[str(grant.client_id)].app_id,
            "expires_in": int(grant.expires_at - now),
            "user_id": _USER_ID,
            "token_type": "access",
        },
    )


def refresh_token_information(request: Request) -> Answer:
    """200 with what a refresh token is worth (v1 only)."""
    written = request.params["token"]
    refresh = _v1_refresh(request)
    return json_answer(
        200,
        {
            "token": written,
            "user": "owner@example.com",
            "hub_domain": "example.com",
            "scopes": [*refresh.scopes],
            "hub_id": refresh.portal_id,
            "client_id": refresh.client_id,
            "user_id": _USER_ID,
            "token_type": "refresh",
        },
    )


def delete_refresh_token(request: Request) -> Answer:
    """204; the refresh token works no more (v1 only)."""
    _v1_refresh(request).revoked = True
    return no_content()


def _v1_refresh(request: Request) -> Refresh:
    if request.version != "v1":
        raise unknown_path()
    refresh = request.state.authority.refreshes.get(request.params["token"])
    if refresh is None or refresh.revoked:
        raise HubSpotError(404, "refresh token is invalid", "OBJECT_NOT_FOUND")
    return refresh


def _form(request: Request) -> dict[str, str]:
    request.require_type("application/x-www-form-urlencoded")
    parsed = parse_qs(request.body.decode(errors="replace"), keep_blank_values=True)
    return {name: values[0] for name, values in parsed.items()}


def _app(request: Request, form: dict[str, str]) -> App:
    app = request.state.authority.apps.get(form.get("client_id", ""))
    if app is None:
        raise TokenError("BAD_CLIENT_ID", "missing or invalid client id", "invalid_client")
    if form.get("client_secret") != app.client_secret:
        raise TokenError("BAD_CLIENT_SECRET", "missing or invalid client secret", "invalid_client")
    return app


def _from_code(request: Request, app: App, form: dict[str, str]) -> Issued:
    code = request.state.authority.codes.get(form.get("code", ""))
    now = request.state.clock()
    if code is None or code.used or code.expires_at <= now or code.client_id != app.client_id:
        raise TokenError("BAD_AUTH_CODE", "missing or unknown auth code", "invalid_grant")
    if form.get("redirect_uri") != code.redirect_uri:
        raise TokenError(
            "MISMATCH_REDIRECT_URI_AUTH_CODE", "redirect uri does not match", "invalid_grant"
        )
    if code.code_challenge is not None and _challenge(form) != code.code_challenge:
        raise TokenError("BAD_CODE_VERIFIER", "code verifier does not match", "invalid_grant")
    code.used = True
    return _issued(request, code.portal_id, app, code.scopes, None)


def _from_refresh(request: Request, app: App, form: dict[str, str]) -> Issued:
    written = form.get("refresh_token", "")
    refresh = request.state.authority.refreshes.get(written)
    if refresh is None or refresh.revoked or refresh.client_id != app.client_id:
        raise TokenError(
            "BAD_REFRESH_TOKEN", "refresh token is invalid, expired or revoked", "invalid_grant"
        )
    if not request.state.settings.rotate_refresh_tokens:
        return _issued(request, refresh.portal_id, app, refresh.scopes, written)
    refresh.revoked = True
    return _issued(request, refresh.portal_id, app, refresh.scopes, None)


def _issued(
    request: Request,
    portal_id: int,
    app: App,
    scopes: tuple[str, ...],
    refresh_token: str | None,
) -> Issued:
    return request.state.authority.issue(
        portal_id,
        app.client_id,
        scopes,
        now=request.state.clock(),
        lifetime_s=request.state.settings.access_token_lifetime_s,
        refresh_token=refresh_token,
    )


def _challenge(form: dict[str, str]) -> str:
    digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _shown(issued: Issued) -> dict[str, Any]:
    return {
        "token_type": "bearer",
        "access_token": issued.access_token,
        "refresh_token": issued.refresh_token,
        "expires_in": issued.expires_in,
        "hub_id": issued.grant.portal_id,
        "user_id": _USER_ID,
        "scopes": [*issued.grant.scopes],
        "token_use": "access_token",
    }
