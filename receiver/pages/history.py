"""/history: what became of each call, newest first, by filters and page by page; and its chart.

Asks the sync log for the visitor's workspace alone; templates print what they get.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from receiver.pages.call_address import call_page, row_page
from receiver.pages.chart import MOST_DAYS, STACK, days_to_show, draw
from receiver.pages.history_filter import FIELDS, HISTORY, AskedHistory, read_asked
from receiver.pages.hubspot_links import contact_link
from receiver.pages.page import PageDesk, Visit, back_to, page_route
from receiver.parameters import Parameters
from receiver.sync_logs import FARTHEST_ROW, LONGEST_ROW_ID, REASONS
from receiver.threads import WorkerThreads
from target_hubspot_calls.errors import Status
from target_hubspot_calls.sync_log.log import (
    HistoryFilter,
    HistoryPage,
    HistoryReader,
    HistoryView,
    UnknownRow,
)
from target_hubspot_calls.sync_log.newest import NewestRows

PAGE_ROWS = 50
MARK = "/history/mark"
CHART = "/history/chart"
RETRY = "/history/retry"
CSV = "/api/hubspot/sync-logs.csv"


@dataclass(frozen=True)
class HistoryPages:
    """All that the pages of the history need."""

    pages: PageDesk
    sync_log: HistoryReader
    newest: NewestRows
    threads: WorkerThreads
    app_url: str


@dataclass(frozen=True)
class Place:
    """A page of the history: behind so many of the rows there were with the row `as_of`."""

    as_of: str | None = None
    offset: int = 0

    @property
    def is_newest(self) -> bool:
        """True for the page that shows what arrives."""
        return self.as_of is None and self.offset == 0


def history_page_routes(desk: HistoryPages) -> list[Route]:
    """The history, the word that says if something is new in it, and its chart."""

    async def show(visit: Visit) -> Response:
        given = visit.request.query_params
        if any(name in FIELDS and not value.strip() for name, value in given.items()):
            # A form names every field; addresses that people keep and share need not.
            kept = (*FIELDS, "as_of", "offset")
            return back_to(
                HISTORY, **{name: given[name] for name in kept if given.get(name, "").strip()}
            )
        return visit.render("history.html", **await _history(desk, visit))

    async def mark(visit: Visit) -> Response:
        told = await _newest(desk, visit)
        return JSONResponse({"mark": told}, headers={"Cache-Control": "no-store"})

    async def chart(visit: Visit) -> Response:
        return visit.render("history_chart.html", **await _chart(desk, visit))

    return [
        page_route(desk.pages, HISTORY, show),
        page_route(desk.pages, MARK, mark),
        page_route(desk.pages, CHART, chart),
    ]


async def _history(desk: HistoryPages, visit: Visit) -> Mapping[str, Any]:
    """What the template of the history prints."""
    asked, place = read_asked(visit.request.query_params), _read_place(visit)
    wanted = asked.filter(visit.workspace, visit.viewer)
    # Read before the rows: what is written between the two shows with the next look.
    newest = await _newest(desk, visit)
    is_begun_anew = False
    try:
        view = await _view(desk, wanted, place)
    except UnknownRow:
        place, is_begun_anew = Place(), True
        view = await _view(desk, wanted, place)
    page = view.page
    return {
        "asked": asked,
        "today": visit.viewer.today,
        "reasons": REASONS,
        "tally": _tally(asked, view),
        "rows": [_shown(desk, row) for row in page.rows],
        "total": page.total,
        "first": place.offset + 1,
        "last": place.offset + len(page.rows),
        "newer_page": _newer_page(asked, page, place),
        "older_page": _older_page(asked, page, place),
        "is_newest": place.is_newest,
        "is_begun_anew": is_begun_anew,
        "arrived": view.newer,
        "is_blank": not view.by_status and not asked.fields,
        "mark_address": MARK,
        "mark_word": newest,
        "chart_page": asked.address(CHART),
        "csv": _csv_address(wanted, page.as_of),
        "retry_page": asked.address(RETRY)
        if asked.fields.get("status") != Status.SUCCESS
        else None,
    }


async def _chart(desk: HistoryPages, visit: Visit) -> Mapping[str, Any]:
    """What the template of the chart prints; `chart` is None if the days are still to come."""
    asked, viewer = read_asked(visit.request.query_params), visit.viewer
    shown = days_to_show(asked.first_day, asked.last_day, viewer.today)
    told: dict[str, Any] = {"asked": asked, "chart": None, "most_days": MOST_DAYS}
    if shown is None:
        return told
    begins = {viewer.start_of(day): day for day in shown.days()}
    wanted = replace(
        asked.filter(visit.workspace, viewer),
        since=min(begins),
        until=viewer.start_of(shown.last + timedelta(days=1)),
    )
    counts = await desk.threads.run(desk.sync_log.spans, wanted, list(begins))
    calls = {(begins[count.begins_at], count.status): count.calls for count in counts}
    return told | {"chart": draw(shown, calls, lambda day: asked.of_days(day, day))}


async def _view(desk: HistoryPages, wanted: HistoryFilter, place: Place) -> HistoryView:
    return await desk.threads.run(
        desk.sync_log.view, wanted, as_of=place.as_of, limit=PAGE_ROWS, offset=place.offset
    )


async def _newest(desk: HistoryPages, visit: Visit) -> str:
    """The id of the workspace's newest row, empty where there is none."""
    owner = visit.workspace
    return await desk.threads.run(desk.newest.id_of, owner.user_id, owner.workspace_id) or ""


def _read_place(visit: Visit) -> Place:
    """The page that is asked for; the newest where the address says nothing that can be used."""
    given = visit.request.query_params
    asked = Parameters({"as_of": given.get("as_of"), "offset": given.get("offset")})
    as_of = asked.text("as_of", longest=LONGEST_ROW_ID)
    offset = asked.whole("offset", 0, least=0, most=FARTHEST_ROW)
    return Place() if asked.faults else Place(as_of, offset)


def _tally(asked: AskedHistory, view: HistoryView) -> list[Mapping[str, Any]]:
    """How many rows there are of each status, and where they are shown alone."""
    chosen = asked.fields.get("status")
    tally: list[Mapping[str, Any]] = [
        {
            "status": None,
            "count": sum(view.by_status.values()),
            "address": asked.address(changes={"status": None}),
            "is_chosen": chosen is None,
        }
    ]
    for status in STACK:
        tally.append(
            {
                "status": status,
                "count": view.by_status.get(status, 0),
                "address": asked.address(changes={"status": status}),
                "is_chosen": chosen == status,
            }
        )
    return tally


def _shown(desk: HistoryPages, row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The row with where it leads."""
    call_id = row["call_id"]
    return {
        **row,
        "page": call_page(call_id) if call_id else row_page(row["id"]),
        "contact_page": contact_link(desk.app_url, row["portal_id"], row["contact_id"]),
    }


def _newer_page(asked: AskedHistory, page: HistoryPage, place: Place) -> str | None:
    if place.offset == 0:
        return None
    # Behind the end of a list there is nothing to step back from but its last page.
    step_from = min(place.offset, -(-page.total // PAGE_ROWS) * PAGE_ROWS)
    return _page_at(asked, page, max(0, step_from - PAGE_ROWS))


def _older_page(asked: AskedHistory, page: HistoryPage, place: Place) -> str | None:
    behind = place.offset + PAGE_ROWS
    return _page_at(asked, page, behind) if behind < page.total else None


def _page_at(asked: AskedHistory, page: HistoryPage, offset: int) -> str:
    return asked.address(changes={"as_of": page.as_of, "offset": str(offset) if offset else None})


def _csv_address(wanted: HistoryFilter, as_of: str | None) -> str:
    """Where the same rows are as a file; the API takes points in time, and knows no days."""
    said = {
        "status": wanted.status,
        "reason": wanted.reason,
        "call_id": wanted.call_id,
        "since": f"{wanted.since:%Y-%m-%dT%H:%M:%SZ}" if wanted.since else None,
        "until": f"{wanted.until:%Y-%m-%dT%H:%M:%SZ}" if wanted.until else None,
        "q": wanted.query,
        "phone_number": wanted.phone_number,
        "as_of": as_of,
    }
    query = urlencode({name: value for name, value in said.items() if value is not None})
    return f"{CSV}?{query}" if query else CSV
