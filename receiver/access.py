"""Who asks: the user and workspace that an access key, a page's session or a token opens.

Knows the ways to show who one is and which of them a browser sends by itself; no route, no page.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from starlette.requests import Request

from receiver.answers import Refusal
from receiver.same_origin import SAFE_METHODS, is_foreign, origin_of
from target_hubspot_calls.call import Workspace
from target_hubspot_calls.store.sessions import Session

CHALLENGE = 'Bearer realm="hubspot-calls"'
BASIC_CHALLENGE = 'Basic realm="hubspot-calls"'
_KEY_PREFIX = "hck_"
_LONGEST_HEADER = 8_500
_LONGEST_KEY = 1_000


class AccessKey(Protocol):
    """What the receiver needs to know of an access key."""

    @property
    def id(self) -> str:
        """Its name, which opens nothing."""

    @property
    def user_id(self) -> str:
        """Whose key it is."""

    @property
    def workspace_id(self) -> str:
        """What it opens."""


class AccessKeyDirectory(Protocol):
    """What the receiver asks for access keys; may block. Raises StoreUnavailable."""

    def authenticate(self, key: str, /) -> AccessKey | None:
        """What the key opens, None if it is unknown or revoked."""


class SessionDoor(Protocol):
    """How pages show that somebody is signed in."""

    def is_shown(self, request: Request) -> bool:
        """True if the browser shows a session, good or not."""

    async def session_of(self, request: Request) -> Session:
        """The session that lives. Raises Refusal (401 none, 403 not sent by a page of ours)."""


class TokenDoor(Protocol):
    """How an embedding product shows whose request it sends on."""

    async def workspace_of_token(self, token: str) -> Workspace:
        """What the token opens. Raises Refusal (401, 503)."""


class Doorkeeper(Protocol):
    """Who tells every route but the webhooks' whose request it is."""

    async def workspace_of(self, request: Request, /) -> Workspace:
        """The workspace of the request. Raises Refusal (401, 403, 503), StoreUnavailable."""


class Way(StrEnum):
    """How somebody showed who they are."""

    ACCESS_KEY = "access_key"
    SESSION = "session"
    TOKEN = "token"  # noqa: S105  the word, not one


@dataclass(frozen=True)
class Caller:
    """Whose request it is and how that was shown; `session` is None without one."""

    workspace: Workspace
    way: Way
    session: Session | None = None


class FrontDoor:
    """The one place that decides whose a request is: keys always, sessions and tokens where set."""

    def __init__(
        self,
        keys: AccessKeyDirectory,
        *,
        public_url: str,
        sessions: SessionDoor | None = None,
        tokens: TokenDoor | None = None,
    ) -> None:
        self._keys = keys
        self._own_origin = origin_of(public_url)
        self._sessions = sessions
        self._tokens = tokens

    async def workspace_of(self, request: Request, /) -> Workspace:
        """The workspace of the request. Raises Refusal (401, 403, 503), StoreUnavailable."""
        return (await self.caller_of(request)).workspace

    async def caller_of(self, request: Request) -> Caller:
        """Whose request it is and how they showed it. Raises as `workspace_of`."""
        header = request.headers.get("authorization", "").strip()
        scheme, _, value = header.partition(" ")
        shown = value.strip() if len(header) <= _LONGEST_HEADER else ""
        if scheme.lower() == "bearer":
            return await self._of_bearer(shown)
        key = _password(shown) if scheme.lower() == "basic" else None
        has_session = self._sessions is not None and self._sessions.is_shown(request)
        if key is not None and (key.startswith(_KEY_PREFIX) or not has_session):
            return await self._of_password(request, key)
        if self._sessions is None or not has_session:
            raise unauthorized()
        session = await self._sessions.session_of(request)
        return Caller(Workspace(session.user_id, session.workspace_id), Way.SESSION, session)

    async def _of_bearer(self, shown: str) -> Caller:
        if self._tokens is None or shown.startswith(_KEY_PREFIX) or not shown:
            return await self._of_key(shown)
        return Caller(await self._tokens.workspace_of_token(shown), Way.TOKEN)

    async def _of_password(self, request: Request, key: str) -> Caller:
        # Browsers send a password they were told once by themselves, whoever's page asks.
        if request.method not in SAFE_METHODS and is_foreign(request, self._own_origin):
            raise cross_site()
        return await self._of_key(key)

    async def _of_key(self, shown: str) -> Caller:
        key = None
        if 0 < len(shown) <= _LONGEST_KEY:
            key = await asyncio.to_thread(self._keys.authenticate, shown)
        if key is None:
            raise unauthorized()
        return Caller(Workspace(key.user_id, key.workspace_id), Way.ACCESS_KEY)


def unauthorized(
    code: str = "unauthorized",
    sentence: str = "This address needs an access key, as a bearer token or as the password.",
) -> Refusal:
    """The refusal of somebody who did not show who they are."""
    return Refusal(401, code, sentence, {"WWW-Authenticate": CHALLENGE})


def cross_site() -> Refusal:
    """The refusal of what another site's page sent in a browser's name."""
    return Refusal(403, "cross_site", "This request was not sent by a page of this address.")


def _password(credentials: str) -> str | None:
    try:
        decoded = base64.b64decode(credentials, validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    return decoded.partition(":")[2]
