"""A call stream that three servers keep: one may die at any time, two must not."""

import time

import pytest

from call_stream.stream import EntryKind, StreamUnavailable
from tests.call_stream.asking import Appending, ask_server, wait_until
from tests.call_stream.nats_server import cluster_url

pytestmark = pytest.mark.timeout(120)


def test_appends_and_reads_go_on_while_each_server_is_killed_in_turn(nats_three, stream_at):
    stream = stream_at(cluster_url(nats_three, "CALLS"))
    appending = Appending(stream.open(), pause_s=0.02)
    reader = stream.reader()
    seen = []
    after = 0

    def follow():
        nonlocal after
        for entry in reader.read(after):
            seen.append(entry.payload)
            after = entry.position

    for server in nats_three:
        enough = len(appending.acknowledged) + 200
        wait_until(lambda: follow() or len(appending.acknowledged) > enough)  # noqa: B023
        server.kill()
        enough = len(appending.acknowledged) + 200
        wait_until(lambda: follow() or len(appending.acknowledged) > enough, 40)  # noqa: B023
        server.start()
        wait_until(lambda: all_current(nats_three), 40)
    acknowledged = appending.stop()
    follow()

    assert acknowledged <= set(seen)
    assert len(seen) == len(set(seen))
    assert seen == stream.read()


def all_current(servers):
    """Whether every server has all of the stream again."""

    async def ask(js):
        cluster = (await js.stream_info("CALLS")).cluster
        return len(cluster.replicas) == 2 and all(
            peer.current and not peer.offline for peer in cluster.replicas
        )

    for server in servers:
        try:
            return ask_server(server.url("CALLS"), ask)
        except Exception:  # noqa: BLE001  a server that has just begun cannot answer yet
            continue
    return False


def test_without_most_servers_entries_are_refused_and_taken_again_when_they_are_back(
    nats_three, stream_at
):
    stream = stream_at(cluster_url(nats_three, "CALLS"))
    writer = stream.open(patience_s=2.0)
    stream.append(b"before")
    for server in nats_three[1:]:
        server.kill()

    with pytest.raises(StreamUnavailable):
        writer.append(EntryKind.CALL, b"x").result(20)
    with pytest.raises(StreamUnavailable):
        writer.check()
    for server in nats_three[1:]:
        server.start()
    wait_until(lambda: is_stored(writer, b"after"), 40)

    kept = stream.read()
    assert (kept[0], kept[-1]) == (b"before", b"after")
    assert set(kept) <= {b"before", b"x", b"after"}


def test_followers_slower_than_a_repeat_are_waited_for(nats_three_current, stream_at):
    # A current leader answers a repeat with "duplicate message id is in process" meanwhile.
    stream = stream_at(cluster_url(nats_three_current, "CALLS"))
    writer = stream.open()
    stream.append(b"warm")
    leader = ask_server(nats_three_current[0].url("CALLS"), lambda js: js.stream_info("CALLS"))
    followers = [each for each in nats_three_current if each.name != leader.cluster.leader]

    for each in followers:
        each.pause()
    futures = [writer.append(EntryKind.CALL, b"%d" % number) for number in range(5)]
    time.sleep(2.5)
    for each in followers:
        each.resume()
    positions = [future.result(20) for future in futures]

    writer.check()
    assert stream.read() == [b"warm", *(b"%d" % number for number in range(5))]
    assert [entry.position for entry in stream.reader().read()][1:] == positions


def is_stored(writer, payload):
    try:
        writer.append(EntryKind.CALL, payload).result(20)
    except StreamUnavailable:
        return False
    return True


def test_one_server_of_the_url_is_enough_to_find_the_others(nats_three, stream_at):
    first = nats_three[0]
    stream = stream_at(cluster_url([first], "CALLS"))
    stream.open()
    stream.append(b"a")

    first.kill()
    wait_until(lambda: is_stored(stream.writers[-1], b"b"), 40)

    assert [entry.payload for entry in stream_at(cluster_url(nats_three, "CALLS")).reader().read()]
