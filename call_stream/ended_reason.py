"""How a call went, in one word, from VAPI's ended reason.

The list of reasons is open (627 values in the reference of August 2026, more in the SDK), so it is
read by its words; it must not know where in a body the reason stands.
"""

import enum
import functools
import re

_WORD = re.compile(r"[a-z0-9]+")
_NO_ANSWER = frozenset({"customer-did-not-answer"})
_BUSY = frozenset({"customer-busy"})
_CANCELED = frozenset(
    {
        "manually-canceled",
        "scheduled-call-deleted",
        "call-deleted",
        "call.ringing.sip-inbound-caller-hungup-before-call-connect",
    }
)
_FINISHED = frozenset({"silence-timed-out"})
_FAILURE_PHRASES = (
    "error",
    "failed",
    "not found",
    "not valid",
    "timed out",
    "misdialed",
    "rejected",
    "frozen",
    "did not give microphone permission",
)


class CallOutcome(enum.StrEnum):
    """How a call went."""

    COMPLETED = "completed"
    NO_ANSWER = "no_answer"
    BUSY = "busy"
    VOICEMAIL = "voicemail"
    FAILED = "failed"
    CANCELED = "canceled"


def to_outcome(ended_reason: str | None, *, talked: bool) -> CallOutcome | None:
    """How the call went, or None where there is neither a reason nor a talk.

    A failure after a talk (`talked`: the call started and has a transcript) cut the talk short;
    the call itself came about, so it is completed.
    """
    if ended_reason is None:
        return CallOutcome.COMPLETED if talked else None
    reason = ended_reason.strip().lower()
    if reason in _NO_ANSWER:
        return CallOutcome.NO_ANSWER
    if reason in _BUSY:
        return CallOutcome.BUSY
    if reason == "voicemail":
        return CallOutcome.VOICEMAIL
    if reason in _CANCELED:
        return CallOutcome.CANCELED
    failed = reason not in _FINISHED and _names_a_failure(reason)
    return CallOutcome.FAILED if failed and not talked else CallOutcome.COMPLETED


@functools.lru_cache(maxsize=1024)
def _names_a_failure(reason: str) -> bool:
    """Whether the reason holds a failure phrase in whole words."""
    words = f" {' '.join(_WORD.findall(reason))} "
    return any(f" {phrase} " in words for phrase in _FAILURE_PHRASES)
