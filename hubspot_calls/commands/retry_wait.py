"""What becomes of calls that were put back in line, told as it happens and for a bounded time.

Asks the ledger every second; somebody else delivers the calls.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from hubspot_calls.output import count_of, say
from target_hubspot_calls.store.retries import CallKey, NewOutcome, Retries

EVERY_S = 1.0
# So many calls are told one by one; of more only counts are.
_NAMED = 20
_HINT_AFTER_S = 10.0


@dataclass
class Seen:
    """Outcomes by status and reason, and how many calls have none yet."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    still_waiting: int = 0


def wait_for_outcomes(
    retries: Retries,
    keys: Sequence[CallKey],
    *,
    since: datetime,
    wait_s: float,
    quiet: bool = False,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Seen:
    """What became of the calls until all were tried, the time is over, or somebody pressed Ctrl-C.

    Raises StoreUnavailable.
    """
    seen, left = Seen(still_waiting=len(keys)), dict.fromkeys(keys)
    began = monotonic()
    is_hinted = quiet
    try:
        while left and monotonic() - began < wait_s:
            sleep(EVERY_S)
            for outcome in retries.outcomes(left, since=since):
                if outcome.key in left:
                    del left[outcome.key]
                    seen.counts[outcome.status, outcome.reason] += 1
                    if not quiet and len(keys) <= _NAMED:
                        say(_in_words(outcome))
            seen.still_waiting = len(left)
            if not is_hinted and not seen.counts and monotonic() - began > _HINT_AFTER_S:
                is_hinted = True
                say("Nobody has taken them yet: is `hubspot-calls serve` running?")
    except KeyboardInterrupt:
        pass
    if not quiet:
        say(_summary(seen))
    return seen


def _in_words(outcome: NewOutcome) -> str:
    message = f": {outcome.message}" if outcome.message else ""
    return f"{outcome.key.call_id}  {outcome.status} {outcome.reason}{message}"


def _summary(seen: Seen) -> str:
    told = [f"{count:,} {s} {r}" for (s, r), count in seen.counts.most_common()]
    if seen.still_waiting:
        told.append(f"{count_of(seen.still_waiting, 'call')} not tried yet")
    return f"{', '.join(told) or 'Nothing to wait for'}."
