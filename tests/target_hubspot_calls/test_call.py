"""The call, and two reports of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from target_hubspot_calls.call import (
    LONGEST_REFUSAL,
    Call,
    Workspace,
    call_digest,
    call_from_json,
    call_to_json,
    merge_calls,
    parse_call,
)
from target_hubspot_calls.errors import InvalidCallRecord

DEFAULT = Workspace("default", "default")


def test_only_the_id_is_required() -> None:
    call = parse_call({"id": "c1"}, DEFAULT)

    assert call == Call(id="c1", user_id="default", workspace_id="default")


@pytest.mark.parametrize(
    "record",
    [{}, {"id": None}, {"id": ""}, {"id": "  "}, {"id": []}, {"id": "x" * 201}, {"id": "a\nb"}],
    ids=["absent", "null", "empty", "blank", "a list", "too long", "two lines"],
)
def test_a_record_without_a_usable_id_is_refused(record: dict[str, Any]) -> None:
    with pytest.raises(InvalidCallRecord):
        parse_call(record, DEFAULT)


TIMES = {
    "Z": "2026-11-20T15:04:06.000Z",
    "offset": "2026-11-20T16:04:06+01:00",
    "no zone is UTC": "2026-11-20T15:04:06",
    "epoch ms": 1795187046000,
    "epoch ms as Decimal": Decimal("1795187046000"),
    "epoch s": 1795187046,
    "epoch ms as text": "1795187046000",
    "a datetime": datetime(2026, 11, 20, 16, 4, 6, tzinfo=timezone(timedelta(hours=1))),
}


@pytest.mark.parametrize("written", TIMES.values(), ids=TIMES.keys())
def test_a_time_is_read_in_every_form_sources_use(written: object) -> None:
    call = parse_call({"id": "c1", "started_at": written}, DEFAULT)

    assert call.started_at == datetime(2026, 11, 20, 15, 4, 6, tzinfo=UTC)


ODD = {
    "a date that is none": {"started_at": "yesterday"},
    "a year out of range": {"started_at": 10**30},
    "summary as a list": {"summary": ["a"]},
    "duration as text": {"duration_ms": "long"},
    "duration negative": {"duration_ms": -5},
    "duration not a number": {"duration_ms": float("nan")},
    "cost infinite": {"cost_usd": float("inf")},
    "structured data as text": {"structured_data": "x"},
    "structured data too deep": {"structured_data": json.loads('{"a":' * 900 + "1" + "}" * 900)},
    "unknown field": {"favourite_colour": "blue"},
}


@pytest.mark.parametrize("fields", ODD.values(), ids=ODD.keys())
def test_a_field_of_a_wrong_kind_counts_as_missing(fields: dict[str, Any]) -> None:
    name = next(iter(fields))

    call = parse_call({"id": "c1", **fields}, DEFAULT)

    assert getattr(call, name, None) is None or name == "structured_data"


def test_numbers_of_a_singer_reader_become_plain(a_call_record: Callable[..., Any]) -> None:
    record = a_call_record(
        duration_ms=Decimal("75600"),
        cost_usd=Decimal("0.104"),
        structured_data={"score": Decimal("4"), "share": Decimal("0.5"), "list": [Decimal("1")]},
    )

    call = parse_call(record, DEFAULT)

    assert (call.duration_ms, call.cost_usd) == (75600, 0.104)
    assert call.structured_data == {"score": 4, "share": 0.5, "list": [1]}


def test_text_that_could_not_be_stored_is_made_storable() -> None:
    call = parse_call({"id": "c1", "summary": "nul\x00 lone \ud800 end"}, DEFAULT)

    assert call.summary == "nul lone ? end"


def test_a_blank_never_replaces_a_value(a_call: Callable[..., Call]) -> None:
    full, hollow = a_call(), a_call(summary=None, transcript="", customer_name=None)

    assert merge_calls(full, hollow) == full
    assert merge_calls(hollow, full) == full


def test_the_fuller_text_is_kept_whichever_report_comes_first(a_call: Callable[..., Call]) -> None:
    short, long = a_call(summary="Short."), a_call(summary="Short, and then some more.")

    assert merge_calls(short, long).summary == "Short, and then some more."
    assert merge_calls(long, short).summary == "Short, and then some more."


def test_of_other_values_the_one_reported_later_is_kept(a_call: Callable[..., Call]) -> None:
    early = a_call(ended_reason="hangup", updated_at="2026-11-20T15:05:22Z")
    late = a_call(ended_reason="customer-ended-call", updated_at="2026-11-20T15:06:00Z")

    assert merge_calls(early, late).ended_reason == "customer-ended-call"
    assert merge_calls(late, early).ended_reason == "customer-ended-call"


def test_extracted_data_of_two_reports_is_united(a_call: Callable[..., Call]) -> None:
    one = a_call(structured_data={"intent": "reschedule"})
    two = a_call(structured_data={"day": "Friday"})

    assert merge_calls(one, two).structured_data == {"intent": "reschedule", "day": "Friday"}


def test_of_two_links_the_longer_lived_is_kept(a_call: Callable[..., Call]) -> None:
    dead = a_call(
        recording_url="https://r.example.test/a?sig=1", recording_expires_at="2026-11-20T15:35:00Z"
    )
    alive = a_call(
        recording_url="https://r.example.test/a?sig=2", recording_expires_at="2026-11-20T16:35:00Z"
    )

    assert merge_calls(alive, dead).recording_url == "https://r.example.test/a?sig=2"
    assert merge_calls(dead, alive).recording_url == "https://r.example.test/a?sig=2"


def test_two_deliveries_of_one_report_have_one_digest(a_call: Callable[..., Call]) -> None:
    first = a_call(recording_url="https://r.example.test/a.wav?X-Amz-Signature=1")
    second = a_call(
        recording_url="https://r.example.test/a.wav?X-Amz-Signature=2",
        webhook_id="another-webhook",
        received_at="2026-11-20T15:09:00Z",
        updated_at="2026-11-20T15:09:00Z",
    )

    assert call_digest(first) == call_digest(second)
    assert call_digest(first) != call_digest(a_call(summary="Another."))


def test_a_call_survives_json(a_call: Callable[..., Call]) -> None:
    call = a_call(structured_data={"a": [1, None, {"b": "ü"}]}, cost_usd=0.1)

    written = json.loads(json.dumps(call_to_json(call)))
    assert parse_call(written, DEFAULT) == call
    assert call_from_json(written) == call
    assert call_from_json({**written, "field_of_a_later_version": 1}) == call


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(list(Call.__dataclass_fields__)), json_values))
def test_any_record_is_a_call_or_a_clear_refusal(record: dict[str, Any]) -> None:
    try:
        call = parse_call(record, DEFAULT)
    except InvalidCallRecord:
        return

    stored = json.loads(json.dumps(call_to_json(call)))
    assert parse_call(stored, DEFAULT) == call
    assert call_digest(parse_call(stored, DEFAULT)) == call_digest(call)


@given(st.lists(st.sampled_from(["summary", "transcript", "structured_data", "none"]), max_size=6))
def test_a_report_that_told_all_before_changes_nothing(blanks: list[str]) -> None:
    full = parse_call(
        {"id": "c", "summary": "s", "transcript": "t", "structured_data": {"a": 1}}, DEFAULT
    )
    merged = full
    for name in blanks:
        values = {key: value for key, value in call_to_json(full).items() if key != name}
        merged = merge_calls(merged, parse_call(values, DEFAULT))

    assert call_digest(merged) == call_digest(full)


def test_a_record_that_its_source_calls_unusable_is_no_call() -> None:
    record = {
        "id": "unusable-report:7",
        "webhook_id": "hook-1",
        "received_at": "2026-11-20T15:05:26.001Z",
        "unusable": "the report has no call id",
    }

    with pytest.raises(InvalidCallRecord) as raised:
        parse_call(record, DEFAULT)

    assert str(raised.value) == (
        "A report cannot become a call: the report has no call id"
        " (webhook hook-1, received 2026-11-20T15:05:26.001Z)"
    )


def test_why_a_record_is_unusable_stays_one_short_line() -> None:
    with pytest.raises(InvalidCallRecord) as raised:
        parse_call({"id": "c1", "unusable": "a\n" * 1_000}, DEFAULT)

    assert len(str(raised.value)) == LONGEST_REFUSAL
    assert str(raised.value).isprintable()


@pytest.mark.parametrize("unusable", [None, "", " ", [], {}])
def test_a_blank_says_nothing_against_a_record(unusable: object) -> None:
    assert parse_call({"id": "c1", "unusable": unusable}, DEFAULT).id == "c1"
