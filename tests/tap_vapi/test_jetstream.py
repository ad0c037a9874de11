"""The tap on a call stream that JetStream keeps: the same records and bookmarks as from files."""

from __future__ import annotations

import copy
import itertools
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from singer_sdk.singerlib.encoding.base import GenericSingerWriter
from singer_sdk.singerlib.encoding.simple import Message

from call_stream.excerpt import cut_excerpt
from call_stream.quarantine import UnusableEntry, encode_unusable
from call_stream.record import CallRecord, encode_record
from call_stream.stream import CallStreamWriter, EntryKind, open_reader, open_writer
from tap_vapi.tap import TapVapi
from tests.call_stream.asking import ask_server, name_of
from tests.call_stream.nats_server import NatsServer, nats_server
from tests.needed_servers import or_skip

SAMPLES = Path(__file__).parents[2] / "sample_data" / "reports"
SENDER: dict[str, Any] = {
    "user_id": "ada",
    "workspace_id": "harbor",
    "webhook_id": "hook-1",
    "received_at": datetime(2026, 11, 20, 15, 5, 26, 1_500, tzinfo=UTC),
}

_numbers = itertools.count()


@pytest.fixture(scope="module")
def server() -> Iterator[NatsServer]:
    with or_skip(), nats_server() as server:
        yield server


@pytest.fixture
def url(server: NatsServer) -> str:
    return server.url(f"tapped_{next(_numbers)}")


class Lines(GenericSingerWriter[str, Message]):
    def __init__(self) -> None:
        super().__init__()
        self.written: list[dict[str, Any]] = []

    def serialize_message(self, message: Message) -> str:
        return json.dumps(message.to_dict(), default=str)

    def write_message(self, message: Message) -> None:
        self.written.append(json.loads(self.serialize_message(message)))

    def records(self) -> list[dict[str, Any]]:
        return [line["record"] for line in self.written if line["type"] == "RECORD"]

    def last_state(self) -> dict[str, Any]:
        return [line["value"] for line in self.written if line["type"] == "STATE"][-1]

    def bookmark(self) -> int:
        [partition] = self.last_state()["bookmarks"]["calls"]["partitions"]
        return int(partition["replication_key_value"])


def run(url: str, *, state: dict[str, Any] | None = None, **settings: object) -> Lines:
    lines = Lines()
    tap = TapVapi(
        config={"stream_url": url, **settings}, state=copy.deepcopy(state), message_writer=lines
    )
    tap.sync_all()
    return lines


def append_all(writer: CallStreamWriter, a_call_record: Callable[..., CallRecord]) -> list[int]:
    """One entry of each kind, with calls around them."""
    unusable = UnusableEntry(reason="the report has no call id", **SENDER)
    report = cut_excerpt(next(SAMPLES.glob("01-*")).read_bytes(), **SENDER)
    entries = [
        (EntryKind.CALL, encode_record(a_call_record("call-0"))),
        (EntryKind.REPORT, report.payload),
        (EntryKind.QUARANTINE, encode_unusable(unusable)),
        (EntryKind.CALL, encode_record(a_call_record("call-1", transcript="x" * 2_000_000))),
    ]
    return [writer.append(kind, payload).result(10) for kind, payload in entries]


def test_records_are_the_same_as_from_files_but_for_their_positions(
    url: str, tmp_path: Path, a_call_record: Callable[..., CallRecord]
) -> None:
    told = []
    for each in (url, f"file:{tmp_path}/stream"):
        writer = open_writer(each)
        positions = append_all(writer, a_call_record)
        writer.close()
        lines = run(each)
        told.append([without_position(record) for record in lines.records()])
        assert [record["sequence"] for record in lines.records()] == positions
        assert lines.bookmark() == positions[-1]

    assert told[0] == told[1]
    assert [record["id"] for record in told[0]][::3] == ["call-0", "call-1"]


def without_position(record: dict[str, Any]) -> dict[str, Any]:
    position = record["sequence"]
    return {
        name: "its own" if name == "sequence" or value == f"unusable-report:{position}" else value
        for name, value in record.items()
    }


def test_a_run_resumes_behind_its_bookmark_and_notes_what_was_confirmed(
    url: str, a_call_record: Callable[..., CallRecord]
) -> None:
    writer = open_writer(url)
    first = run(url, reader_name="nightly")
    positions = append_all(writer, a_call_record)
    second = run(url, reader_name="nightly")
    more = append_all(writer, a_call_record)

    third = run(url, state=second.last_state(), reader_name="nightly")
    writer.close()

    assert first.records() == []
    assert [record["sequence"] for record in third.records()] == more
    assert third.bookmark() == more[-1]
    assert open_reader(url).load_position("nightly") == positions[-1]


def test_reading_an_empty_stream_from_the_start_forgets_what_was_noted_of_the_one_before(
    url: str, a_call_record: Callable[..., CallRecord]
) -> None:
    writer = open_writer(url)
    positions = append_all(writer, a_call_record)
    writer.close()
    open_reader(url).save_position("nightly", positions[-1])
    ask_server(url, lambda js: js.delete_stream(name_of(url)))

    run(url, reader_name="nightly")
    writer = open_writer(url)
    positions = append_all(writer, a_call_record) + append_all(writer, a_call_record)
    writer.close()
    open_reader(url).save_position("nightly", positions[3])

    assert open_reader(url).load_position("nightly") == positions[3]


def test_a_stream_nobody_has_written_to_is_no_fault(server: NatsServer) -> None:
    lines = run(server.url("unwritten"))

    assert lines.records() == []


def test_a_following_tap_goes_on_over_a_restart_of_the_server(
    a_call_record: Callable[..., CallRecord], tmp_path: Path, server: NatsServer
) -> None:
    with nats_server() as own:
        url = own.url("followed")
        writer = open_writer(url)
        append_all(writer, a_call_record)
        config = tmp_path / "config.json"
        config.write_text(json.dumps({"stream_url": url, "follow": True}))
        tap = subprocess.Popen(
            [sys.executable, "-m", "tap_vapi.tap", "--config", str(config)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert tap.stdout is not None
        lines = iter(tap.stdout)
        seen = ids_of(lines, 4)
        own.kill()
        own.start()
        append_all(writer, a_call_record)
        seen += ids_of(lines, 4)
        tap.terminate()
        drained = threading.Thread(target=tap.stdout.read)
        drained.start()
        code = tap.wait(30)
        drained.join()
        tap.stdout.close()
        writer.close()

    assert len(seen) == 8
    assert seen[0] == seen[4] == "call-0"
    assert code == 0


def ids_of(lines: Iterator[bytes], count: int) -> list[str]:
    """The ids of the next records."""
    records = (line for line in map(json.loads, lines) if line["type"] == "RECORD")
    return [record["record"]["id"] for record in itertools.islice(records, count)]


def test_servers_that_cannot_be_reached_end_a_run_with_a_sentence(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("call_stream.jetstream_walk.ASKING_PATIENCE_S", 0.2)

    with pytest.raises(SystemExit):
        run("nats://ada:hunter2@127.0.0.1:1/CALLS")

    assert "nobody listens there" in caplog.text
    assert "hunter2" not in caplog.text


def test_the_bookmark_of_a_stream_that_is_gone_is_refused_with_what_to_do(
    server: NatsServer, caplog: pytest.LogCaptureFixture
) -> None:
    bookmark = {"context": {"source": "stream"}, "replication_key": "sequence"}
    state = {"bookmarks": {"calls": {"partitions": [{**bookmark, "replication_key_value": 10**9}]}}}

    with pytest.raises(SystemExit):
        run(server.url("gone"), state=state)

    assert "Reset the bookmark" in caplog.text
