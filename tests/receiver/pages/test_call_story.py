"""A call's story, its standing and its words, from rows and ledger lines as values."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from receiver.pages.call_standing import standing_of
from receiver.pages.call_story import Part, Step, is_behind, tell
from receiver.pages.call_words import words_of_match
from target_hubspot_calls.call import Call
from target_hubspot_calls.errors import Reason
from target_hubspot_calls.store.known_calls import KnownCall

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LATER = NOON + timedelta(hours=3)


def a_row(minutes: float = 0, **changes: Any) -> dict[str, Any]:
    return {
        "id": "row-1",
        "call_id": "call-1",
        "contact_id": "501",
        "contact_match": "phone number, the only contact with it",
        "engagement_id": "9001",
        "engagement_type": "note",
        "status": "success",
        "reason": "created",
        "retryable": False,
        "error_message": None,
        "recording_status": None,
        "attempt": 1,
        "correlation_id": None,
        "portal_id": 77,
        "created_at": NOON + timedelta(minutes=minutes),
    } | changes


def a_failure(minutes: float = 0, **changes: Any) -> dict[str, Any]:
    undone = {"contact_id": None, "contact_match": None, "engagement_id": None}
    failed = {"status": "error", "reason": "unavailable", "error_message": "HubSpot said 503."}
    return a_row(minutes, **undone | failed | changes)


def a_known_call(**changes: Any) -> KnownCall:
    record = {"source": "webhook", "received_at": NOON} | changes.pop("record", {})
    values = dict.fromkeys(KnownCall.__dataclass_fields__) | {
        "call": Call("call-1", "ada", "analytics", **record),
        "state": "settled",
        "attempt": 1,
        "accepted_at": NOON,
        "updated_at": NOON,
    }
    return KnownCall(**{**values, **changes})


def titles(parts: Sequence[Part]) -> list[str]:
    return [step.title for part in parts for step in part.steps]


def steps(parts: Sequence[Part]) -> list[Step]:
    return [step for part in parts for step in part.steps]


def test_a_written_call_was_received_matched_written_and_its_recording_attached() -> None:
    known = a_known_call(settled_at=NOON, status="success", recording_status="attached")
    rows = [a_row(), a_row(1, recording_status="attached")]

    story = tell(known, rows, webhook="“Front desk”", now=LATER)

    assert titles(story) == ["Received", "Contact found", "Note written", "Recording attached"]
    assert steps(story)[0].text == "VAPI reported it to the webhook “Front desk”."
    assert steps(story)[1].text == "The only contact with this phone number."
    assert steps(story)[1].contact_id == "501"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("webhook", "VAPI reported it."),
        ("api", "Read from VAPI's list of calls."),
        (None, "Handed over by another program."),
    ],
)
def test_the_story_says_by_which_way_the_report_came(source: str | None, said: str) -> None:
    known = a_known_call(record={"source": source})

    story = tell(known, [], webhook=None, now=LATER)

    assert steps(story)[0].text == said


def test_each_failed_try_says_why_and_what_hubspot_calls_it() -> None:
    rows = [a_failure(correlation_id="corr-1"), a_row(1, attempt=2)]

    story = tell(None, rows, webhook=None, now=LATER)

    first = steps(story)[0]
    assert (first.title, first.message) == ("Failed: HubSpot unreachable", "HubSpot said 503.")
    assert first.reference == "corr-1"
    assert titles(story)[1:] == ["Contact found", "Note written"]


def test_many_tries_in_a_row_are_folded_but_for_the_first_and_the_last() -> None:
    rows = [a_failure(minute, attempt=minute + 1) for minute in range(100)]

    story = tell(None, [*rows, a_row(200, attempt=101)], webhook=None, now=LATER)

    assert [len(part.steps) for part in story] == [1, 1, 96, 1, 1, 1, 1]
    assert [part.is_folded for part in story] == [False, False, True, False, False, False, False]


def test_a_later_report_that_fills_the_note_in_is_told() -> None:
    came_at = NOON + timedelta(minutes=4)
    known = a_known_call(settled_at=NOON, status="success", record={"received_at": came_at})
    rows = [a_row(), a_row(5, reason="updated")]

    story = tell(known, rows, webhook=None, now=LATER)

    assert titles(story) == [
        "Received",
        "Contact found",
        "Note written",
        "A later report",
        "Note filled in",
    ]


def test_a_call_in_hubspot_is_called_what_it_is_there() -> None:
    story = tell(None, [a_row(engagement_type="call")], webhook=None, now=LATER)

    assert titles(story)[-1] == "Logged call written"


@pytest.mark.parametrize(
    ("code", "title"),
    [
        ("none", "No recording attached"),
        ("disabled", "No recording attached"),
        ("expired", "Recording not attached: link expired"),
        ("too_large", "Recording not attached: too large"),
        ("of-a-later-release", "Recording not attached: of-a-later-release"),
    ],
)
def test_the_story_says_what_became_of_the_recording(code: str, title: str) -> None:
    story = tell(None, [a_row(), a_row(1, recording_status=code)], webhook=None, now=LATER)

    assert titles(story) == ["Contact found", "Note written", title]


@pytest.mark.parametrize(
    ("line", "title"),
    [
        ({"state": "due", "due_at": NOON}, "In line"),
        ({"state": "due", "due_at": LATER + timedelta(hours=1)}, "Next try"),
        ({"state": "waiting"}, "Waiting"),
        ({"recording_due_at": NOON}, "Recording in line"),
        ({"recording_due_at": LATER + timedelta(hours=1)}, "Recording: next try"),
    ],
    ids=["due", "due-later", "waiting", "recording", "recording-later"],
)
def test_what_the_call_waits_for_comes_last(line: dict[str, Any], title: str) -> None:
    story = tell(a_known_call(**line), [], webhook=None, now=LATER)

    assert titles(story) == ["Received", title]


def test_what_the_sync_log_does_not_have_yet_is_told_from_the_ledger() -> None:
    known = a_known_call(
        status="skipped",
        reason="contact_not_found",
        settled_at=NOON + timedelta(minutes=9),
        error_message="x",
    )

    story = tell(known, [a_failure()], webhook=None, now=LATER)

    assert titles(story) == [
        "Received",
        "Failed: HubSpot unreachable",
        "Skipped: no contact with this number",
    ]


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ("contact id given by the call", "The call itself named this contact."),
        (
            "phone number, oldest of 3 contacts with it",
            "The oldest of 3 contacts with this phone number. To have only one, merge them in"
            " HubSpot.",
        ),
        ("e-mail address", "The contact with the e-mail address that the call gives."),
        ("contact created for this number", "No contact had this number, so one was created."),
        ("by the colour of its hair", "By the colour of its hair."),
        (None, ""),
    ],
)
def test_why_this_contact_is_said_in_a_sentence(rule: str | None, sentence: str) -> None:
    assert words_of_match(rule) == sentence


@pytest.mark.parametrize(
    ("reason", "line", "button"),
    [
        (Reason.CONTACT_NOT_FOUND, {"status": "skipped"}, "Retry"),
        (Reason.AMBIGUOUS_CONTACT, {"status": "skipped"}, "Retry"),
        (Reason.REJECTED, {"status": "error"}, "Retry"),
        (Reason.UNAVAILABLE, {"status": "error", "state": "due", "due_at": LATER}, "Try now"),
        (Reason.UNAVAILABLE, {"status": "error", "state": "due", "due_at": NOON}, None),
        (Reason.NOT_CONNECTED, {"status": "skipped", "state": "waiting"}, None),
        (Reason.INVALID_RECORD, {"status": "error"}, None),
        (Reason.NO_PHONE_NUMBER, {"status": "skipped"}, None),
        (
            Reason.NO_PHONE_NUMBER,
            {"status": "skipped", "record": {"customer_email": "a@example.com"}},
            "Retry",
        ),
        (Reason.CREATED, {"status": "success"}, None),
    ],
    ids=str,
)
def test_retry_is_offered_only_where_it_could_come_to_something_else(
    reason: Reason, line: dict[str, Any], button: str | None
) -> None:
    known = a_known_call(reason=reason.value, **line)

    standing = standing_of(known, None, now=NOON + timedelta(minutes=1))

    assert (standing.retry.button if standing.retry else None) == button


def test_a_call_that_is_back_in_line_says_what_came_of_it_before() -> None:
    known = a_known_call(state="due", due_at=NOON, status="skipped", reason="contact_not_found")

    standing = standing_of(known, None, now=LATER)

    assert standing.code == "waiting"
    assert standing.before == "Skipped: No contact with this number"
    assert standing.advice == ""


def test_a_call_without_a_line_in_the_ledger_stands_where_its_latest_row_says() -> None:
    standing = standing_of(None, a_failure(), now=LATER)

    assert (standing.code, standing.label) == ("error", "HubSpot unreachable")
    assert standing.retry is None
    assert "cannot be tried again" in standing.line


@pytest.mark.parametrize(
    ("line", "rows", "behind"),
    [
        ({}, [], False),
        ({"status": "success", "settled_at": NOON}, [], True),
        ({"status": "success", "settled_at": NOON}, [a_row()], False),
        ({"status": "success", "settled_at": NOON}, [a_row(-1)], True),
    ],
    ids=["new", "no-row", "same", "older-row"],
)
def test_the_sync_log_is_behind_until_it_has_the_latest_outcome(
    line: dict[str, Any], rows: list[dict[str, Any]], behind: bool
) -> None:
    assert is_behind(a_known_call(**line), rows) is behind


def test_a_call_whose_data_was_deleted_says_so_and_cannot_be_asked_for_again() -> None:
    known = a_known_call(state="forgotten", status="skipped", reason="contact_not_found")

    standing = standing_of(known, None, now=LATER)

    assert (standing.code, standing.label, standing.retry) == ("skipped", "Data deleted", None)
    assert "deleted" in standing.meaning
