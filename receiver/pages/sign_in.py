"""/sign-in and /sign-out: the door to the pages.

Prints; who is let in is decided in sessions.py.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from receiver.answers import Refusal
from receiver.failures import log_failure, refusal_of
from receiver.pages.page import (
    SIGN_IN_PATH,
    PageDesk,
    Visit,
    back_to,
    error_page,
    page_route,
    render_for_anybody,
)
from receiver.return_paths import own_path
from receiver.sessions import SessionDesk, open_session, to_first_page
from receiver.small_bodies import read_fields
from target_hubspot_calls.errors import CallSyncError

SIGN_OUT_PATH = "/sign-out"


def sign_in_routes(desk: PageDesk, sessions: SessionDesk, *, idle: timedelta) -> list[Route]:
    """Signing in and out."""
    why_texts = {
        "expired": (
            f"Your session has ended. Sessions end after {_span(idle)} without use, and after"
            f" {_span(sessions.lifetime)} in any case."
        ),
        "signed-out": "You are signed out.",
        "key-revoked": (
            "You have revoked the key that you were signed in with, which ended your session."
            " Sign in with another one."
        ),
    }

    def form(request: Request, refusal: Refusal | None, return_to: str, why: str) -> Response:
        return render_for_anybody(
            desk,
            request,
            "sign_in.html",
            status=refusal.status if refusal else 200,
            headers=refusal.headers if refusal else None,
            why=why,
            refusal=refusal,
            return_to=return_to,
        )

    def failed(request: Request, err: Exception, refusal: Refusal) -> Response:
        log_failure(err, refusal)
        return error_page(desk, request, refusal)

    async def show(request: Request) -> Response:
        return_to = own_path(request.query_params.get("return_to", "")) or "/"
        try:
            # Somebody who is signed in already wants the page behind this one. Asked as that page
            # asks: who is let in by one of them and not by the other would go round in circles.
            await desk.door.caller_of(request)
        except (Refusal, CallSyncError) as err:
            refusal = refusal_of(err)
            if refusal.status not in (401, 403):
                return failed(request, err, refusal)
            why = why_texts.get(request.query_params.get("why", ""), "")
            return form(request, None, return_to, why)
        return back_to(return_to)

    async def sign_in(request: Request) -> Response:
        try:
            return to_first_page(sessions, await open_session(sessions, request))
        except CallSyncError as err:
            return failed(request, err, refusal_of(err))
        except Refusal as err:
            if err.status not in (401, 429):
                return error_page(desk, request, err)
            # A browser that is answered 401 with a challenge asks with a window of its own.
            err.headers.pop("WWW-Authenticate", None)
            return_to = own_path((await read_fields(request)).get("return_to", "")) or "/"
            return form(request, err, return_to, "")

    async def sign_out(visit: Visit) -> Response:
        if visit.caller.session is not None:
            await asyncio.to_thread(sessions.directory.end, visit.caller.session)
        answer = back_to(SIGN_IN_PATH, why="signed-out")
        sessions.cookies.clear_session(answer)
        return answer

    return [
        Route(SIGN_IN_PATH, show, methods=["GET"], include_in_schema=False),
        Route(SIGN_IN_PATH, sign_in, methods=["POST"], include_in_schema=False),
        page_route(desk, SIGN_OUT_PATH, sign_out, method="POST"),
    ]


def _span(length: timedelta) -> str:
    hours = length.total_seconds() / 3600
    if hours >= 48:
        return f"{hours / 24:g} days"
    return "one hour" if hours == 1 else f"{hours:g} hours"
