"""The counts that target-hubspot-calls logs at its end, as figures and in plain words.

Knows that one line; it must not know how a run is started or shown.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from hubspot_calls.output import count_of

_LAST_LINE = "run finished: "


@dataclass(frozen=True)
class RunTotals:
    """How many calls got which outcome, and how many still wait."""

    by_reason: Mapping[str, int]
    waiting: int


def read_totals(message: str) -> RunTotals | None:
    """The counts of a log line of the target, None if it is another line."""
    if not message.startswith(_LAST_LINE):
        return None
    try:
        said = json.loads(message.removeprefix(_LAST_LINE))
        by_reason = {str(reason): int(count) for reason, count in said["outcomes"].items()}
        return RunTotals(by_reason, int(said["waiting"]))
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def in_plain_words(message: str) -> str:
    """The log line as it is, but the one with the counts as a sentence."""
    totals = read_totals(message)
    if totals is None:
        return message
    counts = sorted(totals.by_reason.items(), key=lambda item: (-item[1], item[0]))
    outcomes = ", ".join(f"{count} {reason}" for reason, count in counts if count)
    text = f"the run is over: {outcomes or 'no call was due'}"
    if not totals.waiting:
        return text
    return (
        f"{text}; {count_of(totals.waiting, 'call')} {'waits' if totals.waiting == 1 else 'wait'}"
    )
