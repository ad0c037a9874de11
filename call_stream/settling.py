"""Telling whoever waits for an entry what became of it, wherever they wait.

Knows futures and event loops, each loop woken once for all of its own; no stream and no entry.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Sequence
from typing import Protocol

from call_stream.stream import StreamUnavailable

EntryFuture = concurrent.futures.Future[int] | asyncio.Future[int]

_Settled = list[tuple["asyncio.Future[int]", "int | StreamUnavailable"]]


class Waiter(Protocol):
    """Who waits; `loop` is None when a thread waits for a concurrent future."""

    @property
    def future(self) -> EntryFuture: ...  # noqa: D102  said above

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None: ...  # noqa: D102  said above


def settle(
    waiters: Sequence[Waiter], results: Sequence[int | StreamUnavailable] | StreamUnavailable
) -> None:
    """Gives each waiter its position, or a refusal of its own."""
    by_loop: dict[asyncio.AbstractEventLoop, _Settled] = {}
    for index, waiter in enumerate(waiters):
        future, loop = waiter.future, waiter.loop
        result = (
            StreamUnavailable(str(results)) if isinstance(results, Exception) else results[index]
        )
        if loop is not None:
            assert isinstance(future, asyncio.Future)  # noqa: S101  a loop's future is its own
            by_loop.setdefault(loop, []).append((future, result))
        elif isinstance(future, concurrent.futures.Future) and (
            future.set_running_or_notify_cancel()
        ):
            settle_future(future, result)
    for loop, settled in by_loop.items():
        try:
            loop.call_soon_threadsafe(_settle_in_loop, settled)
        except RuntimeError:  # the loop is closed: nobody waits there any more
            continue


def _settle_in_loop(settled: _Settled) -> None:
    for future, result in settled:
        settle_future(future, result)


def settle_future(future: EntryFuture, result: int | StreamUnavailable) -> None:
    """Gives one future its position or refusal."""
    if future.done():  # a caller that went away has cancelled its own
        return
    if isinstance(result, int):
        future.set_result(result)
    else:
        future.set_exception(result)
