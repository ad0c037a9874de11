import copy
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from call_stream.record import (
    CallRecord,
    OtherMessage,
    UnusableReport,
    decode_record,
    encode_record,
    record_from_report,
    record_from_rest_call,
)

SAMPLES = Path(__file__).parents[2] / "sample_data" / "reports"
RECEIVED_AT = datetime(2026, 11, 20, 15, 5, 26, 1_500, tzinfo=UTC)
CANARY = "CANARY"

ALLOWED_PATHS = frozenset(
    f"{place}.{path}" if place else path
    for place in ("", "call")
    for part in ("", "artifact.", "analysis.")
    for path in (
        f"{part}transcript",
        f"{part}summary",
        f"{part}successEvaluation",
        f"{part}structuredData",
        f"{part}structuredOutputs",
        f"{part}recordingUrl",
        f"{part}stereoRecordingUrl",
        f"{part}presignedMonoUrl",
        f"{part}presignedStereoUrl",
        f"{part}recording.mono.combinedUrl",
        f"{part}recording.stereoUrl",
        f"{part}assistantActivations.assistantId",
        f"{part}assistantActivations.assistantName",
        "endedReason",
        "customer.number",
        "customer.name",
        "phoneNumber.number",
        "assistant.id",
        "assistant.name",
        "assistantId",
    )
) | {"call.id", "call.type", "type"}


def test_an_inbound_report_becomes_the_record_of_the_contract() -> None:
    body = sample("01-inbound-with-recording.json")

    record = read(body)

    mono = (
        "https://recordings.example.test/calls/"
        "01a1f97c-7301-7aa2-9c10-5f3a2b6d8e01-1795187121600-a1b2-mono.wav"
    )
    assert msgspec.to_builtins(record) == {
        "id": "01a1f97c-7301-7aa2-9c10-5f3a2b6d8e01",
        "user_id": "ada",
        "workspace_id": "harbor",
        "webhook_id": "hook-1",
        "source": "webhook",
        "type": "inboundPhoneCall",
        "direction": "inbound",
        "customer_number": "+14155550123",
        "customer_name": "Dana Ruiz",
        "customer_email": None,
        "hubspot_contact_id": None,
        "phone_number": "+12025550110",
        "started_at": "2026-11-20T15:04:06.000Z",
        "ended_at": "2026-11-20T15:05:21.600Z",
        "duration_ms": 75_600,
        "ended_reason": "customer-ended-call",
        "outcome": "completed",
        "summary": "The caller moved a cleaning to Friday at ten. The change was confirmed.",
        "transcript": body["message"]["artifact"]["transcript"],
        "recording_url": f"{mono}?X-Amz-Expires=1800&X-Amz-Signature=5af0e1",
        "recording_expires_at": "2026-11-20T15:35:25.600Z",
        "stereo_recording_url": body["message"]["artifact"]["presignedStereoUrl"],
        "success_evaluation": "true",
        "structured_data": {
            "intent": "reschedule",
            "appointment": {"day": "Friday", "time": "10:00"},
            "new_patient": False,
        },
        "cost_usd": 0.104,
        "assistant_id": "7be1b7a4-0c52-4d0b-9f0c-2f6f4f3d1a22",
        "assistant_name": "Front desk",
        "received_at": "2026-11-20T15:05:26.001Z",
        "updated_at": "2026-11-20T15:05:25.400Z",
    }


def test_a_report_without_its_message_wrapper_is_the_same_report() -> None:
    body = sample("01-inbound-with-recording.json")

    assert read(body["message"]) == read(body)


def test_a_report_that_lost_its_type_is_still_a_report() -> None:
    body = sample("01-inbound-with-recording.json")

    del body["message"]["type"]

    assert read(body).summary == read(sample("01-inbound-with-recording.json")).summary


def test_a_call_nested_in_the_report_is_the_last_place_looked_in() -> None:
    body = {
        "type": "end-of-call-report",
        "call": {
            "id": "c1",
            "type": "outboundPhoneCall",
            "startedAt": "2026-11-20T15:04:06Z",
            "endedAt": "2026-11-20T16:04:07.25+01:00",
            "artifact": {
                "transcript": [
                    {"role": "system", "message": "Be brief."},
                    {"role": "assistant", "message": "Hello."},
                    {"role": "user", "content": "Hi."},
                ],
                "recording": "https://recordings.example.test/c1.wav",
            },
            "analysis": {"summary": "A greeting.", "successEvaluation": False},
            "customer": {"number": "+14155550123"},
        },
    }

    record = read(body)

    assert (
        record.transcript,
        record.recording_url,
        record.summary,
        record.success_evaluation,
        record.duration_ms,
        record.customer_number,
        record.updated_at,
    ) == (
        "AI: Hello.\nUser: Hi.\n",
        "https://recordings.example.test/c1.wav",
        "A greeting.",
        "false",
        1_250,
        "+14155550123",
        "2026-11-20T15:05:26.001Z",
    )


def test_a_call_that_never_started_is_dated_by_its_creation_and_has_no_duration() -> None:
    record = read(sample("04-outbound-failed-at-start.json"))

    assert (record.started_at, record.ended_at, record.duration_ms, record.outcome) == (
        "2026-11-20T15:11:05.120Z",
        "2026-11-20T15:11:46.120Z",
        None,
        "failed",
    )


def test_the_contact_that_the_page_named_is_kept_as_a_hint() -> None:
    record = read(sample("05-web-call-with-contact-hint.json"))

    assert (record.hubspot_contact_id, record.direction) == ("101", "web")


def test_a_call_object_of_the_rest_api_gives_the_same_facts() -> None:
    message = sample("01-inbound-with-recording.json")["message"]
    call = message["call"] | {
        "status": "ended",
        "updatedAt": "2026-11-20T15:05:27.900Z",
        "analysis": message["analysis"],
        "artifact": message["artifact"],
        "assistant": message["assistant"],
        "cost": 0.104,
        "startedAt": message["startedAt"],
        "endedAt": message["endedAt"],
        "endedReason": message["endedReason"],
        "phoneNumber": message["phoneNumber"],
        "customer": message["customer"],
    }

    record = record_from_rest_call(
        call, user_id="ada", workspace_id="harbor", received_at=RECEIVED_AT
    )

    expected = msgspec.structs.replace(
        read({"message": message}),
        webhook_id=None,
        source="api",
        updated_at="2026-11-20T15:05:27.900Z",
    )
    assert msgspec.to_builtins(record) == msgspec.to_builtins(expected)


def test_a_rest_call_still_under_way_has_no_end() -> None:
    call = {"id": "c1", "status": "in-progress", "updatedAt": "2026-11-20T15:05:27.900Z"}

    record = record_from_rest_call(
        call, user_id="ada", workspace_id="harbor", received_at=RECEIVED_AT
    )

    assert (record.ended_at, record.updated_at) == (None, "2026-11-20T15:05:27.900Z")


@pytest.mark.parametrize(
    ("body", "message_type"),
    [
        ({"message": {"type": "status-update", "call": {"id": "c1"}}}, "status-update"),
        ({"message": {"type": "assistant-request"}}, "assistant-request"),
        ({"type": "tool-calls"}, "tool-calls"),
        ({"message": {"type": 7}}, None),
        ({"message": "hello"}, None),
        ({}, None),
        ([], None),
        (None, None),
    ],
)
def test_a_body_that_is_no_report_is_named_by_its_type(
    body: object, message_type: str | None
) -> None:
    with pytest.raises(OtherMessage) as raised:
        read(body)

    assert raised.value.message_type == message_type


@pytest.mark.parametrize(
    "call", [None, {}, {"id": ""}, {"id": 7}, {"id": "\x00 "}, {"id": "a\nb"}, {"id": "x" * 201}]
)
def test_a_report_without_a_usable_call_id_is_unusable(call: object) -> None:
    with pytest.raises(UnusableReport) as raised:
        read({"message": {"type": "end-of-call-report", "endedReason": "hangup", "call": call}})

    assert raised.value.reason == "the report has no call id of at most 200 characters"


@pytest.mark.parametrize("wrong", [None, "", " ", 7, -1, True, [], {}, [7], {"a": 7}, 1e400])
def test_a_value_of_the_wrong_type_counts_as_missing(wrong: object) -> None:
    names = set(sample("01-inbound-with-recording.json")["message"]) - {"type", "call"}
    body = {"type": "end-of-call-report", "call": {"id": "c1"}} | dict.fromkeys(names, wrong)

    record = read(body)

    assert (record.id, record.summary, record.customer_number) == ("c1", None, None)


@pytest.mark.parametrize("part", ["call", "artifact", "analysis", "customer", "assistant"])
def test_a_wrong_part_leaves_the_others_alone(part: str) -> None:
    body = sample("01-inbound-with-recording.json")

    if part != "call":
        body["message"][part] = ["wrong"]
    body["message"]["call"] |= {"artifact": 7, "analysis": "wrong", "customer": [7]}

    assert read(body).ended_reason == "customer-ended-call"


def test_a_cost_of_nothing_in_the_inner_call_is_not_believed() -> None:
    assert read(report_of(call={"id": "c1", "cost": 0})).cost_usd is None
    assert read(report_of(cost=0, call={"id": "c1", "cost": 0.5})).cost_usd == 0


@pytest.mark.parametrize("sample_name", sorted(path.name for path in SAMPLES.iterdir()))
def test_nothing_outside_the_allow_list_reaches_the_record(sample_name: str) -> None:
    body = sample(sample_name)

    planted = {"message": planted_with_canaries(body["message"])}

    try:
        record = read(planted)
    except OtherMessage:
        return
    assert CANARY not in encode_record(record).decode()
    assert record.id == body["message"]["call"]["id"]


@pytest.mark.parametrize("sample_name", sorted(path.name for path in SAMPLES.iterdir()))
def test_a_record_comes_back_from_its_bytes(sample_name: str) -> None:
    try:
        record = read(sample(sample_name))
    except OtherMessage:
        return

    assert decode_record(encode_record(record)) == record


def test_the_bytes_of_a_record_hold_every_field() -> None:
    record = read(report_of(call={"id": "c1"}))

    assert list(json.loads(encode_record(record))) == list(CallRecord.__struct_fields__)


def sample(name: str) -> Any:
    return json.loads((SAMPLES / name).read_text())


def report_of(**members: object) -> dict[str, Any]:
    return {"message": {"type": "end-of-call-report", "endedReason": "hangup", **members}}


def read(body: object) -> CallRecord:
    return record_from_report(
        body, user_id="ada", workspace_id="harbor", webhook_id="hook-1", received_at=RECEIVED_AT
    )


def planted_with_canaries(value: Any, path: str = "") -> Any:
    """The value with a canary for every text outside the allow-list, and in every object."""
    if path in ALLOWED_PATHS:
        return value
    if isinstance(value, dict):
        inner = f"{path}." if path else ""
        return {
            **{name: planted_with_canaries(item, f"{inner}{name}") for name, item in value.items()},
            "secret": CANARY,
            "authToken": f"{CANARY}-token",
            "controlUrl": f"https://{CANARY}.example.test/control",
            "headers": {"Authorization": f"Bearer {CANARY}"},
        }
    if isinstance(value, list):
        return [planted_with_canaries(item, path) for item in copy.copy(value)]
    return CANARY if isinstance(value, str) else value
