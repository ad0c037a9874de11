"""Trying an action again: bounded in tries and in waiting, a server's wish before our own guess.

It must not know HTTP; it asks the error whether another try is worth it.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from target_hubspot_calls.errors import AnswerLost, TransientHubSpotError

logger = logging.getLogger(__name__)

Reply = TypeVar("Reply")


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how long an action is tried in place; times in seconds.

    `total_wait_s` bounds the waiting between tries; each try has its own deadline.
    """

    tries: int = 5
    total_wait_s: float = 60.0
    first_wait_s: float = 0.5
    longest_wait_s: float = 15.0

    def wait_s(self, error: BaseException | None, attempt: int, rng: random.Random) -> float:
        """Seconds until the next try, jittered upwards from a server's wish, around our own."""
        wished_s = getattr(error, "retry_after_s", None)
        if wished_s is not None:
            return float(wished_s) * (1 + rng.uniform(0, 0.1))
        guess_s = min(self.longest_wait_s, self.first_wait_s * float(2 ** (attempt - 1)))
        return guess_s * rng.uniform(0.5, 1.0)


def is_worth_another_try(error: BaseException) -> bool:
    """True if the request was not done or may be done twice; a lost answer is looked up first."""
    return isinstance(error, TransientHubSpotError) and not isinstance(error, AnswerLost)


async def with_retry(
    action: Callable[[], Awaitable[Reply]],
    *,
    policy: RetryPolicy,
    sleep: Callable[[float], Awaitable[None]],
    rng: random.Random,
    worth: Callable[[BaseException], bool] = is_worth_another_try,
) -> Reply:
    """What the action gives back; its last error when tries or waiting are used up."""

    def wait(state: RetryCallState) -> float:
        return policy.wait_s(_error(state), state.attempt_number, rng)

    def stop(state: RetryCallState) -> bool:
        waited_s = state.idle_for + state.upcoming_sleep
        return state.attempt_number >= policy.tries or waited_s > policy.total_wait_s

    def tell(state: RetryCallState) -> None:
        reason = getattr(_error(state), "reason", "?")
        logger.info("HubSpot: %s; next try in %.1f s", reason, state.upcoming_sleep)

    retrying = AsyncRetrying(
        sleep=sleep,
        wait=wait,
        stop=stop,
        retry=retry_if_exception(worth),
        before_sleep=tell,
        reraise=True,
    )
    return await retrying(action)


def _error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None
