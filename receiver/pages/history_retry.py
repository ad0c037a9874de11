"""/history/retry: all calls that match a filter put back in line, with their number said first.

Hands a filter to the ledger for the visitor's workspace alone; decides nothing of delivery.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from starlette.responses import Response
from starlette.routing import Route

from receiver.pages.history import RETRY
from receiver.pages.history_filter import FIELDS, HISTORY, AskedHistory, read_asked
from receiver.pages.page import PageDesk, Visit, back_to, page_route
from receiver.retries import to_retry_filter
from receiver.sessions import REFRESH_FIELD
from receiver.small_bodies import read_fields
from receiver.threads import WorkerThreads
from target_hubspot_calls.errors import Status
from target_hubspot_calls.store.retries import Retries, total_of

# What else an address or a form of ours may name; any other name could be a filter mistyped.
_BESIDE = frozenset({"csrf_token", "as_of", "offset", REFRESH_FIELD})


@dataclass(frozen=True)
class RetryPages:
    """All that the page needs."""

    pages: PageDesk
    retries: Retries
    threads: WorkerThreads


def retry_page_routes(desk: RetryPages) -> list[Route]:
    """The question and the deed."""

    async def ask(visit: Visit) -> Response:
        given = visit.request.query_params
        asked = _read_strictly((name for name, _ in given.multi_items()), given)
        return await _page(desk, visit, asked)

    async def retry(visit: Visit) -> Response:
        fields = await read_fields(visit.request)
        asked = _read_strictly(fields, fields)
        if not _can_retry(asked):
            return await _page(desk, visit, asked, status=400)
        wanted = to_retry_filter(asked.filter(visit.workspace, visit.viewer))
        came_to = await desk.threads.run(desk.retries.put_back, wanted, now=desk.pages.now())
        said: dict[str, str | int] = {"notice": "retried", "count": came_to.queued}
        return back_to(HISTORY, **asked.fields, **said)

    return [
        page_route(desk.pages, RETRY, ask),
        page_route(desk.pages, RETRY, retry, method="POST"),
    ]


def _read_strictly(names: Iterable[str], given: Mapping[str, str]) -> AskedHistory:
    """The filter; a name that is none is a fault: without it, more would match than is meant."""
    asked, times = read_asked(given), Counter(iter(names))
    is_known = all(name in FIELDS or name in _BESIDE for name in times)
    if is_known and max(times.values(), default=1) == 1:
        return asked
    sentence = "The address names something that is no filter of the history."
    return replace(asked, faults={**asked.faults, "address": sentence})


def _can_retry(asked: AskedHistory) -> bool:
    return not asked.faults and asked.fields.get("status") != Status.SUCCESS


async def _page(
    desk: RetryPages, visit: Visit, asked: AskedHistory, *, status: int = 200
) -> Response:
    counts, groups = None, []
    if _can_retry(asked):
        wanted = to_retry_filter(asked.filter(visit.workspace, visit.viewer))
        groups = await desk.threads.run(desk.retries.groups, wanted, now=desk.pages.now())
        counts = total_of(groups)
    return visit.render(
        "history_retry.html",
        status=status,
        asked=asked,
        counts=counts,
        groups=groups,
        retry_address=RETRY,
        history=asked.address(),
    )
