"""What all pages share: who sees them, what the page around them needs, and how they fail.

A page's own module gives its path and what is in it; nothing here knows of calls or HubSpot.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from receiver.access import Caller, FrontDoor
from receiver.answers import Refusal
from receiver.failures import log_failure, refusal_of, refused
from receiver.pages.notices import Notice, notice_of
from receiver.pages.rendering import Templates
from receiver.pages.viewer import Viewer, viewer_of
from receiver.sessions import BACKGROUND_HEADER, REFRESH_FIELD, PageSessions
from target_hubspot_calls.call import Workspace
from target_hubspot_calls.errors import CallSyncError

SIGN_IN_PATH = "/sign-in"
_LONGEST_RETURN = 480


@dataclass(frozen=True)
class PageDesk:
    """What every page needs."""

    door: FrontDoor
    sessions: PageSessions
    templates: Templates
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


@dataclass(frozen=True)
class Visit:
    """One request for a page, by somebody who may see it."""

    desk: PageDesk
    request: Request
    caller: Caller
    viewer: Viewer

    @property
    def workspace(self) -> Workspace:
        """Whose pages these are."""
        return self.caller.workspace

    @property
    def notice(self) -> Notice | None:
        """What the address says has just happened."""
        return notice_of(self.request.query_params)

    def render(
        self,
        template: str,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> Response:
        """The page, with `more` for its template beside what is around every page."""
        around = {
            "path": self.request.url.path,
            "caller": self.caller,
            "csrf_token": self.desk.sessions.csrf_token(self.request)
            if self.caller.session
            else "",
            "viewer": self.viewer,
            "notice": self.notice,
            "by_itself": again_by_itself(self.request),
        }
        return self.desk.templates.render(
            template, {**around, **more}, status=status, headers=headers
        )


Handler = Callable[[Visit], Awaitable[Response]]


def page_route(desk: PageDesk, path: str, handler: Handler, *, method: str = "GET") -> Route:
    """A route that shows a page to whom it belongs, or does what a page's form asks for.

    People who are not signed in are sent to do that; every refusal becomes a page.
    """

    async def endpoint(request: Request) -> Response:
        visit = None
        try:
            caller = await desk.door.caller_of(request)
            visit = Visit(desk, request, caller, viewer_of(request, desk.now()))
            return await handler(visit)
        except (Refusal, CallSyncError, HTTPException) as err:
            refusal = refusal_of(err)
            log_failure(err, refusal)
            if is_background(request):
                return refused(refusal)
            if refusal.status == 401 and visit is None:
                return _to_sign_in(desk, request)
            return error_page(desk, request, refusal, visit)

    return Route(path, endpoint, methods=[method], include_in_schema=False)


def error_page(
    desk: PageDesk, request: Request, refusal: Refusal, visit: Visit | None = None
) -> Response:
    """The refusal as a page: what happened, and what to do next."""
    retry_after = refusal.headers.get("Retry-After")
    context = {
        "refusal": refusal,
        "retry_after_s": int(retry_after) if retry_after and retry_after.isdigit() else None,
        "can_repeat": request.method == "GET",
        "again": f"?{_own_query(request)}",
        "by_itself": again_by_itself(request),
    }
    if visit is not None:
        return visit.render("error.html", status=refusal.status, headers=refusal.headers, **context)
    return render_for_anybody(
        desk, request, "error.html", status=refusal.status, headers=refusal.headers, **context
    )


def render_for_anybody(
    desk: PageDesk,
    request: Request,
    template: str,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> Response:
    """The page for somebody of whom nobody knows who it is, with `more` for its template."""
    around = {
        "path": request.url.path,
        "caller": None,
        "csrf_token": "",
        "viewer": viewer_of(request, desk.now()),
        "notice": None,
    }
    return desk.templates.render(template, {**around, **more}, status=status, headers=headers)


def back_to(path: str, **said: str | int) -> Response:
    """Sends the browser on after a form did its work, so that loading again does not repeat it."""
    query = f"?{urlencode(said)}" if said else ""
    return RedirectResponse(f"{path}{query}", status_code=303)


def is_background(request: Request) -> bool:
    """True for what a page's script asks for by itself."""
    return BACKGROUND_HEADER in request.headers


def again_by_itself(request: Request) -> str:
    """The page's own address, as a page that loads itself again asks for it.

    Relative to the page, so that its path stays as the browser has it.
    """
    query = _own_query(request)
    return f"?{query}&{REFRESH_FIELD}=1" if query else f"?{REFRESH_FIELD}=1"


def _own_query(request: Request) -> str:
    """The address's query, without the word that the page loaded itself."""
    parts = request.url.query.split("&")
    return "&".join(part for part in parts if part.partition("=")[0] not in ("", REFRESH_FIELD))


def _to_sign_in(desk: PageDesk, request: Request) -> Response:
    said = {}
    if request.method == "GET":
        query = _own_query(request)
        wanted = f"{request.url.path}?{query}" if query else request.url.path
        if wanted != "/" and len(wanted) <= _LONGEST_RETURN:
            said["return_to"] = wanted
    if desk.sessions.is_shown(request):
        said["why"] = "expired"
    return back_to(SIGN_IN_PATH, **said)
