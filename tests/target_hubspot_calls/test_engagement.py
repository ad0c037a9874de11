"""What people read in HubSpot."""

from __future__ import annotations

import html
from collections.abc import Callable
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from target_hubspot_calls.call import LONGEST_CALL_ID, TEXT_FIELDS, Call, Workspace, parse_call
from target_hubspot_calls.engagement import (
    CUT_MARK,
    LONGEST_BODY,
    LONGEST_FACT,
    LONGEST_LABEL,
    LONGEST_LINK,
    EngagementType,
    RecordingNote,
    build_body,
    call_id_of_body,
    engagement_properties,
    format_duration,
)
from target_hubspot_calls.errors import InvalidCallRecord

OUR_TAGS = {"p", "br", "strong", "table", "tbody", "tr", "td", "a"}
HOSTILE = (
    'Müller & Søn <script>alert("x")</script> <img src=x onerror=alert(1)> '
    '<a href=javascript:alert(1)>x</a> </p></div> O\'Brien said "5 < 7" & left.\n'
    "{0.__class__} {{7*7}} %s \u202eRTL\u202c nul\x00 bell\x07 👩🏽‍⚕️"
)


class Reader(HTMLParser):
    """Collects the tags, attributes and text of a body, and whether tags close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.open: list[str] = []
        self.well_formed = True

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {f"{tag}.{name}" for name, _ in attrs}
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        self.well_formed = self.well_formed and bool(self.open) and self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(body: str) -> Reader:
    reader = Reader()
    reader.feed(body)
    reader.close()
    reader.well_formed = reader.well_formed and not reader.open
    return reader


def body_of(call: Call, recording: RecordingNote | None = None, transcript: bool = False) -> str:
    return build_body(
        call,
        recording or RecordingNote(),
        include_transcript=transcript,
        default_region="US",
    )


def test_a_note_is_readable_at_a_glance(a_call: Callable[..., Call]) -> None:
    call = a_call(
        assistant_name="Front desk",
        success_evaluation="true",
        structured_data={"intent": "reschedule", "paid": True, "day": None},
    )

    body = body_of(call, RecordingNote(link="https://calls.example.test/recordings/x"))

    assert body == (
        "<p><strong>Inbound call, completed</strong><br>"
        "20 Nov 2026, 15:04 UTC · 1 min 16 s · with Dana Ruiz +1 415-555-0123 · by Front desk"
        " · ended: customer ended call · goal reached: yes</p>"
        "<p><strong>Summary</strong><br>The caller moved a cleaning to Friday at ten.</p>"
        "<p><strong>Extracted by the assistant</strong></p>"
        "<table><tbody><tr><td><strong>Intent:</strong> </td><td>reschedule</td></tr>"
        "<tr><td><strong>Paid:</strong> </td><td>yes</td></tr>"
        "<tr><td><strong>Day:</strong> </td><td>-</td></tr></tbody></table>"
        '<p>Recording: <a href="https://calls.example.test/recordings/x">listen</a></p>'
        "<p>Call ID: 01a1f97c-7300-7aa2-9c10-5f3a2b6d8e01</p>"
    )


def test_a_call_nobody_answered_is_a_short_note(a_call: Callable[..., Call]) -> None:
    call = a_call(
        direction="outbound",
        outcome="no_answer",
        started_at=None,
        duration_ms=0,
        summary=None,
        transcript=None,
        ended_reason="customer-did-not-answer",
        customer_name=None,
    )

    assert body_of(call) == (
        "<p><strong>Outbound call, no answer</strong><br>20 Nov 2026, 15:05 UTC"
        " · with +1 415-555-0123 · ended: customer did not answer</p>"
        "<p>Call ID: 01a1f97c-7300-7aa2-9c10-5f3a2b6d8e01</p>"
    )


def test_extracted_data_reads_as_words(a_call: Callable[..., Call]) -> None:
    data = {"new_patient": False, "appointment": {"day": "Friday", "times": ["10:00", "11:00"]}}

    text = read(body_of(a_call(structured_data=data))).text

    assert "New patient: no" in text
    assert "Appointment: Day: Friday, Times: 10:00, 11:00" in text


def test_deeply_nested_data_is_cut_and_breaks_nothing(a_call: Callable[..., Call]) -> None:
    data: dict[str, object] = {}
    for _ in range(300):
        data = {"a": data}

    assert f"A: {CUT_MARK}" in read(body_of(a_call(structured_data=data))).text


def test_a_talk_without_a_summary_says_so(a_call: Callable[..., Call]) -> None:
    assert "No summary was given." in body_of(a_call(summary=None))


def test_a_code_of_vapis_stays_a_code(a_call: Callable[..., Call]) -> None:
    body = body_of(a_call(ended_reason="call.start.error-get-transport"))

    assert "ended: call.start.error-get-transport" in body


def test_everything_from_outside_is_text_and_never_markup(a_call: Callable[..., Call]) -> None:
    call = a_call(
        summary=HOSTILE,
        customer_name=HOSTILE,
        assistant_name=HOSTILE,
        ended_reason=HOSTILE,
        transcript=HOSTILE,
        structured_data={HOSTILE: HOSTILE, "nested": {"x": HOSTILE}},
    )

    reader = read(body_of(call, transcript=True))

    assert reader.tags <= OUR_TAGS
    assert reader.attributes == set()
    assert reader.well_formed
    assert 'O\'Brien said "5 < 7" & left.' in reader.text
    assert "{0.__class__} {{7*7}} %s" in reader.text
    assert not {"\x00", "\x07", "\u202e"} & set(reader.text)


@pytest.mark.parametrize("char", ["a", "&", "é", "👩🏽‍⚕️", "y\n", "e\u0301"])
def test_a_transcript_past_the_limit_is_cut_with_a_mark(
    char: str, a_call: Callable[..., Call]
) -> None:
    body = body_of(a_call(transcript="x" + char * LONGEST_BODY), transcript=True)

    assert LONGEST_BODY - 60 < len(body.encode("utf-16-le")) // 2 <= LONGEST_BODY
    assert CUT_MARK in body
    assert read(body).well_formed
    assert body.endswith("<p>Call ID: 01a1f97c-7300-7aa2-9c10-5f3a2b6d8e01</p>")


def test_a_cut_never_splits_an_emoji_sequence(a_call: Callable[..., Call]) -> None:
    whole = "👩🏽‍⚕️"

    text = read(body_of(a_call(transcript=whole * 20_000), transcript=True)).text

    shown = text.partition("Transcript")[2].partition(CUT_MARK)[0]
    assert shown.replace(whole, "") == ""


records = st.fixed_dictionaries(
    {"id": st.text(min_size=1, max_size=40), "ended_at": st.just("2026-11-20T15:05:21Z")},
    optional={
        "summary": st.text(max_size=200),
        "transcript": st.text(max_size=200).map(lambda text: text * 2000),
        "customer_name": st.text(max_size=80),
        "structured_data": st.dictionaries(st.text(max_size=10), st.text(max_size=30)),
    },
)


@settings(max_examples=60, deadline=None)
@given(records)
def test_every_note_is_well_formed_short_enough_and_carries_its_id(record: dict[str, str]) -> None:
    try:
        call = parse_call(record, Workspace("u", "w"))
    except InvalidCallRecord:
        return

    body = body_of(call, transcript=True)

    reader = read(body)
    assert reader.tags <= OUR_TAGS
    assert reader.well_formed
    assert len(body.encode("utf-16-le")) // 2 <= LONGEST_BODY
    assert call_id_of_body(body) == " ".join(call.id.split()) or call_id_of_body(body) == call.id


def a_call_full_of(text: str, fields: int) -> Call:
    """A call whose every field is `text`, with the longest id and `fields` structured ones."""
    named = {f"{number}{text[:2000]}": text[:2000] for number in range(fields)}
    in_one_line = "".join(char for char in text[:LONGEST_CALL_ID] if char.isprintable())
    in_one_line = in_one_line if in_one_line.strip() else "x"
    return parse_call(
        {
            "id": (in_one_line * LONGEST_CALL_ID)[:LONGEST_CALL_ID],
            "ended_at": "2026-11-20T15:05:21Z",
            "duration_ms": 10**12,
            "structured_data": named,
            **dict.fromkeys(TEXT_FIELDS, text),
        },
        Workspace("u", "w"),
    )


def fullest_bodies(call: Call) -> list[str]:
    """Its body with each kind of recording, without and with the transcript."""
    links = [f"https://calls.example.test/recordings/{call.id}", call.id * 100]
    recordings = [
        RecordingNote(),
        RecordingNote(file_id="77"),
        *[RecordingNote(None, x) for x in links],
    ]
    return [body_of(call, each, told) for each in recordings for told in (False, True)]


def is_sound(body: str, call: Call) -> bool:
    """Whether HubSpot takes the body, people can read it, and it ends with the call's id."""
    reader = read(body)
    return (
        len(body.encode("utf-16-le")) // 2 <= LONGEST_BODY
        and reader.well_formed
        and reader.tags <= OUR_TAGS
        and reader.attributes <= {"a.href"}
        and body.endswith(f"<p>Call ID: {html.escape(call.id)}</p>")
        and call_id_of_body(body) == call.id
    )


@pytest.mark.parametrize("char", ["a", "&", "'", "<", "👩", "é", "a\n", "e\u0301"])
@pytest.mark.parametrize("length", [101, 501, 70_000])
def test_a_note_full_in_every_field_stays_within_the_limit(char: str, length: int) -> None:
    call = a_call_full_of(char * length, fields=60)

    bodies = fullest_bodies(call)

    assert [is_sound(body, call) for body in bodies] == [True] * len(bodies)


@given(
    st.text(st.sampled_from("a&\"'<>é👩\u0301\u200d\n "), min_size=1, max_size=40),
    st.integers(1, 2000),
    st.integers(0, 60),
)
@settings(max_examples=20)
def test_a_note_full_of_anything_stays_within_the_limit(text: str, times: int, fields: int) -> None:
    call = a_call_full_of(text * times, fields)

    bodies = fullest_bodies(call)

    assert [is_sound(body, call) for body in bodies] == [True] * len(bodies)


def test_a_cut_fact_and_a_cut_label_say_so_and_keep_their_place() -> None:
    call = a_call_full_of("&" * 600, fields=1)

    body = body_of(call)

    name, label = f"with {'&' * 600}", f"0{'&' * 600}"
    assert html.escape(name)[: LONGEST_FACT - 20] in body
    assert html.escape(label)[: LONGEST_LABEL - 20] in body
    assert read(body).text.count(CUT_MARK) == 4 + 1 + 1


def test_a_link_that_would_be_cut_is_left_out(a_call: Callable[..., Call]) -> None:
    body = body_of(a_call(), RecordingNote(link="https://a.test/" + "x" * LONGEST_LINK))

    assert "Recording" not in body


BODIES = {
    "as written": "<p>Call ID: a1</p>",
    "last one wins over words of a caller": "<p>Call ID: spoof</p><p>Call ID: a1</p>",
    "rewritten by HubSpot": '<div><p style="margin:0"><span>Call ID: a1</span></p></div>',
    "escaped": "<p>Call ID: a&lt;b</p>",
    "text after it": "<p>Call ID: a1</p><p>Thanks! - Kim</p>",
}


@pytest.mark.parametrize(
    ("body", "expected"),
    list(zip(BODIES.values(), ["a1", "a1", "a1", "a<b", "a1"], strict=True)),
    ids=BODIES.keys(),
)
def test_the_call_id_of_a_body_is_found_again(body: str, expected: str) -> None:
    assert call_id_of_body(body) == expected


@pytest.mark.parametrize("body", [None, "", "<p>A note somebody wrote</p>"])
def test_a_body_without_our_line_is_not_ours(body: str | None) -> None:
    assert call_id_of_body(body) is None


def properties_of(call: Call, kind: EngagementType, recording: RecordingNote) -> dict[str, str]:
    return engagement_properties(
        call, kind, recording, include_transcript=False, default_region="US"
    )


def test_a_note_stands_at_the_end_of_its_call(a_call: Callable[..., Call]) -> None:
    properties = properties_of(a_call(), EngagementType.NOTE, RecordingNote(file_id="77"))

    assert properties["hs_timestamp"] == "1795187121600"
    assert properties["hs_attachment_ids"] == "77"
    assert "Recording: attached" in properties["hs_note_body"]


def test_a_call_engagement_has_numbers_direction_and_length(a_call: Callable[..., Call]) -> None:
    call = a_call(direction="outbound", outcome="busy")

    properties = properties_of(
        call, EngagementType.CALL, RecordingNote(link="https://calls.example.test/recordings/x")
    )

    body = properties.pop("hs_call_body")
    assert body.startswith("<p><strong>Outbound call, busy</strong>")
    assert properties == {
        "hs_timestamp": "1795187121600",
        "hs_call_title": "Outbound call, busy",
        "hs_call_direction": "OUTBOUND",
        "hs_call_status": "BUSY",
        "hs_call_duration": "75600",
        "hs_call_from_number": "+12025550110",
        "hs_call_to_number": "+14155550123",
        "hs_call_external_id": "01a1f97c-7300-7aa2-9c10-5f3a2b6d8e01",
        "hs_call_recording_url": "https://calls.example.test/recordings/x",
    }


def test_a_call_without_any_time_is_refused() -> None:
    call = parse_call({"id": "c1"}, Workspace("u", "w"))

    with pytest.raises(InvalidCallRecord, match="time"):
        properties_of(call, EngagementType.NOTE, RecordingNote())


@pytest.mark.parametrize(
    ("duration_ms", "expected"),
    [(400, "0 s"), (16_000, "16 s"), (75_600, "1 min 16 s"), (3_725_000, "1 h 2 min")],
)
def test_a_duration_is_said_as_people_say_it(duration_ms: int, expected: str) -> None:
    assert format_duration(duration_ms) == expected
