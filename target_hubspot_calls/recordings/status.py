"""What became of a call's recording, and the error that says so.

Pure: knows no HTTP and no HubSpot; the words are those of the contract's chapter 6.
"""

from __future__ import annotations

from enum import StrEnum

from target_hubspot_calls.errors import CallSyncError


class RecordingStatus(StrEnum):
    """Where a call's recording stands; it never decides over the note."""

    ATTACHED = "attached"
    NONE = "none"
    DISABLED = "disabled"
    UNREACHABLE = "unreachable"
    EXPIRED = "expired"
    TOO_LARGE = "too_large"
    BLOCKED_ADDRESS = "blocked_address"
    UNSUPPORTED_TYPE = "unsupported_type"
    UPLOAD_FAILED = "upload_failed"


class RecordingError(CallSyncError):
    """There is no recording to be had; its text never shows an address, which may be signed.

    `retryable` says that the same request may succeed a moment later, after `retry_after_s`
    seconds where the other side named a time.
    """

    def __init__(
        self,
        status: RecordingStatus,
        message: str,
        *,
        retryable: bool = False,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retryable = retryable
        self.retry_after_s = retry_after_s


def blocked(message: str) -> RecordingError:
    """The error of an address that is never asked."""
    return RecordingError(RecordingStatus.BLOCKED_ADDRESS, message)


def unreachable(message: str, *, retryable: bool = False) -> RecordingError:
    """The error of a source that did not give the recording."""
    return RecordingError(RecordingStatus.UNREACHABLE, message, retryable=retryable)
