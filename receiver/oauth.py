"""Connecting a HubSpot portal: the link that people follow there, and their way back.

Knows requests, cookies and where to send people next; what may be finished by whom is decided in
`consent.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from receiver.access import Caller, FrontDoor
from receiver.answers import Refusal, error_content
from receiver.consent import MAY_CHANGE_PORTAL, Consents, Visitor
from receiver.failures import refusal_of
from receiver.oauth_page import popup_page
from receiver.plain_page import prefers_json, redirect
from receiver.return_paths import own_path, with_query
from receiver.same_origin import origin_of
from receiver.session_cookies import SessionCookies, browser_digest, new_browser_name
from receiver.sessions import PageSessions
from target_hubspot_calls.errors import StoreUnavailable
from target_hubspot_calls.store.oauth_states import LIFETIME

logger = logging.getLogger("receiver")

INITIATE_PATH = "/api/hubspot/oauth/initiate"
CALLBACK_PATH = "/api/hubspot/oauth/callback"
_POPUP, _RETURN_TO, _HOME = "popup", "return_to", "home"
_NO = ("", "0", "false", "no")


@dataclass(frozen=True)
class OAuthDesk:
    """All that the routes need; `service_key` says that the settings name the one portal.

    `home_url` is our own first page; people who began elsewhere come back to `page_url`.
    """

    door: FrontDoor
    sessions: PageSessions
    cookies: SessionCookies
    page_url: str
    consents: Consents
    service_key: bool = False
    home_url: str | None = None


def oauth_routes(desk: OAuthDesk) -> list[Route]:
    """The way to HubSpot and the way back."""

    async def initiate(request: Request) -> Response:
        caller = await desk.door.caller_of(request)
        return await begin_consent(desk, request, caller, _consent_json)

    async def callback(request: Request) -> Response:
        return await _finished(desk, request)

    return [_get_only(INITIATE_PATH, initiate), _get_only(CALLBACK_PATH, callback)]


async def begin_consent(
    desk: OAuthDesk,
    request: Request,
    caller: Caller,
    to_answer: Callable[[str], Response],
    *,
    to_home: bool = False,
) -> Response:
    """The answer that leads the caller to HubSpot, whose address `to_answer` is given.

    `to_home` brings them back to our own home page, wherever others come back to. Raises Refusal.
    """
    _check_open(desk)
    digest, name = _binding(desk, request, caller)
    options = _options(request) | ({_HOME: "1"} if to_home else {})
    url = await desk.consents.begin(caller.workspace, digest=digest, options=options)
    answer = to_answer(url)
    if name is not None:
        max_age_s = int(LIFETIME.total_seconds())
        desk.cookies.set_browser(answer, name, max_age_s=max_age_s)
    return answer


def _consent_json(url: str) -> Response:
    return JSONResponse({"success": True, "authUrl": url})


def _check_open(desk: OAuthDesk) -> None:
    if desk.service_key:
        sentence = "The settings name one HubSpot portal for everybody; nobody connects another."
        raise Refusal(409, "service_key_configured", sentence)


def _get_only(path: str, endpoint: object) -> Route:
    route = Route(path, endpoint, methods=["GET"])  # type: ignore[arg-type]
    # Programs that only look where a link leads must not use it up.
    route.methods = {"GET"}
    return route


def _options(request: Request) -> dict[str, str]:
    """What the caller asks for beside the link. Raises Refusal."""
    query = request.query_params
    options = {
        name: "1" for name in (_POPUP, MAY_CHANGE_PORTAL) if query.get(name, "").lower() not in _NO
    }
    written = query.get(_RETURN_TO)
    if written is not None:
        path = own_path(written)
        if path is None:
            sentence = "return_to must be a path of this address, such as /integration."
            raise Refusal(400, "bad_return_to", sentence)
        options[_RETURN_TO] = path
    return options


def _binding(desk: OAuthDesk, request: Request, caller: Caller) -> tuple[bytes | None, str | None]:
    """What ties the state to the browser that asks, and the name it is to keep for that.

    A session ties by itself. Other pages of our address keep a cookie; pages elsewhere and programs
    that are no browser would not, and theirs is tied to user and workspace alone.
    """
    if caller.session is not None:
        return caller.session.digest, None
    if request.headers.get("sec-fetch-site") != "same-origin":
        return None, None
    name = desk.cookies.browser(request) or new_browser_name()
    return browser_digest(name), name


async def _finished(desk: OAuthDesk, request: Request) -> Response:
    """Where the browser goes next, whatever came of it."""
    query, options, refused = request.query_params, {}, None
    try:
        _check_open(desk)
        returned = await desk.consents.returned(query.get("state", ""))
        options = dict(returned.options) if returned else {}
        visitor = Visitor(
            await desk.sessions.session_if_any(request), desk.cookies.browser(request)
        )
        await desk.consents.finish(
            returned, visitor, code=query.get("code", ""), error=query.get("error", "")
        )
    except (Refusal, StoreUnavailable) as err:
        refused = refusal_of(err)
        logger.info("connecting HubSpot ended with %s", refused.code)
    if prefers_json(request.headers.get("accept", "")):
        return _as_json(refused)
    return _as_page(desk, options, refused)


def _as_json(refused: Refusal | None) -> Response:
    if refused is None:
        return JSONResponse({"success": True})
    return JSONResponse(
        error_content(refused.code, refused.sentence), refused.status, headers=refused.headers
    )


def _as_page(desk: OAuthDesk, options: dict[str, str], refused: Refusal | None) -> Response:
    said = {"hubspot": "connected"}
    if refused is not None:
        said = {"hubspot": "error", "message": refused.sentence, "code": refused.code}
    landing = (desk.home_url if _HOME in options else None) or desk.page_url
    origin = origin_of(landing)
    page = origin + options[_RETURN_TO] if _RETURN_TO in options else landing
    back = with_query(page, **said)
    if _POPUP not in options:
        return redirect(back)
    return popup_page(
        title="HubSpot is connected" if refused is None else "HubSpot is not connected",
        sentence=refused.sentence if refused else "You can close this window.",
        said=said,
        origin=origin,
        back=back,
    )
