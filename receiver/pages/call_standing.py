"""Where a call stands now, what somebody can do about it, and whether asking again makes sense.

Pure: reads the ledger's line or, where there is none any more, the latest row of the sync log.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from receiver.pages.call_words import is_telling
from receiver.pages.words import WAITING, words_of_reason, words_of_status
from target_hubspot_calls.errors import Reason, Status
from target_hubspot_calls.store.known_calls import KnownCall

_FRESH = "The call has arrived and was not tried yet."
_IN_LINE = "It is tried as soon as its turn comes, usually within seconds."
_FORGOTTEN = (
    "What this call said, and who it was with, was deleted here. What came of it in HubSpot is"
    " deleted there; the call itself is never written again."
)
_GONE = "Its report is no longer kept here, so the call cannot be tried again."


@dataclass(frozen=True)
class Retry:
    """Asking for the call again; `why` says when that helps, `is_needed` that nothing else will."""

    button: str
    why: str = ""
    is_needed: bool = True


@dataclass(frozen=True)
class Standing:
    """Where the call stands. `before` is the outcome that is being tried anew.

    `needs_connection` and `needs_contact` lead to where somebody mends it.
    """

    code: str
    label: str
    meaning: str
    advice: str = ""
    message: str = ""
    line: str = ""
    before: str = ""
    next_try_at: datetime | None = None
    needs_connection: bool = False
    needs_contact: bool = False
    retry: Retry | None = None


def standing_of(
    known: KnownCall | None, latest: Mapping[str, Any] | None, *, now: datetime
) -> Standing:
    """Where the call stands by its line in the ledger, else by its latest row."""
    if known is None:
        row = latest or {}
        return _outcome(row.get("status"), row.get("reason"), row.get("error_message"), line=_GONE)
    status, reason = known.status, known.reason
    if known.is_forgotten:
        return Standing(status or Status.SKIPPED, "Data deleted", _FORGOTTEN)
    is_now = known.is_due and (known.due_at is None or known.due_at <= now)
    if status is None:
        return Standing(WAITING, "", _FRESH, line=_IN_LINE if is_now else "")
    if is_now and status != Status.SUCCESS:
        before = f"{words_of_status(status).label}: {words_of_reason(reason).label}"
        return Standing(WAITING, "", _IN_LINE, before=before)
    more = "A later report said more; it is added as soon as its turn comes."
    return _outcome(
        status,
        reason,
        known.error_message,
        line=more if is_now else "",
        next_try_at=known.due_at if known.is_due and not is_now else None,
        needs_connection=known.is_waiting,
        needs_contact=reason == Reason.CONTACT_NOT_FOUND,
        retry=_retry(known),
    )


def _outcome(status: str | None, reason: str | None, message: str | None, **more: Any) -> Standing:
    words = words_of_reason(reason)
    said = message if message and is_telling(reason) and status != Status.SUCCESS else ""
    return Standing(
        status or WAITING, words.label, words.meaning, words.advice, message=said, **more
    )


def _retry(known: KnownCall) -> Retry | None:
    """None where asking again would come to the same, or is not needed."""
    if known.status == Status.SUCCESS or known.is_waiting:
        return None
    if known.is_due:
        return Retry("Try now", "Tries the call at once instead of waiting.", is_needed=False)
    if known.reason == Reason.INVALID_RECORD:
        return None
    if known.reason in (Reason.NO_PHONE_NUMBER, Reason.INVALID_PHONE_NUMBER):
        if not known.call.customer_email:
            return None
        return Retry("Retry", "Helps once a contact in HubSpot has the e-mail address of the call.")
    return Retry("Retry")
