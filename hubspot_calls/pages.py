"""The pages as `serve` shows them: every page with what it works with.

Knows settings, store and front; what is on a page is the receiver's business.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hubspot_calls.front import Front
from hubspot_calls.rooms import Store
from hubspot_calls.settings import Settings
from receiver.answers import Refusal
from receiver.pages.assets import Assets, asset_routes
from receiver.pages.page import PageDesk, error_page
from receiver.pages.rendering import Templates
from receiver.pages.sign_in import sign_in_routes


@dataclass(frozen=True)
class Pages:
    """The routes of all pages, and the page that says what went wrong anywhere else."""

    desk: PageDesk
    routes: list[Route]

    def error_page(self, request: Request, refusal: Refusal) -> Response:
        """The refusal as a page for people."""
        return error_page(self.desk, request, refusal)


def build_pages(settings: Settings, store: Store, front: Front) -> Pages:
    """The pages of one start of `serve`."""
    assets = Assets()
    desk = PageDesk(front.door, front.sessions, Templates(assets))
    idle = timedelta(hours=settings.session_idle_hours)
    return Pages(
        desk,
        [
            *asset_routes(assets),
            *sign_in_routes(desk, front.session_desk, idle=idle),
        ],
    )
