import asyncio
import threading

import pytest

from call_stream.disk import Disk
from call_stream.file_writer import open_file_writer
from call_stream.stream import EntryKind, StreamBusy, StreamUnavailable
from tests.call_stream.writer_process import start_writer


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
    child = start_writer(stream.url)
    child.stdout.readline()

    with pytest.raises(StreamBusy):
        stream.open()
    child.kill()
    child.wait()
    child.stdout.close()

    stream.open()
    stream.append(b"after")
    assert stream.read()[-1] == b"after"
