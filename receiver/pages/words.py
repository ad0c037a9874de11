"""The words of the pages: what each status and reason means, and what somebody can do about it.

Pure. The codes are those of the contract, chapter 6; sentences are for people who run no server.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from target_hubspot_calls.errors import Reason, Status
from target_hubspot_calls.recordings.status import RecordingStatus


@dataclass(frozen=True)
class Words:
    """A code in words: a label of a few, what it means, and what to do, empty where nothing is."""

    label: str
    meaning: str
    advice: str = ""


WAITING = "waiting"
"""What pages say of a call that has no outcome yet; no status of the contract."""

STATUS_WORDS: Mapping[str, Words] = {
    Status.SUCCESS: Words("In HubSpot", "The call is on its contact's record."),
    Status.SKIPPED: Words("Skipped", "There was no contact to write the call to."),
    Status.ERROR: Words("Failed", "The call is not in HubSpot yet."),
    WAITING: Words("Waiting", "The call is in line."),
}
# One shape each, so that nobody needs to see the colour.
_MARKS: Mapping[str, str] = {
    Status.SUCCESS: "tick",
    Status.SKIPPED: "dash",
    Status.ERROR: "alert",
    WAITING: "clock",
}

_BY_ITSELF = "Nothing needs doing: the call is tried again by itself."
REASON_WORDS: Mapping[str, Words] = {
    Reason.CREATED: Words("Written", "The call was written to the contact's record."),
    Reason.UPDATED: Words("Filled in", "A later report said more, and was added to the note."),
    Reason.UNCHANGED: Words("Nothing new", "A later report said nothing that was not there."),
    Reason.CONTACT_NOT_FOUND: Words(
        "No contact with this number",
        "No contact in HubSpot has the caller's number.",
        "Create the contact in HubSpot, then retry the call.",
    ),
    Reason.NO_PHONE_NUMBER: Words(
        "No phone number",
        "The report has no number, e-mail or contact to find anybody by.",
        "Web calls need the contact's e-mail or HubSpot id in the assistant's metadata.",
    ),
    Reason.INVALID_PHONE_NUMBER: Words(
        "Not a phone number",
        "What the report gives as the caller's number is no phone number.",
        "Hidden and internal numbers cannot be matched; there is nothing to mend.",
    ),
    Reason.AMBIGUOUS_CONTACT: Words(
        "Several contacts",
        "Several contacts have this number, and the settings say not to choose.",
        "Merge the contacts in HubSpot, then retry the call.",
    ),
    Reason.NOT_CONNECTED: Words(
        "HubSpot not connected",
        "This workspace had no HubSpot connection.",
        "Connect HubSpot; the call then goes there by itself.",
    ),
    Reason.INVALID_RECORD: Words(
        "Report unusable",
        "The report lacks what no note can do without.",
        "Look at the assistant's settings in VAPI; the report itself cannot be used.",
    ),
    Reason.REJECTED: Words(
        "Refused by HubSpot",
        "HubSpot did not take the note.",
        "The message says what HubSpot minds. Once that is mended, retry the call.",
    ),
    Reason.RATE_LIMITED: Words(
        "HubSpot is busy", "HubSpot allows no more requests for the moment.", _BY_ITSELF
    ),
    Reason.UNAVAILABLE: Words("HubSpot unreachable", "HubSpot did not answer.", _BY_ITSELF),
    Reason.ANSWER_LOST: Words(
        "Answer lost",
        "The note was sent and the connection broke; whether it arrived is looked up first.",
        _BY_ITSELF,
    ),
    Reason.LOCKED: Words("Record locked", "HubSpot has locked the record for now.", _BY_ITSELF),
    Reason.DAILY_LIMIT: Words(
        "Daily limit reached",
        "The HubSpot account has used up its requests of the day.",
        "Calls go on by themselves once HubSpot allows; a larger limit is a matter of your plan.",
    ),
    Reason.ACCOUNT_MIGRATING: Words(
        "HubSpot is moving the account",
        "HubSpot moves this account to another data centre and takes nothing meanwhile.",
        _BY_ITSELF,
    ),
    Reason.RECONNECT_REQUIRED: Words(
        "Reconnect HubSpot",
        "HubSpot no longer accepts the connection.",
        "Connect HubSpot again; calls that wait then go there by themselves.",
    ),
    Reason.MISSING_SCOPE: Words(
        "Permission missing",
        "The connection lacks a permission that is needed.",
        "Connect HubSpot again and grant all that is asked for.",
    ),
}

RECORDING_WORDS: Mapping[str, Words] = {
    RecordingStatus.ATTACHED: Words("Attached", "The recording is a private file on the note."),
    RecordingStatus.NONE: Words("None", "The call has no recording."),
    RecordingStatus.DISABLED: Words("Not wanted", "The settings say not to upload recordings."),
    RecordingStatus.UNREACHABLE: Words("Not fetched", "The recording could not be fetched."),
    RecordingStatus.EXPIRED: Words(
        "Link expired",
        "The link to the recording had expired.",
        "With a VAPI key set, a fresh link is asked for.",
    ),
    RecordingStatus.TOO_LARGE: Words("Too large", "The recording is larger than the settings let."),
    RecordingStatus.BLOCKED_ADDRESS: Words(
        "Address not allowed", "The recording lies where recordings are not fetched from."
    ),
    RecordingStatus.UNSUPPORTED_TYPE: Words(
        "Not audio", "What lies behind the link is no recording."
    ),
    RecordingStatus.UPLOAD_FAILED: Words("Not uploaded", "HubSpot did not take the file."),
}


def words_of_reason(code: str | None) -> Words:
    """What a reason means; of one that a later release wrote, its code is all there is to say."""
    return _words(REASON_WORDS, code)


def words_of_status(code: str | None) -> Words:
    """What a status means."""
    return _words(STATUS_WORDS, code)


def words_of_recording(code: str | None) -> Words:
    """What became of a recording."""
    return _words(RECORDING_WORDS, code)


def status_mark(code: str | None) -> str:
    """The name of the shape that stands for a status."""
    return _MARKS.get(code or "", "clock")


def to_count(number: int) -> str:
    """The number with its thousands apart."""
    return f"{number:,}"


def to_plural(number: int, one: str, many: str | None = None) -> str:
    """The number with its noun: 1 call, 1,200 calls."""
    return f"{to_count(number)} {one if number == 1 else many or one + 's'}"


def _words(known: Mapping[str, Words], code: str | None) -> Words:
    code = code or "unknown"
    return known.get(code) or Words(code.replace("_", " ").capitalize(), "")
