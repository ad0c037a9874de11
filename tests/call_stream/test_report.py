import json
from typing import Any

import pytest

from call_stream import report


def test_a_presigned_recording_goes_before_the_raw_one() -> None:
    artifact = {
        "recordingUrl": "https://r.example.test/raw.wav",
        "presignedMonoUrl": "https://r.example.test/raw.wav?X-Amz-Signature=a",
        "presignedUrlsExpiresAt": "2026-11-20T15:35:25.390Z",
    }

    address, expires_at = report.mono_recording([{"artifact": artifact}])

    assert address == "https://r.example.test/raw.wav?X-Amz-Signature=a"
    assert expires_at is not None
    assert expires_at.isoformat() == "2026-11-20T15:35:25.390000+00:00"


@pytest.mark.parametrize(
    "place",
    [
        {"artifact": {"recording": {"mono": {"combinedUrl": "https://r.example.test/a.wav"}}}},
        {"artifact": {"recording": {"monoUrl": "https://r.example.test/a.wav"}}},
        {"artifact": {"recording": "https://r.example.test/a.wav"}},
        {"artifact": {"recordingUrl": "https://r.example.test/a.wav"}},
        {"artifact": {"recording": {}}, "recordingUrl": "https://r.example.test/a.wav"},
        {"artifact": None, "recordingUrl": " https://r.example.test/a.wav\n"},
    ],
)
def test_a_raw_recording_is_found_wherever_an_era_put_it(place: dict[str, Any]) -> None:
    assert report.mono_recording([place, {}]) == ("https://r.example.test/a.wav", None)


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "file:///etc/passwd",
        "https://user:word@r.example.test/a.wav",
        "https://r.example.test/a b.wav",
        "https://",
        "https://r.example.test/" + "a" * 5_000,
        7,
    ],
)
def test_an_address_that_is_no_plain_web_address_is_no_recording(address: object) -> None:
    assert report.mono_recording([{"recordingUrl": address}]) == (None, None)


def test_the_stereo_recording_is_found_beside_the_mono_one() -> None:
    place = {"artifact": {"recording": {"stereoUrl": "https://r.example.test/s.wav"}}}

    assert report.stereo_recording([place]) == "https://r.example.test/s.wav"


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ({"durationMs": 15168, "durationSeconds": 3}, 15168),
        ({"durationMs": "15168", "durationSeconds": 15.168}, 15168),
        ({"startedAt": "2026-11-20T15:04:06.000Z", "endedAt": 1795187121600}, 75_600),
        ({"startedAt": "2026-11-20T15:04:06.000Z", "endedAt": "2026-11-20T15:04:05Z"}, None),
        ({"createdAt": "2026-11-20T15:04:06.000Z", "endedAt": "2026-11-20T15:05:05Z"}, None),
        ({"durationMs": 1e300}, None),
        ({"durationMs": True}, None),
        ({"durationMs": -5, "durationSeconds": 2}, 2000),
        ({}, None),
    ],
)
def test_the_duration_is_told_or_worked_out(place: dict[str, Any], expected: int | None) -> None:
    assert report.duration_ms([place]) == expected


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        ({"1": {"name": "Call Summary", "result": "A talk."}}, "A talk."),
        ({"1": {"name": "summary_en", "result": {"summary": "A talk."}}}, "A talk."),
        ([{"name": "Summary", "result": "A talk."}], "A talk."),
        ({"1": {"name": "Summaryless", "result": "No."}}, None),
        ({"1": {"name": "Summary", "result": None}}, None),
        ({"1": "wrong"}, None),
    ],
)
def test_a_structured_output_named_like_a_summary_stands_in(
    outputs: object, expected: str | None
) -> None:
    place = {"analysis": {"summary": " "}, "artifact": {"structuredOutputs": outputs}}

    assert report.summary([place]) == expected


def test_structured_outputs_and_older_structured_data_are_one_table() -> None:
    place = {
        "analysis": {"structuredData": {"intent": "reschedule", "Urgency": "low"}},
        "artifact": {
            "structuredOutputs": {
                "1": {"name": "Urgency", "result": "high"},
                "2": {"name": "Insurance", "result": None},
                "3": {"result": 3},
            }
        },
    }

    assert report.structured_data([place]) == {"intent": "reschedule", "Urgency": "high", "3": 3}


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [("true", "true"), (True, "true"), (False, "false"), (8, "8"), (0.5, "0.5"), ({}, None)],
)
def test_a_verdict_of_any_type_is_text(verdict: object, expected: str | None) -> None:
    assert report.success_evaluation([{"analysis": {"successEvaluation": verdict}}]) == expected


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ({"assistantOverrides": {"variableValues": {"hubspot_contact_id": "101"}}}, "101"),
        ({"assistantOverrides": {"variableValues": {"hubspotContactId": 101}}}, "101"),
        ({"artifact": {"variableValues": {"contact_id": " 101 "}}}, "101"),
        ({"artifact": {"variableValues": {"contact_id": "c-101"}}}, None),
        ({"artifact": {"variableValues": {"contact_id": "0"}}}, None),
        ({"artifact": {"variableValues": {"contact_id": "\uff11\uff10\uff11"}}}, None),
        ({"artifact": {"variableValues": {"contact_id": True}}}, None),
        ({"artifact": {"variableValues": {"contact_id": "9" * 21}}}, None),
        ({"customer": {"externalId": "101"}}, "101"),
        ({"customer": {"externalId": "crm-101"}}, None),
        ({"customer": {"externalId": "101", "number": "+14155550123"}}, None),
    ],
)
def test_only_a_plain_contact_id_is_a_hint(place: dict[str, Any], expected: str | None) -> None:
    assert report.contact_hint([{}, place]) == expected


def test_of_a_squad_the_last_assistant_is_named() -> None:
    activations = [
        {"assistantId": "a1", "assistantName": "Greeter"},
        {"assistantId": "a2", "assistantName": "Closer"},
    ]

    assert report.assistant([{"artifact": {"assistantActivations": activations}}]) == (
        "a2",
        "Closer",
    )


def test_a_place_is_read_through_before_the_next_one() -> None:
    message = {"transcript": "", "artifact": {"transcript": None}}
    call = {"artifact": {"transcript": "AI: inner\n"}, "transcript": "AI: outer\n"}

    assert report.transcript([message, call]) == "AI: inner\n"
    assert report.transcript([{"transcript": "AI: told\n"}, call]) == "AI: told\n"


def test_reading_leaves_the_body_as_it_was() -> None:
    place = {"artifact": {"structuredOutputs": {"1": {"name": "a", "result": {"b": 1}}}}}
    before = json.dumps(place)

    report.structured_data([place])

    assert json.dumps(place) == before
