"""/calls/{call_id}: the page of one call, what keeps it fresh, and putting the call back in line.

Asks the ledger and the sync log for one workspace alone; what the page says is made beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from receiver.answers import Refusal
from receiver.pages import call_address as addresses
from receiver.pages.call_note import RECORDINGS, note_of
from receiver.pages.call_standing import standing_of
from receiver.pages.call_story import Row, is_behind, tell
from receiver.pages.call_words import who_called, words_of_ending, words_of_outcome
from receiver.pages.hubspot_links import contact_link, contacts_link
from receiver.pages.page import PageDesk, Visit, back_to, page_route
from receiver.sync_logs import LONGEST_ROW_ID, is_call_id
from receiver.threads import WorkerThreads
from target_hubspot_calls.call import Call, Workspace
from target_hubspot_calls.engagement import format_duration
from target_hubspot_calls.settings import TargetSettings
from target_hubspot_calls.store.known_calls import KnownCall, KnownCalls
from target_hubspot_calls.store.retries import CallRetry, Retries
from target_hubspot_calls.sync_log.opening import SyncLogBusy, SyncLogUnavailable

JUST_RECEIVED = "received"
TEST_PREFIX = "test-"
_NOTICES = {
    CallRetry.QUEUED: "retry-queued",
    CallRetry.IN_LINE: "retry-in-line",
    CallRetry.WRITTEN: "retry-written",
}


class NamedWebhook(Protocol):
    """What the page says of a webhook."""

    @property
    def user_id(self) -> str:
        """Whose it is."""

    @property
    def workspace_id(self) -> str:
        """Whose it is."""

    @property
    def label(self) -> str | None:
        """Its name for people."""


class RowsOfCalls(Protocol):
    """What the page asks of the sync log. Raises SyncLogBusy, SyncLogUnavailable."""

    def story(self, user_id: str, workspace_id: str, call_id: str, /) -> Sequence[Row]:
        """All rows of one call, oldest first."""

    def row(self, user_id: str, workspace_id: str, row_id: str, /) -> Row | None:
        """The workspace's row of this id."""


@dataclass(frozen=True)
class CallDesk:
    """All that the pages of a call need. `writing` are the settings that notes are written by."""

    pages: PageDesk
    calls: KnownCalls
    sync_log: RowsOfCalls
    retries: Retries
    threads: WorkerThreads
    writing: TargetSettings
    app_url: str
    find_webhook: Callable[[str], NamedWebhook | None]
    portal_of: Callable[[Workspace], int | None]


@dataclass(frozen=True)
class Found:
    """What is known of a call; `is_whole` is False where the sync log could not be read."""

    known: KnownCall | None
    rows: Sequence[Row]
    webhook: str | None = None
    portal_id: int | None = None
    is_whole: bool = True

    @property
    def is_late(self) -> bool:
        """True while the sync log will say more, as soon as it is written and can be read."""
        return not self.is_whole or is_behind(self.known, self.rows)

    @property
    def mark(self) -> str:
        """Another word than the address of marks says, whenever the page is to be renewed."""
        mark = mark_of(self.known.updated_at if self.known else None)
        return f"{mark}-late" if self.is_late else mark


def call_routes(desk: CallDesk) -> list[Route]:
    """The routes. A call's name may hold slashes, so nothing stands behind it in an address."""

    async def show(visit: Visit) -> Response:
        call_id = _call_id(visit)
        found = await desk.threads.run(_find, desk, visit.workspace, call_id)
        if found.known is None and not found.rows:
            if _is_awaited(visit, call_id):
                address = addresses.call_mark(call_id)
                return visit.render("call_awaited.html", call_id=call_id, mark_address=address)
            raise _no_such_call()
        return visit.render("call.html", **_context(desk, visit, call_id, found))

    async def mark(visit: Visit) -> Response:
        call_id = _call_id(visit)
        changed_at = await desk.threads.run(desk.calls.changed_at, visit.workspace, call_id)
        return JSONResponse({"mark": mark_of(changed_at)}, headers={"Cache-Control": "no-store"})

    async def retry(visit: Visit) -> Response:
        call_id = _call_id(visit)
        came_to = await desk.threads.run(
            desk.retries.put_back_call, visit.workspace, call_id, now=desk.pages.now()
        )
        if came_to is CallRetry.UNKNOWN:
            raise _no_such_call()
        return back_to(addresses.call_page(call_id, notice=_NOTICES[came_to]))

    async def row(visit: Visit) -> Response:
        row_id, whose = visit.request.path_params["row_id"], visit.workspace
        found = None
        if len(row_id) <= LONGEST_ROW_ID and row_id.isprintable():
            found = await desk.threads.run(
                desk.sync_log.row, whose.user_id, whose.workspace_id, row_id
            )
        if found is None:
            raise Refusal(404, "not_found", "There is no such row in your history.")
        if found["call_id"] is not None and is_call_id(found["call_id"]):
            return back_to(addresses.call_page(found["call_id"]))
        now = standing_of(None, found, now=desk.pages.now())
        return visit.render("call_row.html", row=found, standing=now)

    return [
        page_route(desk.pages, addresses.CALL + "{call_id:path}", show),
        page_route(desk.pages, addresses.MARK + "{call_id:path}", mark),
        page_route(desk.pages, addresses.RETRY + "{call_id:path}", retry, method="POST"),
        page_route(desk.pages, addresses.ROW + "{row_id:path}", row),
    ]


def mark_of(changed_at: datetime | None) -> str:
    """A word for a state of the call's line in the ledger, none for a call that is not there."""
    return "" if changed_at is None else f"{changed_at:%Y%m%dT%H%M%S.%f}"


def _call_id(visit: Visit) -> str:
    """The call that is asked for. Raises Refusal (404) for what no call can be named."""
    named = visit.request.path_params["call_id"] or visit.request.query_params.get("id", "")
    if not is_call_id(named):
        raise _no_such_call()
    return str(named)


def _no_such_call() -> Refusal:
    return Refusal(404, "not_found", "There is no such call in your workspace.")


def _is_awaited(visit: Visit, call_id: str) -> bool:
    """True for a call that was reported a moment ago, which the next sync brings."""
    said = visit.request.query_params.get("just")
    return said == JUST_RECEIVED or call_id.startswith(TEST_PREFIX)


def _find(desk: CallDesk, workspace: Workspace, call_id: str) -> Found:
    """Everything about the call. Raises StoreUnavailable, and SyncLogError if that is all of it."""
    known = desk.calls.get(workspace, call_id)
    rows: Sequence[Row] = ()
    is_whole = True
    try:
        rows = desk.sync_log.story(workspace.user_id, workspace.workspace_id, call_id)
    except (SyncLogBusy, SyncLogUnavailable):
        if known is None:
            raise
        is_whole = False
    if known is None:
        return Found(None, rows)
    portal_id = known.portal_id or desk.portal_of(workspace)
    webhook = _webhook_name(desk, workspace, known.call.webhook_id)
    return Found(known, rows, webhook, portal_id, is_whole)


def _webhook_name(desk: CallDesk, workspace: Workspace, webhook_id: str | None) -> str | None:
    """The label, else the id; an id that is not of this workspace says nothing."""
    webhook = desk.find_webhook(webhook_id) if webhook_id else None
    if webhook is None or Workspace(webhook.user_id, webhook.workspace_id) != workspace:
        return None
    return f"“{webhook.label}”" if webhook.label else webhook_id


def _context(desk: CallDesk, visit: Visit, call_id: str, found: Found) -> Mapping[str, Any]:
    now, known = desk.pages.now(), found.known
    latest = found.rows[-1] if found.rows else {}
    contact_id = known.contact_id if known else latest.get("contact_id")
    portal_id = found.portal_id or latest.get("portal_id")

    def link_to_contact(portal: int | None, contact: str | None) -> str | None:
        return contact_link(desk.app_url, portal or portal_id, contact)

    return {
        "call_id": call_id,
        "who": who_called(known.call if known else None),
        "number": known.call.customer_number if known else latest.get("phone_number"),
        "facts": _facts(known.call if known else None, latest),
        "standing": standing_of(known, latest, now=now),
        "story": tell(known, found.rows, webhook=found.webhook, now=now),
        "is_whole": found.is_whole,
        "note": note_of(known, desk.writing) if known and not known.is_forgotten else None,
        "contact": link_to_contact(None, contact_id),
        "contacts": contacts_link(desk.app_url, portal_id),
        "link_to_contact": link_to_contact,
        "recording": _recording_page(known.call) if known else None,
        "retry_address": addresses.call_retry(call_id),
        "mark_address": addresses.call_mark(call_id),
        "mark_word": found.mark,
        "is_known": known is not None,
        "is_live": known is not None and (known.is_moving or found.is_late),
        "is_due_now": known is not None
        and known.is_due
        and (known.due_at is None or known.due_at <= now),
    }


def _facts(call: Call | None, latest: Mapping[str, Any]) -> Mapping[str, Any]:
    """What of the call's record is shown, by name; transcript and links are not among it."""
    if call is None:
        names = ("duration", "outcome", "ending", "name", "line", "assistant")
        return {**dict.fromkeys(names), "started_at": latest.get("call_started_at")}
    return {
        "started_at": call.started_at or call.happened_at,
        "duration": format_duration(call.duration_ms) if call.duration_ms else None,
        "outcome": words_of_outcome(call.outcome),
        "ending": words_of_ending(call.ended_reason),
        "name": call.customer_name,
        "line": call.phone_number,
        "assistant": call.assistant_name,
    }


def _recording_page(call: Call) -> str | None:
    """Where the recording can be heard, None if the call has none."""
    address = addresses.call_page(call.id).removeprefix(addresses.CALL)
    if not call.recording_url or not address or address.startswith("?"):
        return None
    return f"{RECORDINGS}{address}"
