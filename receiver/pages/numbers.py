"""/numbers: callers who are no contact in HubSpot, those with most calls first.

Asks the sync log and the ledger for the visitor's workspace alone; templates print what they get.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from starlette.responses import Response
from starlette.routing import Route

from receiver.answers import Refusal
from receiver.pages.history import MARK
from receiver.pages.history_filter import HISTORY
from receiver.pages.hubspot_links import contacts_link
from receiver.pages.page import PageDesk, Visit, back_to, page_route
from receiver.parameters import LONGEST_TEXT, Parameters
from receiver.small_bodies import read_fields
from receiver.sync_logs import FARTHEST_ROW
from receiver.threads import WorkerThreads
from target_hubspot_calls.call import Workspace
from target_hubspot_calls.errors import Reason
from target_hubspot_calls.store.retries import Retries, RetryFilter
from target_hubspot_calls.sync_log.log import HistoryFilter, HistoryReader
from target_hubspot_calls.sync_log.newest import NewestRows
from target_hubspot_calls.sync_log.reading import UnmatchedNumber

NUMBERS = "/numbers"
RETRY = "/numbers/retry"
PAGE_ROWS = 50


@dataclass(frozen=True)
class NumberPages:
    """All that the page needs. `portal_of` may block, and raises StoreUnavailable."""

    pages: PageDesk
    sync_log: HistoryReader
    newest: NewestRows
    retries: Retries
    threads: WorkerThreads
    app_url: str
    portal_of: Callable[[Workspace], int | None]


def number_routes(desk: NumberPages) -> list[Route]:
    """The list, and the calls of one of its numbers tried again."""

    async def show(visit: Visit) -> Response:
        return visit.render("numbers.html", **await _numbers(desk, visit))

    async def retry(visit: Visit) -> Response:
        fields = await read_fields(visit.request)
        number, offset = fields.get("number", ""), _read_offset(fields)
        if not 0 < len(number) <= LONGEST_TEXT:
            raise Refusal(400, "number_missing", "The form names no number.")
        wanted = RetryFilter(
            user_id=visit.workspace.user_id,
            workspace_id=visit.workspace.workspace_id,
            reason=Reason.CONTACT_NOT_FOUND.value,
            phone_number=number,
        )
        came_to = await desk.threads.run(desk.retries.put_back, wanted, now=desk.pages.now())
        said: dict[str, str | int] = {"notice": "retried", "count": came_to.queued}
        return back_to(NUMBERS, **({"offset": offset} if offset else {}), **said)

    return [
        page_route(desk.pages, NUMBERS, show),
        page_route(desk.pages, RETRY, retry, method="POST"),
    ]


async def _numbers(desk: NumberPages, visit: Visit) -> Mapping[str, Any]:
    """What the template prints."""
    owner, offset = visit.workspace, _read_offset(visit.request.query_params)
    # Read before the numbers: what is written between the two shows with the next look.
    newest = await desk.threads.run(desk.newest.id_of, owner.user_id, owner.workspace_id)
    page = await desk.threads.run(
        desk.sync_log.unmatched_numbers,
        HistoryFilter(owner.user_id, owner.workspace_id),
        limit=PAGE_ROWS,
        offset=offset,
    )
    portal_id = await desk.threads.run(desk.portal_of, owner)
    behind = offset + PAGE_ROWS
    return {
        "numbers": [_shown(number) for number in page.numbers],
        "total": page.total,
        "first": offset + 1,
        "last": offset + len(page.numbers),
        "offset": offset,
        "fewer_page": _page_at(max(0, offset - PAGE_ROWS)) if offset else None,
        "further_page": _page_at(behind) if behind < page.total else None,
        "new_contact": contacts_link(desk.app_url, portal_id),
        "retry_address": RETRY,
        "mark_address": MARK,
        "mark_word": newest or "",
    }


def _shown(number: UnmatchedNumber) -> Mapping[str, Any]:
    """The number with where its calls are, and a name for it that an element can have."""
    said = {"reason": Reason.CONTACT_NOT_FOUND.value}
    if number.phone_number:
        # Without its country a number is looked for at the end of others too.
        is_whole = number.phone_number.startswith("+")
        said = {"number": number.phone_number if is_whole else f'"{number.phone_number}"'}
    name = quote(number.phone_number or "", safe="")
    return {**vars(number), "calls_page": f"{HISTORY}?{urlencode(said)}", "name": name}


def _page_at(offset: int) -> str:
    return f"{NUMBERS}?offset={offset}" if offset else NUMBERS


def _read_offset(given: Mapping[str, str]) -> int:
    """Behind how many; none where what is given cannot be used."""
    asked = Parameters({"offset": given.get("offset")})
    return asked.whole("offset", 0, least=0, most=FARTHEST_ROW)
