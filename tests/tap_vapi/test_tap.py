import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from call_stream.stream import CallStreamWriter
from tap_vapi.tap import TapVapi

TAP = [sys.executable, "-m", "tap_vapi.tap"]
AppendCalls = Callable[[range], list[int]]
ConfigFile = Callable[..., Path]


@pytest.fixture
def following(config_file: ConfigFile) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [*TAP, "--config", str(config_file(follow=True))],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    )
    yield process
    process.kill()
    process.communicate()


def test_no_stream_yet_is_no_fault(config_file: ConfigFile) -> None:
    done = tap("--config", str(config_file()))

    assert done.returncode == 0
    assert [message["type"] for message in messages(done)] == ["SCHEMA", "STATE"]
    assert "The call stream holds nothing yet." in done.stderr


def test_a_bookmark_beyond_the_stream_ends_the_run_with_one_sentence(
    config_file: ConfigFile, append_calls: AppendCalls, tmp_path: Path
) -> None:
    [position] = append_calls(range(1))

    done = tap("--config", str(config_file()), "--state", str(a_state(tmp_path, position + 10**9)))

    assert done.returncode == 1
    assert len(errors(done)) == 1
    assert f"cannot go on from position {position + 10**9}" in errors(done)[0]


def test_a_damaged_stream_ends_the_run_with_one_sentence(
    config_file: ConfigFile, append_calls: AppendCalls, data_dir: Path
) -> None:
    append_calls(range(1))
    append_calls(range(1, 3))
    [segment] = sorted((data_dir / "stream").glob("*.calls"))
    damaged = bytearray(segment.read_bytes())
    damaged[80] ^= 0xFF
    segment.write_bytes(damaged)

    done = tap("--config", str(config_file()))

    assert done.returncode == 1
    assert len(errors(done)) == 1
    assert "The call stream is damaged" in errors(done)[0]


@pytest.mark.parametrize(
    ("state", "fault"),
    [
        ("{", "is not JSON"),
        ('{"bookmarks": []}', "state: not a Singer state"),
        (
            '{"bookmarks": {"calls": {"partitions": [{"context": {"source": "stream"},'
            ' "replication_key": "sequence", "replication_key_value": "soon"}]}}}',
            "is not a position",
        ),
    ],
)
def test_a_state_that_is_none_is_refused(
    config_file: ConfigFile, tmp_path: Path, state: str, fault: str
) -> None:
    path = tmp_path / "state.json"
    path.write_text(state)

    done = tap("--config", str(config_file()), "--state", str(path))

    assert done.returncode == 1
    assert fault in errors(done)[0]


def test_wrong_settings_are_refused_with_all_faults_and_no_value(config_file: ConfigFile) -> None:
    config = config_file(
        follow="tree",
        sources=["stream", "moon"],
        reader_name="a/b",
        user_name="ada",
        stream_url="kafka://w@h",
    )

    done = tap("--config", str(config))

    assert done.returncode == 1
    [line] = errors(done)
    for fault in (
        "user_name: no such setting",
        "follow: must be boolean",
        "sources: only 'stream', 'api' can be read",
        "reader_name: breaks the rule pattern ^[A-Za-z0-9_-]{1,64}$",
        "stream_url: The call stream URL has 'kafka:'; supported is file:/absolute/path",
    ):
        assert fault in line
    assert "w@h" not in done.stderr


def test_a_setting_left_empty_has_its_default() -> None:
    settings = TapVapi(config={"stream_url": "", "user_id": None, "follow": False}).config

    assert settings == {
        "data_dir": "./hubspot-calls-data",
        "vapi_api_url": "https://api.vapi.ai",
        "follow": False,
        "reader_name": "tap-vapi",
        "user_id": "default",
        "workspace_id": "default",
    }


def test_the_tap_describes_itself() -> None:
    done = tap("--about", "--format=json")

    settings = json.loads(done.stdout)["settings"]["properties"]
    assert done.returncode == 0
    assert [name for name in settings if not name.startswith(("stream_map", "fl", "faker"))] == [
        "data_dir",
        "stream_url",
        "sources",
        "vapi_api_key",
        "vapi_api_url",
        "start_date",
        "end_date",
        "follow",
        "reader_name",
        "user_id",
        "workspace_id",
    ]


def test_the_tap_can_be_discovered_without_any_data(tmp_path: Path) -> None:
    done = subprocess.run(
        [*TAP, "--discover"], capture_output=True, text=True, cwd=tmp_path, check=True, env=env()
    )

    [stream] = json.loads(done.stdout)["streams"]
    assert stream["tap_stream_id"] == "calls"
    assert stream["replication_key"] == "sequence"
    assert list(tmp_path.iterdir()) == []


def test_the_tap_knows_its_version() -> None:
    assert tap("--version").stdout.startswith("tap-vapi v0.")


def test_a_following_tap_sends_calls_as_they_arrive_and_state_after_each_burst(
    append_calls: AppendCalls, following: subprocess.Popen[bytes]
) -> None:
    read_until(following, "SCHEMA")

    for burst in range(2):
        [position] = append_calls(range(burst, burst + 1))
        record = read_until(following, "RECORD")
        state = read_until(following, "STATE")

        assert record["record"]["id"] == f"call-{burst}"
        assert bookmark_in(state) == position


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_following_tap_stops_cleanly_with_its_state(
    append_calls: AppendCalls, following: subprocess.Popen[bytes], number: int
) -> None:
    [*_, position] = append_calls(range(3))
    # A tap that was quick has ticked before the calls came.
    while bookmark_in(last := read_until(following, "STATE")) != position:
        pass

    following.send_signal(number)
    out, err = following.communicate(timeout=20)

    assert following.returncode == 0
    states = [last, *(json.loads(line) for line in out.splitlines())]
    assert {message["type"] for message in states} == {"STATE"}
    assert bookmark_in(states[-1]) == position
    assert b"Traceback" not in err


def test_a_tap_stopped_half_way_ends_on_a_whole_line_with_the_state_of_it(
    config_file: ConfigFile, append_calls: AppendCalls
) -> None:
    append_calls(range(5_000))
    process = subprocess.Popen(
        [*TAP, "--config", str(config_file())],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    )
    first = read_until(process, "RECORD")

    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=20)

    lines = [json.loads(line) for line in out.splitlines()]
    last_record = [line for line in [first, *lines] if line["type"] == "RECORD"][-1]["record"]
    assert process.returncode == 0, err
    assert lines[-1]["type"] == "STATE"
    assert bookmark_in(lines[-1]) == last_record["sequence"]
    assert last_record["id"] != "call-4999"


def test_an_idle_following_tap_ends_when_its_reader_has_gone(
    writer: CallStreamWriter, following: subprocess.Popen[bytes]
) -> None:
    read_until(following, "SCHEMA")
    assert following.stdout is not None

    following.stdout.close()
    status = following.wait(timeout=20)

    assert following.stderr is not None
    said = following.stderr.read().decode()
    assert status == 1
    assert "The reader of the records has gone" in said
    assert "Traceback" not in said


def test_a_busy_tap_ends_when_its_reader_has_gone(
    config_file: ConfigFile, append_calls: AppendCalls
) -> None:
    append_calls(range(1_000))
    process = subprocess.Popen(
        [*TAP, "--config", str(config_file())], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    read_until(process, "RECORD")
    assert process.stdout is not None

    process.stdout.close()
    status = process.wait(timeout=20)

    assert process.stderr is not None
    said = process.stderr.read().decode()
    process.stderr.close()
    assert status == 1
    assert len([line for line in said.splitlines() if "ERROR" in line]) == 1
    assert "Traceback" not in said


def test_a_full_disk_below_stdout_is_said_in_one_sentence(
    config_file: ConfigFile, append_calls: AppendCalls
) -> None:
    append_calls(range(1))

    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*TAP, "--config", str(config_file())], stdout=full, stderr=subprocess.PIPE, check=False
        )

    said = done.stderr.decode()
    assert done.returncode == 1
    assert "The records cannot be written: No space left on device" in said
    assert "Traceback" not in said


def test_a_killed_tap_resumes_without_losing_a_call(
    config_file: ConfigFile, append_calls: AppendCalls, tmp_path: Path
) -> None:
    append_calls(range(2_000))
    process = subprocess.Popen(
        [*TAP, "--config", str(config_file())], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    seen, position = [], 0
    assert process.stdout is not None
    for line in process.stdout:
        message = json.loads(line)
        if message["type"] == "STATE":
            position = bookmark_in(message)
        elif message["type"] == "RECORD":
            seen.append(message["record"]["id"])
        if len(seen) == 1_050:
            process.kill()
            break
    process.communicate()

    done = tap("--config", str(config_file()), "--state", str(a_state(tmp_path, position)))

    rest = [m["record"]["id"] for m in messages(done) if m["type"] == "RECORD"]
    assert len(rest) == 1_000
    assert set(seen) | set(rest) == {f"call-{number}" for number in range(2_000)}


def env() -> dict[str, str]:
    root = str(Path(__file__).parents[2])
    return {**os.environ, "PYTHONPATH": root}


def tap(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*TAP, *arguments], capture_output=True, text=True, timeout=30, check=False
    )


def messages(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def errors(done: subprocess.CompletedProcess[str]) -> list[str]:
    assert "Traceback" not in done.stderr
    return [line for line in done.stderr.splitlines() if "| ERROR" in line]


def read_until(process: subprocess.Popen[bytes], message_type: str) -> dict[str, Any]:
    assert process.stdout is not None
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        line = process.stdout.readline()
        assert line, "the tap ended"
        message: dict[str, Any] = json.loads(line)
        if message["type"] == message_type:
            return message
    raise AssertionError(f"no {message_type} came")


def bookmark_in(state: dict[str, Any]) -> int:
    """The stream's bookmark, 0 where the state has none yet."""
    partitions = state["value"].get("bookmarks", {}).get("calls", {}).get("partitions", [])
    [bookmark] = [each.get("replication_key_value", 0) for each in partitions] or [0]
    return int(bookmark)


def a_state(folder: Path, position: int) -> Path:
    partition = {
        "context": {"source": "stream"},
        "replication_key": "sequence",
        "replication_key_value": position,
    }
    path = folder / "state.json"
    path.write_text(json.dumps({"bookmarks": {"calls": {"partitions": [partition]}}}))
    return path
