import copy
import json
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from singer_sdk.singerlib.encoding.base import GenericSingerWriter
from singer_sdk.singerlib.encoding.simple import Message

from call_stream.record import CallRecord, encode_record
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
    assert list(CALLS_SCHEMA["properties"]) == CONTRACT_FIELDS
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


def test_quarantined_entries_are_passed_over_once_and_for_all(
    data_dir: Path,
    writer: CallStreamWriter,
    append_calls: AppendCalls,
    caplog: pytest.LogCaptureFixture,
) -> None:
    writer.append(EntryKind.QUARANTINE, b"{}").result()
    append_calls(range(1))
    writer.append(EntryKind.QUARANTINE, b"{}").result()
    end = writer.append(EntryKind.QUARANTINE, b"{}").result()
    caplog.set_level(logging.INFO)

    lines = run(data_dir)

    warnings = [r.message for r in caplog.records if r.levelno == logging.WARNING]
    assert (lines.ids(), lines.last_state()) == (["call-0"], bookmark_of(end))
    assert len(warnings) == 1
    assert "Read 1 calls from the call stream and passed over 3 entries" in caplog.text


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
