"""Streams of both engines, and disks that fail on request.

What every call stream does is asked of `any_stream`, once in files and once on JetStream. Without a
NATS server that half is skipped, but in CI.
"""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from call_stream.disk import Disk
from call_stream.file_reader import FileStreamReader
from call_stream.file_writer import FileStreamWriter, open_file_writer
from call_stream.jetstream_reader import JetStreamReader, open_jetstream_reader
from call_stream.jetstream_writer import JetStreamWriter, open_jetstream_writer
from call_stream.segment_log import Entry
from call_stream.stream import EntryKind
from tests.call_stream.nats_server import (
    NatsServer,
    current_nats_server_command,
    nats_cluster,
    nats_server,
)
from tests.needed_servers import or_skip


class Stream:
    """A stream's directory, the writer opened last, and what can be read."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.writers: list[FileStreamWriter] = []

    @property
    def url(self) -> str:
        return f"file:{self.directory}"

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


class NetworkStream:
    """A stream on JetStream: its URL, the writer opened last, and what can be read."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.writers: list[JetStreamWriter] = []
        self.readers: list[JetStreamReader] = []

    def open(self, *, segment_bytes: int = 0, **options: Any) -> JetStreamWriter:
        """The next writer; the one before is closed first. There are no segments here."""
        for writer in self.writers:
            writer.close()
        return self.open_beside(**options)

    def open_beside(self, **options: Any) -> JetStreamWriter:
        """A writer more, as any number may write."""
        self.writers.append(open_jetstream_writer(self.url, **options))
        return self.writers[-1]

    def close(self) -> None:
        for each in (*self.writers, *self.readers):
            each.close()

    def append(self, *payloads: bytes) -> list[int]:
        """The position of each payload, each acknowledged before the next is appended."""
        return [self.writers[-1].append(EntryKind.CALL, each).result(10) for each in payloads]

    def reader(self, **options: Any) -> JetStreamReader:
        self.readers.append(open_jetstream_reader(self.url, **options))
        return self.readers[-1]

    def read(self, after: int = 0) -> list[bytes]:
        """The payloads behind a position."""
        return [entry.payload for entry in self.reader().read(after)]


@pytest.fixture(scope="session")
def nats_alone() -> Iterator[NatsServer]:
    """A server that all tests share and none may stop."""
    with or_skip(), nats_server() as server:
        yield server


@pytest.fixture
def nats_own() -> Iterator[Callable[..., NatsServer]]:
    """Starts servers of the test's own, to be stopped, killed and configured."""
    with ExitStack() as stack:

        def start(**options: str) -> NatsServer:
            with or_skip():
                return stack.enter_context(nats_server(**options))

        yield start


@pytest.fixture(scope="session")
def nats_current() -> Iterator[NatsServer]:
    """A server of a current version that tests share and none may stop."""
    with or_skip(), nats_server(command=current_nats_server_command()) as server:
        yield server


@pytest.fixture
def nats_three_current() -> Iterator[Sequence[NatsServer]]:
    """A cluster of the test's own, of a current version."""
    with or_skip(), nats_cluster(command=current_nats_server_command()) as servers:
        yield servers


@pytest.fixture
def nats_three() -> Iterator[Sequence[NatsServer]]:
    """A cluster of the test's own."""
    with or_skip(), nats_cluster() as servers:
        yield servers


_numbers = itertools.count(1)


@pytest.fixture
def network_stream(nats_alone: NatsServer) -> Iterator[NetworkStream]:
    """A stream of the test's own, on the server all share."""
    stream = NetworkStream(nats_alone.url(f"calls_{next(_numbers)}"))
    yield stream
    stream.close()


@pytest.fixture
def current_stream(nats_current: NatsServer) -> Iterator[NetworkStream]:
    """The same, on a server of a current version."""
    stream = NetworkStream(nats_current.url(f"calls_{next(_numbers)}"))
    yield stream
    stream.close()


@pytest.fixture
def stream_at() -> Iterator[Callable[[str], NetworkStream]]:
    """Gives the stream at a URL, and closes what was opened of it."""
    with ExitStack() as stack:

        def make(url: str) -> NetworkStream:
            stream = NetworkStream(url)
            stack.callback(stream.close)
            return stream

        yield make


@pytest.fixture(params=["file", "jetstream"])
def any_stream(request: pytest.FixtureRequest) -> Stream | NetworkStream:
    """A stream of either engine."""
    return request.getfixturevalue("stream" if request.param == "file" else "network_stream")


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
