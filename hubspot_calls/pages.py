"""The pages as `serve` shows them: every page with what it works with.

Knows settings, store and front; what is on a page is the receiver's business.
"""

from __future__ import annotations

from collections.abc import Callable
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
from receiver.pages.call import CallDesk, call_routes
from receiver.pages.history import HistoryPages, history_page_routes
from receiver.pages.history_retry import RetryPages, retry_page_routes
from receiver.pages.home import HomeDesk, home_routes
from receiver.pages.keys import key_routes
from receiver.pages.numbers import NumberPages, number_routes
from receiver.pages.page import PageDesk, error_page
from receiver.pages.rendering import Templates
from receiver.pages.sign_in import sign_in_routes
from receiver.pages.webhooks import webhook_routes
from receiver.threads import WorkerThreads
from receiver.trials import Door
from target_hubspot_calls.call import Workspace
from target_hubspot_calls.settings import TargetSettings, read_settings
from target_hubspot_calls.store.known_calls import KnownCalls
from target_hubspot_calls.sync_log.face import HistoryReader
from target_hubspot_calls.sync_log.newest import NewestRows


@dataclass(frozen=True)
class Pages:
    """The routes of all pages, and the page that says what went wrong anywhere else."""

    desk: PageDesk
    home: HomeDesk
    routes: list[Route]

    def door_routes(self, door: Door) -> list[Route]:
        """The routes of pages that work with the webhooks' own door."""
        return webhook_routes(self.home, door)

    def error_page(self, request: Request, refusal: Refusal) -> Response:
        """The refusal as a page for people."""
        return error_page(self.desk, request, refusal)


def build_pages(
    settings: Settings,
    store: Store,
    front: Front,
    *,
    sync_log: HistoryReader,
    threads: WorkerThreads,
) -> Pages:
    """The pages of one start of `serve`; what blocks runs on `threads`."""
    assets = Assets()
    desk = PageDesk(front.door, front.sessions, Templates(assets))
    idle = timedelta(hours=settings.session_idle_hours)
    target = read_settings(settings.target_config(), ignored=frozenset())
    home = HomeDesk(
        desk,
        front.status_desk,
        front.oauth_desk,
        store.webhooks,
        store.webhook_counts,
        settings.public_url,
        target.default_region,
    )
    return Pages(
        desk,
        home,
        [
            *asset_routes(assets),
            *sign_in_routes(desk, front.session_desk, idle=idle),
            *home_routes(home),
            *key_routes(desk, store.keys),
            *call_routes(_call_desk(settings, target, store, front, desk, sync_log, threads)),
            *_history_routes(settings, store, front, desk, sync_log, threads),
        ],
    )


def _call_desk(
    settings: Settings,
    target: TargetSettings,
    store: Store,
    front: Front,
    desk: PageDesk,
    sync_log: HistoryReader,
    threads: WorkerThreads,
) -> CallDesk:
    """What the page of a call needs; notes are shown as the live sync writes them."""
    return CallDesk(
        desk,
        KnownCalls(store.engine),
        sync_log,
        store.retries,
        threads,
        target,
        settings.hubspot_app_url,
        store.webhooks.get,
        _portals(front),
    )


def _history_routes(
    settings: Settings,
    store: Store,
    front: Front,
    desk: PageDesk,
    sync_log: HistoryReader,
    threads: WorkerThreads,
) -> list[Route]:
    """The history and what stands beside it."""
    newest, app_url = NewestRows(sync_log), settings.hubspot_app_url
    portal_of = _portals(front)
    return [
        *history_page_routes(HistoryPages(desk, sync_log, newest, threads, app_url)),
        *retry_page_routes(RetryPages(desk, store.retries, threads)),
        *number_routes(
            NumberPages(desk, sync_log, newest, store.retries, threads, app_url, portal_of)
        ),
    ]


def _portals(front: Front) -> Callable[[Workspace], int | None]:
    """Which portal a workspace writes to, None while that is not known."""
    connections = front.status_desk.connections

    def portal_of(workspace: Workspace) -> int | None:
        connection = connections.get(workspace.user_id, workspace.workspace_id)
        return connection.portal_id if connection is not None else None

    return portal_of
