"""Threads for work that blocks: so many at once, so many in line, and a refusal for the rest.

Knows no database. The event loop never waits, and a slow reader never holds up the webhooks.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import ParamSpec, TypeVar

from receiver.answers import Refusal

_AGAIN_S = 2

P = ParamSpec("P")
R = TypeVar("R")


class WorkerThreads:
    """A pool of its own; leaving it as a context drops what is still in line."""

    def __init__(self, name: str, *, at_once: int = 4, in_line: int = 32) -> None:
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix=name)
        self._most = at_once + in_line
        self._taken = 0

    async def run(self, work: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """What `work` returns or raises. Raises Refusal (503) while too many are in line."""
        if self._taken >= self._most:
            sentence = "Too many requests are being answered; try again in a moment."
            raise Refusal(503, "busy", sentence, {"Retry-After": str(_AGAIN_S)})
        self._taken += 1
        job = self._threads.submit(functools.partial(work, *args, **kwargs))
        # Who asked may go away; the thread is free only when the work is done.
        loop = asyncio.get_running_loop()
        job.add_done_callback(lambda _: _quietly(loop, self._free))
        return await asyncio.wrap_future(job)

    async def __aenter__(self) -> WorkerThreads:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _free(self) -> None:
        self._taken -= 1


def _quietly(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
    try:
        loop.call_soon_threadsafe(callback)
    except RuntimeError:
        # The loop is closed; nobody is in line any more.
        return
