"""What the page of a call says in words: who called whom, how a contact was found, how long.

Pure. What a report says is shown as it is; sentences are ours.
"""

from __future__ import annotations

import re
from typing import Literal

from target_hubspot_calls.call import Call
from target_hubspot_calls.engagement import OUTCOME_WORDS, EngagementType
from target_hubspot_calls.errors import Reason, Status

Tone = Literal["plain", "good", "bad", "pause", "wait"]

_TONES: dict[str | None, Tone] = {
    Status.SUCCESS: "good",
    Status.ERROR: "bad",
    Status.SKIPPED: "pause",
}
# Their message repeats what the reason means.
_TOLD_BY_REASON = frozenset(
    {Reason.CONTACT_NOT_FOUND, Reason.NO_PHONE_NUMBER, Reason.NOT_CONNECTED}
)
_ONE_OF_SEVERAL = re.compile(r"phone number, (oldest|newest) of (\d+) contacts with it")
_MATCHES = {
    "contact id given by the call": "The call itself named this contact.",
    "phone number, the only contact with it": "The only contact with this phone number.",
    "e-mail address": "The contact with the e-mail address that the call gives.",
    "contact created for this number": "No contact had this number, so one was created.",
}


def tone_of(status: str | None) -> Tone:
    """The colour that goes with a status."""
    return _TONES.get(status, "wait")


def is_telling(reason: str | None) -> bool:
    """True if the message of an outcome says more than its reason does."""
    return reason not in _TOLD_BY_REASON


def noun_of(engagement_type: str | None) -> str:
    """What the call is in HubSpot, as people there call it."""
    return "logged call" if engagement_type == EngagementType.CALL.value else "note"


def words_of_match(rule: str | None) -> str:
    """Why this contact, in a sentence; a rule of another release is shown as it is."""
    if not rule:
        return ""
    found = _ONE_OF_SEVERAL.fullmatch(rule)
    if found:
        return (
            f"The {found[1]} of {found[2]} contacts with this phone number. To have only one, merge"
            " them in HubSpot."
        )
    return _MATCHES.get(rule) or f"{rule[:1].upper()}{rule[1:].rstrip('.')}."


def who_called(call: Call | None) -> str:
    """What goes before the other party's number: "Call from"."""
    direction = call.direction if call is not None else None
    words = {"inbound": "Call from", "outbound": "Call to", "web": "Web call"}
    return words.get(direction or "", "Call with")


def words_of_outcome(outcome: str | None) -> str | None:
    """How the call went, None where nobody said."""
    return OUTCOME_WORDS[outcome].capitalize() if outcome in OUTCOME_WORDS else None


def words_of_ending(ended_reason: str | None) -> str | None:
    """Why it ended; VAPI's dotted reasons are codes for its own faults, no words."""
    if not ended_reason:
        return None
    words = ended_reason if "." in ended_reason else ended_reason.replace("-", " ")
    return words[:1].upper() + words[1:]
