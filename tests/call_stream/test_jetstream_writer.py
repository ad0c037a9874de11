"""Appending to JetStream: what the file stream's writer has no like of."""

import asyncio
import time

import pytest
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import StreamConfig

from call_stream import jetstream_publishing
from call_stream.jetstream_names import OBJECT
from call_stream.jetstream_publishing import Publishing, Waiting
from call_stream.jetstream_writer import open_jetstream_writer
from call_stream.stream import DEFAULT_OWNER, EntryKind, StreamError, StreamUnavailable, open_writer
from tests.call_stream.asking import (
    Appending,
    ask_server,
    name_of,
    server_version,
    takes_entries,
    wait_until,
)
from tests.call_stream.proxy import Proxy


def test_lost_acknowledgements_are_asked_for_again_and_nothing_is_stored_twice(
    nats_alone, stream_at, network_stream
):
    proxy = Proxy(nats_alone.port)
    through = network_stream.url.replace(str(nats_alone.port), str(proxy.port), 1)
    writer = stream_at(through).open()
    writer.append(EntryKind.CALL, b"first").result(10)
    proxy.lose_answers()

    futures = [writer.append(EntryKind.CALL, b"%d" % number) for number in range(100)]
    reader = network_stream.reader()
    wait_until(lambda: len(list(reader.read())) == 101)
    none_told = not any(future.done() for future in futures)
    proxy.cut()
    positions = [future.result(10) for future in futures]

    entries = list(reader.read())
    writer.close()
    proxy.close()
    assert none_told
    assert proxy.lost_bytes
    assert [entry.payload for entry in entries] == [b"first", *(b"%d" % n for n in range(100))]
    assert [entry.position for entry in entries[1:]] == positions


def test_what_a_paused_server_is_told_again_is_stored_once(nats_own, stream_at):
    server = nats_own()
    stream = stream_at(server.url("CALLS"))
    writer = stream.open()
    stream.append(b"warm")

    server.pause()
    futures = [writer.append(EntryKind.CALL, b"%d" % number) for number in range(50)]
    time.sleep(2.2)
    server.resume()
    for future in futures:
        future.result(10)

    assert sorted(stream.read()) == sorted([b"warm", *(b"%d" % number for number in range(50))])


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_no_acknowledged_entry_is_lost_when_the_server_ends_under_load(nats_own, stream_at, end):
    server = nats_own()
    stream = stream_at(server.url("CALLS"))
    appending = Appending(stream.open())

    for _ in range(2):
        enough = len(appending.acknowledged) + 200
        wait_until(lambda: len(appending.acknowledged) > enough)  # noqa: B023
        getattr(server, end)()
        server.start()
    enough = len(appending.acknowledged) + 100
    wait_until(lambda: len(appending.acknowledged) > enough)
    acknowledged = appending.stop()
    kept = stream.read()

    assert acknowledged <= set(kept)
    assert len(kept) == len(set(kept))
    assert not appending.refused


def test_servers_that_stay_away_are_told_within_seconds_and_forgotten_when_they_are_back(
    nats_own, stream_at
):
    server = nats_own()
    stream = stream_at(server.url("CALLS"))
    writer = stream.open(patience_s=1.0)
    stream.append(b"before")
    server.kill()

    began = time.monotonic()
    future = writer.append(EntryKind.CALL, b"while away")
    with pytest.raises(StreamUnavailable):
        future.result(10)
    took_s = time.monotonic() - began
    with pytest.raises(StreamUnavailable, match=f"127.0.0.1:{server.port}: nobody listens there"):
        writer.append(EntryKind.CALL, b"at once")
    with pytest.raises(StreamUnavailable):
        writer.check()
    server.start()
    wait_until(lambda: takes_entries(writer))
    stream.append(b"after")

    assert took_s < 3
    assert set(stream.read()) >= {b"before", b"after"}
    assert b"at once" not in stream.read()


def test_a_writer_begins_before_its_server_does(nats_own, stream_at):
    server = nats_own()
    server.stop()
    stream = stream_at(server.url("CALLS"))

    writer = stream.open()
    with pytest.raises(StreamUnavailable, match="nobody listens"):
        writer.append(EntryKind.CALL, b"too early")
    server.start()
    wait_until(lambda: takes_entries(writer))
    stream.append(b"now")

    assert stream.read() == [b"now"]


def test_any_number_of_writers_append_to_one_stream(network_stream):
    writers = [network_stream.open_beside() for _ in range(3)]
    threads = [Appending(writer) for writer in writers]

    wait_until(lambda: all(len(each.acknowledged) > 200 for each in threads))
    acknowledged = [each.stop() for each in threads]

    kept = network_stream.read()
    assert all(told <= set(kept) for told in acknowledged)
    assert len(kept) >= sum(len(each.acknowledged) for each in threads)


def test_too_much_that_waits_is_answered_with_refusal(nats_own, stream_at):
    server = nats_own()
    stream = stream_at(server.url("CALLS"))
    writer = stream.open(max_queued_bytes=1000)
    stream.append(b"warm")
    server.pause()

    futures = [writer.append(EntryKind.CALL, b"x" * 100) for _ in range(10)]
    with pytest.raises(StreamUnavailable, match="too slow"):
        writer.append(EntryKind.CALL, b"x")
    with pytest.raises(StreamUnavailable, match="too slow"):
        writer.check()
    server.resume()
    for future in futures:
        future.result(10)

    writer.check()
    stream.append(b"x")
    assert len(stream.read()) == 12


def test_a_caller_that_goes_away_does_not_disturb_the_others(nats_own, stream_at):
    server = nats_own()
    stream = stream_at(server.url("CALLS"))
    writer = stream.open()
    stream.append(b"warm up")

    async def append_some():
        server.pause()
        gone = writer.append_async(EntryKind.CALL, b"gone")
        also_gone = writer.append(EntryKind.CALL, b"also gone")
        stays = writer.append_async(EntryKind.CALL, b"stays")
        gone.cancel()
        also_gone.cancel()
        server.resume()
        return await stays

    position = asyncio.run(append_some())

    assert stream.reader().end() == position
    assert stream.read() == [b"warm up", b"gone", b"also gone", b"stays"]


def test_an_event_loop_that_has_ended_does_not_stop_the_writer(network_stream):
    writer = network_stream.open()

    async def leave():
        writer.append_async(EntryKind.CALL, b"left behind")

    asyncio.run(leave())
    network_stream.append(b"next")

    assert network_stream.read() == [b"left behind", b"next"]


def test_closing_while_no_server_answers_refuses_what_waits_and_ends(nats_own, stream_at):
    server = nats_own()
    stream = stream_at(server.url("CALLS"))
    writer = stream.open(patience_s=0.5)
    server.kill()
    future = writer.append(EntryKind.CALL, b"x")

    writer.close()

    assert isinstance(future.exception(0), StreamUnavailable)


def test_each_workspace_has_its_subject(network_stream):
    writer = network_stream.open()
    name = name_of(network_stream.url)

    for owner in (("ada", "harbor"), ("ada", "*"), ("ada", "harbor")):
        writer.append(EntryKind.CALL, b"x", owner=owner).result(10)
    subjects = ask_server(
        network_stream.url, lambda js: js.stream_info(name, subjects_filter=">")
    ).state.subjects

    assert subjects == {
        f"hubspot-calls.{name}.ada.harbor": 2,
        f"hubspot-calls.{name}.ada.=2A": 1,
    }


def test_the_stream_is_made_with_what_keeps_calls_safe(network_stream):
    name = name_of(network_stream.url)

    network_stream.open(retention_days=30)
    config = ask_server(network_stream.url, lambda js: js.stream_info(name)).config

    assert (config.storage, config.retention, config.discard) == ("file", "limits", "new")
    assert (config.max_age, config.duplicate_window) == (30 * 86_400, 120)
    assert (config.deny_delete, config.num_replicas) == (False, 1)


def test_a_stream_that_is_there_is_used_as_it_is(network_stream):
    name = name_of(network_stream.url)
    ask_server(
        network_stream.url,
        lambda js: js.add_stream(
            name=name, subjects=[f"hubspot-calls.{name}.*.*"], max_age=86_400, storage="memory"
        ),
    )

    network_stream.open(retention_days=30)
    network_stream.append(b"x")
    config = ask_server(network_stream.url, lambda js: js.stream_info(name)).config

    assert (config.max_age, config.storage) == (86_400, "memory")
    assert network_stream.read() == [b"x"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"subjects": ["orders.{}"]}, "not a call stream"),
        ({"subjects": ["hubspot-calls.{}.>"]}, "not a call stream"),
        ({"retention": "workqueue"}, "retention is workqueue"),
        ({"retention": "interest"}, "retention is interest"),
        ({"no_ack": True}, "does not acknowledge"),
    ],
    ids=str,
)
def test_a_stream_that_cannot_hold_calls_is_refused(network_stream, settings, said):
    name = name_of(network_stream.url)
    config = {"subjects": ["hubspot-calls.{}.*.*"], **settings}
    config["subjects"] = [subject.format(name) for subject in config["subjects"]]
    ask_server(network_stream.url, lambda js: js.add_stream(name=name, **config))

    with pytest.raises(StreamError, match=said):
        network_stream.open()
    with pytest.raises(StreamError, match=said):
        network_stream.read()


def test_subjects_that_another_stream_listens_to_are_refused(network_stream):
    name = name_of(network_stream.url)
    ask_server(
        network_stream.url,
        lambda js: js.add_stream(name=f"{name}-other", subjects=[f"hubspot-calls.{name}.>"]),
    )

    with pytest.raises(StreamError, match="another stream of this NATS account listens"):
        network_stream.open()


def test_more_replicas_than_servers_are_refused(nats_alone):
    with pytest.raises(StreamError, match="replicas=3"):
        open_jetstream_writer(nats_alone.url("too_many", replicas=3))


def test_a_server_without_jetstream_is_told(nats_own, stream_at):
    server = nats_own(settings="accounts { plain { users: [{user: u, password: p}] } }")

    writer = stream_at(server.url("CALLS", secret="u:p")).open(patience_s=0.5)

    with pytest.raises(StreamUnavailable, match="JetStream"):
        writer.check()


def test_a_full_stream_refuses_and_drops_nothing(network_stream):
    name = name_of(network_stream.url)
    ask_server(
        network_stream.url,
        lambda js: js.add_stream(
            name=name, subjects=[f"hubspot-calls.{name}.*.*"], max_msgs=3, discard="new"
        ),
    )
    network_stream.open()
    network_stream.append(b"a", b"b", b"c")

    with pytest.raises(StreamUnavailable, match="JetStream refuses: maximum messages exceeded"):
        network_stream.append(b"d")

    assert network_stream.read() == [b"a", b"b", b"c"]


def test_a_large_payload_is_stored_once_however_often_its_message_is_repeated(
    network_stream, monkeypatch
):
    acknowledge, publish = Publishing._on_ack, JetStreamContext.publish
    objects, told = [], []

    async def count(self, subject, *arguments, **options):
        objects.extend([subject] * (".M." in subject))
        return await publish(self, subject, *arguments, **options)

    async def lose_the_first(self, msg):
        told.append(msg)
        if len(told) > 1:
            await acknowledge(self, msg)

    monkeypatch.setattr(JetStreamContext, "publish", count)
    monkeypatch.setattr(Publishing, "_on_ack", lose_the_first)
    network_stream.open()
    network_stream.append(b"B" * 2_000_000)

    assert len(told) == 2
    assert len(objects) == 1
    assert network_stream.read() == [b"B" * 2_000_000]


def test_a_large_payload_whose_first_storing_was_not_answered_comes_back_whole(
    network_stream, monkeypatch
):
    name = name_of(network_stream.url)
    publish = JetStreamContext.publish
    stored = []

    async def lose_the_first(self, subject, *arguments, **options):
        ack = await publish(self, subject, *arguments, **options)
        if ".M." in subject:
            stored.append(subject)
            if len(stored) == 1:
                raise TimeoutError
        return ack

    monkeypatch.setattr(JetStreamContext, "publish", lose_the_first)
    network_stream.open()
    (position,) = network_stream.append(b"B" * 2_000_000)

    def kept():
        async def ask(js):
            store = await js.object_store(f"{name}_payloads")
            message = await js.get_msg(name, seq=position)
            return [each.name for each in await store.list(ignore_deletes=True)], message

        return ask_server(network_stream.url, ask)

    wait_until(lambda: len(kept()[0]) == 1)
    names, message = kept()
    assert names == [message.headers[OBJECT]]
    assert stored[0] != stored[1]
    assert network_stream.read() == [b"B" * 2_000_000]


def test_large_payloads_that_cannot_be_stored_do_not_stop_the_others(network_stream, monkeypatch):
    async def fail(*_arguments, **_options):
        raise TimeoutError

    monkeypatch.setattr(jetstream_publishing, "store_payload", fail)
    monkeypatch.setattr(jetstream_publishing, "patience_for", lambda size: 0.0)
    writer = network_stream.open(patience_s=0.5)

    large = [writer.append(EntryKind.CALL, b"B" * 2_000_000) for _ in range(6)]
    refused = 0
    while not all(future.done() for future in large):
        network_stream.append(b"small")
        refused += not takes_entries(writer)
        time.sleep(0.01)
    network_stream.append(b"last")

    assert refused == 0
    assert all(isinstance(future.exception(0), StreamUnavailable) for future in large)
    assert network_stream.read()[-1] == b"last"


def test_a_payload_whose_storing_is_cut_off_before_it_began_is_stored_later(monkeypatch):
    class Answering:
        max_payload = 2000

        def new_inbox(self):
            return "inbox"

        async def subscribe(self, *_arguments, **_options):
            pass

    begun = asyncio.Event()

    async def begin(*_arguments):
        begun.set()

    async def attach_twice():
        publishing = Publishing("CALLS", patience_s=1.0, on_done=lambda *_: None)
        monkeypatch.setattr(publishing, "_store", begin)
        future = asyncio.get_running_loop().create_future()
        publishing.line.append(Waiting(1, 1, bytes(5000), DEFAULT_OWNER, future, None))
        await publishing.attach(Answering(), StreamConfig())
        await publishing.send()
        publishing.detach()
        await asyncio.sleep(0)
        was_begun = begun.is_set()
        await publishing.attach(Answering(), StreamConfig())
        await asyncio.sleep(0)
        await publishing.repeat(time.monotonic() + 60)
        await asyncio.wait_for(begun.wait(), 1)
        return was_begun

    assert not asyncio.run(attach_twice())


def test_an_acknowledgement_without_a_position_is_none(monkeypatch):
    # Of a repeat while the first is not stored yet: clusters before 2.10 answer so.
    async def answer(data):
        publishing = Publishing("CALLS", patience_s=1.0, on_done=lambda *_: None)
        future = asyncio.get_running_loop().create_future()
        waiting = Waiting(1, 1, b"x", DEFAULT_OWNER, future, None)
        publishing._in_flight["id"] = waiting
        await publishing._on_ack(Msg(None, subject="_id", data=data))
        return publishing.is_empty

    assert not asyncio.run(answer(b'{"stream":"CALLS","seq":0,"duplicate":true}'))


def test_a_stream_made_on_a_server_that_begins_at_one_again_is_warned_of(nats_alone, caplog):
    url = nats_alone.url("made_on_old")
    if server_version(url) >= (2, 10):
        pytest.skip("servers from 2.10 on begin where they are told to")

    open_jetstream_writer(url).close()

    assert "begins at position 1" in caplog.text


def test_a_stream_made_on_a_current_server_begins_behind_every_one_before(current_stream, caplog):
    current_stream.open()
    (first,) = current_stream.append(b"a")

    assert first > 1_700_000_000_000_000
    assert "begins at position 1" not in caplog.text


def test_a_missing_driver_is_told_with_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "nats", None)

    with pytest.raises(StreamError, match=r"pip install 'target-hubspot-calls\[nats\]'"):
        open_writer("nats://u:hunter2@h/CALLS")
