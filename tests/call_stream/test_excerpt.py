import copy
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import inspect

from call_stream.allow_list import Report
from call_stream.excerpt import MalformedBody, cut_excerpt, record_from_excerpt
from call_stream.record import CallRecord, OtherMessage, UnusableReport, record_from_report

SAMPLES = Path(__file__).parents[2] / "sample_data" / "reports"
CANARY = "CANARY"
SENDER: dict[str, Any] = {
    "user_id": "ada",
    "workspace_id": "harbor",
    "webhook_id": "hook-1",
    "received_at": datetime(2026, 11, 20, 15, 5, 26, 1_500, tzinfo=UTC),
}

# What a member of each name may hold; everything else is a secret. Said again here, apart from the
# code, because a name too many there is a secret on disk.
SCALAR = "a value of its own"
ANYTHING = "whatever the assistant extracted"
HINTS = dict.fromkeys(("hubspot_contact_id", "hubspotContactId", "contact_id"), SCALAR)
OUTPUT = {"name": SCALAR, "result": ANYTHING}
ARTIFACT: dict[str, Any] = {
    "transcript": [SCALAR, {"role": SCALAR, "message": SCALAR, "content": SCALAR}],
    "recording": [
        SCALAR,
        {"mono": {"combinedUrl": SCALAR}, "monoUrl": SCALAR, "stereoUrl": SCALAR},
    ],
    "recordingUrl": SCALAR,
    "stereoRecordingUrl": SCALAR,
    "presignedMonoUrl": SCALAR,
    "presignedStereoUrl": SCALAR,
    "presignedUrlsExpiresAt": SCALAR,
    "structuredOutputs": OUTPUT,
    "assistantActivations": {"assistantId": SCALAR, "assistantName": SCALAR},
}
ANALYSIS: dict[str, Any] = {
    "summary": SCALAR,
    "successEvaluation": SCALAR,
    "structuredData": ANYTHING,
}
PLACE: dict[str, Any] = {
    **ARTIFACT,
    **ANALYSIS,
    **dict.fromkeys(
        [
            "type",
            "startedAt",
            "endedAt",
            "createdAt",
            "endedReason",
            "durationMs",
            "durationSeconds",
            "cost",
            "assistantId",
        ],
        SCALAR,
    ),
    "customer": dict.fromkeys(("number", "name", "email", "externalId"), SCALAR),
    "phoneNumber": {"number": SCALAR},
    "assistant": {"id": SCALAR, "name": SCALAR},
    "assistantOverrides": {"variableValues": HINTS},
    "artifact": {**ARTIFACT, "variableValues": HINTS},
    "analysis": ANALYSIS,
}
REPORT: dict[str, Any] = {**PLACE, "timestamp": SCALAR, "call": {**PLACE, "id": SCALAR}}


def told(call_id: object = "c1", **members: object) -> dict[str, Any]:
    return {"message": {"type": "end-of-call-report", "call": {"id": call_id}, **members}}


def sample(name: str) -> dict[str, Any]:
    body: dict[str, Any] = json.loads((SAMPLES / name).read_text("utf-8"))
    return body


def sample_names() -> list[str]:
    return sorted(path.name for path in SAMPLES.iterdir())


def through_the_door(body: bytes) -> CallRecord | str:
    """The record at the far end of the stream, or why there is none."""
    try:
        excerpt = cut_excerpt(body, **SENDER)
    except (OtherMessage, UnusableReport) as err:
        return f"{type(err).__name__}: {err}"
    record = record_from_excerpt(excerpt.payload)
    assert record.id == excerpt.call_id
    return record


def of_the_whole_body(body: bytes) -> CallRecord | str:
    try:
        return record_from_report(msgspec.json.decode(body), **SENDER)
    except (OtherMessage, UnusableReport) as err:
        return f"{type(err).__name__}: {err}"


def kept(body: bytes) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(cut_excerpt(body, **SENDER).payload)["report"]
    return report


@pytest.mark.parametrize("name", sample_names())
def test_a_samples_record_is_that_of_its_whole_body(name: str) -> None:
    body = (SAMPLES / name).read_bytes()

    assert through_the_door(body) == of_the_whole_body(body)


@pytest.mark.parametrize("name", sample_names())
def test_a_bare_samples_record_is_that_of_its_whole_body(name: str) -> None:
    body = json.dumps(sample(name)["message"]).encode()

    assert through_the_door(body) == of_the_whole_body(body)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["summary", "a", "é", "name"]), inner, max_size=3)
    ),
    max_leaves=6,
)
GOOD_VALUES = st.sampled_from(
    [
        "2026-11-20T15:04:06.000Z",
        1795187125400,
        "https://r.example.test/a.wav",
        "+14155550123",
        "101",
        101,
        "end-of-call-report",
        "customer-ended-call",
        "Call summary",
        "AI: Hello.\n",
        "user",
        75.6,
        0,
        True,
        " ",
    ]
)


def values_for(allowed: Any) -> st.SearchStrategy[Any]:
    """Mostly what the allow-list foresees, sometimes anything at all."""
    if allowed == SCALAR:
        foreseen: st.SearchStrategy[Any] = GOOD_VALUES
    elif allowed == ANYTHING:
        foreseen = JSON
    elif isinstance(allowed, list):
        foreseen = st.one_of(
            *(values_for(each) for each in allowed), st.lists(values_for(allowed[1]), max_size=3)
        )
    else:
        foreseen = objects_of(allowed)
        if allowed is OUTPUT or ("assistantId" in allowed and len(allowed) == 2):
            foreseen = (
                st.lists(foreseen, max_size=3)
                | st.dictionaries(st.sampled_from(["1", "k"]), foreseen, max_size=2)
                | foreseen
            )
    return st.one_of(foreseen, foreseen, foreseen, JSON)


def objects_of(allowed: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    members = {
        name: st.deferred(lambda each=each: values_for(each)) for name, each in allowed.items()
    }
    return st.lists(st.sampled_from(sorted(members)), max_size=8, unique=True).flatmap(
        lambda names: st.fixed_dictionaries({name: members[name] for name in names})
    )


@settings(max_examples=400)
@given(
    report=objects_of(REPORT),
    call=objects_of(REPORT["call"]),
    named=st.booleans(),
    typed=st.booleans(),
    wrapped=st.booleans(),
)
def test_any_bodys_record_is_that_of_the_whole_body(
    report: dict[str, Any], call: dict[str, Any], named: bool, typed: bool, wrapped: bool
) -> None:
    if named:
        report["call"] = call | {"id": "c1"}
    if typed:
        report["type"] = "end-of-call-report"
    body = json.dumps({"message": report} if wrapped else report, ensure_ascii=False).encode()

    assert through_the_door(body) == of_the_whole_body(body)


@pytest.mark.parametrize("name", sample_names())
def test_only_what_the_allow_list_names_is_stored(name: str) -> None:
    body = planted(sample(name)["message"], REPORT)

    try:
        excerpt = cut_excerpt(json.dumps({"message": body}).encode(), **SENDER)
    except OtherMessage:
        return

    assert CANARY.encode() not in excerpt.payload


@pytest.mark.parametrize(
    "wrong", [{"deep": CANARY}, [CANARY], [[CANARY]], [{"deep": CANARY}]], ids=str
)
@pytest.mark.parametrize("path", sorted(set(REPORT) - {"structuredData", "type", "call"}))
def test_an_object_or_list_in_the_place_of_a_value_is_not_stored(path: str, wrong: object) -> None:
    for body in (told(**{path: wrong}), told(call={"id": "c1", path: wrong})):
        payload = cut_excerpt(json.dumps(body).encode(), **SENDER).payload

        assert CANARY.encode() not in payload


def test_a_name_of_the_allow_list_lets_nothing_through_at_another_depth() -> None:
    hidden = {"summary": CANARY, "number": CANARY, "id": CANARY, "result": CANARY}
    body = told(costs=[hidden], monitor=hidden, customer={"metadata": hidden}, artifact=hidden)

    assert kept(json.dumps(body).encode()) == {
        "type": "end-of-call-report",
        "call": {"id": "c1"},
        "customer": {},
        "artifact": {},
    }


def test_what_a_report_says_twice_is_stored_once() -> None:
    body = told(
        transcript="AI: Hello.\n",
        artifact={"transcript": "AI: Hello.\n"},
        summary="A greeting.",
        analysis={"summary": "A greeting."},
    )

    report = kept(json.dumps(body).encode())

    assert report.keys() == {"type", "call", "artifact", "analysis"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[1]",
        b'"text"',
        b"{} {}",
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16"),
        b'{"unread": "\xff"}',
        b'{"message": {"type": "end-of-call-report", "call": {"id": "c1"}, "unread": "\xc3\x28"}}',
        b'{"message": {"type": "end-of-call-report", "call": {"id": "c1"}, "\xed\xa0\x80": 1}}',
        b'{"message": {"type": "end-of-call-report", "call": {"id": "c1"}, "unread": NaN}}',
        b'{"message": {"type": "end-of-call-report", "call": {"id": "c1"}, "unread": 01}}',
        b'{"message": {"type": "end-of-call-report", "call": {"id": "c1"}, "unread": "\x01"}}',
        b'{"message": {"type": "end-of-call-report", "call": {"id": "c1"}, "unread": [1,]}}',
        b'{"message": {"type": "end-of-call-report", "call": {"id": "c1"}}',
        b'{"message": {"type": "end-of-call-report", "cost": ' + b"[" * 20_000 + b"]" * 20_000,
        b'{"unread": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"unread": 1e999}',
        b'{"unread": "\\ud800"}',
        b'{"unread": ' + b"9" * 5_000 + b"}",
    ],
    ids=lambda body: repr(body[-40:]),
)
def test_what_is_no_json_object_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedBody) as raised:
        cut_excerpt(body, **SENDER)

    assert raised.value.why in {
        "it is not UTF-8",
        "it is not well-formed JSON",
        "it is nested too deeply",
        "its top level is not an object",
    }


@pytest.mark.parametrize(
    "value", ["1e999", "-1e999", "9" * 5_000, '"\\ud83d"', '["\\ude00"]', '{"\\ud800": 1}']
)
@pytest.mark.parametrize("place", ["unread", "cost", "timestamp", "structuredData", "customer"])
def test_an_odd_value_costs_no_call(place: str, value: str) -> None:
    body = json.dumps(told(summary="A talk.", **{place: "PLACE"})).replace('"PLACE"', value)

    record = through_the_door(body.encode())

    assert isinstance(record, CallRecord)
    assert (record.summary, record.cost_usd) == ("A talk.", None)


def test_a_lone_surrogate_becomes_a_replacement_character() -> None:
    body = json.dumps(told(summary="cut \ud83d", analysis={"structuredData": {"\ude00": "\ud83d"}}))

    record = through_the_door(body.encode())

    assert isinstance(record, CallRecord)
    assert (record.summary, record.structured_data) == ("cut \ufffd", {"\ufffd": "\ufffd"})


@pytest.mark.parametrize("digits", [20, 400])
def test_a_number_of_many_digits_is_read_as_from_the_whole_body(digits: int) -> None:
    number = int("9" * digits)
    body = json.dumps(
        told(cost=number, customer={"externalId": number}, structuredData={"a": number})
    ).encode()

    assert through_the_door(body) == of_the_whole_body(body)


@pytest.mark.parametrize("depth", [32, 33, 60, 450])
def test_deep_data_is_cut_where_a_record_cuts_it(depth: int) -> None:
    deep = '{"a":' * depth + "1" + "}" * depth
    body = json.dumps(told(structuredData="PLACE")).replace('"PLACE"', deep).encode()

    assert through_the_door(body) == of_the_whole_body(body)


def test_what_the_door_takes_a_reader_with_less_room_on_its_stack_takes_too() -> None:
    deep = '{"a":' * 700 + "1" + "}" * 700
    body = json.dumps(told(structuredData="PLACE")).replace('"PLACE"', deep).encode()
    payload = cut_excerpt(body, **SENDER).payload
    limit = sys.getrecursionlimit()

    sys.setrecursionlimit(500)
    try:
        record = record_from_excerpt(payload)
    finally:
        sys.setrecursionlimit(limit)

    assert record.id == "c1"


def places_of_any_form(kind: inspect.Type, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path to each member that the allow-list lets through whatever it is."""
    match kind:
        case inspect.AnyType():
            yield path
        case inspect.StructType(fields=fields):
            for member in fields:
                yield from places_of_any_form(member.type, (*path, member.encode_name))
        case inspect.UnionType(types=choices):
            for choice in choices:
                yield from places_of_any_form(choice, path)
        case inspect.DictType(value_type=value):
            yield from places_of_any_form(value, (*path, "{}"))
        case inspect.ListType(item_type=item):
            yield from places_of_any_form(item, (*path, "[]"))


@pytest.mark.parametrize(
    "path", sorted(places_of_any_form(inspect.type_info(Report))), ids="-".join
)
def test_deep_data_is_cut_wherever_a_report_may_have_it(path: tuple[str, ...]) -> None:
    place: Any = "PLACE"
    for name in reversed(path):
        place = [place] if name == "[]" else {"any" if name == "{}" else name: place}
    report = {"type": "end-of-call-report", **place}
    report["call"] = {"id": "c1", **report.get("call", {})}
    deep = '{"a":' * 450 + "1" + "}" * 450
    body = json.dumps({"message": report}).replace('"PLACE"', deep).encode()

    payload = cut_excerpt(body, **SENDER).payload

    assert payload.count(b'{"a"') < 50


@pytest.mark.parametrize(
    "payload",
    [b"", b"{", b"[]", b"{}", b'{"user_id": "u"}', b"\xff", b"[" * 100_000],
    ids=lambda payload: repr(payload[:20]),
)
def test_a_payload_that_is_no_excerpt_is_unusable_and_no_fault(payload: bytes) -> None:
    with pytest.raises(UnusableReport):
        record_from_excerpt(payload)


def test_the_excerpt_of_a_long_report_is_a_part_of_it() -> None:
    body = sample("01-inbound-with-recording.json")
    body["message"]["artifact"]["messages"] *= 100
    raw = json.dumps(body).encode()

    assert len(cut_excerpt(raw, **SENDER).payload) < len(raw) / 10


def planted(value: Any, allowed: Any) -> Any:
    """The value with a canary in every object, and for every value that the list does not name."""
    if allowed == ANYTHING:
        return copy.deepcopy(value)
    if isinstance(value, dict):
        inner = allowed[1] if isinstance(allowed, list) else allowed
        inner = {} if inner == SCALAR or inner is None else inner
        return {
            **{name: planted(member, _inside(inner, name)) for name, member in value.items()},
            "secret": CANARY,
            "controlUrl": f"https://{CANARY}.example.test/control",
            "headers": {"Authorization": f"Bearer {CANARY}", "number": CANARY},
        }
    if isinstance(value, list):
        inner = allowed[1] if isinstance(allowed, list) else allowed
        return [planted(item, inner) for item in value] + [CANARY, {"secret": CANARY}]
    named = allowed == SCALAR or (isinstance(allowed, list) and allowed[0] == SCALAR)
    return value if named or not isinstance(value, str) else CANARY


def _inside(allowed: dict[str, Any], name: str) -> Any:
    if allowed is OUTPUT and name not in OUTPUT:
        return OUTPUT  # an output by its id
    return allowed.get(name)
