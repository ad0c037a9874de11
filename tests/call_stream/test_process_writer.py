"""The writer for an event loop, and the process that writes and flushes for it."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import uvloop

from call_stream import process_writer
from call_stream.file_reader import FileStreamReader
from call_stream.file_writer import open_file_writer
from call_stream.frames import parse_frame
from call_stream.process_writer import ProcessStreamWriter, open_process_writer
from call_stream.segments import list_segments
from call_stream.stream import (
    MAX_PAYLOAD_BYTES,
    EntryKind,
    StreamBusy,
    StreamEntry,
    StreamError,
    StreamUnavailable,
)
from call_stream.writer_lock import is_written

# Dies with what it was sent unread, just after an answer: a socket's other side then fails.
DIES_UNREAD = """
import os, signal, socket, sys
from call_stream.writing_messages import Opened, Said, encode_answer

connection = socket.socket(fileno=int(sys.argv[1]))
connection.sendall(encode_answer(Opened()))
connection.recv(1)
connection.sendall(encode_answer(Said(20, "last words")))
os.kill(os.getpid(), signal.SIGKILL)
"""
HELD = Path(__file__).with_name("held_writing.py")
Open = Callable[..., ProcessStreamWriter]


@pytest.fixture(autouse=True, params=["uvloop", "asyncio"])
def every_loop(request: pytest.FixtureRequest) -> Iterator[None]:
    """`asyncio.run` runs the loop of the receiver, and the one where there is no other."""
    before = asyncio.get_event_loop_policy()
    if request.param == "uvloop":
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    yield
    asyncio.set_event_loop_policy(before)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "stream"


@pytest.fixture
def told(tmp_path: Path) -> Path:
    """The folder whose files tell the disk what to do."""
    folder = tmp_path / "told"
    folder.mkdir()
    return folder


@pytest.fixture
def open_writer(directory: Path, told: Path) -> Iterator[Open]:
    with ExitStack() as stack:

        def open_one(**options: Any) -> ProcessStreamWriter:
            writer = open_process_writer(directory, program=[str(HELD), str(told)], **options)
            stack.callback(writer.close)
            return writer

        yield open_one
        (told / "hold").unlink(missing_ok=True)
        (told / "die").unlink(missing_ok=True)


def read(directory: Path) -> list[StreamEntry]:
    return list(FileStreamReader(directory).read())


def payloads(directory: Path) -> list[bytes]:
    return [entry.payload for entry in read(directory)]


def batches(directory: Path) -> list[int]:
    """How many entries each batch has, which were flushed together."""
    (segment,) = list_segments(directory)
    buffer = segment.path.read_bytes()
    position = segment.base
    found: dict[int, int] = {}
    at = buffer.find(b"\xf7CS\xfe")
    while (frame := parse_frame(buffer, at, position + at)) is not None:
        found[frame.batch_start] = found.get(frame.batch_start, 0) + 1
        at = frame.end - position
    return list(found.values())


async def append(writer: ProcessStreamWriter, *parts: bytes) -> list[int]:
    return await asyncio.gather(*(writer.append_async(EntryKind.CALL, part) for part in parts))


async def refused(writer: ProcessStreamWriter, payload: bytes = b"x") -> str:
    with pytest.raises(StreamUnavailable) as caught:
        await writer.append_async(EntryKind.CALL, payload)
    return str(caught.value)


async def until(check: Callable[[], object], within_s: float = 20) -> None:
    give_up_at = time.monotonic() + within_s
    while not check():
        assert time.monotonic() < give_up_at
        await asyncio.sleep(0.02)


def test_entries_are_stored_in_order_where_their_futures_say(
    directory: Path, open_writer: Open
) -> None:
    writer = open_writer(clock_ns=lambda: 1_763_800_000_123_456_789)

    async def append_two() -> list[int]:
        first = await writer.append_async(EntryKind.REPORT, b"one", owner=("a", "b"))
        return [first, await writer.append_async(EntryKind.QUARANTINE, b"two")]

    positions = asyncio.run(append_two())

    assert read(directory) == [
        StreamEntry(positions[0], EntryKind.REPORT, 1_763_800_000_123_456_789, b"one"),
        StreamEntry(positions[1], EntryKind.QUARANTINE, 1_763_800_000_123_456_789, b"two"),
    ]


def test_what_comes_in_one_turn_is_flushed_together(directory: Path, open_writer: Open) -> None:
    writer = open_writer()

    positions = asyncio.run(append(writer, *(b"%d" % number for number in range(50))))

    assert positions == sorted(set(positions))
    assert batches(directory) == [50]


def test_what_comes_while_the_disk_is_busy_is_flushed_together(
    directory: Path, open_writer: Open, told: Path
) -> None:
    writer = open_writer()

    async def append_during_a_flush() -> None:
        await append(writer, b"warm up")
        (told / "hold").touch()
        first = writer.append_async(EntryKind.CALL, b"first")
        await asyncio.sleep(0.1)
        others = []
        for number in range(20):
            others.append(writer.append_async(EntryKind.CALL, b"%d" % number))
            await asyncio.sleep(0)
        await asyncio.sleep(0.1)
        assert not first.done()
        (told / "hold").unlink()
        await asyncio.gather(first, *others)

    asyncio.run(append_during_a_flush())

    assert batches(directory) == [1, 1, 20]


def test_large_entries_and_many_of_them_go_through_whole(
    directory: Path, open_writer: Open
) -> None:
    parts = [bytes([number % 251]) * 100_000 for number in range(300)]
    parts.append(os.urandom(MAX_PAYLOAD_BYTES))

    asyncio.run(append(open_writer(max_queued_bytes=100_000_000), *parts))

    assert payloads(directory) == parts


@pytest.mark.parametrize("size", [0, MAX_PAYLOAD_BYTES + 1])
def test_a_payload_that_no_entry_can_hold_is_a_mistake(open_writer: Open, size: int) -> None:
    writer = open_writer()

    async def append_it() -> None:
        with pytest.raises(ValueError, match="a payload has 1 to"):
            writer.append_async(EntryKind.CALL, bytes(size))
        await append(writer, b"next")

    asyncio.run(append_it())


def test_a_caller_that_goes_away_does_not_disturb_the_others(
    directory: Path, open_writer: Open
) -> None:
    writer = open_writer()

    async def append_some() -> int:
        gone = writer.append_async(EntryKind.CALL, b"gone")
        stays = writer.append_async(EntryKind.CALL, b"stays")
        gone.cancel()
        return await stays

    position = asyncio.run(append_some())

    assert FileStreamReader(directory).end() == position
    assert payloads(directory) == [b"gone", b"stays"]


def test_a_loop_that_has_ended_does_not_stop_the_next_one(
    directory: Path, open_writer: Open
) -> None:
    writer = open_writer()

    async def leave() -> None:
        left = writer.append_async(EntryKind.CALL, b"left behind")
        left.add_done_callback(lambda _: None)
        await asyncio.sleep(0)

    asyncio.run(leave())
    asyncio.run(append(writer, b"next"))

    assert payloads(directory) == [b"left behind", b"next"]


def test_closing_stores_what_was_taken(directory: Path, open_writer: Open) -> None:
    writer = open_writer()

    async def append_and_close() -> tuple[bool, str]:
        taken = writer.append_async(EntryKind.CALL, b"taken")
        writer.close()
        writer.close()
        with pytest.raises(StreamUnavailable, match="closed"):
            writer.check()
        return taken.done(), await refused(writer)

    assert asyncio.run(append_and_close()) == (True, "The call stream is closed.")
    assert payloads(directory) == [b"taken"]
    assert not is_written(directory)


def test_a_full_disk_refuses_what_waits_and_recovers_by_itself(
    directory: Path, open_writer: Open, told: Path
) -> None:
    writer = open_writer()

    async def fill() -> str:
        await append(writer, b"before")
        (told / "write").write_text(str(errno.ENOSPC))
        why = await refused(writer)
        await append(writer, b"after")
        writer.check()
        return why

    assert "disk is full" in asyncio.run(fill())
    assert payloads(directory) == [b"before", b"after"]


def test_a_failed_flush_refuses_everything_until_the_stream_is_opened_anew(
    directory: Path, open_writer: Open, told: Path
) -> None:
    writer = open_writer()

    async def fail() -> None:
        await append(writer, b"before")
        (told / "fdatasync").write_text(str(errno.EIO))
        assert "Restart the receiver" in await refused(writer)
        assert "Restart the receiver" in await refused(writer)
        with pytest.raises(StreamUnavailable, match="Restart the receiver"):
            writer.check()

    asyncio.run(fail())
    writer.close()
    asyncio.run(append(open_writer(), b"after"))

    assert payloads(directory) == [b"before", b"after"]


def test_a_disk_that_is_too_slow_is_answered_with_refusal_and_recovers(
    directory: Path, open_writer: Open, told: Path
) -> None:
    writer = open_writer(max_queued_bytes=1000)

    async def overfill() -> None:
        (told / "hold").touch()
        taken = [writer.append_async(EntryKind.CALL, b"x" * 100) for _ in range(10)]
        await asyncio.sleep(0.05)
        assert "too slow" in await refused(writer)
        with pytest.raises(StreamUnavailable, match="too slow"):
            writer.check()
        (told / "hold").unlink()
        await asyncio.gather(*taken)
        writer.check()
        await append(writer, b"x")

    asyncio.run(overfill())

    assert len(read(directory)) == 11


def test_a_disk_that_hangs_is_told_after_five_seconds_and_forgotten_when_it_answers(
    open_writer: Open, told: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    now = [100.0]
    writer = open_writer(clock_s=lambda: now[0])

    async def hang() -> None:
        (told / "hold").touch()
        taken = writer.append_async(EntryKind.CALL, b"x")
        await asyncio.sleep(0.05)
        now[0] += 5
        writer.check()
        now[0] += 0.1
        with pytest.raises(StreamUnavailable, match="hangs"):
            writer.check()
        await until(lambda: "reports wait for it" in caplog.text)
        (told / "hold").unlink()
        await taken
        now[0] += 60
        writer.check()
        await until(lambda: "disk answers again" in caplog.text)

    asyncio.run(hang())


def test_closing_does_not_wait_for_a_disk_that_hangs(
    directory: Path, open_writer: Open, told: Path, caplog: pytest.LogCaptureFixture
) -> None:
    writer = open_writer()

    async def close_while_it_hangs() -> float:
        await append(writer, b"stored")
        (told / "hold").touch()
        taken = writer.append_async(EntryKind.CALL, b"not answered")
        await asyncio.sleep(0.1)
        began = time.monotonic()
        writer.close()
        took_s = time.monotonic() - began
        with pytest.raises(StreamUnavailable, match="closed"):
            await taken
        return took_s

    took_s = asyncio.run(close_while_it_hangs())

    assert took_s < 5
    assert "the call stream's disk hangs: 1 reports were not stored" in caplog.text
    open_process_writer(directory).close()


def test_a_process_that_is_killed_is_followed_by_another_and_nothing_is_lost(
    directory: Path, open_writer: Open, caplog: pytest.LogCaptureFixture
) -> None:
    writer = open_writer()
    pids = {writer.pid}

    async def append_and_kill() -> list[bytes]:
        parts = []
        for number in range(2000):
            parts.append(b"%d" % number)
            taken = writer.append_async(EntryKind.CALL, parts[-1])
            if number % 500 == 250:
                os.kill(writer.pid, signal.SIGKILL)
            if number % 50 == 0:
                await taken
                pids.add(writer.pid)
        await taken
        return parts

    parts = asyncio.run(append_and_kill())

    # What was under way may be there twice, and a reader merges it as what VAPI sends twice.
    stored = payloads(directory)
    assert sorted(set(stored)) == sorted(parts)
    assert len(pids) == 5
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    ended = "The process that writes the call stream has ended (exit code -9)."
    assert said == [f"{ended} Another one takes over."] * 4


def test_a_process_that_dies_again_and_again_refuses_and_recovers_by_itself(
    directory: Path, open_writer: Open, told: Path
) -> None:
    writer = open_writer()

    async def die() -> None:
        await append(writer, b"before")
        (told / "die").touch()
        assert "has ended (exit code -9)" in await refused(writer, b"dies twice")
        with pytest.raises(StreamUnavailable, match="has ended"):
            writer.check()
        assert "has ended" in await refused(writer)
        (told / "die").unlink()
        await until(lambda: is_open(writer))
        await append(writer, b"after")

    asyncio.run(die())

    # The refused one was written before the flush that killed, and may be there.
    assert [part for part in payloads(directory) if part != b"dies twice"] == [b"before", b"after"]


def is_open(writer: ProcessStreamWriter) -> bool:
    try:
        writer.check()
    except StreamUnavailable:
        return False
    return True


def test_a_process_that_dies_with_entries_unread_leaves_nobody_waiting(directory: Path) -> None:
    writer = open_process_writer(directory, program=["-c", DIES_UNREAD])

    async def append_one() -> None:
        taken = writer.append_async(EntryKind.CALL, b"x")
        await asyncio.sleep(0)
        time.sleep(0.3)  # noqa: ASYNC251  the loop sees the answer and the death at once
        with pytest.raises(StreamUnavailable, match="has ended"):
            await asyncio.wait_for(taken, 20)

    asyncio.run(append_one())
    writer.close()


def test_a_process_that_cannot_be_started_for_want_of_files_is_started_later(
    directory: Path, open_writer: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = open_writer()

    async def kill() -> None:
        await append(writer, b"before")
        with monkeypatch.context() as patch:
            patch.setattr(socket, "socketpair", no_more_files)
            os.kill(writer.pid, signal.SIGKILL)
            await until(lambda: not is_open(writer))
            assert "Too many open files" in await refused(writer)
        await until(lambda: is_open(writer))
        await append(writer, b"after")

    asyncio.run(kill())

    assert payloads(directory) == [b"before", b"after"]


def no_more_files() -> None:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def test_a_disk_that_hangs_while_another_process_opens_is_told(
    directory: Path, open_writer: Open, told: Path
) -> None:
    now = [100.0]
    writer = open_writer(clock_s=lambda: now[0])

    async def kill_and_hang() -> None:
        await append(writer, b"before")
        (told / "hold").touch()
        killed = writer.pid
        os.kill(killed, signal.SIGKILL)
        await until(lambda: writer.pid != killed)
        taken = writer.append_async(EntryKind.CALL, b"after")
        now[0] += 5.1
        with pytest.raises(StreamUnavailable, match="hangs"):
            writer.check()
        (told / "hold").unlink()
        await taken

    asyncio.run(kill_and_hang())

    assert payloads(directory) == [b"before", b"after"]


def test_a_death_long_after_another_is_bridged_like_the_first(
    directory: Path, open_writer: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_writer, "_STEADY_S", 0.0)
    writer = open_writer()

    async def kill_twice() -> None:
        await append(writer, b"before")
        for _ in range(2):
            killed = writer.pid
            os.kill(killed, signal.SIGKILL)
            await until(lambda killed=killed: writer.pid != killed)  # type: ignore[misc]
        await append(writer, b"after")

    asyncio.run(kill_twice())

    assert payloads(directory) == [b"before", b"after"]


def test_closing_with_more_waiting_than_both_sockets_hold_stores_it_all(
    directory: Path, open_writer: Open, told: Path
) -> None:
    writer = open_writer()

    async def append_many() -> None:
        (told / "hold").touch()
        for number in range(30_000):
            writer.append_async(EntryKind.CALL, b"%2000d" % number)
        await asyncio.sleep(0.1)
        (told / "hold").unlink()
        writer.close()

    asyncio.run(append_many())

    assert [int(payload) for payload in payloads(directory)] == list(range(30_000))


def test_the_writer_is_not_closed_beside_its_loop(directory: Path, open_writer: Open) -> None:
    writer = open_writer()

    async def close_in_a_thread() -> None:
        await append(writer, b"one")
        with pytest.raises(RuntimeError, match="to be closed there"):
            await asyncio.to_thread(writer.close)
        await append(writer, b"two")

    asyncio.run(close_in_a_thread())

    assert payloads(directory) == [b"one", b"two"]


def test_a_process_that_the_system_refuses_leaves_no_socket_open(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object, **_options: object) -> None:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    opened = len(list(Path("/dev/fd").iterdir()))
    monkeypatch.setattr(subprocess, "Popen", refuse)

    with pytest.raises(StreamUnavailable, match="cannot be started: Resource") as caught:
        open_process_writer(directory)

    assert caught.value.__traceback__ is not None  # and with it all that could be held open
    assert len(list(Path("/dev/fd").iterdir())) == opened


def test_a_process_that_cannot_be_started_is_told(directory: Path) -> None:
    with pytest.raises(StreamUnavailable, match=r"has ended \(exit code 7\)"):
        open_process_writer(directory, program=["-c", "raise SystemExit(7)"])


def test_a_second_writer_is_refused(directory: Path, open_writer: Open) -> None:
    open_writer()

    with pytest.raises(StreamBusy, match="only one receiver"):
        open_process_writer(directory)
    with pytest.raises(StreamBusy, match="only one receiver"):
        open_file_writer(directory)


def test_a_damaged_stream_is_not_opened(directory: Path, open_writer: Open) -> None:
    writer = open_writer()
    asyncio.run(append(writer, b"one" * 100))
    asyncio.run(append(writer, b"two" * 100))
    writer.close()
    (segment,) = list_segments(directory)
    data = bytearray(segment.path.read_bytes())
    data[60] ^= 0xFF
    segment.path.write_bytes(data)

    with pytest.raises(StreamError, match="The call stream is damaged: an acknowledged entry"):
        open_process_writer(directory)


def test_a_name_that_is_not_utf_8_is_told_all_the_same(tmp_path: Path) -> None:
    directory = tmp_path / os.fsdecode(b"str\xe9am")
    writer = open_process_writer(directory)

    with pytest.raises(StreamBusy, match=r"str\\udce9am: only one receiver"):
        open_process_writer(directory)
    writer.close()


def test_what_the_process_has_to_say_is_in_our_log(
    directory: Path, open_writer: Open, caplog: pytest.LogCaptureFixture
) -> None:
    writer = open_writer()
    asyncio.run(append(writer, b"one"))
    writer.close()
    (segment,) = list_segments(directory)
    with segment.path.open("ab") as file:
        file.write(b"torn")

    open_writer()

    assert "cut a torn tail of 4 bytes, never acknowledged" in caplog.messages


def test_signals_are_left_to_the_receiver(directory: Path, open_writer: Open) -> None:
    writer = open_writer()
    pid = writer.pid
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(writer.pid, number)

    asyncio.run(append(writer, b"still there"))

    assert (writer.pid, payloads(directory)) == (pid, [b"still there"])
    assert os.getsid(writer.pid) != os.getsid(0)  # Ctrl-C goes to the terminal's session


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows a process's variables")
def test_the_process_is_not_told_our_secrets(
    open_writer: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUBSPOT_CALLS_ENCRYPTION_KEYS", "a-secret-key")

    writer = open_writer()

    variables = Path(f"/proc/{writer.pid}/environ").read_bytes()
    assert b"PATH=" in variables
    assert b"a-secret-key" not in variables


_RECEIVER = """
import asyncio, sys
from pathlib import Path
from call_stream.process_writer import open_process_writer
from call_stream.stream import EntryKind

writer = open_process_writer(Path(sys.argv[1]), segment_bytes=200_000)
print(writer.pid, flush=True)

async def lane(number):
    for each in range(10**9):
        name = f"{number}-{each}"
        await writer.append_async(EntryKind.CALL, name.encode().ljust(number * 97 + 20))
        print(name, flush=True)

async def main():
    await asyncio.gather(*(lane(int(sys.argv[2]) + number) for number in range(16)))

asyncio.run(main())
"""


@pytest.mark.parametrize("victim", ["receiver", "both"])
def test_what_was_acknowledged_is_stored_whoever_is_killed(directory: Path, victim: str) -> None:
    acknowledged: set[bytes] = set()
    for number in range(5):
        command = [sys.executable, "-c", _RECEIVER, str(directory), str(number * 16)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as receiver:
            assert receiver.stdout is not None
            pid = int(receiver.stdout.readline())
            lines = [receiver.stdout.readline() for _ in range(400)]
            if victim == "both":
                os.kill(pid, signal.SIGKILL)
            receiver.kill()
            # What was cut off in the pipe may not be a whole name.
            lines += receiver.stdout.read().splitlines(keepends=True)
        acknowledged |= {line.strip() for line in lines if line.endswith(b"\n")}

    # Its lock is free a moment later: the process has stored what it had been given, and ended.
    open_process_writer(directory).close()
    stored = {payload.strip() for payload in payloads(directory)}
    assert len(acknowledged) >= 2000
    assert acknowledged <= stored
