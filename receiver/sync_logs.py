"""The sync history over HTTP: pages of rows, counts, days, numbers, one call's story, CSV.

Reads the sync log and the ledger for the caller's workspace alone; writes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from receiver.access import Doorkeeper
from receiver.answers import Refusal
from receiver.csv_export import csv_head, csv_lines
from receiver.parameters import Parameters, query_parameters
from receiver.threads import WorkerThreads
from target_hubspot_calls.call import LONGEST_CALL_ID, Workspace
from target_hubspot_calls.errors import Reason, Status
from target_hubspot_calls.store.call_states import CallState, CallStates
from target_hubspot_calls.store.ledger_rows import DUE
from target_hubspot_calls.sync_log.log import (
    HistoryFilter,
    HistoryPage,
    HistoryReader,
    SyncLogBusy,
    UnknownRow,
)

STATUSES = tuple(status.value for status in Status)
REASONS = tuple(reason.value for reason in Reason)
MOST_ROWS = 1_000
DEFAULT_ROWS = 50
FARTHEST_ROW = 10_000_000
LONGEST_ROW_ID = 100
# A day's border lies up to so many minutes from UTC's (Kiribati; Baker Island).
_MOST_AHEAD_MIN, _MOST_BEHIND_MIN = 14 * 60, -12 * 60
_PIECE_TRIES = 30
_PIECE_WAIT_S = 1.0
_OWNER_COLUMNS = frozenset({"user_id", "workspace_id"})


@dataclass(frozen=True)
class HistoryDesk:
    """All that the routes of the history need."""

    door: Doorkeeper
    sync_log: HistoryReader
    calls: CallStates
    threads: WorkerThreads
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


def history_routes(desk: HistoryDesk) -> list[Route]:
    """The routes under /api/hubspot that read what became of calls."""

    async def sync_logs(request: Request) -> Response:
        workspace = await desk.door.workspace_of(request)
        asked = query_parameters(request)
        wanted, as_of = read_filter(asked, workspace), asked.text("as_of", longest=LONGEST_ROW_ID)
        limit, offset = read_page_bounds(asked)
        asked.check()
        page = await _pinned(desk, desk.sync_log.page, wanted, as_of, limit=limit, offset=offset)
        return JSONResponse(
            {
                "success": True,
                "logs": [row_to_json(row) for row in page.rows],
                "total": page.total,
                "limit": limit,
                "offset": offset,
                "asOf": page.as_of,
            }
        )

    async def export(request: Request) -> Response:
        workspace = await desk.door.workspace_of(request)
        asked = query_parameters(request)
        wanted, as_of = read_filter(asked, workspace), asked.text("as_of", longest=LONGEST_ROW_ID)
        asked.check()
        # The first piece is read before anything is answered, so that a busy log can be said.
        first = await _pinned(desk, desk.sync_log.rows_behind, wanted, as_of)
        name = f"hubspot-sync-{desk.now():%Y-%m-%d}.csv"
        return StreamingResponse(
            _csv(desk, wanted, first),
            media_type="text/csv; charset=utf-8; header=present",
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )

    async def summary(request: Request) -> Response:
        workspace = await desk.door.workspace_of(request)
        asked = query_parameters(request)
        wanted = read_filter(asked, workspace)
        asked.check()
        counts = await desk.threads.run(desk.sync_log.outcome_counts, wanted)
        by_status = dict.fromkeys(STATUSES, 0)
        for outcome in counts:
            by_status[outcome.status] = by_status.get(outcome.status, 0) + outcome.count
        return JSONResponse(
            {
                "success": True,
                "total": sum(by_status.values()),
                "byStatus": by_status,
                "byReason": [vars(outcome) for outcome in counts],
            }
        )

    async def days(request: Request) -> Response:
        workspace = await desk.door.workspace_of(request)
        asked = query_parameters(request)
        wanted = read_filter(asked, workspace)
        ahead_min = asked.whole("utc_offset_min", 0, least=_MOST_BEHIND_MIN, most=_MOST_AHEAD_MIN)
        asked.check()
        counts = await desk.threads.run(desk.sync_log.days, wanted, utc_offset_min=ahead_min)
        by_day: dict[str, dict[str, Any]] = {}
        for count in counts:
            day = count.day.isoformat()
            entry = by_day.setdefault(day, {"day": day, **dict.fromkeys(STATUSES, 0)})
            entry[count.status] = count.calls
        return JSONResponse(
            {"success": True, "days": list(by_day.values()), "utcOffsetMin": ahead_min}
        )

    async def unmatched(request: Request) -> Response:
        workspace = await desk.door.workspace_of(request)
        asked = query_parameters(request)
        wanted = HistoryFilter(
            workspace.user_id,
            workspace.workspace_id,
            since=asked.moment("since"),
            until=asked.moment("until"),
        )
        limit, offset = read_page_bounds(asked)
        asked.check()
        page = await desk.threads.run(
            desk.sync_log.unmatched_numbers, wanted, limit=limit, offset=offset
        )
        return JSONResponse(
            {
                "success": True,
                "numbers": [_plain(vars(number)) for number in page.numbers],
                "total": page.total,
                "limit": limit,
                "offset": offset,
            }
        )

    async def call(request: Request) -> Response:
        workspace = await desk.door.workspace_of(request)
        query_parameters(request).check()
        call_id = request.path_params["call_id"]
        state, rows = None, []
        if is_call_id(call_id):
            state = await desk.threads.run(desk.calls.get, workspace, call_id)
            rows = await desk.threads.run(
                desk.sync_log.story, workspace.user_id, workspace.workspace_id, call_id
            )
        if state is None and not rows:
            raise Refusal(404, "not_found", "There is no such call in your workspace.")
        return JSONResponse(
            {
                "success": True,
                "call": None if state is None else _state_to_json(state, desk.now()),
                "logs": [row_to_json(row) for row in rows],
            }
        )

    whole_export = Route("/api/hubspot/sync-logs.csv", export)
    # HEAD would read all of the history for a few headers.
    whole_export.methods = {"GET"}
    return [
        Route("/api/hubspot/sync-logs", sync_logs),
        whole_export,
        Route("/api/hubspot/sync-logs/summary", summary),
        Route("/api/hubspot/sync-logs/days", days),
        Route("/api/hubspot/unmatched-numbers", unmatched),
        Route("/api/hubspot/calls/{call_id:path}", call),
    ]


def read_filter(asked: Parameters, workspace: Workspace) -> HistoryFilter:
    """The filter that the parameters spell, within the caller's workspace."""
    return HistoryFilter(
        user_id=workspace.user_id,
        workspace_id=workspace.workspace_id,
        status=asked.word("status", STATUSES),
        reason=asked.word("reason", REASONS),
        call_id=asked.text("call_id"),
        since=asked.moment("since"),
        until=asked.moment("until"),
        query=asked.text("q"),
        phone_number=asked.text("phone_number"),
    )


def read_page_bounds(asked: Parameters) -> tuple[int, int]:
    """How many rows are asked for, and behind how many."""
    limit = asked.whole("limit", DEFAULT_ROWS, least=1, most=MOST_ROWS)
    return limit, asked.whole("offset", 0, least=0, most=FARTHEST_ROW)


def is_call_id(text: str) -> bool:
    """False for what no call can be named."""
    return 0 < len(text) <= LONGEST_CALL_ID and text.isprintable()


def row_to_json(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the sync log as the contract has it: times in epoch milliseconds, no owner."""
    return _plain({name: value for name, value in row.items() if name not in _OWNER_COLUMNS})


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: to_epoch_ms(value) if isinstance(value, datetime) else value
        for name, value in values.items()
    }


def to_epoch_ms(moment: datetime) -> int:
    """Milliseconds since 1970, cut down to whole ones."""
    return int(moment.timestamp() * 1000)


def _state_to_json(state: CallState, now: datetime) -> dict[str, Any]:
    """The call's line in the ledger; a due call says when it is tried next, now if it is late."""
    told = vars(state) | {"next_try_at": None}
    del told["due_at"]
    if state.state == DUE and state.due_at is not None:
        told["next_try_at"] = max(state.due_at, now)
    return _plain(told)


async def _pinned(
    desk: HistoryDesk,
    read: Callable[..., HistoryPage],
    wanted: HistoryFilter,
    as_of: str | None,
    **bounds: int,
) -> HistoryPage:
    """The page as of a row. Raises Refusal (409) for a row that is not in the history."""
    try:
        return await desk.threads.run(read, wanted, as_of=as_of, **bounds)
    except UnknownRow:
        sentence = "as_of names no row of your history; leave it out to begin anew."
        raise Refusal(409, "unknown_row", sentence) from None


async def _csv(desk: HistoryDesk, wanted: HistoryFilter, first: HistoryPage) -> AsyncIterator[str]:
    """The export in pieces; between two of them the log is closed: slow readers hold up nobody."""
    yield csv_head()
    piece = first
    while piece.rows:
        yield csv_lines(piece.rows)
        piece = await _next_piece(desk, wanted, piece)


async def _next_piece(desk: HistoryDesk, wanted: HistoryFilter, piece: HistoryPage) -> HistoryPage:
    """What comes behind the piece; half an export being worse than a slow one, it waits in line."""
    for _ in range(_PIECE_TRIES):
        try:
            return await desk.threads.run(
                desk.sync_log.rows_behind, wanted, as_of=piece.as_of, last=piece.rows[-1]
            )
        except (SyncLogBusy, Refusal):
            await desk.sleep(_PIECE_WAIT_S)
    raise SyncLogBusy("The sync log stayed busy during an export.")
