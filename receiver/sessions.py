"""/api/session: signing in with an access key, out again, and who is signed in.

Knows cookies and the store's sessions; pages are printed elsewhere.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from receiver.access import AccessKeyDirectory, Caller, FrontDoor, cross_site, unauthorized
from receiver.answers import Refusal
from receiver.plain_page import prefers_json
from receiver.plain_page import refusal as refusal_page
from receiver.return_paths import own_path
from receiver.same_origin import SAFE_METHODS, is_foreign, is_ours, origin_of
from receiver.session_cookies import SessionCookies
from receiver.sign_in_limits import SignInLimits
from receiver.small_bodies import is_form, read_fields
from target_hubspot_calls.store.sessions import LIFETIME, Session

SESSION_PATH = "/api/session"
CSRF_HEADER = "X-CSRF-Token"
BACKGROUND_HEADER = "X-Background"
REFRESH_FIELD = "refresh"
"""Stands in the address that a page without script loads itself again by."""
CSRF_FIELD = "csrf_token"
KEY_FIELD = "access_key"
_LONGEST_KEY = 200


class SessionDirectory(Protocol):
    """What the receiver asks for sessions; may block. Raises StoreUnavailable."""

    def create(self, access_key_id: str, /) -> tuple[Session, str] | None:
        """A new session and its id, None if the key was revoked."""

    def find(self, session_id: str, /, *, is_used: bool = True) -> Session | None:
        """The session, None if it has ended; one that is not used now still ends when idle."""

    def end(self, session: Session, /) -> None:
        """Signs the browser out."""

    def idle_until(self, session: Session, /) -> datetime:
        """When the session ends if nobody uses it any more."""


class PageSessions:
    """The sessions of browsers, by cookie; what changes something must come from a page of ours."""

    def __init__(
        self, directory: SessionDirectory, cookies: SessionCookies, *, public_url: str
    ) -> None:
        self._directory = directory
        self._cookies = cookies
        self._own_origin = origin_of(public_url)

    def is_shown(self, request: Request) -> bool:
        """True if the browser shows a session, good or not."""
        return self._cookies.has_session(request)

    async def session_of(self, request: Request) -> Session:
        """The session that lives. Raises Refusal (401 none, 403 not sent by a page of ours)."""
        session = await self.session_if_any(request)
        if session is None:
            raise unauthorized("session_expired", "Your session has ended; sign in again.")
        if request.method not in SAFE_METHODS:
            await self._check_sender(request)
        return session

    async def session_if_any(self, request: Request) -> Session | None:
        """The session that lives, or None; who sent the request is not looked at."""
        session_id = self._cookies.session_id(request)
        if session_id is None:
            return None
        # What pages ask for by themselves must not keep somebody signed in who has gone home.
        is_used = (
            BACKGROUND_HEADER not in request.headers and REFRESH_FIELD not in request.query_params
        )
        return await asyncio.to_thread(self._directory.find, session_id, is_used=is_used)

    def csrf_token(self, request: Request) -> str | None:
        """What pages of this session send back with every change, None without a session."""
        session_id = self._cookies.session_id(request)
        return None if session_id is None else self._cookies.csrf_token(session_id)

    async def _check_sender(self, request: Request) -> None:
        if not is_ours(request, self._own_origin):
            raise cross_site()
        written = request.headers.get(CSRF_HEADER)
        if written is None and is_form(request):
            written = (await read_fields(request)).get(CSRF_FIELD)
        session_id = self._cookies.session_id(request)
        if session_id is None or not self._cookies.is_csrf_token(written or "", session_id):
            sentence = "The page is out of date; load it again and repeat what you did."
            raise Refusal(403, "csrf_token", sentence)


@dataclass(frozen=True)
class OpenedSession:
    """A session that has just begun, and the path of ours that its browser wanted to see."""

    session: Session
    session_id: str = field(repr=False)
    return_to: str | None = None


@dataclass(frozen=True)
class SessionDesk:
    """All that the routes need; `lifetime` is how long browsers keep the cookie."""

    keys: AccessKeyDirectory
    directory: SessionDirectory
    cookies: SessionCookies
    sessions: PageSessions
    door: FrontDoor
    public_url: str
    lifetime: timedelta = LIFETIME
    limits: SignInLimits = field(default_factory=SignInLimits)

    def with_cookie(self, answer: Response, opened: OpenedSession) -> Response:
        """The answer, which gives the browser the session."""
        max_age_s = int(self.lifetime.total_seconds())
        self.cookies.set_session(answer, opened.session_id, max_age_s=max_age_s)
        return answer


def session_routes(desk: SessionDesk) -> list[Route]:
    """Sign in, sign out, and who is signed in."""

    async def sign_in(request: Request) -> Response:
        try:
            return await _signed_in(desk, request)
        except Refusal as err:
            if not is_form(request):
                raise
            advice = "Go back, and show a key that `hubspot-calls keys create` printed."
            return refusal_page(
                request, err.status, err.code, err.sentence, advice=advice, headers=err.headers
            )

    async def sign_out(request: Request) -> Response:
        caller = await desk.door.caller_of(request)
        if caller.session is not None:
            await asyncio.to_thread(desk.directory.end, caller.session)
        answer = JSONResponse({"success": True})
        desk.cookies.clear_session(answer)
        return answer

    async def who(request: Request) -> Response:
        caller = await desk.door.caller_of(request)
        return JSONResponse(_account_of(desk, caller, desk.sessions.csrf_token(request)))

    return [
        Route(SESSION_PATH, sign_in, methods=["POST"]),
        Route(SESSION_PATH, sign_out, methods=["DELETE"]),
        Route(SESSION_PATH, who, methods=["GET"]),
    ]


async def open_session(desk: SessionDesk, request: Request) -> OpenedSession:
    """A session that is new, whatever the browser had before. Raises Refusal (401, 403, 429)."""
    if is_foreign(request, origin_of(desk.public_url)):
        raise cross_site()
    address = request.client.host if request.client else "unknown"
    desk.limits.spend_try(address)
    fields = await read_fields(request)
    written = fields.get(KEY_FIELD, "").strip()
    key = None
    if len(written) <= _LONGEST_KEY:
        key = await asyncio.to_thread(desk.keys.authenticate, written)
    made = await asyncio.to_thread(desk.directory.create, key.id) if key else None
    if made is None:
        raise unauthorized("invalid_access_key", "This access key is not known here.")
    desk.limits.give_back(address)
    before = await desk.sessions.session_if_any(request)
    if before is not None:
        await asyncio.to_thread(desk.directory.end, before)
    return OpenedSession(*made, return_to=own_path(fields.get("return_to", "")))


def to_first_page(desk: SessionDesk, opened: OpenedSession) -> Response:
    """Sends the browser to the page it wanted, with its session.

    Where it is: a page lets its forms lead nowhere but to the address it was loaded from.
    """
    answer = RedirectResponse(opened.return_to or "/", status_code=303)
    return desk.with_cookie(answer, opened)


async def _signed_in(desk: SessionDesk, request: Request) -> Response:
    opened = await open_session(desk, request)
    if is_form(request) and not prefers_json(request.headers.get("accept", "")):
        return to_first_page(desk, opened)
    session = opened.session
    answer = JSONResponse(
        {
            **_named(session.user_id, session.workspace_id, "session"),
            **_ends(desk, session),
            "csrfToken": desk.cookies.csrf_token(opened.session_id),
        }
    )
    return desk.with_cookie(answer, opened)


def _account_of(desk: SessionDesk, caller: Caller, csrf_token: str | None) -> dict[str, object]:
    workspace, session = caller.workspace, caller.session
    named = _named(workspace.user_id, workspace.workspace_id, caller.way)
    if session is None:
        return {**named, "expiresAt": None, "idleExpiresAt": None, "csrfToken": None}
    return {**named, **_ends(desk, session), "csrfToken": csrf_token}


def _named(user_id: str, workspace_id: str, way: str) -> dict[str, object]:
    return {
        "success": True,
        "userId": user_id,
        "workspaceId": workspace_id,
        "signedInBy": str(way),
    }


def _ends(desk: SessionDesk, session: Session) -> dict[str, object]:
    return {
        "expiresAt": _epoch_ms(session.expires_at),
        "idleExpiresAt": _epoch_ms(desk.directory.idle_until(session)),
    }


def _epoch_ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
