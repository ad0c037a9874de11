"""Reading from JetStream: what the file stream's reader has no like of."""

import gc
import shutil
import threading
import time

import pytest

from call_stream.jetstream_payloads import PayloadMissing
from call_stream.stream import EntryKind, PositionGone, StreamError, StreamUnavailable, open_reader
from tests.call_stream.asking import ask_server, name_of, wait_until


def subject_in(stream):
    return f"hubspot-calls.{name_of(stream.url)}.a.b"


def collect(stream, seen):
    """Takes down each entry as it comes: what raises in the end takes none of them back."""
    for entry in stream.reader().read():
        seen.append(entry)


def reading_threads():
    return [each for each in threading.enumerate() if each.name == "call-stream-reader"]


def test_a_walk_goes_on_over_a_restart_of_the_server(nats_own, stream_at):
    server = nats_own()
    stream = stream_at(server.url("CALLS"))
    writer = stream.open()
    payloads = [b"%04d" % number for number in range(2000)]
    for future in [writer.append(EntryKind.CALL, each) for each in payloads]:
        future.result(10)
    seen = []

    for entry in stream.reader().read():
        seen.append(entry.payload)
        if len(seen) in (100, 1300):
            server.kill()
            server.start()

    assert seen == payloads


def test_following_goes_on_over_restarts_and_misses_nothing(nats_own, stream_at):
    server = nats_own()
    stream = stream_at(server.url("CALLS"))
    stream.open()
    reader = stream.reader()
    seen = []
    after = 0

    for round_ in range(3):
        stream.append(*[b"%d-%d" % (round_, number) for number in range(5)])
        for _ in range(2):
            for entry in reader.read(after):
                seen.append(entry.payload)
                after = entry.position
        server.kill()
        server.start()

    assert seen == [b"%d-%d" % (round_, number) for round_ in range(3) for number in range(5)]


def test_a_walk_ends_at_what_was_the_end_when_it_began(network_stream):
    network_stream.open()
    network_stream.append(b"a", b"b")

    seen = []
    for entry in network_stream.reader().read():
        seen.append(entry.payload)
        network_stream.append(b"later")

    assert seen == [b"a", b"b"]


def test_following_leaves_one_consumer_at_most(network_stream):
    network_stream.open()
    reader = network_stream.reader()
    after = 0

    for number in range(30):
        network_stream.append(b"%d" % number)
        for entry in reader.read(after):
            after = entry.position
    state = ask_server(
        network_stream.url, lambda js: js.stream_info(name_of(network_stream.url))
    ).state

    assert state.consumer_count == 1


def test_entries_that_were_deleted_in_the_middle_are_passed_over(network_stream):
    writer = network_stream.open()
    positions = [
        writer.append(EntryKind.CALL, b"%d" % number, owner=("u", f"w{number % 3}")).result(10)
        for number in range(9)
    ]
    ask_server(
        network_stream.url,
        lambda js: js.purge_stream(
            name_of(network_stream.url),
            subject=f"hubspot-calls.{name_of(network_stream.url)}.u.w1",
        ),
    )

    assert network_stream.read() == [b"0", b"2", b"3", b"5", b"6", b"8"]
    assert network_stream.read(positions[1]) == [b"2", b"3", b"5", b"6", b"8"]
    assert network_stream.read(positions[3]) == [b"5", b"6", b"8"]


def test_what_has_expired_unread_is_told_and_not_passed_over(network_stream):
    network_stream.open(retention_days=1 / 86_400)
    first, second = network_stream.append(b"a", b"b")
    reader = network_stream.reader()
    wait_until(lambda: not list(reader.read()))

    with pytest.raises(PositionGone, match="no longer kept"):
        list(reader.read(first))
    at_the_end = list(reader.read(second))
    (third,) = network_stream.append(b"c")

    assert at_the_end == []
    assert [entry.position for entry in reader.read(second)] == [third]
    assert third > second == reader.end() - 1


def test_entries_that_expire_behind_a_follower_are_told(network_stream):
    network_stream.open(retention_days=1 / 86_400)
    (first,) = network_stream.append(b"a")
    reader = network_stream.reader()
    read = [entry.position for entry in reader.read()]
    network_stream.append(b"b")
    wait_until(lambda: not network_stream.read())
    network_stream.append(b"c")

    with pytest.raises(PositionGone, match="no longer kept"):
        list(reader.read(first))

    assert read == [first]


def test_a_position_of_a_stream_that_was_made_anew_is_refused(current_stream):
    current_stream.open()
    (old,) = current_stream.append(b"a")
    make_anew(current_stream)
    current_stream.append(b"b", b"c", b"d")

    with pytest.raises(PositionGone, match="no longer kept"):
        current_stream.read(old)


def make_anew(stream):
    stream.close()
    ask_server(stream.url, lambda js: js.delete_stream(name_of(stream.url)))
    stream.open()


@pytest.mark.parametrize("kind", ["network_stream", "current_stream"])
def test_a_noted_position_is_gone_on_from_wherever_positions_begin(request, kind):
    stream = request.getfixturevalue(kind)
    stream.open()
    positions = stream.append(b"a", b"b", b"c")
    stream.reader().save_position("tap", positions[0])
    reader = stream.reader()

    reader.save_position("tap", positions[1])

    assert [entry.position for entry in reader.read(positions[1])] == positions[2:]
    assert stream.read(positions[1]) == [b"c"]


@pytest.mark.parametrize("noted", [2, 4], ids=["behind", "there"])
def test_other_entries_at_the_positions_of_a_stream_before_are_noticed(network_stream, noted):
    network_stream.open()
    network_stream.append(b"a", b"b", b"c", b"d")
    network_stream.reader().save_position("tap", noted)
    make_anew(network_stream)
    network_stream.append(b"e", b"f", b"g", b"h", b"i", b"j")
    reader = network_stream.reader()

    with pytest.raises(PositionGone, match="made anew"):
        reader.save_position("tap", 4)
    reader.save_position("other", 4)
    reader.save_position("tap", 0)
    reader.save_position("tap", 4)

    assert len(network_stream.read(4)) == 2


def test_a_noted_position_is_noticed_by_readers_that_have_no_name(network_stream):
    network_stream.open()
    network_stream.append(b"a", b"b")
    network_stream.reader().save_position("tap", 2)
    make_anew(network_stream)
    network_stream.append(b"c", b"d", b"e")

    with pytest.raises(PositionGone, match="made anew"):
        network_stream.read(2)

    assert network_stream.read(1) == [b"d", b"e"]


def test_a_noted_entry_that_was_deleted_is_no_fault(network_stream):
    network_stream.open()
    network_stream.append(b"a", b"b", b"c")
    network_stream.reader().save_position("tap", 2)
    for position in (2, 3):
        ask_server(
            network_stream.url,
            lambda js, at=position: js.delete_msg(name_of(network_stream.url), at),
        )
    network_stream.append(b"d")

    network_stream.reader().save_position("tap", 2)

    assert network_stream.read(2) == [b"d"]


def test_a_server_that_comes_back_without_its_last_entries_is_noticed(nats_own, stream_at):
    # As after a power cut of a server that does not flush before it acknowledges.
    server = nats_own()
    stream = stream_at(server.url("CALLS"))
    kept, flushed = server.folder / "store/jetstream/$G/streams/CALLS", server.folder / "flushed"
    stream.open()
    stream.append(b"1", b"2", b"3")
    stream.close()
    server.stop()
    shutil.copytree(kept, flushed)
    server.start()
    stream.open()
    stream.append(b"4", b"5")
    stream.close()
    following = stream.reader()
    read = [entry.position for entry in following.read()]
    stream.reader().save_position("tap", 3)
    server.kill()
    shutil.rmtree(kept)
    shutil.copytree(flushed, kept)
    server.start()
    stream.open()
    stream.append(b"new4", b"new5", b"new6")

    with pytest.raises(PositionGone, match="lost its last entries"):
        list(following.read(5))
    with pytest.raises(PositionGone, match="lost its last entries"):
        stream.reader().save_position("tap", 5)
    reader = stream.reader()
    reader.save_position("tap", 3)

    assert read == [1, 2, 3, 4, 5]
    assert [entry.payload for entry in reader.read(3)] == [b"new4", b"new5", b"new6"]


def test_a_stream_that_goes_while_it_is_followed_is_noticed(network_stream):
    network_stream.open()
    (end,) = network_stream.append(b"a")
    reader = network_stream.reader()
    list(reader.read())
    ask_server(network_stream.url, lambda js: js.delete_stream(name_of(network_stream.url)))

    with pytest.raises(PositionGone, match="the stream is empty"):
        list(reader.read(end))


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        (None, "another program publishes"),
        ({"Calls-Kind": "1"}, "another program publishes"),
        ({"Calls-Kind": "1", "Calls-Received-Ns": "now"}, "another program publishes"),
        ({"Calls-Kind": "77", "Calls-Received-Ns": "1"}, "A newer version wrote it"),
    ],
    ids=["none", "no time", "odd time", "other kind"],
)
def test_a_message_that_is_no_entry_stops_reading_before_it(network_stream, headers, said):
    network_stream.open()
    network_stream.append(b"a")
    ask_server(
        network_stream.url,
        lambda js: js.publish(subject_in(network_stream), b"odd", headers=headers),
    )
    network_stream.append(b"b")
    seen = []

    with pytest.raises(StreamError, match=said):
        collect(network_stream, seen)

    assert [entry.payload for entry in seen] == [b"a"]
    assert network_stream.read(seen[0].position + 1) == [b"b"]


def test_a_payload_that_no_message_can_hold_comes_back_whole(nats_own, stream_at):
    server = nats_own(settings="max_payload: 65536")
    stream = stream_at(server.url("CALLS"))
    stream.open()
    sizes = [1, 60_000, 64_511, 64_512, 64_513, 65_536, 65_537, 1_000_000]
    payloads = [bytes([number]) * size for number, size in enumerate(sizes)]

    positions = stream.append(*payloads)

    assert stream.read() == payloads
    assert [entry.position for entry in stream.reader().read()] == positions


def test_a_payload_that_is_gone_from_the_object_store_stops_reading_at_its_entry(network_stream):
    name = name_of(network_stream.url)
    network_stream.open()
    network_stream.append(b"a")
    network_stream.append(bytes(2_000_000), b"b")
    ask_server(network_stream.url, lambda js: js.delete_object_store(f"{name}_payloads"))
    seen = []

    with pytest.raises(PayloadMissing) as caught:
        collect(network_stream, seen)

    assert [entry.payload for entry in seen] == [b"a"]
    assert caught.value.position == seen[0].position + 1
    assert network_stream.read(caught.value.position) == [b"b"]


def test_chunks_that_are_gone_from_the_object_store_are_noticed(network_stream, monkeypatch):
    monkeypatch.setattr("call_stream.jetstream_payloads._FETCH_S", 0.5)
    name = name_of(network_stream.url)
    network_stream.open()
    network_stream.append(bytes(2_000_000))
    ask_server(
        network_stream.url,
        lambda js: js.purge_stream(f"OBJ_{name}_payloads", subject=f"$O.{name}_payloads.C.>"),
    )

    with pytest.raises(PayloadMissing, match="cannot be read whole"):
        network_stream.read()


def test_large_payloads_outlive_their_entries_by_a_day(network_stream):
    name = name_of(network_stream.url)
    network_stream.open(retention_days=30)
    network_stream.append(bytes(2_000_000))

    config = ask_server(
        network_stream.url, lambda js: js.stream_info(f"OBJ_{name}_payloads")
    ).config

    assert config.max_age == 31 * 86_400


def test_no_server_is_told_within_the_patience(nats_own, stream_at):
    server = nats_own()
    server.stop()
    reader = stream_at(server.url("CALLS")).reader(patience_s=0.5)
    began = time.monotonic()

    for ask in (reader.end, lambda: list(reader.read()), lambda: reader.load_backlog("tap")):
        with pytest.raises(StreamUnavailable, match="nobody listens there"):
            ask()

    assert time.monotonic() - began < 8


def test_a_position_that_cannot_be_read_is_told(network_stream):
    name = name_of(network_stream.url)
    network_stream.open()
    network_stream.reader().save_position("tap", 1)
    ask_server(network_stream.url, lambda js: js.publish(f"$KV.{name}_readers.tap", b"{}"))

    with pytest.raises(StreamError, match="reader tap has saved cannot be read"):
        network_stream.reader().load_position("tap")


def test_a_reader_that_is_dropped_lets_go_of_the_server(nats_alone):
    before = len(reading_threads())
    for _ in range(3):
        open_reader(nats_alone.url("nobody_wrote")).end()
    gc.collect()

    wait_until(lambda: len(reading_threads()) <= before)
