"""Calls put back in line over HTTP: that of one row, or all that match a filter.

Decides nothing of delivery: it hands a filter to the store, for the caller's workspace alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from receiver.access import Doorkeeper
from receiver.answers import Refusal
from receiver.parameters import Parameters, body_parameters, query_parameters
from receiver.sync_logs import LONGEST_ROW_ID, REASONS
from receiver.threads import WorkerThreads
from target_hubspot_calls.call import Workspace
from target_hubspot_calls.errors import Status
from target_hubspot_calls.store.retries import (
    CallRetry,
    Retries,
    RetryFilter,
    UndoneGroup,
    total_of,
)
from target_hubspot_calls.sync_log.face import HistoryReader
from target_hubspot_calls.sync_log.filters import HistoryFilter, digits_of, sought_number

RETRY_STATUSES = (Status.ERROR.value, Status.SKIPPED.value)
_SENTENCES = {
    CallRetry.QUEUED: "The call is back in line.",
    CallRetry.IN_LINE: "The call is in line already.",
    CallRetry.WRITTEN: "The call is in HubSpot already; there is nothing to retry.",
}


@dataclass(frozen=True)
class RetryDesk:
    """All that the routes need."""

    door: Doorkeeper
    sync_log: HistoryReader
    retries: Retries
    threads: WorkerThreads
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


def retry_routes(desk: RetryDesk) -> list[Route]:
    """The two routes; asking twice changes nothing more."""

    async def retry_row(request: Request) -> Response:
        workspace = await desk.door.workspace_of(request)
        query_parameters(request).check()
        (await body_parameters(request)).check()
        call_id = await _call_of_row(desk, workspace, request.path_params["id"])
        came_to = await desk.threads.run(
            desk.retries.put_back_call, workspace, call_id, now=desk.now()
        )
        if came_to is CallRetry.UNKNOWN:
            raise _nothing_to_retry()
        return JSONResponse(
            {
                "success": True,
                "callId": call_id,
                "queued": int(came_to is CallRetry.QUEUED),
                "alreadyQueued": int(came_to is CallRetry.IN_LINE),
                "message": _SENTENCES[came_to],
            }
        )

    async def retry_matching(request: Request) -> Response:
        workspace = await desk.door.workspace_of(request)
        query_parameters(request).check()
        asked = await body_parameters(request)
        wanted, dry_run = _read_filter(asked, workspace), asked.truth("dryRun")
        asked.check()
        by_reason: dict[str, Any] = {}
        if dry_run:
            groups = await desk.threads.run(desk.retries.groups, wanted, now=desk.now())
            counts = total_of(groups)
            by_reason = {"byReason": [_group_to_json(group) for group in groups]}
        else:
            counts = await desk.threads.run(desk.retries.put_back, wanted, now=desk.now())
        return JSONResponse(
            {
                "success": True,
                "dryRun": dry_run,
                "matched": counts.matched,
                "queued": counts.queued,
                "alreadyQueued": counts.in_line,
                **by_reason,
            }
        )

    return [
        Route("/api/hubspot/sync-logs/{id}/retry", retry_row, methods=["POST"]),
        Route("/api/hubspot/retry", retry_matching, methods=["POST"]),
    ]


def _group_to_json(group: UndoneGroup) -> dict[str, Any]:
    return {
        "status": group.status,
        "reason": group.reason,
        "queued": group.queued,
        "alreadyQueued": group.in_line,
    }


async def _call_of_row(desk: RetryDesk, workspace: Workspace, row_id: str) -> str:
    """The call of the workspace's row. Raises Refusal (404, 409), SyncLogBusy."""
    row = None
    if len(row_id) <= LONGEST_ROW_ID:
        row = await desk.threads.run(
            desk.sync_log.row, workspace.user_id, workspace.workspace_id, row_id
        )
    if row is None:
        raise Refusal(404, "not_found", "There is no such row in your history.")
    if row["call_id"] is None:
        raise _nothing_to_retry()
    return str(row["call_id"])


def _nothing_to_retry() -> Refusal:
    return Refusal(409, "nothing_to_retry", "This row names no call that could be tried again.")


def to_retry_filter(wanted: HistoryFilter) -> RetryFilter:
    """The same filter for calls as they stand: the history has a row for every try of one."""
    # As the history does: a blank search is none, and would else find what has a blank in it.
    query = (wanted.query or "").strip() or None
    sought = sought_number(wanted.phone_number)
    return RetryFilter(
        user_id=wanted.user_id,
        workspace_id=wanted.workspace_id,
        call_id=wanted.call_id,
        status=wanted.status,
        reason=wanted.reason,
        since=wanted.since,
        until=wanted.until,
        numbers=sought.spellings if sought else (),
        number_end=sought.ending if sought else None,
        query=query,
        digits=digits_of(query),
    )


def _read_filter(asked: Parameters, workspace: Workspace) -> RetryFilter:
    wanted = HistoryFilter(
        user_id=workspace.user_id,
        workspace_id=workspace.workspace_id,
        status=asked.word("status", RETRY_STATUSES),
        reason=asked.word("reason", REASONS),
        call_id=asked.text("call_id"),
        since=asked.moment("since"),
        until=asked.moment("until"),
        query=asked.text("q"),
    )
    # Here a number is only what is written just so; programs rely on it.
    return replace(to_retry_filter(wanted), phone_number=asked.text("phone_number"))
