"""Blocking work beside the event loop: bounded, and free again when it is done."""

from __future__ import annotations

import asyncio
import threading

import pytest

from receiver.answers import Refusal
from receiver.threads import WorkerThreads


def test_work_is_done_and_its_errors_are_raised():
    async def ask():
        async with WorkerThreads("test") as threads:
            assert await threads.run(max, 1, 2) == 2
            with pytest.raises(ZeroDivisionError):
                await threads.run(divmod, 1, 0)

    asyncio.run(ask())


def test_the_line_is_bounded_and_moves_on():
    async def ask():
        go = threading.Event()
        async with WorkerThreads("test", at_once=1, in_line=2) as threads:
            asked = [asyncio.create_task(threads.run(go.wait, 10)) for _ in range(3)]
            await asyncio.sleep(0)
            with pytest.raises(Refusal) as caught:
                await threads.run(int)
            go.set()
            await asyncio.gather(*asked)
            await asyncio.sleep(0.05)
            after = await threads.run(int)
        return caught.value, after

    refusal, after = asyncio.run(ask())

    assert (refusal.status, refusal.code, after) == (503, "busy", 0)
    assert refusal.headers["Retry-After"] == "2"


def test_who_goes_away_leaves_the_line():
    async def ask():
        go = threading.Event()
        async with WorkerThreads("test", at_once=1, in_line=1) as threads:
            working = asyncio.create_task(threads.run(go.wait, 10))
            waiting = asyncio.create_task(threads.run(int))
            await asyncio.sleep(0.05)
            waiting.cancel()
            await asyncio.sleep(0.05)
            next_one = asyncio.create_task(threads.run(int))
            await asyncio.sleep(0)
            go.set()
            return await asyncio.gather(working, next_one)

    assert asyncio.run(ask()) == [True, 0]
