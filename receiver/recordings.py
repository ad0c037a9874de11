"""GET /recordings/{call_id}: the stable link in notes, sent on to one that works now.

Knows the ledger's link and VAPI's fresh one; it fetches no recording itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from receiver.access import BASIC_CHALLENGE, Doorkeeper
from receiver.answers import Refusal
from receiver.plain_page import redirect, refusal
from target_hubspot_calls.call import LONGEST_CALL_ID, Workspace
from target_hubspot_calls.errors import StoreUnavailable
from target_hubspot_calls.recordings.lifetime import is_alive
from target_hubspot_calls.recordings.links import to_browser_link
from target_hubspot_calls.recordings.status import RecordingError, RecordingStatus

_ADVICE = {
    "unauthorized": (
        "Sign in with an access key as the password; the user name does not matter."
        " `hubspot-calls keys create` makes a key."
    ),
    "session_expired": "Sign in again on the page, or with an access key as the password.",
    "recording_expired": (
        "VAPI's links live for half an hour. Once VAPI_API_KEY is set on the receiver, a fresh one"
        " is asked for each time, for as long as VAPI keeps the recording."
    ),
    "recording_gone": "VAPI keeps recordings only for the time your plan gives.",
    "vapi_unavailable": "Try again in a minute; the log of `hubspot-calls serve` says more.",
    "store_unavailable": "Try again in a minute; the log of `hubspot-calls serve` says more.",
}


class StoredLink(Protocol):
    """What the ledger knows of a call's recording."""

    @property
    def url(self) -> str | None:
        """Its link, None if the call has no recording."""

    @property
    def expires_at(self) -> datetime | None:
        """When the link dies, None if nobody said."""

    @property
    def is_of_one(self) -> bool:
        """False where another workspace reported a call with the same id."""


class RecordingDirectory(Protocol):
    """What the receiver asks for recordings; may block. Raises StoreUnavailable."""

    def recording_of(self, workspace: Workspace, call_id: str, /) -> StoredLink | None:
        """The link of the workspace's call, None if it has no such call."""


class FreshLinks(Protocol):
    """Where links that work now come from."""

    async def fetch_fresh_link(self, call_id: str, /) -> str:
        """A link that works now. Raises RecordingError."""

    async def aclose(self) -> None:
        """Closes the connections."""


@dataclass(frozen=True)
class RecordingDesk:
    """All that the route needs; `vapi` is None where no private key is set."""

    door: Doorkeeper
    ledger: RecordingDirectory
    vapi: FreshLinks | None = None
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    async def aclose(self) -> None:
        """Closes the way to VAPI."""
        if self.vapi is not None:
            await self.vapi.aclose()


def recording_routes(desk: RecordingDesk) -> list[Route]:
    """The one route; a call id may have slashes in it."""

    async def recording(request: Request) -> Response:
        try:
            workspace = await desk.door.workspace_of(request)
            return redirect(await _working_link(desk, workspace, request.path_params["call_id"]))
        except StoreUnavailable:
            sentence = "The store cannot be read right now."
            answer = Refusal(503, "store_unavailable", sentence, {"Retry-After": "10"})
        except Refusal as err:
            answer = err
        if answer.status == 401:
            # People follow this link out of a note; their browser can ask them for the key.
            answer.headers["WWW-Authenticate"] = BASIC_CHALLENGE
        return refusal(
            request,
            answer.status,
            answer.code,
            answer.sentence,
            advice=_ADVICE.get(answer.code, ""),
            headers=answer.headers,
        )

    return [Route("/recordings/{call_id:path}", recording)]


async def _working_link(desk: RecordingDesk, workspace: Workspace, call_id: str) -> str:
    """Where to send the browser: a fresh link, else the stored one while it lives."""
    stored = await _stored_link(desk, workspace, call_id)
    if stored is None:
        raise Refusal(404, "not_found", "There is no such call in your workspace.")
    if stored.url is None:
        raise Refusal(404, "no_recording", "This call has no recording.")
    alive = is_alive(stored.url, stored.expires_at, desk.now())
    stored_link = to_browser_link(stored.url) if alive else None
    # VAPI is asked with one key for all workspaces: an id somebody only copied must open nothing.
    if desk.vapi is None or not stored.is_of_one:
        if not alive:
            raise Refusal(410, "recording_expired", "The link to this recording has expired.")
        if stored_link is None:
            raise Refusal(404, "no_recording", "The link to this recording is no https address.")
        return stored_link
    try:
        return await desk.vapi.fetch_fresh_link(call_id)
    except RecordingError as err:
        if stored_link is None:
            raise _refusal_of(err) from err
        return stored_link


async def _stored_link(
    desk: RecordingDesk, workspace: Workspace, call_id: str
) -> StoredLink | None:
    if len(call_id) > LONGEST_CALL_ID or not call_id.isprintable():
        return None
    return await asyncio.to_thread(desk.ledger.recording_of, workspace, call_id)


def _refusal_of(err: RecordingError) -> Refusal:
    if err.status is RecordingStatus.NONE:
        return Refusal(404, "recording_gone", str(err))
    if err.status is RecordingStatus.EXPIRED:
        return Refusal(410, "recording_gone", str(err))
    return Refusal(502, "vapi_unavailable", str(err))
