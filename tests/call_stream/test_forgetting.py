"""Entries that say nothing any more, in a stream whose every position is what it was."""

from __future__ import annotations

import subprocess
import sys

import pytest
from nats.js import JetStreamContext

from call_stream.disk import Disk
from call_stream.forgetting import forget_entries, forget_in_files
from call_stream.jetstream_layout import wanted_config
from call_stream.jetstream_payloads import PayloadMissing
from call_stream.jetstream_url import parse_jetstream_url
from call_stream.rewriting_lock import segments_held
from call_stream.segment_rewriting import rewrite_segments
from call_stream.stream import StreamCorrupt, StreamUnavailable
from tests.call_stream.asking import ask_server, name_of

SEGMENT_BYTES = 400
KILLED = 77


def without_iris(entry):
    """What is left of an entry that names Iris."""
    if b"Iris" not in entry.payload:
        return None
    return b"blank".ljust(len(entry.payload))


@pytest.fixture
def filled(stream):
    """Several segments with an entry of Iris in each, closed in good order."""
    stream.open(segment_bytes=SEGMENT_BYTES)
    for number in range(12):
        stream.append(f"Iris says {number} {'.' * 60}".encode(), f"Ivo says {number}".encode())
    stream.close()
    assert len(stream.segments()) > 4
    return stream


def entries(stream):
    return [(e.position, e.kind, e.received_ns, e.payload) for e in stream.reader().read()]


def test_entries_lose_what_they_say_and_keep_their_places(filled):
    before = entries(filled)
    ages = [path.stat().st_mtime_ns for path in filled.segments()]

    counted = forget_entries(filled.url, without_iris, dry_run=True)
    unchanged = entries(filled)
    done = forget_entries(filled.url, without_iris)
    again = forget_entries(filled.url, without_iris)

    after = entries(filled)
    assert (counted.entries, done.entries, done.left, again.entries) == (12, 12, 0, 0)
    assert unchanged == before
    assert [entry[:3] for entry in after] == [entry[:3] for entry in before]
    assert {entry[3].strip() for entry in after[::2]} == {b"blank"}
    assert after[1::2] == before[1::2]
    assert not any(b"Iris" in path.read_bytes() for path in filled.directory.iterdir())
    assert [path.stat().st_mtime_ns for path in filled.segments()] == ages
    assert {path.stat().st_mode & 0o777 for path in filled.segments()} == {0o600}


def test_reading_goes_on_behind_any_position(filled):
    positions = [entry[0] for entry in entries(filled)]
    forget_entries(filled.url, without_iris)

    rests = [len(filled.read(position)) for position in positions]

    assert rests == list(reversed(range(len(positions))))


def test_the_next_writer_goes_on_where_the_last_one_ended(filled):
    end = filled.reader().end()
    forget_entries(filled.url, without_iris)

    filled.open(segment_bytes=SEGMENT_BYTES * 100)
    (position,) = filled.append(b"new")

    assert position - end < SEGMENT_BYTES
    assert filled.read(end) == [b"new"]


def test_while_a_writer_lives_only_its_own_segment_is_left(filled):
    filled.open(segment_bytes=SEGMENT_BYTES)
    in_newest = len([p for p in filled.read() if b"Iris" in p]) - sum(
        path.read_bytes().count(b"Iris") for path in filled.segments()[:-1]
    )

    done = forget_in_files(filled.directory, without_iris)
    filled.append(b"goes on")

    assert (done.entries, done.left) == (12 - in_newest, in_newest)
    assert in_newest > 0
    assert "another process" in (done.why_left or "")
    assert filled.read()[-1] == b"goes on"
    assert not any(b"Iris" in path.read_bytes() for path in filled.segments()[:-2])


def test_a_torn_tail_goes_with_it_as_it_was_never_acknowledged(filled):
    newest = filled.segments()[-1]
    whole = newest.read_bytes()
    newest.write_bytes(whole + whole[-40:-1])

    forget_entries(filled.url, without_iris)
    size = newest.stat().st_size
    filled.open(segment_bytes=SEGMENT_BYTES)
    filled.append(b"new")

    assert size == len(whole)
    assert len(filled.read()) == 25


@pytest.mark.parametrize("which", [1, -1], ids=["in a closed segment", "in the newest"])
def test_a_damaged_segment_is_left_alone_and_said(filled, which):
    damaged = filled.segments()[which]
    content = bytearray(damaged.read_bytes())
    content[50] ^= 1
    damaged.write_bytes(content)

    with pytest.raises(StreamCorrupt, match=damaged.name):
        forget_entries(filled.url, without_iris)

    assert damaged.read_bytes() == content


def test_a_payload_of_another_length_is_refused(filled):
    before = entries(filled)

    with pytest.raises(ValueError, match="same length"):
        forget_entries(filled.url, lambda entry: b"short")

    assert entries(filled) == before


@pytest.mark.parametrize("step", ["write", "rename", "fsync_directory"])
def test_a_disk_that_fails_leaves_every_segment_whole(filled, step):
    class FailingDisk(Disk):
        pass

    def fail(*_arguments):
        raise OSError(28, "No space left on device")

    setattr(FailingDisk, step, staticmethod(fail))
    ends = [entry[0] for entry in entries(filled)]

    with pytest.raises(StreamUnavailable, match="No space left"):
        rewrite_segments(filled.directory, without_iris, disk=FailingDisk())

    assert [entry[0] for entry in entries(filled)] == ends
    forget_entries(filled.url, without_iris)
    assert not any(b"Iris" in path.read_bytes() for path in filled.directory.iterdir())


KILL = """
import os, sys
from pathlib import Path
from call_stream.disk import Disk
from call_stream.segment_rewriting import rewrite_segments

class Dying(Disk):
    left = int(sys.argv[2])

for name in ("write", "rename", "fsync_directory"):
    def step(self, *arguments, name=name):
        if not Dying.left:
            os._exit(77)
        Dying.left -= 1
        return getattr(Disk, name)(self, *arguments)
    setattr(Dying, name, step)

def blank(frame):
    return b"blank".ljust(len(frame.payload)) if b"Iris" in frame.payload else None

rewrite_segments(Path(sys.argv[1]), blank, disk=Dying())
"""


def test_whoever_is_killed_at_any_step_leaves_a_stream_that_reads(filled):
    before = entries(filled)
    codes = []
    for steps in range(5):
        run = subprocess.run(
            [sys.executable, "-c", KILL, str(filled.directory), str(steps)], check=False
        )
        codes.append(run.returncode)

        after = entries(filled)
        assert [entry[:3] for entry in after] == [entry[:3] for entry in before]
        assert all(
            new[3] in (old[3], b"blank".ljust(len(old[3])))
            for new, old in zip(after, before, strict=True)
        )

    filled.open(segment_bytes=SEGMENT_BYTES)
    filled.append(b"new")
    filled.close()
    done = forget_entries(filled.url, without_iris)

    assert codes == [KILLED] * 5
    assert done.entries > 0
    assert not list(filled.directory.glob("*.tmp"))
    assert not any(b"Iris" in path.read_bytes() for path in filled.directory.iterdir())


def test_a_draft_that_a_starting_writer_clears_away_is_made_again(filled):
    class ClearedOnce(Disk):
        cleared = False

        def rename(self, source, target):
            if not ClearedOnce.cleared:
                ClearedOnce.cleared = True
                source.unlink()
            super().rename(source, target)

    done = rewrite_segments(
        filled.directory,
        lambda frame: without_iris(frame),
        disk=ClearedOnce(),
    )

    assert (done.frames, done.left) == (12, 0)


def test_retention_waits_while_segments_are_rewritten(filled):
    filled.reader().save_position("sync", filled.reader().end())
    count = len(filled.segments())
    old = {"segment_bytes": SEGMENT_BYTES, "retention_days": 1, "clock_ns": lambda: 10**19}

    with segments_held(filled.directory, wait=True):
        writer = filled.open(**old)
        count_meanwhile = len(filled.segments())
    writer._log.delete_expired()

    assert count_meanwhile == count
    assert len(filled.segments()) == 1


def test_a_stream_that_holds_nothing_has_nothing_to_forget(stream):
    done = forget_entries(stream.url, without_iris)

    assert (done.entries, done.left) == (0, 0)
    assert not stream.directory.exists()


def test_servers_delete_the_entries_and_every_reader_passes_over_the_gap(network_stream):
    network_stream.open()
    large = b"Iris" + bytes(2_000_000)
    positions = network_stream.append(b"Ivo", b"Iris", b"Ivo", large, b"Ivo")

    counted = forget_entries(network_stream.url, without_iris, dry_run=True)
    done = forget_entries(network_stream.url, without_iris)
    again = forget_entries(network_stream.url, without_iris)

    assert (counted.entries, done.entries, done.left, again.entries) == (2, 2, 0, 0)
    assert network_stream.read() == [b"Ivo"] * 3
    assert network_stream.read(positions[0]) == [b"Ivo"] * 2
    assert network_stream.read(positions[1]) == [b"Ivo"] * 2


def test_entries_that_servers_may_not_delete_are_counted_as_left(network_stream):
    network_stream.open()
    network_stream.close()
    config = wanted_config(parse_jetstream_url(network_stream.url), None)
    config.deny_delete = True

    async def make_anew(js):
        await js.delete_stream(config.name)
        await js.add_stream(config)

    ask_server(network_stream.url, make_anew)
    network_stream.open()
    network_stream.append(b"Ivo", b"Iris")

    done = forget_entries(network_stream.url, without_iris)

    assert (done.entries, done.left) == (0, 1)
    assert "deny_delete" in (done.why_left or "")
    assert network_stream.read() == [b"Ivo", b"Iris"]


@pytest.mark.parametrize("step", ["chunks", "object", "message"])
def test_servers_that_are_cut_off_while_forgetting_forget_the_next_time(
    network_stream, monkeypatch, step
):
    network_stream.open()
    large = b"Iris" + bytes(2_000_000)
    network_stream.append(b"Ivo", large, b"Ivo")

    async def cut(*_arguments, **_options):
        raise TimeoutError

    with monkeypatch.context() as patched:
        target, name = {
            "chunks": (JetStreamContext, "purge_stream"),
            "object": (JetStreamContext, "publish"),
            "message": (JetStreamContext, "delete_msg"),
        }[step]
        patched.setattr(target, name, cut)
        with pytest.raises(StreamUnavailable):
            forget_entries(network_stream.url, without_iris)
    monkeypatch.setattr("call_stream.jetstream_payloads._FETCH_S", 0.5)
    done = forget_entries(network_stream.url, without_iris)

    async def left(js):
        return await js.stream_info(
            f"OBJ_{name_of(network_stream.url)}_payloads", subjects_filter="$O.*.C.>"
        )

    assert (done.entries, done.left) == (1, 0)
    assert network_stream.read() == [b"Ivo", b"Ivo"]
    assert not ask_server(network_stream.url, left).state.subjects


def test_an_entry_whose_payload_was_lost_otherwise_is_left_and_told(network_stream):
    name = name_of(network_stream.url)
    network_stream.open()
    network_stream.append(b"Iris", bytes(2_000_000), b"Iris", b"Ivo")
    ask_server(network_stream.url, lambda js: js.delete_object_store(f"{name}_payloads"))

    done = forget_entries(network_stream.url, without_iris)

    assert (done.entries, done.left, done.is_busy) == (2, 1, False)
    assert "is missing" in (done.why_left or "")
    with pytest.raises(PayloadMissing):
        network_stream.read()
