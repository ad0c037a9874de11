"""What `doctor` finds: one sentence for each thing it looked at, and what to do about it.

Pure; it must not know how anything is looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Verdict(StrEnum):
    """How a thing stands."""

    OK = "ok"
    ATTENTION = "attention"
    """It works, or may be meant so; somebody should know."""
    PROBLEM = "problem"
    """Calls do not arrive or do not reach HubSpot until it is mended."""


@dataclass(frozen=True)
class Finding:
    """A sentence about one thing, and what to do where it is not as it should be."""

    check: str
    verdict: Verdict
    said: str
    advice: str = ""


def good(check: str, said: str) -> Finding:
    """A thing that is as it should be."""
    return Finding(check, Verdict.OK, said)


def attention(check: str, said: str, advice: str) -> Finding:
    """A thing that somebody should know of."""
    return Finding(check, Verdict.ATTENTION, said, advice)


def problem(check: str, said: str, advice: str) -> Finding:
    """A thing that must be mended."""
    return Finding(check, Verdict.PROBLEM, said, advice)


def age(since: datetime, now: datetime) -> str:
    """How long ago, in the largest unit that fits: 40 seconds, 3 hours."""
    seconds = max(0, int((now - since).total_seconds()))
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= length:
            count = seconds // length
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return f"{seconds} second{'' if seconds == 1 else 's'}"
