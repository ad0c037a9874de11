"""What became of one attempt to bring a call to HubSpot.

Pure: a value handed from delivery to the store, and from there to the sync log.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from target_hubspot_calls.errors import AnswerLost, CallOutcomeError, Reason, Status


@dataclass(frozen=True)
class Outcome:
    """Result of one attempt, in the words of the contract's outcome table.

    `recording_due` puts the call's recording in line, now that its note is written.

    `retry_at` is when the call is due again; a retryable outcome without it waits until a person
    has acted. `write_unknown` means HubSpot may have written without our hearing of it, so the
    next attempt looks before it writes.
    """

    status: Status
    reason: Reason
    retryable: bool = False
    message: str | None = None
    correlation_id: str | None = None
    contact_id: str | None = None
    contact_match: str | None = None
    engagement_id: str | None = None
    delivered_digest: str | None = None
    file_id: str | None = None
    recording_status: str | None = None
    portal_id: int | None = None
    retry_at: datetime | None = None
    write_unknown: bool = False
    recording_due: bool = False

    def with_retry_at(self, retry_at: datetime | None) -> Outcome:
        """The same outcome, due again at `retry_at`."""
        return replace(self, retry_at=retry_at)


@dataclass(frozen=True)
class RecordingOutcome:
    """What became of one attempt to attach a recording.

    Without a status it is due again at `retry_at`, and people hear nothing yet.
    """

    status: str | None
    message: str | None = None
    file_id: str | None = None
    delivered_digest: str | None = None
    retry_at: datetime | None = None


def outcome_of_error(error: CallOutcomeError, *, retry_at: datetime | None = None) -> Outcome:
    """The outcome an error stands for; it says itself whether and how the call goes on."""
    return Outcome(
        status=error.status,
        reason=error.reason,
        retryable=error.retryable,
        message=str(error),
        correlation_id=error.correlation_id,
        retry_at=retry_at if error.retryable else None,
        write_unknown=isinstance(error, AnswerLost),
    )
