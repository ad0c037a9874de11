"""Several jobs at once, all of them over before anything is said about any.

Knows nothing of what the jobs do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from typing import TypeVar

Result = TypeVar("Result")


async def all_or_first_error(jobs: Iterable[Awaitable[Result]]) -> list[Result]:
    """What each job gives back, in their order.

    All jobs run to their end, so that none is cut in flight nor left running; then the first
    error among them is raised.
    """
    results = await asyncio.gather(*jobs, return_exceptions=True)
    done = []
    for result in results:
        if isinstance(result, BaseException):
            raise result
        done.append(result)
    return done
