"""What a power cut may leave of the disk, replayed: every answered call is read, and no other.

A cut keeps what was flushed and any part of what was not: whole writes, the beginning of one,
blocks of it, zeros in its place, or nothing; and names only once their directory was flushed.
"""

from __future__ import annotations

import os
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from call_stream.disk import Disk
from call_stream.excerpt import record_from_excerpt
from call_stream.file_writer import open_file_writer
from call_stream.stream import open_reader

_BLOCK_BYTES = 4096


class Wrote(NamedTuple):
    file: str
    offset: int
    data: bytes


class Flushed(NamedTuple):
    file: str


class Renamed(NamedTuple):
    source: str
    target: str


class NamesFlushed(NamedTuple):
    pass


class Answered(NamedTuple):
    call_id: str


class RecordingDisk(Disk):
    """The real disk, and a list of all that was asked of it."""

    def __init__(self) -> None:
        self.steps: list[Any] = []
        self.lock = threading.Lock()

    def note(self, step: Any) -> None:
        with self.lock:
            self.steps.append(step)

    def write(self, fd: int, data: bytes | memoryview) -> int:
        offset = os.fstat(fd).st_size
        self.note(Wrote(name_of(fd), offset, bytes(data)))
        taken = super().write(fd, data)
        assert taken == len(data)
        return taken

    def fdatasync(self, fd: int) -> None:
        super().fdatasync(fd)
        self.note(Flushed(name_of(fd)))

    def rename(self, source: Path, target: Path) -> None:
        self.note(Renamed(source.name, target.name))
        super().rename(source, target)

    def fsync_directory(self, directory: Path) -> None:
        super().fsync_directory(directory)
        self.note(NamesFlushed())


def name_of(fd: int) -> str:
    return Path(f"/proc/self/fd/{fd}").readlink().name


class CutDisk:
    """What is on the medium at some moment, and what may or may not be."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.contents: dict[str, bytearray] = {}
        self.unflushed: dict[str, list[Wrote]] = {}
        self.names: dict[str, str] = {}
        """Of each file that is named for good, its name."""
        self.renamed: dict[str, str] = {}

    def take(self, step: Any) -> None:
        if isinstance(step, Wrote):
            self.unflushed.setdefault(self.file(step.file), []).append(step)
        elif isinstance(step, Flushed):
            file = self.file(step.file)
            for wrote in self.unflushed.pop(file, []):
                self.put(file, wrote.offset, wrote.data)
        elif isinstance(step, Renamed):
            self.renamed[step.target] = step.source
        elif isinstance(step, NamesFlushed):
            self.names.update({file: self.last_name(file) for file in self.files()})

    def file(self, name: str) -> str:
        """A file is known by the name it was made under."""
        return self.renamed.get(name, name)

    def files(self) -> set[str]:
        return {*self.contents, *self.unflushed}

    def last_name(self, file: str) -> str:
        return next((new for new, old in self.renamed.items() if old == file), file)

    def put(self, file: str, offset: int, data: bytes) -> None:
        content = self.contents.setdefault(file, bytearray())
        content.extend(bytes(max(0, offset + len(data) - len(content))))
        content[offset : offset + len(data)] = data

    def leave(self, directory: Path) -> None:
        """Write one of the images that the cut may leave."""
        for file, writes in self.unflushed.items():
            for wrote in writes:
                self.put_some(file, wrote)
        directory.mkdir()
        for file in self.files():
            name = self.names.get(file) or self.chance.choice([None, file, self.last_name(file)])
            if name is not None:
                (directory / name).write_bytes(self.contents.get(file, b""))

    def put_some(self, file: str, wrote: Wrote) -> None:
        data, chance = wrote.data, self.chance
        kind = chance.choice(["all", "beginning", "blocks", "zeros", "nothing"])
        if kind == "beginning":
            data = data[: chance.randrange(len(data))]
        elif kind == "zeros":
            data = bytes(chance.randrange(len(data) + 1))
        elif kind == "blocks":
            data = bytearray(data)
            for start in range(-(wrote.offset % _BLOCK_BYTES), len(data), _BLOCK_BYTES):
                begin, end = max(0, start), min(len(data), start + _BLOCK_BYTES)
                if chance.random() < 0.5:
                    data[begin:end] = bytes(end - begin)
        if kind != "nothing":
            self.put(file, wrote.offset, bytes(data))


def test_no_power_cut_loses_an_answered_call_or_makes_one_up(serve, report, tmp_path):
    seed = int(os.environ.get("TEST_SEED", random.randrange(10**6)))
    images = int(os.environ.get("TEST_IMAGES", "100"))
    disk = RecordingDisk()
    receiver = serve(stream=open_file_writer(tmp_path / "stream", disk=disk, segment_bytes=60_000))
    chance = random.Random(seed)
    sizes = [chance.choice([10, 500, 5000, 20_000]) for _ in range(100)]

    def post(number):
        call_id = f"call-{number}"
        answer = receiver.post(report(call_id, artifact={"transcript": "a" * sizes[number]}))
        assert answer.status_code == 200
        disk.note(Answered(call_id))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(post, range(100)))
    sent = {record_from_excerpt(each.payload).id: each.payload for each in receiver.stored()}

    assert len(sent) == 100
    for image in range(images):
        cut_at = chance.randrange(len(disk.steps) + 1)
        cut, answered = CutDisk(random.Random(f"{seed}-{image}")), set()
        for step in disk.steps[:cut_at]:
            cut.take(step)
            if isinstance(step, Answered):
                answered.add(step.call_id)
        directory = tmp_path / f"image-{image}"
        cut.leave(directory)

        open_file_writer(directory).close()
        read = [each.payload for each in open_reader(f"file:{directory}").read()]

        where = f"seed {seed}, image {image}, cut at step {cut_at}"
        ids = [record_from_excerpt(payload).id for payload in read]
        assert answered <= set(ids), where
        assert len(ids) == len(set(ids)), where
        assert all(sent[call_id] == payload for call_id, payload in zip(ids, read, strict=True))
