import errno
import logging
import os
import time

import pytest

from call_stream.frames import FRAME_HEAD_BYTES
from call_stream.segments import POSITION_GAP
from call_stream.stream import EntryKind, PositionGone, StreamCorrupt, StreamUnavailable


def test_a_torn_tail_is_cut_at_every_byte_of_the_last_two_entries(stream):
    stream.open()
    positions = stream.append(b"one", b"two", b"three", b"four")
    stream.close()
    segment = stream.segments()[0]
    content = segment.read_bytes()
    base = int(segment.stem)
    whole = [b"one", b"two", b"three", b"four"]

    for size in range(positions[1] - base, len(content)):
        for path in stream.segments():
            path.unlink()
        segment.write_bytes(content[:size])
        kept = whole[: 3 if size >= positions[2] - base else 2]
        read_before = stream.read()
        stream.open()
        read_after = stream.read()
        stream.append(b"new")

        assert (read_before, read_after, stream.read()) == (kept, kept, [*kept, b"new"])
        assert segment.stat().st_size == positions[len(kept) - 1] - base


def test_zeros_behind_the_last_entry_are_a_torn_tail(stream):
    stream.open()
    stream.append(b"one")
    stream.close()
    segment = stream.segments()[0]
    content = segment.read_bytes()
    segment.write_bytes(content + bytes(4096))

    stream.open()
    stream.append(b"two")

    assert segment.read_bytes()[: len(content)] == content
    assert stream.read() == [b"one", b"two"]


def test_recovery_of_damage_in_the_middle_halts_and_changes_nothing(stream):
    stream.open()
    stream.append(b"one", b"two", b"three")
    stream.close()
    segment = stream.segments()[0]
    content = bytearray(segment.read_bytes())
    content[40] ^= 1
    segment.write_bytes(content)

    for _ in range(2):
        with pytest.raises(StreamCorrupt) as caught:
            stream.open()

        assert (caught.value.segment, caught.value.offset) == (segment.name, 32)
        assert segment.read_bytes() == content


def test_acknowledged_bytes_that_are_gone_are_reported(stream, caplog):
    stream.open()
    stream.append(b"one", b"two")
    stream.close()
    segment = stream.segments()[0]
    os.truncate(segment, segment.stat().st_size - 3 - FRAME_HEAD_BYTES)

    with caplog.at_level(logging.WARNING, "call_stream"):
        stream.open()

    assert "lost its last 28 bytes" in caplog.text


def test_positions_are_never_given_twice_after_a_cut(stream):
    stream.open()
    first, second = stream.append(b"one", b"two")
    stream.close()
    segment = stream.segments()[0]
    os.truncate(segment, segment.stat().st_size - 1)
    stream.open()

    before = stream.read(second)
    (third,) = stream.append(b"three")

    assert before == []
    assert third > second
    assert stream.read(second) == stream.read(first) == [b"three"]


def test_a_clean_restart_goes_on_in_the_same_segment(stream):
    stream.open()
    (first,) = stream.append(b"one")
    stream.open()

    (second,) = stream.append(b"two")

    assert second == first + FRAME_HEAD_BYTES + 3
    assert len(stream.segments()) == 1


def test_a_restart_after_a_crash_starts_a_segment_behind_a_gap(stream):
    stream.open()
    (first,) = stream.append(b"one")
    stream.close()
    (stream.directory / "writer.lock").write_bytes(b"")

    stream.open()
    (second,) = stream.append(b"two")

    assert second > first + POSITION_GAP
    assert stream.read() == [b"one", b"two"]
    assert stream.read(first) == [b"two"]


def test_a_segment_that_was_not_finished_is_swept_away(stream):
    stream.open()
    stream.append(b"one")
    stream.close()
    (stream.directory / "00000000000000000099.calls.tmp").write_bytes(b"half a header")

    stream.open()

    assert not list(stream.directory.glob("*.tmp"))
    assert stream.read() == [b"one"]


def test_segments_rotate_by_size(stream):
    stream.open(segment_bytes=200)
    stream.append(*[b"x" * 50] * 10)

    sizes = [path.stat().st_size for path in stream.segments()]

    assert len(sizes) == 5
    assert all(size <= 200 for size in sizes)
    assert stream.read() == [b"x" * 50] * 10


def test_an_entry_larger_than_a_segment_gets_one_of_its_own(stream):
    stream.open(segment_bytes=100)

    stream.append(b"small", b"x" * 5000, b"small")

    assert stream.read() == [b"small", b"x" * 5000, b"small"]
    assert len(stream.segments()) == 3


def test_an_entry_is_acknowledged_only_after_its_flush(stream, disk):
    writer = stream.open(disk=disk)
    stream.append(b"warm up")
    disk.calls.clear()

    future = writer.append(EntryKind.CALL, b"one")
    future.add_done_callback(lambda _: disk.calls.append("acknowledged"))
    future.result(10)
    writer.close()

    assert disk.calls == ["write", "fdatasync", "acknowledged"]


def test_a_new_segment_is_flushed_named_and_its_name_flushed_before_it_is_used(stream, disk):
    stream.open(disk=disk)
    disk.calls.clear()

    stream.append(b"one")

    created = ["write", "fdatasync", "rename", "fsync_directory"]
    assert disk.calls == [*created, "write", "fdatasync"]


def test_a_full_disk_refuses_the_batch_and_goes_on_when_there_is_space(stream, disk):
    stream.open(disk=disk)
    stream.append(b"one")
    disk.fill_after(10)

    with pytest.raises(StreamUnavailable, match="disk is full"):
        stream.append(b"two" * 100)
    (position,) = stream.append(b"three")

    assert stream.read() == [b"one", b"three"]
    assert stream.reader().end() == position
    assert len(stream.segments()) == 1


def test_entries_seen_before_a_roll_back_do_not_hide_later_ones(stream, disk):
    stream.open(disk=disk)
    stream.append(b"one")
    seen = []
    reader = stream.reader()
    cut_back = disk.ftruncate

    def read_and_cut_back(fd, size):
        seen.extend(reader.read())
        cut_back(fd, size)

    disk.ftruncate = read_and_cut_back
    disk.fill_after(FRAME_HEAD_BYTES * 2 + 4)

    with pytest.raises(StreamUnavailable):
        stream.append_batch(b"aa", b"bb", b"cc")
    while_full = list(reader.read(seen[-1].position))
    stream.append(b"dd")

    assert [entry.payload for entry in seen] == [b"one", b"aa", b"bb"]
    assert while_full == []
    assert [entry.payload for entry in reader.read(seen[-1].position)] == [b"dd"]
    assert stream.read() == [b"one", b"dd"]


def test_a_disk_too_full_for_a_new_segment_leaves_nothing_behind(stream, disk):
    stream.open(disk=disk)
    disk.fail("write", errno.ENOSPC)

    with pytest.raises(StreamUnavailable, match="disk is full"):
        stream.append(b"one")

    assert list(stream.directory.glob("*.calls*")) == []
    stream.append(b"two")
    assert stream.read() == [b"two"]


@pytest.mark.parametrize("sizes", [(1,), (1, 1, 1), (27,), (5, 7)], ids=str)
def test_short_writes_are_completed(stream, disk, sizes):
    stream.open(disk=disk)
    stream.append(b"one")
    disk.take_only(*sizes)

    stream.append(b"two")

    assert stream.read() == [b"one", b"two"]


def test_a_write_that_takes_nothing_is_rolled_back(stream, disk):
    stream.open(disk=disk)
    stream.append(b"one")
    disk.take_only(3, 0)

    with pytest.raises(StreamUnavailable):
        stream.append(b"two")

    stream.append(b"three")
    assert stream.read() == [b"one", b"three"]


@pytest.mark.parametrize(
    ("call", "code"),
    [("fdatasync", errno.EIO), ("fdatasync", errno.ENOSPC), ("write", errno.EIO)],
    ids=["a failed flush", "a flush on a full disk", "a failed write"],
)
def test_a_failing_disk_is_not_tried_again_until_reopened(stream, disk, call, code):
    writer = stream.open(disk=disk)
    stream.append(b"one")
    disk.fail(call, code)

    with pytest.raises(StreamUnavailable, match="Restart the receiver"):
        stream.append(b"two")
    disk.calls.clear()

    def already_in_line():
        stream.append_batch(b"three")

    for refused in (lambda: stream.append(b"three"), already_in_line, writer.check):
        with pytest.raises(StreamUnavailable, match="Restart the receiver"):
            refused()

    assert disk.calls == []
    stream.open()
    stream.append(b"four")
    assert stream.read() == [b"one", b"four"]


def test_a_roll_back_that_fails_is_final(stream, disk):
    stream.open(disk=disk)
    stream.append(b"one")
    disk.fill_after(3)
    disk.fail("ftruncate", errno.EIO)

    with pytest.raises(StreamUnavailable, match="Restart the receiver"):
        stream.append(b"two")

    stream.open()
    assert stream.read() == [b"one"]


def test_a_directory_that_cannot_be_flushed_is_final(stream, disk):
    stream.open(disk=disk)
    disk.fail("fsync_directory", errno.EIO)

    with pytest.raises(StreamUnavailable, match="Restart the receiver"):
        stream.append(b"one")

    stream.open()
    assert stream.read() == []


@pytest.mark.parametrize("nth", range(8))
@pytest.mark.parametrize("call", ["write", "fdatasync"])
def test_whatever_call_fails_every_acknowledged_entry_stays_and_no_other_appears(
    stream, disk, call, nth
):
    stream.open(disk=disk, segment_bytes=100)
    disk.planned[call] = [None] * nth
    disk.fail(call, errno.EIO)
    acknowledged = []

    for number in range(8):
        payload = b"%d" % number * 40
        try:
            stream.append(payload)
            acknowledged.append(payload)
        except StreamUnavailable:
            continue
    stream.open()

    assert stream.read() == acknowledged


DAY_S = 86400


def old_segments(stream, count):
    """A stream of `count` segments of one entry each, all two days old; their end positions."""
    stream.open(segment_bytes=50)
    positions = stream.append(*[b"x" * 40] * count)
    stream.close()
    for path in stream.segments():
        os.utime(path, (time.time() - 2 * DAY_S,) * 2)
    return positions


def test_retention_deletes_old_segments_that_every_named_reader_is_done_with(stream):
    positions = old_segments(stream, 5)
    stream.reader().save_position("tap", positions[3])
    stream.reader().save_position("live", positions[1])

    stream.open(retention_days=1)

    assert len(stream.segments()) == 3
    assert stream.read(positions[1]) == [b"x" * 40] * 3


def test_retention_never_deletes_the_newest_segment(stream):
    positions = old_segments(stream, 3)
    stream.reader().save_position("tap", positions[-1])

    stream.open(retention_days=1)

    assert len(stream.segments()) == 1
    assert stream.read(positions[-1]) == []


@pytest.mark.parametrize(
    ("days", "registered"),
    [(None, True), (3, True), (1, False)],
    ids=["it is off", "they are too young", "nobody reads"],
)
def test_retention_keeps_everything_when(stream, days, registered):
    positions = old_segments(stream, 3)
    if registered:
        stream.reader().save_position("tap", positions[-1])

    stream.open(retention_days=days)

    assert len(stream.segments()) == 3


def test_retention_works_while_segments_rotate(stream):
    positions = old_segments(stream, 3)
    stream.open(segment_bytes=50, retention_days=1)
    stream.reader().save_position("tap", positions[-1])

    stream.append(b"new")

    assert stream.read() == [b"new"]


def test_a_reader_that_is_done_with_a_deleted_segment_goes_on_behind_the_gap_of_a_crash(stream):
    positions = old_segments(stream, 3)
    stream.reader().save_position("tap", positions[-1])
    (stream.directory / "writer.lock").write_bytes(b"")

    stream.open(retention_days=1)
    stream.append(b"new")

    assert len(stream.segments()) == 1
    assert stream.read(positions[-1]) == [b"new"]
    with pytest.raises(PositionGone, match="no longer kept"):
        stream.read(positions[-2])


def test_a_broken_reader_position_deletes_nothing_and_stops_nothing(stream, caplog):
    positions = old_segments(stream, 3)
    stream.reader().save_position("tap", positions[-1])
    (stream.directory / "readers" / "live.json").write_text("{")

    stream.open(retention_days=1)
    stream.append(b"new")

    assert stream.read() == [*[b"x" * 40] * 3, b"new"]
    assert "could not be deleted" in caplog.text
