"""What every call stream does, whichever engine keeps it."""

import asyncio
import random
import threading
from datetime import UTC, datetime, timedelta

import pytest

from call_stream.stream import MAX_PAYLOAD_BYTES, EntryKind, PositionGone, StreamUnavailable
from tests.call_stream.writer_process import start_writer


def test_entries_come_back_in_order_with_kind_time_and_payload(any_stream):
    writer = any_stream.open(clock_ns=lambda: 1_763_800_000_123_456_789)
    first = writer.append(EntryKind.CALL, b"one").result(10)
    second = writer.append(EntryKind.QUARANTINE, b"two").result(10)

    entries = list(any_stream.reader().read())

    assert [(entry.position, entry.kind, entry.payload) for entry in entries] == [
        (first, EntryKind.CALL, b"one"),
        (second, EntryKind.QUARANTINE, b"two"),
    ]
    expected = datetime.fromtimestamp(1_763_800_000, UTC) + timedelta(microseconds=123_456)
    assert entries[0].received_at == expected


def test_reading_resumes_behind_each_position(any_stream):
    any_stream.open()
    positions = any_stream.append(b"a", b"b", b"c")

    rest = [any_stream.read(position) for position in positions]

    assert rest == [[b"b", b"c"], [b"c"], []]


def test_reading_resumes_in_the_middle_of_many(any_stream):
    writer = any_stream.open()
    payloads = [b"%04d" % number for number in range(1500)]
    positions = [
        future.result(10) for future in [writer.append(EntryKind.CALL, each) for each in payloads]
    ]
    reader = any_stream.reader()

    rest = [[entry.payload for entry in reader.read(positions[at])] for at in (0, 499, 700, 1499)]

    assert rest == [payloads[1:], payloads[500:], payloads[701:], []]


def test_a_walk_that_is_left_can_be_taken_up_anywhere(any_stream):
    any_stream.open()
    positions = any_stream.append(b"a", b"b", b"c", b"d")
    reader = any_stream.reader()

    walk = reader.read()
    seen = [next(walk).payload, next(walk).payload]
    walk.close()

    assert seen == [b"a", b"b"]
    assert [entry.payload for entry in reader.read(positions[1])] == [b"c", b"d"]
    assert [entry.payload for entry in reader.read(positions[0])] == [b"b", b"c", b"d"]


def test_an_empty_or_missing_stream_has_no_entries(any_stream):
    missing = any_stream.read()

    any_stream.open()

    assert (missing, any_stream.read(), any_stream.reader().end()) == ([], [], 0)


def test_two_readers_go_their_own_ways(any_stream):
    any_stream.open()
    any_stream.append(b"a", b"b")
    one, other = any_stream.reader().read(), any_stream.reader().read()

    seen = [next(one).payload, next(one).payload, next(other).payload]

    assert seen == [b"a", b"b", b"a"]


def test_a_reader_keeps_up_with_a_writer_that_rotates(any_stream):
    writer = any_stream.open(segment_bytes=500)
    payloads = [b"%05d" % number for number in range(500)]
    thread = threading.Thread(
        target=lambda: [writer.append(EntryKind.CALL, each).result(10) for each in payloads]
    )
    reader = any_stream.reader()
    seen = []
    after = 0

    thread.start()
    while len(seen) < len(payloads):
        for entry in reader.read(after):
            seen.append(entry.payload)
            after = entry.position
    thread.join()

    assert seen == payloads


def test_the_end_is_the_last_position_and_grows(any_stream):
    any_stream.open(segment_bytes=100)
    reader = any_stream.reader()

    ends = [(any_stream.append(b"x" * 40)[0], reader.end()) for _ in range(10)]

    assert all(position == end for position, end in ends)


def test_a_position_far_beyond_the_end_is_refused(any_stream):
    any_stream.open()
    (end,) = any_stream.append(b"a")

    with pytest.raises(PositionGone, match="beyond the end"):
        any_stream.read(end + 2**30)


def test_a_position_of_an_empty_stream_is_refused(any_stream):
    with pytest.raises(PositionGone, match="empty"):
        any_stream.read(5)


def test_a_named_reader_finds_its_position_again(any_stream):
    any_stream.open()
    reader = any_stream.reader()
    fresh = reader.load_position("tap-vapi")

    reader.save_position("tap-vapi", 42)
    reader.save_position("tap-vapi", 43)
    reader.save_position("other", 7)

    assert (fresh, any_stream.reader().load_position("tap-vapi")) == (0, 43)


def test_the_backlog_is_what_a_named_reader_has_not_finished_with(any_stream):
    moments = iter(range(1_763_800_000_000_000_000, 1_763_800_100_000_000_000, 10**9))
    any_stream.open(clock_ns=lambda: next(moments))
    none_yet = any_stream.reader().load_backlog("tap")
    positions = any_stream.append(*[b"x" * 1000] * 10)
    reader = any_stream.reader()

    reader.save_position("tap", positions[3])
    some = reader.load_backlog("tap")
    reader.save_position("tap", positions[-1])
    none = reader.load_backlog("tap")

    assert (none_yet.size_bytes, none_yet.oldest_at) == (0, None)
    assert (some.position, some.end) == (positions[3], positions[-1])
    assert 6_000 <= some.size_bytes < 9_000
    assert some.oldest_at == next(reader.read(positions[3])).received_at
    assert (none.size_bytes, none.oldest_at, none.end) == (0, None, positions[-1])


def test_the_backlog_of_a_position_beyond_the_end_is_refused(any_stream):
    any_stream.open()
    (end,) = any_stream.append(b"a")
    reader = any_stream.reader()
    reader.save_position("tap", end + 2**30)

    with pytest.raises(PositionGone, match="beyond the end"):
        reader.load_backlog("tap")


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a" * 65, "é", "a\n"])
def test_an_unfit_name_of_a_reader_is_refused(any_stream, name):
    with pytest.raises(ValueError, match="letters, digits"):
        any_stream.reader().save_position(name, 1)


def test_appends_of_an_event_loop_are_acknowledged(any_stream):
    writer = any_stream.open()

    async def append_all():
        return await asyncio.gather(
            *[writer.append_async(EntryKind.CALL, b"%d" % number) for number in range(200)]
        )

    positions = asyncio.run(append_all())

    assert [entry.position for entry in any_stream.reader().read()] == positions


def test_owners_of_any_name_share_one_order(any_stream):
    writer = any_stream.open()
    owners = [
        ("ada", "harbor"),
        ("", "*"),
        ("a.b", ">"),
        ("x" * 300, "größe \n"),
        ("ada", "harbor"),
    ]

    positions = [
        writer.append(EntryKind.CALL, b"%d" % number, owner=owner).result(10)
        for number, owner in enumerate(owners)
    ]

    assert positions == sorted(set(positions))
    assert any_stream.read() == [b"0", b"1", b"2", b"3", b"4"]


@pytest.mark.parametrize("payload", [b"", bytes(MAX_PAYLOAD_BYTES + 1)], ids=["none", "too much"])
def test_a_payload_out_of_bounds_is_refused(any_stream, payload):
    writer = any_stream.open()

    with pytest.raises(ValueError, match="payload"):
        writer.append(EntryKind.CALL, payload)


def test_the_largest_payload_is_stored(any_stream):
    any_stream.open()
    payload = bytes(MAX_PAYLOAD_BYTES)

    any_stream.append(payload, b"next")

    assert any_stream.read() == [payload, b"next"]


def test_closing_stores_what_was_taken_and_refuses_the_rest(any_stream):
    writer = any_stream.open()
    futures = [writer.append(EntryKind.CALL, b"%d" % number) for number in range(1000)]

    writer.close()
    writer.close()

    assert all(future.done() for future in futures)
    assert len(any_stream.read()) == 1000
    for refused in (lambda: writer.append(EntryKind.CALL, b"x"), writer.check):
        with pytest.raises(StreamUnavailable, match="closed"):
            refused()


def test_no_acknowledged_entry_is_lost_when_writers_are_killed_under_load(any_stream):
    seed = random.randrange(10**6)
    chance = random.Random(seed)
    acknowledged = []

    for round_ in range(5):
        child = start_writer(any_stream.url, round_ * 100)
        # A moment counted in entries comes on a busy machine, too.
        acknowledged.extend(child.stdout.readline() for _ in range(chance.randint(11, 400)))
        child.kill()
        lines = child.stdout.read().splitlines(keepends=True)
        acknowledged.extend(line for line in lines if line.endswith(b"\n"))
        child.wait()
        child.stdout.close()
    any_stream.open()
    kept = [payload.strip() for payload in any_stream.read()]

    assert len(acknowledged) > 50
    assert {line.strip() for line in acknowledged} <= set(kept), f"seed {seed}"
    assert len(kept) == len(set(kept)), f"seed {seed}"


def test_a_reader_misses_nothing_while_writers_are_killed(any_stream):
    reader = any_stream.reader()
    seen = []
    after = 0

    for round_ in range(3):
        child = start_writer(any_stream.url, round_ * 100)
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
    any_stream.open()
    seen.extend(entry.payload for entry in reader.read(after))

    assert seen == any_stream.read()
