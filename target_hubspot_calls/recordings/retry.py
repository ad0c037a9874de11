"""Asking a recording's source again: a few times, with growing waits and jitter.

It must not know HTTP; it asks the error whether another try is worth it.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt

from target_hubspot_calls.recordings.status import RecordingError

Answer = TypeVar("Answer")
Sleep = Callable[[float], Awaitable[None]]

_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 10.0


async def with_retry(
    action: Callable[[], Awaitable[Answer]], *, tries: int, sleep: Sleep, rng: random.Random
) -> Answer:
    """What the action gives back, its last RecordingError when tries are used up."""

    def wait(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        wished_s = error.retry_after_s if isinstance(error, RecordingError) else None
        if wished_s is not None:
            return min(_LONGEST_WAIT_S, wished_s) * (1 + rng.uniform(0, 0.1))
        guess_s = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * float(2 ** (state.attempt_number - 1)))
        return guess_s * rng.uniform(0.5, 1.0)

    retrying = AsyncRetrying(
        sleep=sleep,
        wait=wait,
        stop=stop_after_attempt(tries),
        retry=retry_if_exception(lambda e: isinstance(e, RecordingError) and e.retryable),
        reraise=True,
    )

    async def once() -> Answer:
        # tenacity awaits only what it sees to be a coroutine function; a lambda is not one.
        return await action()

    return await retrying(once)
