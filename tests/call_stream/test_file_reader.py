import os

import pytest

from call_stream.disk import Disk
from call_stream.stream import EntryKind, PositionGone, StreamCorrupt


def test_reading_resumes_over_segments(stream):
    stream.open(segment_bytes=100)
    payloads = [b"%03d" % number * 10 for number in range(20)]
    positions = stream.append(*payloads)

    rest = {position: stream.read(position) for position in positions}

    assert len(stream.segments()) > 5
    assert rest == {at: payloads[index + 1 :] for index, at in enumerate(positions)}


@pytest.mark.parametrize("call", ["listdir", "pread", "open", "fstat"])
def test_no_entry_is_passed_over_when_the_writer_rotates_at_any_moment(stream, monkeypatch, call):
    stream.open(segment_bytes=150)  # two entries each
    (first,) = stream.append(b"0" * 30)
    real_call = getattr(os, call)
    left = 0

    def then_appending(*args, **options):
        nonlocal left
        result = real_call(*args, **options)
        left -= 1
        if left == 0:
            stream.append_batch(b"1" * 30)
            stream.append_batch(b"2" * 30)
        return result

    monkeypatch.setattr(os, call, then_appending)
    appended_after = 0
    while True:
        left = appended_after = appended_after + 1
        entries = list(stream.reader().read(first))
        if left > 0:
            break
        left = 0
        position = entries[-1].position if entries else first
        entries += stream.reader().read(position)
        assert [entry.payload[:1] for entry in entries] == [b"1", b"2"], appended_after
        first = entries[-1].position

    assert appended_after > 1


def test_all_that_is_kept_begins_later_when_retention_was_quicker(stream, monkeypatch):
    stream.open(segment_bytes=100)
    stream.append(b"0" * 60, b"1" * 60, b"2" * 60)
    oldest, real_open = stream.segments()[0], os.open

    def when_it_is_gone(path, *args):
        oldest.unlink(missing_ok=True)
        return real_open(path, *args)

    monkeypatch.setattr(os, "open", when_it_is_gone)

    assert [payload[:1] for payload in stream.read()] == [b"1", b"2"]


def test_a_backlog_that_begins_while_it_is_asked_for_is_whole(stream, monkeypatch):
    stream.open()
    real_list, lists = os.listdir, 0

    def then_appending(path):
        nonlocal lists
        found = real_list(path)
        lists += 1
        if lists == 1:
            stream.append(b"first")
        return found

    monkeypatch.setattr(os, "listdir", then_appending)
    backlogs = [stream.reader().load_backlog("tap") for _ in range(2)]

    assert [backlog.oldest_at is None for backlog in backlogs] == [True, False]


def test_a_reader_follows_a_writer_byte_by_byte(stream, tmp_path):
    stream.open()
    positions = stream.append(b"first", b"second" * 10, b"third")
    stream.close()
    segment = stream.segments()[0]
    content = segment.read_bytes()
    base = int(segment.stem)
    reader = stream.reader()
    seen = []
    after = 0

    for size in range(32, len(content) + 1):
        segment.write_bytes(content[:size])
        for entry in reader.read(after):
            seen.append((size, entry.payload))
            after = entry.position

    assert seen == [
        (positions[0] - base, b"first"),
        (positions[1] - base, b"second" * 10),
        (positions[2] - base, b"third"),
    ]


def test_a_position_inside_an_entry_is_refused(stream):
    stream.open()
    first, _, _ = stream.append(b"a" * 50, b"b" * 50, b"c" * 50)

    with pytest.raises(PositionGone, match="no entry ends there"):
        stream.read(first + 10)


def test_a_position_of_a_stream_that_was_thrown_away_is_refused(stream):
    stream.open(clock_ns=lambda: 1_000_000_000)
    (old,) = stream.append(b"a")
    stream.close()
    for path in stream.segments():
        path.unlink()
    stream.open(clock_ns=lambda: 2_000_000_000)
    stream.append(b"b")

    with pytest.raises(PositionGone, match="no longer kept"):
        stream.read(old)


@pytest.mark.parametrize("bit", range(0, 8 * 35, 3))
def test_a_flipped_bit_in_an_acknowledged_entry_halts(stream, bit):
    stream.open()
    positions = stream.append(b"a" * 10, b"b" * 10, b"c" * 10)
    segment = stream.segments()[0]
    base = int(segment.stem)
    content = bytearray(segment.read_bytes())
    content[positions[0] - base + bit // 8] ^= 1 << bit % 8
    segment.write_bytes(content)
    read = []

    with pytest.raises(StreamCorrupt) as caught:
        read.extend(entry.payload for entry in _collect(stream.reader().read(), read))

    assert (caught.value.segment, caught.value.offset) == (segment.name, positions[0] - base)
    assert read == [b"a" * 10]
    with pytest.raises(StreamCorrupt):
        stream.read(positions[0])


def _collect(entries, read):
    for entry in entries:
        read.append(entry.payload)
    return []


def test_a_damaged_entry_that_the_same_batch_follows_is_a_torn_tail(stream):
    stream.open()
    stream.append(b"acknowledged")
    positions = stream.append_batch(b"a" * 50, b"b" * 50)
    segment = stream.segments()[0]
    content = bytearray(segment.read_bytes())
    content[positions[0] - int(segment.stem) - 1] ^= 1
    segment.write_bytes(content)

    read = stream.read()

    assert read == [b"acknowledged"]


def test_an_older_segment_that_lost_its_end_halts(stream):
    stream.open(segment_bytes=100)
    stream.append(b"a" * 60, b"b" * 60)
    first, second = stream.segments()
    content = first.read_bytes()
    first.write_bytes(content[:-1])

    with pytest.raises(StreamCorrupt, match=first.name):
        stream.read()

    assert second.exists()


def test_a_segment_with_a_damaged_header_halts(stream):
    stream.open()
    stream.append(b"a")
    segment = stream.segments()[0]
    segment.write_bytes(b"X" + segment.read_bytes()[1:])

    with pytest.raises(StreamCorrupt, match="the header"):
        stream.read()


def test_a_named_reader_finds_its_position_again(stream):
    reader = stream.reader()
    fresh = reader.load_position("tap-vapi")

    reader.save_position("tap-vapi", 42)
    reader.save_position("tap-vapi", 43)

    assert (fresh, stream.reader().load_position("tap-vapi")) == (0, 43)
    assert [path.name for path in (stream.directory / "readers").iterdir()] == ["tap-vapi.json"]


def test_a_slow_disk_does_not_show_half_a_batch_as_damage(stream):
    class OneByteAtATime(Disk):
        def write(self, fd, data):
            return super().write(fd, data[:1])

    writer = stream.open(disk=OneByteAtATime())
    payloads = [b"%d" % number * 50 for number in range(40)]
    futures = [writer.append(EntryKind.CALL, each) for each in payloads]
    reader = stream.reader()
    seen = []
    after = 0

    while len(seen) < len(payloads):
        for entry in reader.read(after):
            seen.append(entry.payload)
            after = entry.position

    assert seen == payloads
    assert [future.result(10) for future in futures][-1] == after
