"""Posts reports to the receiver as VAPI does: over HTTP, with the webhook's secret.

Knows HTTP; what is in a report it must not know.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator

import httpx

from hubspot_calls.demo.samples import Report
from hubspot_calls.demo.stage import Door, StageBroken

_ANSWER_S = 30.0


def post_reports(
    door: Door,
    reports: Iterable[Report],
    *,
    at_once: int = 1,
    on_posted: Callable[[Report], None] = lambda _: None,
) -> float:
    """Seconds it took until each report was answered 200, `at_once` of them under way.

    Raises StageBroken for any other answer.
    """
    started = time.perf_counter()
    asyncio.run(_post_all(door, iter(reports), at_once, on_posted))
    return time.perf_counter() - started


async def _post_all(
    door: Door, reports: Iterator[Report], at_once: int, on_posted: Callable[[Report], None]
) -> None:
    headers = {"Content-Type": "application/json", "X-Vapi-Secret": door.secret}
    limits = httpx.Limits(max_connections=at_once)
    async with httpx.AsyncClient(
        headers=headers, limits=limits, timeout=_ANSWER_S, trust_env=False
    ) as http:

        async def post_some() -> None:
            # All share one iterator, so each report is posted once and none waits in memory.
            for report in reports:
                await _post(http, door.url, report)
                on_posted(report)

        await asyncio.gather(*(post_some() for _ in range(at_once)))


async def _post(http: httpx.AsyncClient, url: str, report: Report) -> None:
    try:
        answer = await http.post(url, content=report.body)
    except httpx.HTTPError as err:
        raise StageBroken(
            f"the demo's receiver gave no answer to {report.name} ({type(err).__name__})"
        ) from err
    if answer.status_code != httpx.codes.OK:
        raise StageBroken(f"the demo's receiver answered {answer.status_code} to {report.name}")
