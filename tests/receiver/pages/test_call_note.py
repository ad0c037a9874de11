"""The note on a call's page: the words that were written, cleaned of whatever is no note's."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from receiver.pages.call_address import call_mark, call_page, call_retry
from receiver.pages.call_note import clean, note_of
from receiver.pages.hubspot_links import contact_link, contacts_link
from receiver.sync_logs import is_call_id
from target_hubspot_calls.call import Call
from target_hubspot_calls.content import engagement_content
from target_hubspot_calls.engagement import EngagementType
from target_hubspot_calls.settings import TargetSettings
from target_hubspot_calls.store.known_calls import KnownCall

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
PUBLIC_URL = "https://calls.example.com"
SETTINGS = TargetSettings(public_url=PUBLIC_URL)
WITH_TRANSCRIPT = TargetSettings(public_url=PUBLIC_URL, include_transcript=True)
CALL = Call(
    "call-1",
    "ada",
    "analytics",
    received_at=NOON,
    summary="All is <b>well</b>.",
    transcript="User: the words themselves",
    recording_url="https://recordings.example/call-1.wav",
)


def digest(
    settings: TargetSettings = SETTINGS,
    *,
    call: Call = CALL,
    kind: EngagementType = EngagementType.NOTE,
    file_id: str | None = None,
) -> str:
    return engagement_content(call, kind, settings, file_id=file_id).digest


def a_known_call(**changes: Any) -> KnownCall:
    values = dict.fromkeys(KnownCall.__dataclass_fields__) | {
        "call": CALL,
        "state": "settled",
        "status": "success",
        "attempt": 1,
        "accepted_at": NOON,
        "updated_at": NOON,
    }
    return KnownCall(**{**values, **changes})


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (SETTINGS, {"delivered_digest": digest()}),
        (SETTINGS, {"delivered_digest": digest(file_id="7"), "file_id": "7"}),
        (SETTINGS, {"delivered_digest": digest(), "file_id": "7"}),
        (WITH_TRANSCRIPT, {"delivered_digest": digest()}),
        (WITH_TRANSCRIPT, {"delivered_digest": digest(WITH_TRANSCRIPT)}),
    ],
    ids=["as-is", "with-file", "file-comes", "transcript-since", "with-transcript"],
)
def test_what_has_the_fingerprint_of_what_was_written_is_what_was_written(
    settings: TargetSettings, line: dict[str, Any]
) -> None:
    note = note_of(a_known_call(engagement_id="9001", **line), settings)

    assert note is not None
    assert note.heading == "The note as it was written"
    assert note.why == ""


@pytest.mark.parametrize(
    ("line", "heading", "why"),
    [
        ({}, "What the note will say", "Nothing is in HubSpot yet"),
        ({"intent": "create"}, "What the note will say", "has not confirmed"),
        ({"engagement_id": "9"}, "What the note would say now", "settings or this program"),
        ({"engagement_id": "9", "state": "due"}, "What the note would say now", "its turn comes"),
        ({"engagement_id": "9", "status": "error"}, "What the note would say now", "could not be"),
        ({"engagement_type": "call"}, "What the logged call will say", "Nothing is in HubSpot"),
    ],
    ids=["none", "sent", "settings", "in-line", "failed", "call"],
)
def test_what_was_not_written_so_says_why(line: dict[str, Any], heading: str, why: str) -> None:
    note = note_of(a_known_call(**line), SETTINGS)

    assert note is not None
    assert note.heading == heading
    assert why in note.why


def test_the_transcript_is_shown_only_where_the_settings_put_it_into_notes() -> None:
    known = a_known_call(engagement_id="9", delivered_digest=digest(WITH_TRANSCRIPT))

    without, with_it = note_of(known, SETTINGS), note_of(known, WITH_TRANSCRIPT)

    assert without is not None
    assert "the words themselves" not in without.html
    assert with_it is not None
    assert "the words themselves" in with_it.html


def test_a_call_without_any_time_has_no_note() -> None:
    assert note_of(a_known_call(call=Call("call-1", "ada", "analytics")), SETTINGS) is None


def test_what_a_report_says_is_text_and_the_link_to_its_recording_leads_to_this_address() -> None:
    note = note_of(a_known_call(), SETTINGS)

    assert note is not None
    assert "All is &lt;b&gt;well&lt;/b&gt;." in note.html
    assert '<a href="/recordings/call-1" rel="noopener noreferrer">listen</a>' in note.html


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("<p>a<br>b</p>", "<p>a<br>b</p>"),
        ("<strong>a</strong>", "<strong>a</strong>"),
        ("<script>alert(1)</script>a", "a"),
        ('<p style="color:red" onclick="x()">a</p>', "<p>a</p>"),
        ('<img src="https://example.com/x.png">a', "a"),
        ("<svg><a href='javascript:x'>a</a></svg>b", "b"),
        ('<form action="/sign-out"><button>a</button></form>', "a"),
        ('<a href="javascript:alert(1)">a</a>', '<a rel="noopener noreferrer">a</a>'),
        ('<a href="http://example.com/">a</a>', '<a rel="noopener noreferrer">a</a>'),
        ('<a href="//example.com/">a</a>', '<a rel="noopener noreferrer">a</a>'),
        ('<a href="/sign-out">a</a>', '<a rel="noopener noreferrer">a</a>'),
        ('<a href="https://[">a</a>', '<a rel="noopener noreferrer">a</a>'),
        (
            '<a href="https://example.com/" target="_top">a</a>',
            '<a href="https://example.com/" rel="noopener noreferrer">a</a>',
        ),
        (
            '<a href="http://plain.example/recordings/x">a</a>',
            '<a href="/recordings/x" rel="noopener noreferrer">a</a>',
        ),
    ],
)
def test_only_what_a_note_has_is_let_through(written: str, shown: str) -> None:
    assert clean(written, "http://plain.example") == shown


@pytest.mark.parametrize(
    ("call_id", "address"),
    [
        ("call-1", "/calls/call-1"),
        ("a/b/../c", "/calls/a%2Fb%2F..%2Fc"),
        ("100% <b>", "/calls/100%25%20%3Cb%3E"),
        ("..", "/calls/?id=.."),
        (".", "/calls/?id=."),
        ("a?b#c&d", "/calls/a%3Fb%23c%26d"),
    ],
)
def test_every_name_of_a_call_has_an_address(call_id: str, address: str) -> None:
    assert call_page(call_id) == address


def test_an_address_may_be_told_more() -> None:
    assert call_page("a", notice="retry-queued") == "/calls/a?notice=retry-queued"
    assert call_page("..", notice="x") == "/calls/?id=..&notice=x"
    assert call_mark("a/b") == "/call-mark/a%2Fb"
    assert call_retry("..") == "/call-retry/?id=.."


@pytest.mark.parametrize("text", ["", "x" * 201, "a\nb", "a\u202eb"])
def test_what_no_call_can_be_named_is_no_name(text: str) -> None:
    assert not is_call_id(text)


def test_links_into_hubspot_need_the_portal() -> None:
    app = "https://app.hubspot.com"

    assert contact_link(app, 77, "501") == f"{app}/contacts/77/record/0-1/501"
    assert contact_link(app, 77, "5/../1") == f"{app}/contacts/77/record/0-1/5%2F..%2F1"
    assert contact_link(app, None, "501") is None
    assert contact_link(app, 77, None) is None
    assert contacts_link(app, 77) == f"{app}/contacts/77/objects/0-1/views/all/list"
    assert contacts_link(app, None) is None
