from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from target_hubspot_calls.errors import RateLimited, Rejected, Unavailable
from target_hubspot_calls.hubspot.batches import read_batch
from target_hubspot_calls.hubspot.engagements import (
    EngagementKind,
    NewEngagement,
    create_body,
    read_engagement,
)
from target_hubspot_calls.hubspot.wire import MalformedReply

TRACES = [f"call-{n}" for n in range(100)]


def a_result(trace_id: str, *, echo: bool = False) -> dict[str, Any]:
    echoed = {"objectWriteTraceId": trace_id} if echo else {}
    return {"id": f"9{trace_id[5:]}", "properties": {"vapi_call_id": trace_id}, **echoed}


def an_error(trace_id: str, category: str = "VALIDATION_ERROR") -> dict[str, Any]:
    return {
        "status": "error",
        "category": category,
        "message": "Property values were not valid",
        "context": {"objectWriteTraceId": [trace_id]},
    }


@given(st.sets(st.sampled_from(TRACES)), st.booleans(), st.integers())
def test_each_input_of_a_207_is_judged_alone(failed: set[str], echo: bool, seed: int) -> None:
    results = [a_result(trace, echo=echo) for trace in TRACES if trace not in failed]
    errors = [an_error(trace) for trace in failed]
    random.Random(seed).shuffle(results)
    random.Random(seed).shuffle(errors)

    batch = read_batch({"status": "COMPLETE", "results": results, "errors": errors}, TRACES)

    assert set(batch.errors) == failed
    assert all(isinstance(error, Rejected) for error in batch.errors.values())
    written = {item.properties["vapi_call_id"] for item in batch.engagements}
    assert written == set(TRACES) - failed
    if echo:
        assert {item.trace_id for item in batch.engagements} == written


def test_an_error_that_names_no_input_is_kept_apart() -> None:
    nameless = {"status": "error", "category": "VALIDATION_ERROR", "context": {}}

    batch = read_batch({"results": [a_result("call-1")], "errors": [nameless]}, TRACES[1:3])

    assert batch.errors == {}
    assert len(batch.unnamed_errors) == 1


def test_an_echoed_trace_id_that_was_not_sent_or_comes_twice_is_not_believed() -> None:
    results = [
        a_result("call-1", echo=True),
        {**a_result("call-2"), "objectWriteTraceId": "call-1"},
        {**a_result("call-3"), "objectWriteTraceId": "somebody-else"},
    ]

    batch = read_batch({"results": results}, TRACES[1:4])

    assert [item.trace_id for item in batch.engagements] == [None, None, None]
    assert [item.id for item in batch.engagements] == ["91", "92", "93"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"results": []},
        {"results": [a_result("call-1")]},
        {"results": [a_result("call-1")], "errors": [], "numErrors": 1},
        {"results": None},
        {"results": "all of them"},
        {"results": [a_result("call-1"), "done"]},
        {"results": [a_result("call-1"), {"id": "92"}]},
        {"results": [a_result("call-1"), {"properties": {}}]},
        {"results": [a_result("call-1"), a_result("call-2")], "status": "PROCESSING"},
    ],
    ids=str,
)
def test_a_reply_that_leaves_an_input_out_is_malformed(body: dict[str, Any]) -> None:
    with pytest.raises(MalformedReply):
        read_batch(body, ["call-1", "call-2"])


@pytest.mark.parametrize(
    ("category", "error", "http_status"),
    [
        ("VALIDATION_ERROR", Rejected, 400),
        ("OBJECT_NOT_FOUND", Rejected, 404),
        ("CONFLICT", Rejected, 409),
        ("RATE_LIMITS", RateLimited, None),
        ("INTERNAL_ERROR", Unavailable, None),
    ],
)
def test_the_category_says_what_becomes_of_an_input(
    category: str, error: type[Exception], http_status: int | None
) -> None:
    batch = read_batch({"results": [], "errors": [an_error("call-1", category)]}, ["call-1"])

    assert type(batch.errors["call-1"]) is error
    assert getattr(batch.errors["call-1"], "http_status", None) == http_status


def test_a_batch_needs_distinct_trace_ids_and_one_to_a_hundred_inputs() -> None:
    one = NewEngagement("call-1", "301", {})

    for inputs in ([], [one, one], [NewEngagement(str(n), "301", {}) for n in range(101)]):
        with pytest.raises(ValueError, match="batch"):
            create_body(EngagementKind.NOTE, inputs)


def test_half_a_character_does_not_stop_a_batch() -> None:
    note = NewEngagement("call-1", "301", {"hs_note_body": "a\ud83db \N{TELEPHONE RECEIVER}"})

    body = json.loads(create_body(EngagementKind.NOTE, [note]))

    assert body["inputs"][0]["properties"]["hs_note_body"] == "a?b \N{TELEPHONE RECEIVER}"


def test_only_properties_with_a_value_are_kept() -> None:
    engagement = read_engagement({"id": "9", "properties": {"a": "x", "b": None, "c": ""}})

    assert engagement.properties == {"a": "x"}
