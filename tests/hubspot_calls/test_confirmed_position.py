"""What the target has confirmed is noted in the call stream, now and then, and never fatally."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from call_stream.record import CallRecord, CallSource, encode_record
from call_stream.stream import EntryKind, open_reader, open_writer
from hubspot_calls import halves
from hubspot_calls.confirmed_position import NOTED_EVERY_S, ConfirmedPosition, stream_bookmark
from hubspot_calls.pipeline import run_once
from hubspot_calls.settings import READER_NAME, Settings

Start = Callable[..., subprocess.Popen[str]]
DAY_S = 86_400


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def a_state(position: object, source: str = "stream") -> str:
    mark = {"context": {"source": source}, "replication_key_value": position}
    return json.dumps({"bookmarks": {"calls": {"partitions": [mark]}}})


def fill(settings: Settings, count: int) -> list[int]:
    """The positions of calls in a stream of small segments."""
    writer = open_writer(settings.stream_url, segment_bytes=400)
    try:
        return [
            writer.append(EntryKind.CALL, encode_record(a_call(f"call-{number}"))).result(20)
            for number in range(count)
        ]
    finally:
        writer.close()


def a_call(call_id: str) -> CallRecord:
    return CallRecord(
        id=call_id,
        user_id="default",
        workspace_id="default",
        source=CallSource.WEBHOOK,
        customer_number="+14155550123",
        ended_at="2026-11-20T15:05:21.000Z",
        received_at="2026-11-20T15:05:26.000Z",
        updated_at="2026-11-20T15:05:25.400Z",
    )


def segments(settings: Settings) -> list[Path]:
    return sorted((settings.data_dir / "stream").glob("*.calls"))


def noted(settings: Settings) -> int:
    return open_reader(settings.stream_url).load_position(READER_NAME)


def test_the_position_is_noted_at_most_once_a_minute_and_at_the_end(settings: Settings) -> None:
    positions = fill(settings, 4)
    clock = Clock()
    confirmed = ConfirmedPosition(settings.stream_url, READER_NAME, clock=clock)
    seen = []

    for position, passed_s in zip(positions, (0, NOTED_EVERY_S - 1, 1, 1), strict=True):
        clock.now += passed_s
        confirmed.confirm(a_state(position))
        seen.append(noted(settings))
    confirmed.note()

    assert seen == [positions[0], positions[0], positions[2], positions[2]]
    assert noted(settings) == positions[3]


def test_a_position_noted_already_is_not_written_again(settings: Settings) -> None:
    [position] = fill(settings, 1)
    confirmed = ConfirmedPosition(settings.stream_url, READER_NAME)
    confirmed.confirm(a_state(position))
    (settings.data_dir / "stream" / "readers" / f"{READER_NAME}.json").unlink()

    confirmed.note()

    assert noted(settings) == 0


@pytest.mark.parametrize(
    "state",
    [
        "{}",
        '{"bookmarks": 1}',
        '{"bookmarks": {"calls": {"partitions": [1, {"context": "stream"}]}}}',
        '{"bookmarks": {"calls": {"partitions": [{"context": {"source": "stream"}}]}}}',
        a_state(1795187125400, source="api"),
        a_state("12"),
        a_state(True),
        a_state(0),
    ],
)
def test_a_state_without_a_position_of_the_stream_notes_nothing(
    settings: Settings, state: str
) -> None:
    confirmed = ConfirmedPosition(settings.stream_url, READER_NAME)

    confirmed.confirm(state)
    confirmed.note()

    assert stream_bookmark(state) is None
    assert not settings.data_dir.exists()


def test_a_stream_that_takes_no_notes_is_said_once_and_ends_nothing(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    positions = fill(settings, 3)
    readers = settings.data_dir / "stream" / "readers"
    readers.write_text("in the way")
    clock = Clock()
    confirmed = ConfirmedPosition(settings.stream_url, READER_NAME, clock=clock)

    with caplog.at_level(logging.WARNING):
        for position in positions:
            confirmed.confirm(a_state(position))
            clock.now += NOTED_EVERY_S
        readers.unlink()
        confirmed.note()

    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "cannot note what the target has confirmed" in caplog.text
    assert noted(settings) == positions[-1]


def test_a_run_notes_what_its_target_confirmed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    positions = fill(settings, 3)
    (tmp_path / "said_tap.py").write_text("def main(): pass\n")
    lines = "\n".join(a_state(position) for position in positions)
    (tmp_path / "said_target.py").write_text(f"def main(): print({lines!r})\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(halves, "TAP", ("tap-vapi", "said_tap"))
    monkeypatch.setattr(halves, "TARGET", ("target-hubspot-calls", "said_target"))

    run_once(settings)

    assert noted(settings) == positions[-1]


def test_what_a_sync_has_confirmed_is_deleted_by_serve_once_it_is_old(
    start: Start, settings: Settings
) -> None:
    positions = fill(settings, 5)
    before = len(segments(settings))

    syncing = start("sync", "--json")
    _, said = syncing.communicate(timeout=50)
    confirmed = noted(settings)
    for path in segments(settings):
        os.utime(path, (time.time() - 2 * DAY_S,) * 2)
    serving = start("serve", "--port", "0", "--no-sync", HUBSPOT_CALLS_STREAM_RETENTION_DAYS="1")
    wait_until_it_listens(serving)
    serving.send_signal(signal.SIGTERM)
    serving.communicate(timeout=30)

    assert syncing.returncode == 0, said
    assert (before, confirmed) == (5, positions[-1])
    assert len(segments(settings)) == 1


def test_serve_deletes_nothing_unless_it_is_told_to(start: Start, settings: Settings) -> None:
    positions = fill(settings, 3)
    open_reader(settings.stream_url).save_position(READER_NAME, positions[-1])
    for path in segments(settings):
        os.utime(path, (time.time() - 1000 * DAY_S,) * 2)

    serving = start("serve", "--port", "0", "--no-sync")
    wait_until_it_listens(serving)
    serving.send_signal(signal.SIGTERM)
    serving.communicate(timeout=30)

    assert len(segments(settings)) == 3


def wait_until_it_listens(process: subprocess.Popen[Any]) -> None:
    assert process.stderr is not None
    assert any("Receiver" in line for line in process.stderr), "it ended without listening"
