"""What people and their programs reach of the receiver: who they are, and connecting HubSpot.

Knows how settings and store become desks and routes; what the routes do is the receiver's business.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast
from urllib.parse import urlsplit

from starlette.routing import Route
from starlette.types import ASGIApp
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from hubspot_calls.rooms import Store
from hubspot_calls.settings import Settings
from receiver.access import FrontDoor
from receiver.connection_status import ProgressCache, StatusDesk, status_routes
from receiver.consent import Consents
from receiver.jwks import JwksKeys
from receiver.jwt_access import JwtAccess, SharedSecret, TokenRules
from receiver.metrics import StreamBacklog
from receiver.oauth import CALLBACK_PATH, OAuthDesk, oauth_routes
from receiver.session_cookies import SessionCookies
from receiver.sessions import PageSessions, SessionDesk, session_routes
from receiver.token_keeper import TokenKeeper
from target_hubspot_calls.hubspot.grants import GrantClient
from target_hubspot_calls.hubspot.oauth import OAuthApp
from target_hubspot_calls.store.connections import Connections
from target_hubspot_calls.store.grants import Grants
from target_hubspot_calls.store.oauth_states import OAuthStates
from target_hubspot_calls.store.progress import ProgressReader
from target_hubspot_calls.store.sessions import Sessions
from target_hubspot_calls.store.vault import Vault


@dataclass(frozen=True)
class Front:
    """Who decides whose a request is, the routes behind it, and what runs beside them."""

    door: FrontDoor
    sessions: PageSessions
    session_desk: SessionDesk
    oauth_desk: OAuthDesk
    status_desk: StatusDesk
    routes: list[Route]
    beside: list[AbstractAsyncContextManager[object]]


def build_front(
    settings: Settings,
    store: Store,
    vault: Vault,
    *,
    load_backlog: Callable[[], StreamBacklog] | None = None,
) -> Front:
    """The front of one start of `serve`; nothing is asked of anybody yet."""
    engine, public_url = store.engine, settings.public_url
    cookies = SessionCookies(vault.derive("cookies"), https=is_https(public_url))
    lifetime = timedelta(days=settings.session_days)
    directory = Sessions(
        engine, idle=timedelta(hours=settings.session_idle_hours), lifetime=lifetime
    )
    sessions = PageSessions(directory, cookies, public_url=public_url)
    door = FrontDoor(
        store.keys, public_url=public_url, sessions=sessions, tokens=_token_access(settings)
    )
    connections, grants = Connections(engine, vault), Grants(engine, vault)
    app = oauth_app(settings)
    client = GrantClient(app) if app is not None else None
    consents = Consents(OAuthStates(engine), grants, store.ledger, client)
    has_service_key = settings.service_key is not None
    session_desk = SessionDesk(
        store.keys, directory, cookies, sessions, door, public_url, lifetime=lifetime
    )
    oauth_desk = OAuthDesk(
        door,
        sessions,
        cookies,
        page_url(settings),
        consents,
        service_key=has_service_key,
        home_url=f"{public_url}/",
    )
    status_desk = StatusDesk(
        door,
        connections,
        consents,
        ProgressCache(ProgressReader(engine)),
        load_backlog,
        service_key=has_service_key,
        can_connect=client is not None and not has_service_key,
    )
    routes = [
        *session_routes(session_desk),
        *oauth_routes(oauth_desk),
        *status_routes(status_desk),
    ]
    beside: list[AbstractAsyncContextManager[object]] = []
    if client is not None and app is not None:
        beside = [client, TokenKeeper(grants, connections, app, client.send)]
    return Front(door, sessions, session_desk, oauth_desk, status_desk, routes, beside)


def behind_proxies(app: ASGIApp, settings: Settings) -> ASGIApp:
    """The application, which believes the proxies that the settings name who a request is from.

    What anybody else says of that in a header is nothing to us.
    """
    if not settings.trusted_proxies:
        return app
    # uvicorn has types of its own for the same protocol.
    return cast(
        "ASGIApp",
        ProxyHeadersMiddleware(cast("Any", app), trusted_hosts=list(settings.trusted_proxies)),
    )


def is_https(public_url: str) -> bool:
    """True if people reach the receiver by https."""
    return urlsplit(public_url).scheme == "https"


def page_url(settings: Settings) -> str:
    """Where people land after they have connected HubSpot."""
    address = settings.page_url or f"{settings.public_url}/"
    return address if urlsplit(address).path else f"{address}/"


def oauth_app(settings: Settings) -> OAuthApp | None:
    """The HubSpot app of the settings, None where none is set."""
    if settings.client_id is None or settings.client_secret is None:
        return None
    return OAuthApp(
        client_id=settings.client_id,
        client_secret=settings.client_secret.get_secret_value(),
        redirect_uri=settings.redirect_uri or f"{settings.public_url}{CALLBACK_PATH}",
        api_url=settings.hubspot_api_url,
        app_url=settings.hubspot_app_url,
    )


def _token_access(settings: Settings) -> JwtAccess | None:
    rules = TokenRules(
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
        user_claim=settings.jwt_user_claim,
        workspace_claim=settings.jwt_workspace_claim,
    )
    if settings.jwt_jwks_url is not None:
        return JwtAccess(JwksKeys(settings.jwt_jwks_url), rules)
    if settings.jwt_secret is not None:
        return JwtAccess(SharedSecret(settings.jwt_secret.get_secret_value()), rules)
    return None
