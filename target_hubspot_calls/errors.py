"""What can keep a call from reaching HubSpot, sorted by what happens next.

Pure: no I/O, no clock. Every error knows its own status, reason and whether the call is tried
again by itself, so callers ask the error and keep no lists of their own.

    CallSyncError
    ├── SettingsError                 before the first record; nothing starts
    ├── StoreUnavailable              cannot take responsibility for input; the run ends
    ├── InvalidCallRecord             error / invalid_record
    ├── SkipCall
    │   ├── ContactNotFound           skipped / contact_not_found
    │   ├── NoPhoneNumber             skipped / no_phone_number
    │   ├── InvalidPhoneNumber        skipped / invalid_phone_number
    │   ├── AmbiguousContact          skipped / ambiguous_contact
    │   └── NotConnected              skipped / not_connected      waits for a connection
    └── HubSpotError
        ├── Rejected                  error / rejected
        ├── TransientHubSpotError                                  waits its turn
        │   ├── RateLimited           error / rate_limited
        │   ├── Locked                error / locked
        │   ├── Unavailable           error / unavailable
        │   └── AnswerLost            error / answer_lost          look up, then write
        └── PortalError                                            the whole portal waits
            ├── DailyLimit            error / daily_limit          until the time given
            ├── AccountMigrating      error / account_migrating    until the time given
            ├── ReconnectRequired     error / reconnect_required   until a person reconnects
            └── MissingScope          error / missing_scope        until a person reconnects
"""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """Where a call stands, in the three words people filter by (contract, chapter 6)."""

    SUCCESS = "success"
    ERROR = "error"
    SKIPPED = "skipped"


class Reason(StrEnum):
    """Stable code saying why a call has its status (contract, chapter 6)."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    CONTACT_NOT_FOUND = "contact_not_found"
    NO_PHONE_NUMBER = "no_phone_number"
    INVALID_PHONE_NUMBER = "invalid_phone_number"
    AMBIGUOUS_CONTACT = "ambiguous_contact"
    NOT_CONNECTED = "not_connected"
    INVALID_RECORD = "invalid_record"
    REJECTED = "rejected"
    RATE_LIMITED = "rate_limited"
    UNAVAILABLE = "unavailable"
    ANSWER_LOST = "answer_lost"
    LOCKED = "locked"
    DAILY_LIMIT = "daily_limit"
    ACCOUNT_MIGRATING = "account_migrating"
    RECONNECT_REQUIRED = "reconnect_required"
    MISSING_SCOPE = "missing_scope"


class CallSyncError(Exception):
    """Anything of ours that stops a call or a run; its text is a sentence fit for people."""


class SettingsError(CallSyncError):
    """Settings that cannot work; carries every fault, so they are mended in one go."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        super().__init__("; ".join(faults))


class StoreUnavailable(CallSyncError):
    """The operational store cannot be read or written: nobody can take the input over."""


class WrongEncryptionKey(CallSyncError):
    """Tokens, webhook secrets or raw reports do not open with the encryption keys given."""


class CallOutcomeError(CallSyncError):
    """An error that becomes a call's outcome; subclasses say which."""

    status: Status = Status.ERROR
    reason: Reason
    retryable: bool = False

    def __init__(self, message: str, *, correlation_id: str | None = None) -> None:
        super().__init__(message)
        self.correlation_id = correlation_id


class InvalidCallRecord(CallOutcomeError):
    """The record has no id, or a field no engagement can do without."""

    reason = Reason.INVALID_RECORD


class SkipCall(CallOutcomeError):
    """Nothing is wrong, yet nothing can be written."""

    status = Status.SKIPPED


class ContactNotFound(SkipCall):
    """No contact of the portal has this number."""

    reason = Reason.CONTACT_NOT_FOUND


class NoPhoneNumber(SkipCall):
    """The call names no other party to match on."""

    reason = Reason.NO_PHONE_NUMBER


class InvalidPhoneNumber(SkipCall):
    """The written number is no number of any country."""

    reason = Reason.INVALID_PHONE_NUMBER


class AmbiguousContact(SkipCall):
    """Several contacts have this number and the settings forbid choosing."""

    reason = Reason.AMBIGUOUS_CONTACT


class NotConnected(SkipCall):
    """The workspace has no HubSpot connection yet."""

    reason = Reason.NOT_CONNECTED
    retryable = True


class HubSpotError(CallOutcomeError):
    """HubSpot's side of the story."""


class Rejected(HubSpotError):
    """HubSpot refuses this request as it is: 400, 404, 409, 422."""

    reason = Reason.REJECTED

    def __init__(
        self,
        message: str,
        *,
        http_status: int,
        category: str | None = None,
        correlation_id: str | None = None,
    ) -> None:
        super().__init__(message, correlation_id=correlation_id)
        self.http_status = http_status
        self.category = category


class TransientHubSpotError(HubSpotError):
    """Worth trying again; `retry_after_s` is HubSpot's own wish, in seconds, where it gave one."""

    retryable = True

    def __init__(
        self,
        message: str,
        *,
        retry_after_s: float | None = None,
        correlation_id: str | None = None,
    ) -> None:
        super().__init__(message, correlation_id=correlation_id)
        self.retry_after_s = retry_after_s


class RateLimited(TransientHubSpotError):
    """429 of a rolling window."""

    reason = Reason.RATE_LIMITED


class Locked(TransientHubSpotError):
    """423: another write holds the record; HubSpot asks for at least 2 s."""

    reason = Reason.LOCKED


class Unavailable(TransientHubSpotError):
    """5xx, a refused or reset connection, or a read without an answer in time."""

    reason = Reason.UNAVAILABLE


class AnswerLost(TransientHubSpotError):
    """A write left us and no answer came: it may or may not have happened."""

    reason = Reason.ANSWER_LOST


class PortalError(HubSpotError):
    """Concerns the whole portal; `retry_after_s` (seconds) is None when a person must act."""

    retryable = True

    def __init__(
        self,
        message: str,
        *,
        retry_after_s: float | None = None,
        correlation_id: str | None = None,
    ) -> None:
        super().__init__(message, correlation_id=correlation_id)
        self.retry_after_s = retry_after_s


class DailyLimit(PortalError):
    """429 with policy DAILY: the portal's calls for today are used up."""

    reason = Reason.DAILY_LIMIT


class AccountMigrating(PortalError):
    """477: HubSpot is moving the account between data centres; up to 24 h."""

    reason = Reason.ACCOUNT_MIGRATING


class ReconnectRequired(PortalError):
    """The grant is dead: refresh refused, or 401 with a fresh token."""

    reason = Reason.RECONNECT_REQUIRED


class MissingScope(PortalError):
    """403: the connection lacks a scope; the message names it."""

    reason = Reason.MISSING_SCOPE
