"""Whose call an entry tells of, and what is left of it when its data is deleted."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from call_stream.excerpt import cut_excerpt, record_from_excerpt
from call_stream.quarantine import UnusableEntry, encode_unusable
from call_stream.record import CallRecord, CallSource, encode_record
from call_stream.stream import EntryKind, StreamEntry
from call_stream.told_call import ToldCall, blanked, told_call

SAMPLES = Path(__file__).parents[2] / "sample_data"
STORED = [
    each["report"]
    for each in json.loads((SAMPLES / "expected_outcomes.json").read_text())
    if each["stored"]
]
RECEIVED_AT = datetime(2026, 11, 20, 12, tzinfo=UTC)


def report(body: bytes) -> StreamEntry:
    excerpt = cut_excerpt(
        body, user_id="dana", workspace_id="harbor", webhook_id="w1", received_at=RECEIVED_AT
    )
    return StreamEntry(100, EntryKind.REPORT, 1, excerpt.payload)


def a_report(**call: object) -> StreamEntry:
    told = {"id": "c1", "customer": {"number": "+14155550142", "name": "Iris Quince"}, **call}
    message = {"type": "end-of-call-report", "call": told, "summary": "Wants a crown."}
    return report(json.dumps({"message": message}).encode())


def a_record() -> StreamEntry:
    record = CallRecord(
        id="c1",
        user_id="dana",
        workspace_id="harbor",
        source=CallSource.API,
        customer_number="+14155550142",
        customer_email="iris@example.com",
        transcript="Hello.",
        received_at="2026-11-20T12:00:00.000Z",
        updated_at="2026-11-20T12:00:00.000Z",
    )
    return StreamEntry(100, EntryKind.CALL, 1, encode_record(record))


def test_a_report_and_a_record_name_their_call_and_the_other_party():
    of_report = told_call(a_report())
    of_record = told_call(a_record())

    assert of_report == ToldCall("dana", "harbor", "c1", ("+14155550142",), ())
    assert of_record == ToldCall("dana", "harbor", "c1", ("+14155550142",), ("iris@example.com",))


@pytest.mark.parametrize("name", STORED)
def test_a_blanked_report_of_any_era_is_a_call_with_an_id_and_no_more(name):
    entry = report((SAMPLES / "reports" / name).read_bytes())
    before = record_from_excerpt(entry.payload)

    payload = blanked(entry)

    assert payload is not None
    assert len(payload) == len(entry.payload)
    after = msgspec.structs.asdict(record_from_excerpt(payload))
    kept = {"id", "user_id", "workspace_id", "webhook_id", "source", "received_at", "updated_at"}
    assert {name for name, value in after.items() if value is not None} <= kept | {"ended_at"}
    assert (after["id"], after["ended_at"]) == (before.id, None)
    assert blanked(entry._replace(payload=payload)) is None


def test_a_blanked_record_keeps_its_id_its_owner_and_its_door():
    entry = a_record()

    payload = blanked(entry)

    assert payload is not None
    assert len(payload) == len(entry.payload)
    assert json.loads(payload) == {
        "id": "c1",
        "user_id": "dana",
        "workspace_id": "harbor",
        "source": "api",
    }
    assert blanked(entry._replace(payload=payload)) is None


@pytest.mark.parametrize(
    "entry",
    [
        StreamEntry(1, EntryKind.QUARANTINE, 1, encode_unusable(UnusableEntry())),
        StreamEntry(1, EntryKind.REPORT, 1, b"not JSON"),
        StreamEntry(1, EntryKind.CALL, 1, b"{}"),
    ],
    ids=["quarantine", "damaged report", "no record"],
)
def test_an_entry_that_names_no_call_is_nobodys(entry):
    told = told_call(entry)

    assert told is None
    with pytest.raises(ValueError, match="names no call"):
        blanked(entry)
