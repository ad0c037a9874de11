"""OAuth apps, service keys and every token they were given.

It knows who may do what until when; the HTTP of it is in token_operations.py and consent.py.
"""

from __future__ import annotations

import secrets
import uuid
from dataclasses import dataclass, field

from .answers import HubSpotError
from .times import iso

KNOWN_SCOPES = frozenset(
    {
        "oauth",
        "crm.objects.contacts.read",
        "crm.objects.contacts.write",
        "crm.objects.owners.read",
        "crm.schemas.contacts.read",
        "crm.schemas.contacts.write",
        "crm.objects.companies.read",
        "crm.objects.companies.write",
        "crm.objects.deals.read",
        "crm.objects.deals.write",
        "files",
        "files.read",
        "files.write",
        "files.delete",
        "tickets",
        "timeline",
        "crm.extensions_calling_transcripts.read",
        "crm.extensions_calling_transcripts.write",
    }
)
ALL_SCOPES: tuple[str, ...] = (
    "oauth",
    "crm.objects.contacts.read",
    "crm.objects.contacts.write",
    "crm.objects.owners.read",
    "crm.schemas.contacts.read",
    "crm.schemas.contacts.write",
    "files",
)
_CODE_LIFETIME_S = 600


@dataclass
class App:
    """One OAuth app."""

    client_id: str
    client_secret: str
    redirect_uris: tuple[str, ...]
    name: str = "Call notes"
    app_id: int = 1


@dataclass
class Grant:
    """What one bearer token opens."""

    portal_id: int
    scopes: tuple[str, ...]
    client_id: str | None = None
    expires_at: float | None = None
    refresh_token: str | None = None
    revoked: bool = False

    @property
    def caller(self) -> str:
        """Who is counted for the burst limit: the app, or the key itself."""
        return self.client_id or f"key-{id(self)}"

    @property
    def is_service_key(self) -> bool:
        """Whether this is a static key, which counts for the daily limit."""
        return self.client_id is None


@dataclass
class Refresh:
    """What one refresh token is worth."""

    portal_id: int
    client_id: str
    scopes: tuple[str, ...]
    revoked: bool = False


@dataclass
class Code:
    """What one authorization code is worth."""

    portal_id: int
    client_id: str
    redirect_uri: str
    scopes: tuple[str, ...]
    expires_at: float
    code_challenge: str | None = None
    used: bool = False


@dataclass
class Issued:
    """A pair of tokens, fresh from the authority."""

    access_token: str
    refresh_token: str
    grant: Grant
    expires_in: int


@dataclass
class Authority:
    """Everything ever issued."""

    apps: dict[str, App] = field(default_factory=dict)
    grants: dict[str, Grant] = field(default_factory=dict)
    refreshes: dict[str, Refresh] = field(default_factory=dict)
    codes: dict[str, Code] = field(default_factory=dict)

    def add_service_key(
        self, portal_id: int, scopes: tuple[str, ...], key: str | None = None
    ) -> str:
        """A static key for one portal."""
        key = key or f"pat-na1-{uuid.uuid4()}"
        self.grants[key] = Grant(portal_id, scopes)
        return key

    def new_code(
        self,
        app: App,
        portal_id: int,
        redirect_uri: str,
        scopes: tuple[str, ...],
        now: float,
        code_challenge: str | None = None,
    ) -> str:
        """An authorization code that works once."""
        code = str(uuid.uuid4())
        self.codes[code] = Code(
            portal_id, app.client_id, redirect_uri, scopes, now + _CODE_LIFETIME_S, code_challenge
        )
        return code

    def issue(
        self,
        portal_id: int,
        client_id: str,
        scopes: tuple[str, ...],
        *,
        now: float,
        lifetime_s: float,
        refresh_token: str | None = None,
    ) -> Issued:
        """An access token, with the given refresh token or a new one."""
        if refresh_token is None:
            refresh_token = f"na1-{uuid.uuid4()}"
            self.refreshes[refresh_token] = Refresh(portal_id, client_id, scopes)
        access_token = f"CP{secrets.token_urlsafe(96)}"
        grant = Grant(portal_id, scopes, client_id, now + lifetime_s, refresh_token)
        self.grants[access_token] = grant
        return Issued(access_token, refresh_token, grant, int(lifetime_s))

    def authenticated(self, header: str | None, now: float) -> Grant:
        """What the Authorization header opens. Raises a 401."""
        scheme, _, token = (header or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise HubSpotError(
                401,
                "Authentication credentials not found. This API supports OAuth 2.0 authentication "
                "and you can find more details at "
                "https://developers.hubspot.com/docs/methods/auth/oauth-overview",
                "INVALID_AUTHENTICATION",
            )
        grant = self.grants.get(token.strip())
        if grant is None or grant.revoked:
            raise HubSpotError(
                401,
                "The access token you provided is invalid or has been revoked.",
                "INVALID_AUTHENTICATION",
            )
        if grant.expires_at is not None and grant.expires_at <= now:
            ago = int(now - grant.expires_at)
            raise HubSpotError(
                401,
                f"The OAuth token used to make this call expired {ago} second(s) ago.",
                "EXPIRED_AUTHENTICATION",
                context={"expire time": [iso(grant.expires_at)]},
            )
        return grant

    def expire(self, now: float, portal_id: int | None = None) -> int:
        """Ends the life of every OAuth access token, of one portal or of all; how many."""
        count = 0
        for grant in self.grants.values():
            if grant.expires_at is not None and portal_id in (None, grant.portal_id):
                grant.expires_at = min(grant.expires_at, now)
                count += 1
        return count

    def revoke(self, portal_id: int, client_id: str | None = None) -> int:
        """Takes an app (or every app and key) off a portal; how many tokens died."""
        grants = [g for g in self.grants.values() if _of(g, portal_id, client_id)]
        refreshes = [r for r in self.refreshes.values() if _of(r, portal_id, client_id)]
        for grant in grants:
            grant.revoked = True
        for refresh in refreshes:
            refresh.revoked = True
        return len(grants) + len(refreshes)


def _of(token: Grant | Refresh, portal_id: int, client_id: str | None) -> bool:
    return token.portal_id == portal_id and client_id in (None, token.client_id)


def require_scopes(grant: Grant, any_of: tuple[str, ...]) -> None:
    """Raises a 403 where the token has none of the scopes that would do."""
    if any_of and not set(any_of) & set(grant.scopes):
        raise HubSpotError(
            403,
            "This app hasn't been granted all required scopes to make this call. Read more about "
            "required scopes here: https://developers.hubspot.com/scopes.",
            "MISSING_SCOPES",
            errors=[
                {
                    "message": "One or more of the following scopes are required.",
                    "context": {"requiredGranularScopes": [*any_of]},
                }
            ],
            links={"scopes": "https://developers.hubspot.com/scopes"},
        )
