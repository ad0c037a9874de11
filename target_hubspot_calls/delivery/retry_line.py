"""When a call that could not be delivered is tried again.

Pure: the moment and the dice come in as arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from target_hubspot_calls.errors import CallOutcomeError, PortalError, TransientHubSpotError

FIRST_WAIT_S = 10.0
LONGEST_WAIT_S = 3600.0


def retry_at(
    error: CallOutcomeError, attempt: int, *, now: datetime, random: Callable[[], float]
) -> datetime | None:
    """When to try again after the `attempt`-th failure (from 0), None if that takes a person.

    Waits double from 10 s to an hour, each between a half and the whole of that; HubSpot's own
    wish is a lower bound. `random` gives numbers in [0, 1).
    """
    if isinstance(error, PortalError):
        if error.retry_after_s is None:
            return None
        return now + timedelta(seconds=error.retry_after_s)
    if not isinstance(error, TransientHubSpotError):
        return None
    wait_s = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(attempt, 20))
    wait_s *= 0.5 + 0.5 * random()
    return now + timedelta(seconds=max(wait_s, error.retry_after_s or 0.0))
