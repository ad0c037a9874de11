"""The integration page: how the workspace is connected to HubSpot, its webhooks, and connecting.

Prints; who may finish a consent is decided in consent.py, what is said in the cards' own modules.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from receiver.connection_standing import Health
from receiver.connection_status import StatusDesk, WorkspaceStatus
from receiver.landing import landing_page
from receiver.oauth import OAuthDesk, begin_consent
from receiver.pages.connection_card import connection_card, mark_of
from receiver.pages.page import PageDesk, Visit, back_to, page_route
from receiver.pages.webhook_cards import WebhookCard, load_webhook_cards
from receiver.pages.webhook_forms import FormFault
from receiver.pages.webhook_words import OFFERED_WAYS, WAY_WORDS
from receiver.plain_page import redirect
from receiver.same_origin import is_foreign, origin_of
from receiver.security_headers import CONNECT_PATH
from target_hubspot_calls.addresses import is_loopback
from target_hubspot_calls.errors import StoreUnavailable
from target_hubspot_calls.store.connections import ConnectionKind
from target_hubspot_calls.store.grants import EndedConnection
from target_hubspot_calls.store.webhook_counts import WebhookCounts
from target_hubspot_calls.store.webhooks import Webhooks

HOME_PATH = "/"
MARK_PATH = "/live-mark"
DISCONNECT_PATH = "/disconnect"
_OTHER_PORTAL = "other_portal"


@dataclass(frozen=True)
class HomeDesk:
    """What the page needs beside what every page does."""

    pages: PageDesk
    status: StatusDesk
    oauth: OAuthDesk
    webhooks: Webhooks
    counts: WebhookCounts
    public_url: str
    default_region: str = "US"
    """Country of numbers that are typed without a country code."""


def home_routes(desk: HomeDesk) -> list[Route]:
    """The page, what renews it, and the ways to HubSpot and away."""

    async def home(visit: Visit) -> Response:
        return await show_home(desk, visit)

    page = page_route(desk.pages, HOME_PATH, home)

    async def home_or_landing(request: Request) -> Response:
        # Whoever embeds us may send people here who have no session of ours.
        landing = landing_page(request)
        if landing is not None and not await _is_signed_in(desk.pages, request):
            return landing
        answer: Response = await page.endpoint(request)
        return answer

    async def mark(visit: Visit) -> Response:
        return JSONResponse({"mark": _mark(*await _load(desk, visit))})

    async def connect(visit: Visit) -> Response:
        # A link on another site must not lead anybody to a consent they did not ask for.
        if is_foreign(visit.request, origin_of(desk.public_url)):
            return back_to(HOME_PATH)
        return await begin_consent(desk.oauth, visit.request, visit.caller, redirect, to_home=True)

    async def disconnect(visit: Visit) -> Response:
        ended, revoked = await desk.oauth.consents.disconnect(visit.workspace)
        return back_to(HOME_PATH, notice=_farewell(ended, revoked))

    return [
        Route(HOME_PATH, home_or_landing, methods=["GET"], include_in_schema=False),
        page_route(desk.pages, MARK_PATH, mark),
        page_route(desk.pages, CONNECT_PATH, connect),
        page_route(desk.pages, DISCONNECT_PATH, disconnect, method="POST"),
    ]


async def show_home(desk: HomeDesk, visit: Visit, fault: FormFault | None = None) -> Response:
    """The page, with what is wrong with one of its forms. Raises StoreUnavailable."""
    status, cards = await _load(desk, visit)
    standing = status.standing
    query = visit.request.query_params
    came_from_other = query.get("hubspot") == "error" and query.get("code") == _OTHER_PORTAL
    return visit.render(
        "home.html",
        status=400 if fault else 200,
        connection=connection_card(status),
        health=Health,
        cards=cards,
        mark_address=MARK_PATH,
        page_mark=_mark(status, cards),
        offers_other=came_from_other and bool(standing.connection) and status.can_connect,
        ways=[(way, WAY_WORDS[way]) for way in OFFERED_WAYS],
        is_unreachable=is_loopback(urlsplit(desk.public_url).hostname),
        fault=fault,
    )


async def _load(desk: HomeDesk, visit: Visit) -> tuple[WorkspaceStatus, list[WebhookCard]]:
    status, cards = await asyncio.gather(
        desk.status.status_of(visit.workspace),
        asyncio.to_thread(
            load_webhook_cards,
            desk.webhooks,
            desk.counts,
            visit.workspace,
            public_url=desk.public_url,
        ),
    )
    return status, cards


def _mark(status: WorkspaceStatus, cards: list[WebhookCard]) -> str:
    """Changes with what the page shows, but not with every second that passes."""
    card = connection_card(status)
    heard = [(each.webhook.id, each.webhook.disabled_at, each.heard) for each in cards]
    return mark_of(status.standing, status.progress, card.is_late, heard)


async def _is_signed_in(desk: PageDesk, request: Request) -> bool:
    """False where certainly nobody is; a store that is away is for the page to tell of."""
    if "authorization" in request.headers:
        return True
    try:
        return await desk.sessions.session_if_any(request) is not None
    except StoreUnavailable:
        return True


def _farewell(ended: EndedConnection | None, revoked: bool) -> str:
    if ended is None or revoked:
        return "disconnected"
    is_key = ended.connection.kind is ConnectionKind.SERVICE_KEY
    return "disconnected-key" if is_key else "disconnected-here"
