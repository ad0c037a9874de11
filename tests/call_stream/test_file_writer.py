import asyncio
import random
import subprocess
import sys
import threading

import pytest

from call_stream.disk import Disk
from call_stream.file_writer import open_file_writer
from call_stream.stream import MAX_PAYLOAD_BYTES, EntryKind, StreamBusy, StreamUnavailable


class GatedDisk(Disk):
    """Flushes only while the gate is open."""

    def __init__(self):
        self.gate = threading.Event()
        self.gate.set()
        self.reached = threading.Event()
        self.flushes = 0

    def fdatasync(self, fd):
        if not self.gate.is_set():
            self.reached.set()
        self.gate.wait(10)
        self.flushes += 1
        super().fdatasync(fd)


def test_what_waits_together_is_flushed_together(stream):
    disk = GatedDisk()
    writer = stream.open(disk=disk)
    stream.append(b"warm up")
    disk.gate.clear()
    flushes = disk.flushes

    futures = [writer.append(EntryKind.CALL, b"%d" % number) for number in range(100)]
    disk.gate.set()
    positions = [future.result(10) for future in futures]

    assert positions == sorted(positions)
    assert disk.flushes - flushes <= 2


def test_appends_of_an_event_loop_are_acknowledged(stream):
    writer = stream.open()

    async def append_all():
        return await asyncio.gather(
            *[writer.append_async(EntryKind.CALL, b"%d" % number) for number in range(200)]
        )

    positions = asyncio.run(append_all())

    assert [entry.position for entry in stream.reader().read()] == positions


def test_a_caller_that_goes_away_does_not_disturb_the_others(stream):
    disk = GatedDisk()
    writer = stream.open(disk=disk)
    stream.append(b"warm up")

    async def append_some():
        disk.gate.clear()
        gone = writer.append_async(EntryKind.CALL, b"gone")
        also_gone = writer.append(EntryKind.CALL, b"also gone")
        stays = writer.append_async(EntryKind.CALL, b"stays")
        gone.cancel()
        also_gone.cancel()
        disk.gate.set()
        return await stays

    position = asyncio.run(append_some())

    assert stream.reader().end() == position
    assert stream.read() == [b"warm up", b"gone", b"also gone", b"stays"]


def test_an_event_loop_that_has_ended_does_not_stop_the_writer(stream):
    disk = GatedDisk()
    writer = stream.open(disk=disk)
    stream.append(b"warm up")
    disk.gate.clear()

    async def leave():
        writer.append_async(EntryKind.CALL, b"left behind")

    asyncio.run(leave())
    disk.gate.set()
    stream.append(b"next")

    assert stream.read() == [b"warm up", b"left behind", b"next"]


def test_a_disk_that_is_too_slow_is_answered_with_refusal_and_recovers(stream):
    disk = GatedDisk()
    writer = stream.open(disk=disk, max_queued_bytes=1000)
    disk.gate.clear()
    futures = [writer.append(EntryKind.CALL, b"x" * 100) for _ in range(10)]

    with pytest.raises(StreamUnavailable, match="too slow"):
        writer.append(EntryKind.CALL, b"x")
    with pytest.raises(StreamUnavailable, match="too slow"):
        writer.check()
    disk.gate.set()
    for future in futures:
        future.result(10)

    writer.check()
    stream.append(b"x")
    assert len(stream.read()) == 11


def test_a_disk_that_hangs_is_told_after_five_seconds_and_forgotten_when_it_answers(stream):
    now = [100.0]
    disk = GatedDisk()
    writer = stream.open(disk=disk, clock_s=lambda: now[0])
    disk.gate.clear()
    future = writer.append(EntryKind.CALL, b"x")
    assert disk.reached.wait(10)

    now[0] += 5
    writer.check()
    now[0] += 0.1
    with pytest.raises(StreamUnavailable, match="hangs"):
        writer.check()
    disk.gate.set()
    future.result(10)

    now[0] += 60
    writer.check()


@pytest.mark.parametrize("payload", [b"", bytes(MAX_PAYLOAD_BYTES + 1)], ids=["none", "too much"])
def test_a_payload_out_of_bounds_is_refused(stream, payload):
    writer = stream.open()

    with pytest.raises(ValueError, match="payload"):
        writer.append(EntryKind.CALL, payload)


def test_the_largest_payload_is_stored(stream):
    stream.open()
    payload = bytes(MAX_PAYLOAD_BYTES)

    stream.append(payload, b"next")

    assert stream.read() == [payload, b"next"]


def test_closing_stores_what_was_taken_and_refuses_the_rest(stream):
    writer = stream.open()
    futures = [writer.append(EntryKind.CALL, b"%d" % number) for number in range(1000)]

    writer.close()
    writer.close()

    assert all(future.done() for future in futures)
    assert len(stream.read()) == 1000
    for refused in (lambda: writer.append(EntryKind.CALL, b"x"), writer.check):
        with pytest.raises(StreamUnavailable, match="closed"):
            refused()


def test_an_unforeseen_fault_leaves_nobody_waiting(stream):
    class Buggy(Disk):
        def fdatasync(self, fd):
            raise ZeroDivisionError

    stream.open(disk=Buggy())

    with pytest.raises(StreamUnavailable, match="ZeroDivisionError"):
        stream.append(b"x")


def test_a_second_writer_is_refused(stream):
    stream.open()

    with pytest.raises(StreamBusy, match="only one receiver"):
        open_file_writer(stream.directory)


def test_a_second_writer_in_another_process_is_refused_until_the_first_is_killed(stream):
    child = _start_writer(stream.directory)
    child.stdout.readline()

    with pytest.raises(StreamBusy):
        stream.open()
    child.kill()
    child.wait()
    child.stdout.close()

    stream.open()
    stream.append(b"after")
    assert stream.read()[-1] == b"after"


_WRITER = """
import sys, threading
from call_stream.stream import EntryKind, open_writer

writer = open_writer(sys.argv[1], segment_bytes=200_000)
first = int(sys.argv[2])
lock = threading.Lock()

def append(lane):
    for number in range(10**9):
        name = f"{first + lane}-{number}"
        writer.append(EntryKind.CALL, name.encode().ljust(lane * 97 + 20)).result()
        with lock:
            sys.stdout.write(name + "\\n")
            sys.stdout.flush()

for lane in range(16):
    threading.Thread(target=append, args=(lane,)).start()
"""


def _start_writer(directory, first=0):
    return subprocess.Popen(
        [sys.executable, "-c", _WRITER, f"file:{directory}", str(first)], stdout=subprocess.PIPE
    )


def test_no_acknowledged_entry_is_lost_when_writers_are_killed_under_load(stream):
    seed = random.randrange(10**6)
    chance = random.Random(seed)
    acknowledged = []

    for round_ in range(5):
        child = _start_writer(stream.directory, round_ * 100)
        # A moment counted in entries comes on a busy machine, too.
        acknowledged.extend(child.stdout.readline() for _ in range(chance.randint(11, 400)))
        child.kill()
        lines = child.stdout.read().splitlines(keepends=True)
        acknowledged.extend(line for line in lines if line.endswith(b"\n"))
        child.wait()
        child.stdout.close()
    stream.open()
    kept = [payload.strip() for payload in stream.read()]

    assert len(acknowledged) > 50
    assert {line.strip() for line in acknowledged} <= set(kept), f"seed {seed}"
    assert len(kept) == len(set(kept)), f"seed {seed}"


def test_a_reader_misses_nothing_while_writers_are_killed(stream):
    reader = stream.reader()
    seen = []
    after = 0

    for round_ in range(3):
        child = _start_writer(stream.directory, round_ * 100)
        child.stdout.readline()
        drainer = threading.Thread(target=child.stdout.read)
        drainer.start()
        enough = len(seen) + 200
        while len(seen) < enough:
            for entry in reader.read(after):
                seen.append(entry.payload)
                after = entry.position
        child.kill()
        child.wait()
        drainer.join()
        child.stdout.close()
    stream.open()
    seen.extend(entry.payload for entry in reader.read(after))

    assert seen == stream.read()
