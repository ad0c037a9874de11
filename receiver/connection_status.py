"""GET /api/hubspot/status and DELETE /api/hubspot/disconnect.

Says how a workspace stands with HubSpot; tokens are neither read nor shown.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from call_stream.stream import StreamError
from receiver.access import Doorkeeper
from receiver.connection_standing import Standing, standing_of
from receiver.consent import Consents
from receiver.metrics import StreamBacklog
from target_hubspot_calls.call import Workspace
from target_hubspot_calls.store.connections import Connection, ConnectionKind
from target_hubspot_calls.store.grants import EndedConnection
from target_hubspot_calls.store.progress import Progress

logger = logging.getLogger("receiver")

STATUS_PATH = "/api/hubspot/status"
DISCONNECT_PATH = "/api/hubspot/disconnect"
_PROGRESS_KEPT_S = 5.0
_MOST_WORKSPACES = 1_000


class ConnectionDirectory(Protocol):
    """What is asked for connections; may block. Raises StoreUnavailable."""

    def get(self, user_id: str, workspace_id: str, /) -> Connection | None:
        """The workspace's connection, None if it has none."""


class ProgressDirectory(Protocol):
    """What is asked of the ledger; may block. Raises StoreUnavailable."""

    def of(self, workspace: Workspace, /) -> Progress:
        """How far the workspace's calls have come."""


class ProgressCache:
    """Remembers for a few seconds: pages ask often, and a long ledger takes a while to look at."""

    def __init__(
        self,
        directory: ProgressDirectory,
        *,
        keep_s: float = _PROGRESS_KEPT_S,
        most: int = _MOST_WORKSPACES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._keep_s = keep_s
        self._most = most
        self._clock = clock
        self._kept: OrderedDict[Workspace, tuple[float, Progress]] = OrderedDict()

    async def of(self, workspace: Workspace) -> Progress:
        """How far the workspace's calls have come, or had a moment ago."""
        kept = self._kept.get(workspace)
        if kept is not None and kept[0] > self._clock():
            return kept[1]
        progress = await asyncio.to_thread(self._directory.of, workspace)
        self._kept[workspace] = (self._clock() + self._keep_s, progress)
        self._kept.move_to_end(workspace)
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return progress


@dataclass(frozen=True)
class WorkspaceStatus:
    """How a workspace stands with HubSpot and how far its calls are.

    `stream_behind_s` is how long the call stream's oldest unread entry has waited; None where
    nobody knows. It is of all workspaces together, so an age and nothing else.
    """

    standing: Standing
    progress: Progress
    stream_behind_s: int | None
    can_connect: bool


@dataclass(frozen=True)
class StatusDesk:
    """All that the routes need.

    `service_key` says that the settings name the one portal everything goes to; `can_connect` that
    people can connect portals in the browser.
    """

    door: Doorkeeper
    connections: ConnectionDirectory
    consents: Consents
    progress: ProgressCache
    load_backlog: Callable[[], StreamBacklog] | None = None
    service_key: bool = False
    can_connect: bool = True
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    async def status_of(self, workspace: Workspace) -> WorkspaceStatus:
        """How the workspace stands now. Raises StoreUnavailable."""
        connection = await asyncio.to_thread(
            self.connections.get, workspace.user_id, workspace.workspace_id
        )
        return WorkspaceStatus(
            standing_of(connection, service_key=self.service_key, now=self.now()),
            await self.progress.of(workspace),
            await self._stream_behind_s(),
            self.can_connect,
        )

    async def _stream_behind_s(self) -> int | None:
        if self.load_backlog is None:
            return None
        try:
            backlog = await asyncio.to_thread(self.load_backlog)
        except (StreamError, OSError) as err:
            logger.warning("how far the call stream was read is not known: %s", err)
            return None
        if backlog.oldest_at is None:
            return 0
        return max(0, int((self.now() - backlog.oldest_at).total_seconds()))


def status_routes(desk: StatusDesk) -> list[Route]:
    """How a workspace is connected, and ending that."""

    async def status(request: Request) -> Response:
        status = await desk.status_of(await desk.door.workspace_of(request))
        return JSONResponse(
            {
                "success": True,
                **_connection_fields(status.standing),
                **_progress_fields(status.progress, status.stream_behind_s),
                "canConnect": status.can_connect,
            }
        )

    async def disconnect(request: Request) -> Response:
        workspace = await desk.door.workspace_of(request)
        ended, revoked = await desk.consents.disconnect(workspace)
        return JSONResponse(
            {"success": True, "message": _farewell(ended, revoked), "revoked": revoked}
        )

    return [
        Route(STATUS_PATH, status, methods=["GET"]),
        Route(DISCONNECT_PATH, disconnect, methods=["DELETE"]),
    ]


def _connection_fields(standing: Standing) -> dict[str, object]:
    if standing.by_settings:
        return {**_NOT_CONNECTED, "connected": True, "kind": ConnectionKind.SERVICE_KEY}
    connection = standing.connection
    if connection is None:
        return _NOT_CONNECTED
    is_blocked = standing.blocked_until is not None
    return {
        "connected": standing.is_connected,
        "tokenExpiresAt": _epoch_ms(connection.expires_at),
        "kind": connection.kind,
        "portalId": connection.portal_id,
        "scopes": list(connection.scopes),
        "missingScopes": list(standing.missing_scopes),
        "reconnectRequired": standing.needs_reconnect,
        "state": connection.state,
        "stateDetail": connection.state_detail,
        "connectedBy": connection.user_id,
        "connectedAt": _epoch_ms(connection.created_at),
        "blockedUntil": _epoch_ms(standing.blocked_until),
        "blockedReason": connection.blocked_reason if is_blocked else None,
    }


_NOT_CONNECTED: dict[str, object] = {
    "connected": False,
    "tokenExpiresAt": None,
    "kind": None,
    "portalId": None,
    "scopes": [],
    "missingScopes": [],
    "reconnectRequired": False,
    "state": None,
    "stateDetail": None,
    "connectedBy": None,
    "connectedAt": None,
    "blockedUntil": None,
    "blockedReason": None,
}


def _progress_fields(progress: Progress, stream_behind_s: int | None) -> dict[str, object]:
    """What of the workspace's calls has reached HubSpot, and what has not."""
    return {
        "lastSync": _epoch_ms(progress.last_settled_at),
        "backlog": {
            "due": progress.due,
            "waiting": progress.waiting,
            "oldestAt": _epoch_ms(progress.oldest_open_at),
            "streamBehindS": stream_behind_s,
        },
    }


def _farewell(ended: EndedConnection | None, revoked: bool) -> str:
    if ended is None:
        return "HubSpot was not connected."
    if ended.connection.kind is ConnectionKind.SERVICE_KEY:
        return (
            "HubSpot is disconnected and the service key removed here. The key itself stays valid"
            " until it is deleted in HubSpot."
        )
    if revoked:
        return "HubSpot is disconnected; the tokens were removed here and revoked at HubSpot."
    return (
        "HubSpot is disconnected and the tokens removed here. They were not revoked at HubSpot;"
        " to be sure, remove the app there under Settings, Connected apps."
    )


def _epoch_ms(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp() * 1000)
