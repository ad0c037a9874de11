"""A call's story in the order in which it happened, from the ledger and its rows of the sync log.

Pure: makes steps for a page to print, opens nothing and decides nothing of delivery.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from receiver.pages.call_words import (
    Tone,
    is_telling,
    noun_of,
    tone_of,
    words_of_match,
)
from receiver.pages.words import (
    status_mark,
    words_of_reason,
    words_of_recording,
    words_of_status,
)
from target_hubspot_calls.errors import Reason, Status
from target_hubspot_calls.recordings.status import RecordingStatus
from target_hubspot_calls.store.known_calls import KnownCall

Row = Mapping[str, Any]

# So many tries in a row are shown at each end; those between them are folded.
_SHOWN_FIRST, _SHOWN_LAST = 2, 2
_FOLDED_FROM = 3
_SAME_MOMENT = timedelta(milliseconds=2)
_NO_RECORDING = frozenset({RecordingStatus.NONE.value, RecordingStatus.DISABLED.value})


@dataclass(frozen=True)
class Step:
    """One thing that happened, or is going to; `at` is None for what has no time.

    `contact_id` leads to a contact in HubSpot, `has_sound` to the recording. `reference` is
    HubSpot's own id of an answer. `is_try` says that it was one of several tries.
    """

    at: datetime | None
    shape: str
    tone: Tone
    title: str
    text: str = ""
    message: str = ""
    reference: str | None = None
    contact_id: str | None = None
    portal_id: int | None = None
    has_sound: bool = False
    is_try: bool = False


@dataclass(frozen=True)
class Part:
    """Steps that belong together; many tries in a row come folded."""

    steps: list[Step]
    is_folded: bool = False


def tell(
    known: KnownCall | None, rows: Sequence[Row], *, webhook: str | None, now: datetime
) -> list[Part]:
    """The story, oldest first; `webhook` is the name of the webhook that took the report."""
    steps = [] if known is None else list(_arrival(known, webhook))
    steps += _Teller(has_recording=known is not None and bool(known.call.recording_url)).tell(
        _with_latest(known, rows)
    )
    steps.sort(key=lambda step: step.at or now)
    if known is not None:
        steps += _what_comes(known, now)
    return list(_folded(steps))


def is_behind(known: KnownCall | None, rows: Sequence[Row]) -> bool:
    """True while the ledger knows of an outcome that the sync log does not have yet."""
    if known is None or known.status is None or known.settled_at is None:
        return False
    return not rows or known.settled_at > rows[-1]["created_at"] + _SAME_MOMENT


def _arrival(known: KnownCall, webhook: str | None) -> Iterator[Step]:
    """When the call's first report came and by which way, and the latest that said more."""
    reported_at = known.call.received_at or known.accepted_at
    by = _way_in(known.call.source, webhook)
    yield Step(min(reported_at, known.accepted_at), "phone", "plain", "Received", by)
    if reported_at > known.accepted_at:
        yield Step(reported_at, "phone", "plain", "A later report", "It said more than the first.")


def _way_in(source: str | None, webhook: str | None) -> str:
    if source == "webhook":
        return f"VAPI reported it to the webhook {webhook}." if webhook else "VAPI reported it."
    if source == "api":
        return "Read from VAPI's list of calls."
    return "Handed over by another program."


def _with_latest(known: KnownCall | None, rows: Sequence[Row]) -> list[Row]:
    """The rows, with what the ledger knows already and the sync log will know in a moment."""
    told = list(rows)
    if known is None or known.settled_at is None:
        return told
    if is_behind(known, rows):
        told.append(_row_of(known, known.settled_at))
    elif rows and known.recording_status not in (None, rows[-1]["recording_status"]):
        told.append(_row_of(known, known.updated_at))
    return told


def _row_of(known: KnownCall, at: datetime) -> Row:
    names = (
        "contact_id", "contact_match", "engagement_id", "engagement_type", "status", "reason",
        "retryable", "error_message", "recording_status", "correlation_id", "portal_id",
    )  # fmt: skip
    told = {name: getattr(known, name) for name in names}
    return told | {"created_at": at, "attempt": known.attempt}


class _Teller:
    """Makes steps of rows; remembers what it has told."""

    def __init__(self, *, has_recording: bool) -> None:
        self._has_recording = has_recording
        self._contact_id: str | None = None
        self._recording: str | None = None

    def tell(self, rows: Sequence[Row]) -> Iterator[Step]:
        before: Row | None = None
        for row in rows:
            if before is not None and _tells_of_recording(row, before):
                yield from self._recording_step(row, message=row["error_message"])
            elif row["status"] == Status.SUCCESS:
                yield from self._success(row)
            else:
                yield _try(row)
            before = row

    def _success(self, row: Row) -> Iterator[Step]:
        at, noun = row["created_at"], noun_of(row["engagement_type"])
        if row["contact_id"] and row["contact_id"] != self._contact_id:
            self._contact_id = row["contact_id"]
            how = words_of_match(row["contact_match"])
            yield Step(
                at, "person", "plain", "Contact found", how,
                contact_id=row["contact_id"], portal_id=row["portal_id"],
            )  # fmt: skip
        title, text = _written(row["reason"], noun)
        tone: Tone = "plain" if row["reason"] == Reason.UNCHANGED else "good"
        yield Step(at, "note", tone, title, text, reference=row["correlation_id"])
        yield from self._recording_step(row)

    def _recording_step(self, row: Row, message: str | None = None) -> Iterator[Step]:
        code = row["recording_status"]
        if code is None or code == self._recording:
            return
        self._recording = code
        words = words_of_recording(code)
        tone: Tone = "pause"
        title = f"Recording not attached: {words.label[:1].lower()}{words.label[1:]}"
        if code == RecordingStatus.ATTACHED:
            title, tone = "Recording attached", "good"
        elif code in _NO_RECORDING:
            title, tone = "No recording attached", "plain"
        yield Step(
            row["created_at"], "sound", tone, title, f"{words.meaning} {words.advice}".strip(),
            message=message or "", has_sound=self._has_recording,
        )  # fmt: skip


def _tells_of_recording(row: Row, before: Row) -> bool:
    """True for a row that repeats an outcome to say where the call's recording stands."""
    same = ("status", "reason", "attempt")
    return (
        all(row[name] == before[name] for name in same)
        and row["engagement_id"] is not None
        and row["recording_status"] not in (None, before["recording_status"])
    )


def _written(reason: str | None, noun: str) -> tuple[str, str]:
    if reason == Reason.UPDATED:
        return f"{noun.capitalize()} filled in", f"A later report said more; the {noun} says it."
    if reason == Reason.UNCHANGED:
        return "Nothing new", f"A later report said nothing that the {noun} did not."
    if reason == Reason.CREATED:
        return f"{noun.capitalize()} written", f"The {noun} is in the contact's timeline."
    words = words_of_reason(reason)
    return words.label, words.meaning


def _try(row: Row) -> Step:
    words = words_of_reason(row["reason"])
    status = words_of_status(row["status"]).label
    title = f"{status}: {words.label[:1].lower()}{words.label[1:]}"
    if words.label.startswith("HubSpot"):
        title = f"{status}: {words.label}"
    # What was said of this one try says more than what its reason means at all times.
    message = (row["error_message"] or "") if is_telling(row["reason"]) else ""
    return Step(
        row["created_at"],
        status_mark(row["status"]),
        tone_of(row["status"]),
        title,
        "" if message else words.meaning,
        message=message,
        reference=row["correlation_id"],
        is_try=True,
    )


def _what_comes(known: KnownCall, now: datetime) -> Iterator[Step]:
    """What the call waits for."""
    if known.is_due:
        if known.due_at is None or known.due_at <= now:
            yield Step(None, "clock", "wait", "In line", "It is tried as soon as its turn comes.")
        else:
            yield Step(known.due_at, "clock", "wait", "Next try", "It is tried again by itself.")
    elif known.is_waiting:
        yield Step(None, "clock", "wait", "Waiting", "It goes on once HubSpot is connected.")
    elif known.recording_due_at is not None:
        is_later = known.recording_due_at > now
        yield Step(
            known.recording_due_at if is_later else None,
            "sound",
            "wait",
            "Recording: next try" if is_later else "Recording in line",
            "It is fetched and attached by itself.",
        )


def _folded(steps: Sequence[Step]) -> Iterator[Part]:
    run: list[Step] = []
    for step in steps:
        if step.is_try:
            run.append(step)
            continue
        yield from _run(run)
        run = []
        yield Part([step])
    yield from _run(run)


def _run(tries: Sequence[Step]) -> Iterator[Part]:
    between = tries[_SHOWN_FIRST:-_SHOWN_LAST]
    if len(between) < _FOLDED_FROM:
        between = []
    first = tries[:_SHOWN_FIRST] if between else tries
    yield from (Part([step]) for step in first)
    if between:
        yield Part(list(between), is_folded=True)
        yield from (Part([step]) for step in tries[-_SHOWN_LAST:])
