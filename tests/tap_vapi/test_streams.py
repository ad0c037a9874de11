import copy
import json
import logging
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from singer_sdk.singerlib.encoding.base import GenericSingerWriter
from singer_sdk.singerlib.encoding.simple import Message

from call_stream.excerpt import cut_excerpt
from call_stream.quarantine import UnusableEntry, encode_unusable
from call_stream.record import CallRecord, encode_record, record_from_report
from call_stream.stream import CallStreamWriter, EntryKind, open_reader
from tap_vapi.streams import CALLS_SCHEMA, CallsStream
from tap_vapi.tap import TapVapi

CONTRACT_FIELDS = re.findall(
    r"\w+",
    """
    id user_id workspace_id webhook_id source type direction customer_number customer_name
    customer_email hubspot_contact_id phone_number started_at ended_at duration_ms ended_reason
    outcome summary transcript recording_url recording_expires_at stereo_recording_url
    success_evaluation structured_data cost_usd assistant_id assistant_name received_at updated_at
    sequence
    """,
)

SAMPLES = Path(__file__).parents[2] / "sample_data" / "reports"
SENDER: dict[str, Any] = {
    "user_id": "ada",
    "workspace_id": "harbor",
    "webhook_id": "hook-1",
    "received_at": datetime(2026, 11, 20, 15, 5, 26, 1_500, tzinfo=UTC),
}

AppendCalls = Callable[[range], list[int]]


class Killed(Exception):
    """The tap was killed; nothing it would have written after this was written."""


class Lines(GenericSingerWriter[str, Message]):
    """Keeps what the tap writes; the tap dies when it has written `dies_after` lines."""

    def __init__(self, dies_after: int | None = None) -> None:
        super().__init__()
        self.written: list[dict[str, Any]] = []
        self._dies_after = dies_after

    def serialize_message(self, message: Message) -> str:
        return json.dumps(message.to_dict(), default=str)

    def write_message(self, message: Message) -> None:
        if len(self.written) == self._dies_after:
            raise Killed
        self.written.append(copy.deepcopy(json.loads(self.serialize_message(message))))

    def ids(self) -> list[str]:
        return [line["record"]["id"] for line in self.written if line["type"] == "RECORD"]

    def last_state(self) -> dict[str, Any] | None:
        states = [line["value"] for line in self.written if line["type"] == "STATE"]
        return states[-1] if states else None


def run(
    data_dir: Path,
    *,
    state: dict[str, Any] | None = None,
    lines: Lines | None = None,
    catalog: dict[str, Any] | None = None,
    **settings: object,
) -> Lines:
    lines = lines or Lines()
    tap = TapVapi(
        config={"data_dir": str(data_dir), **settings},
        state=copy.deepcopy(state),
        catalog=catalog,
        message_writer=lines,
    )
    tap.sync_all()
    return lines


def bookmark_of(position: int) -> dict[str, Any]:
    return {
        "bookmarks": {
            "calls": {
                "partitions": [
                    {
                        "context": {"source": "stream"},
                        "replication_key": "sequence",
                        "replication_key_value": position,
                    }
                ]
            }
        }
    }


def test_the_schema_is_the_contracts() -> None:
    assert list(CALLS_SCHEMA["properties"]) == [*CONTRACT_FIELDS, "unusable"]
    assert [*CallRecord.__struct_fields__, "sequence"] == CONTRACT_FIELDS
    assert CALLS_SCHEMA["required"] == ["id"]


def test_every_call_of_the_stream_is_a_record_in_its_order(
    data_dir: Path, append_calls: AppendCalls
) -> None:
    positions = append_calls(range(3))

    lines = run(data_dir)

    records = [line["record"] for line in lines.written if line["type"] == "RECORD"]
    assert [record["sequence"] for record in records] == positions
    assert lines.ids() == ["call-0", "call-1", "call-2"]
    assert list(records[0]) == CONTRACT_FIELDS
    assert lines.last_state() == bookmark_of(positions[-1])


def test_a_run_resumes_exactly_behind_its_bookmark(
    data_dir: Path, append_calls: AppendCalls
) -> None:
    positions = append_calls(range(4))

    lines = run(data_dir, state=bookmark_of(positions[1]))

    assert lines.ids() == ["call-2", "call-3"]


def test_a_run_with_nothing_new_keeps_its_bookmark(
    data_dir: Path, append_calls: AppendCalls
) -> None:
    positions = append_calls(range(4))

    lines = run(data_dir, state=bookmark_of(positions[-1]))

    assert (lines.ids(), lines.last_state()) == ([], bookmark_of(positions[-1]))


def test_a_tap_killed_at_any_line_resumes_without_losing_a_call(
    data_dir: Path, append_calls: AppendCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CallsStream, "STATE_MSG_FREQUENCY", 5)
    append_calls(range(18))
    whole = run(data_dir)

    for dies_after in range(len(whole.written)):
        lines = Lines(dies_after)
        with pytest.raises(Killed):
            run(data_dir, lines=lines)
        resumed = run(data_dir, state=lines.last_state())

        delivered = len(lines.ids())
        again = len(resumed.ids()) + delivered - 18
        assert resumed.ids() == whole.ids()[delivered - again :]
        assert 0 <= again <= 5


def test_the_bookmark_of_another_source_is_left_alone(
    data_dir: Path, append_calls: AppendCalls
) -> None:
    positions = append_calls(range(2))
    other = {
        "context": {"source": "api"},
        "replication_key": "sequence",
        "replication_key_value": 1795187125400,
    }
    state = bookmark_of(positions[0])
    state["bookmarks"]["calls"]["partitions"].insert(0, other)

    lines = run(data_dir, state=state)

    after = lines.last_state()
    assert after is not None
    assert after["bookmarks"]["calls"]["partitions"] == [
        other,
        bookmark_of(positions[1])["bookmarks"]["calls"]["partitions"][0],
    ]


def test_a_state_follows_every_hundred_records(data_dir: Path, append_calls: AppendCalls) -> None:
    append_calls(range(250))

    lines = run(data_dir)

    at = [number for number, line in enumerate(lines.written) if line["type"] == "STATE"]
    assert at == [101, 202, 253]


def test_what_a_target_has_confirmed_is_noted_for_retention(
    data_dir: Path, append_calls: AppendCalls
) -> None:
    positions = append_calls(range(3))

    run(data_dir, state=bookmark_of(positions[1]), reader_name="nightly")

    assert open_reader(f"file:{data_dir}/stream").load_position("nightly") == positions[1]


def test_a_stored_report_is_the_record_of_its_whole_body(
    data_dir: Path, writer: CallStreamWriter
) -> None:
    body = next(SAMPLES.glob("01-*")).read_bytes()
    position = writer.append(EntryKind.REPORT, cut_excerpt(body, **SENDER).payload).result()

    lines = run(data_dir)

    [record] = [line["record"] for line in lines.written if line["type"] == "RECORD"]
    expected = json.loads(encode_record(record_from_report(json.loads(body), **SENDER)))
    assert record == expected | {"sequence": position}
    assert list(record) == CONTRACT_FIELDS


def test_a_report_in_quarantine_is_a_record_that_says_why(
    data_dir: Path,
    writer: CallStreamWriter,
    append_calls: AppendCalls,
    caplog: pytest.LogCaptureFixture,
) -> None:
    unusable = UnusableEntry(reason="the report has no call id", **SENDER)
    position = writer.append(EntryKind.QUARANTINE, encode_unusable(unusable)).result()
    [end] = append_calls(range(1))

    lines = run(data_dir)

    records = [line["record"] for line in lines.written if line["type"] == "RECORD"]
    warnings = [r.message for r in caplog.records if r.levelno == logging.WARNING]
    assert records[0] == {
        "id": f"unusable-report:{position}",
        "user_id": "ada",
        "workspace_id": "harbor",
        "webhook_id": "hook-1",
        "source": "webhook",
        "received_at": "2026-11-20T15:05:26.001Z",
        "sequence": position,
        "unusable": "the report has no call id",
    }
    assert (records[1]["id"], lines.last_state()) == ("call-0", bookmark_of(end))
    assert [message.partition(" ")[0] for message in warnings] == ["1"]


@pytest.mark.parametrize(
    ("kind", "payload"),
    [(EntryKind.REPORT, b"{"), (EntryKind.REPORT, b"{}"), (EntryKind.QUARANTINE, b"\xff")],
)
def test_an_entry_that_cannot_be_read_is_unusable_and_the_others_go_on(
    data_dir: Path,
    writer: CallStreamWriter,
    append_calls: AppendCalls,
    kind: EntryKind,
    payload: bytes,
) -> None:
    position = writer.append(kind, payload).result()
    append_calls(range(1))

    lines = run(data_dir)

    [record] = [line["record"] for line in lines.written if "unusable" in line.get("record", {})]
    assert lines.ids() == [f"unusable-report:{position}", "call-0"]
    assert (record["user_id"], record["workspace_id"]) == ("default", "default")
    assert record["unusable"]


def test_entries_in_quarantine_are_told_once_and_again_the_same_without_a_bookmark(
    data_dir: Path, writer: CallStreamWriter, append_calls: AppendCalls
) -> None:
    writer.append(EntryKind.QUARANTINE, b"{}").result()
    append_calls(range(1))
    end = writer.append(EntryKind.QUARANTINE, b"{}").result()

    first = run(data_dir)
    resumed = run(data_dir, state=first.last_state())
    again = run(data_dir)

    told = [line["record"] for line in first.written if line["type"] == "RECORD"]
    assert (len(told), first.last_state()) == (3, bookmark_of(end))
    assert resumed.ids() == []
    assert [line["record"] for line in again.written if line["type"] == "RECORD"] == told


def test_a_record_of_another_version_is_put_into_the_schema(
    data_dir: Path, writer: CallStreamWriter
) -> None:
    writer.append(EntryKind.CALL, b'{"id": "c1", "user_id": "", "secret": "word"}').result()

    lines = run(data_dir, workspace_id="harbor")

    [record] = [line["record"] for line in lines.written if line["type"] == "RECORD"]
    assert list(record) == CONTRACT_FIELDS
    assert (record["user_id"], record["workspace_id"]) == ("default", "harbor")


@pytest.mark.parametrize("payload", [b"[]", b'{"id": 7}', b'{"id": ""}', b"{", b"\xff"])
def test_an_entry_that_is_no_call_record_stops_the_tap_before_it(
    data_dir: Path,
    writer: CallStreamWriter,
    append_calls: AppendCalls,
    caplog: pytest.LogCaptureFixture,
    payload: bytes,
) -> None:
    append_calls(range(1))
    end = writer.append(EntryKind.CALL, payload).result()
    lines = Lines()

    with pytest.raises(SystemExit) as stopped:
        run(data_dir, lines=lines)

    assert (stopped.value.code, lines.ids()) == (1, ["call-0"])
    assert f"before position {end} is no call record" in caplog.text


def test_fields_can_be_left_out_by_a_catalog(data_dir: Path, append_calls: AppendCalls) -> None:
    append_calls(range(1))
    catalog = json.loads(TapVapi(config={"data_dir": str(data_dir)}).catalog_json_text)
    for entry in catalog["streams"][0]["metadata"]:
        if entry["breadcrumb"] == ["properties", "transcript"]:
            entry["metadata"]["selected"] = False

    lines = run(data_dir, catalog=catalog)

    [record] = [line["record"] for line in lines.written if line["type"] == "RECORD"]
    assert list(record) == [name for name in CONTRACT_FIELDS if name != "transcript"]


def test_fields_can_be_renamed_by_a_stream_map(data_dir: Path, append_calls: AppendCalls) -> None:
    append_calls(range(1))

    lines = run(data_dir, stream_maps={"calls": {"caller": "id"}})

    [record] = [line["record"] for line in lines.written if line["type"] == "RECORD"]
    assert record["caller"] == "call-0"


def test_a_stored_record_keeps_its_values(
    data_dir: Path, writer: CallStreamWriter, a_call_record: Callable[..., CallRecord]
) -> None:
    told = a_call_record("c1", structured_data={"größe": ["XL", None, 1.5]}, cost_usd=0.104)
    position = writer.append(EntryKind.CALL, encode_record(told)).result()

    lines = run(data_dir)

    [record] = [line["record"] for line in lines.written if line["type"] == "RECORD"]
    assert record == json.loads(encode_record(told)) | {"sequence": position}
