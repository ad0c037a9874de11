"""Streams in a temporary directory, and disks that fail on request."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from call_stream.disk import Disk
from call_stream.file_reader import FileStreamReader
from call_stream.file_writer import FileStreamWriter, open_file_writer
from call_stream.segment_log import Entry
from call_stream.stream import EntryKind


class Stream:
    """A stream's directory, the writer opened last, and what can be read."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.writers: list[FileStreamWriter] = []

    def open(self, **options: Any) -> FileStreamWriter:
        """The next writer; the one before is closed first."""
        self.close()
        self.writers.append(open_file_writer(self.directory, **options))
        return self.writers[-1]

    def close(self) -> None:
        for writer in self.writers:
            writer.close()

    def append(self, *payloads: bytes) -> list[int]:
        """The position of each payload, each flushed as a batch of its own."""
        return [self.writers[-1].append(EntryKind.CALL, each).result(10) for each in payloads]

    def append_batch(self, *payloads: bytes) -> list[int]:
        """The positions of payloads flushed together; the writing thread is bypassed."""
        entries = [Entry(EntryKind.CALL, 1, payload) for payload in payloads]
        return self.writers[-1]._log.append(entries)

    def reader(self) -> FileStreamReader:
        return FileStreamReader(self.directory)

    def read(self, after: int = 0) -> list[bytes]:
        """The payloads behind a position."""
        return [entry.payload for entry in self.reader().read(after)]

    def segments(self) -> list[Path]:
        return sorted(self.directory.glob("*.calls"))


@pytest.fixture
def stream(tmp_path: Path) -> Iterator[Stream]:
    stream = Stream(tmp_path / "stream")
    yield stream
    stream.close()


class FaultyDisk(Disk):
    """Records every call; fails the next ones that are planned for it."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.planned: dict[str, list[OSError | int]] = {}
        """By call: an error to raise, or for `write` how many bytes to take."""

    def fail(self, call: str, code: int, *, times: int = 1) -> None:
        self.planned.setdefault(call, []).extend([OSError(code, os.strerror(code))] * times)

    def take_only(self, *sizes: int) -> None:
        self.planned.setdefault("write", []).extend(sizes)

    def fill_after(self, size: int) -> None:
        self.planned.setdefault("write", []).extend(
            [size, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))]
        )

    def _next(self, call: str) -> int | None:
        self.calls.append(call)
        planned = self.planned.get(call)
        if not planned:
            return None
        fault = planned.pop(0)
        if isinstance(fault, OSError):
            raise fault
        return fault

    def write(self, fd: int, data: bytes | memoryview) -> int:
        size = self._next("write")
        if size == 0:
            return 0
        return super().write(fd, data if size is None else data[:size])

    def fdatasync(self, fd: int) -> None:
        self._next("fdatasync")
        super().fdatasync(fd)

    def ftruncate(self, fd: int, size: int) -> None:
        self._next("ftruncate")
        super().ftruncate(fd, size)

    def rename(self, source: Path, target: Path) -> None:
        self._next("rename")
        super().rename(source, target)

    def fsync_directory(self, directory: Path) -> None:
        self._next("fsync_directory")
        super().fsync_directory(directory)


@pytest.fixture
def disk() -> FaultyDisk:
    return FaultyDisk()
