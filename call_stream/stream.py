"""What receiver and tap share: entries in, positions out, whatever keeps them.

Knows nothing of files, networks or what an entry holds; `open_writer` and `open_reader` choose
the implementation by the URL's scheme.
"""

from __future__ import annotations

import enum
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    import asyncio
    import concurrent.futures

SEGMENT_BYTES = 64 * 1024 * 1024
"""Size at which a file stream starts its next segment."""

MAX_PAYLOAD_BYTES = 16 * 1024 * 1024
"""Largest payload one entry can hold, in every kind of stream."""

SUPPORTED_URLS = (
    "file:/absolute/path, file:///absolute/path, file:relative/path or nats://HOST:4222/STREAM"
)

Owner = tuple[str, str]
"""The user and the workspace an entry belongs to."""

DEFAULT_OWNER: Owner = ("default", "default")


class EntryKind(enum.IntEnum):
    """What an entry holds; another form of a payload is another kind."""

    CALL = 1
    """A call record."""
    QUARANTINE = 2
    """What is known of a report that names no call."""
    REPORT = 3
    """An excerpt of a report, of which the reader makes the record."""


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class StreamEntry(NamedTuple):
    """One stored entry; `position` lies just after it, so reading resumes behind it.

    Positions only grow and are never given to another entry, but they are not consecutive.
    """

    position: int
    kind: EntryKind
    received_ns: int
    payload: bytes

    @property
    def received_at(self) -> datetime:
        """When it was appended."""
        # In whole microseconds: a float of seconds would already be wrong in the last digits.
        return _EPOCH + timedelta(microseconds=self.received_ns // 1000)


@dataclass(frozen=True, slots=True)
class Backlog:
    """What of a stream a named reader has not finished with; an empty backlog has no bytes."""

    end: int
    """Where the stream ends."""
    position: int
    """What the reader has finished with; 0 when it never said."""
    size_bytes: int
    """What is stored in between; of a JetStream an estimate, by the average entry."""
    oldest_at: datetime | None
    """When the first entry in between was received; None where there is none."""


class StreamError(Exception):
    """Anything a call stream cannot do; its text is a sentence fit for people."""


class UnsupportedStreamUrl(StreamError):
    """The URL names no kind of stream we have."""


class StreamUnavailable(StreamError):
    """Nothing can be stored now; what was refused is not in the stream."""


class StreamBusy(StreamError):
    """Another process writes to this stream."""


class StreamCorrupt(StreamError):
    """An acknowledged entry is damaged; nothing behind it is read or written over."""

    def __init__(self, segment: str, offset: int, what: str = "an acknowledged entry") -> None:
        self.segment = segment
        self.offset = offset
        super().__init__(
            f"The call stream is damaged: {what} in segment {segment} at byte {offset} cannot be"
            " read. Restore the segment from a backup, or move it away to go on without it."
        )


class PositionGone(StreamError):
    """No entry ends at this position (any more)."""

    def __init__(self, position: int, why: str) -> None:
        self.position = position
        super().__init__(
            f"The call stream cannot go on from position {position}: {why}. Reset the bookmark to"
            " read everything that is kept."
        )


class EventLoopWriter(Protocol):
    """Takes entries in an event loop; they are in the stream, durably, once their future is done.

    Whose an entry is counts where the stream keeps owners apart; in files it does not.
    """

    def append_async(
        self, kind: EntryKind, payload: bytes, *, owner: Owner = DEFAULT_OWNER
    ) -> asyncio.Future[int]:
        """A future of the entry's position, done only when the entry is durable.

        To be called in a running event loop, which is woken once per batch. Raises
        StreamUnavailable at once when refusal is already known, else through the future. Raises
        ValueError for an empty payload or one over MAX_PAYLOAD_BYTES.
        """

    def check(self) -> None:
        """Returns when entries can be stored. Raises StreamUnavailable with the reason if not."""

    def close(self) -> None:
        """Stores what was taken, then lets go of the stream. May be called twice."""


class CallStreamWriter(EventLoopWriter, Protocol):
    """The same for threads, too."""

    def append(
        self, kind: EntryKind, payload: bytes, *, owner: Owner = DEFAULT_OWNER
    ) -> concurrent.futures.Future[int]:
        """A future of the entry's position, done only when the entry is durable.

        Raises StreamUnavailable at once when refusal is already known, else through the future.
        Raises ValueError for an empty payload or one over MAX_PAYLOAD_BYTES.
        """


class CallStreamReader(Protocol):
    """Reads entries by position, also while a writer appends."""

    def read(self, after: int = 0) -> Iterator[StreamEntry]:
        """Entries behind position `after` (0: all that is kept), ending at the last whole one.

        Raises PositionGone and StreamCorrupt.
        """

    def end(self) -> int:
        """Position just after the last whole entry; 0 when nothing was ever written."""

    def save_position(self, reader: str, position: int) -> None:
        """Keeps what this named reader has finished with.

        Retention of a file stream deletes nothing behind it; JetStream goes by age alone.
        """

    def load_position(self, reader: str) -> int:
        """The position this named reader saved last; 0 when it never did."""

    def load_backlog(self, reader: str) -> Backlog:
        """What this named reader has not finished with, without reading through it.

        Raises PositionGone and StreamCorrupt.
        """


def open_writer(
    url: str,
    *,
    segment_bytes: int = SEGMENT_BYTES,
    retention_days: float | None = None,
) -> CallStreamWriter:
    """A writer of the stream at `url`, of files the only one; no retention unless days are given.

    Raises StreamError: of a file stream UnsupportedStreamUrl, StreamBusy, StreamCorrupt and
    StreamUnavailable. That no server answers refuses entries later, and does not raise here.
    """
    if is_network(url):
        _need_driver()
        from call_stream.jetstream_writer import open_jetstream_writer

        return open_jetstream_writer(url, retention_days=retention_days)
    from call_stream.file_writer import open_file_writer

    return open_file_writer(
        directory_of(url), segment_bytes=segment_bytes, retention_days=retention_days
    )


def open_event_loop_writer(url: str, *, retention_days: float | None = None) -> EventLoopWriter:
    """A writer for an event loop that does much else; of files in a process of its own.

    Raises what `open_writer` raises, but plain StreamError for damage. To be closed in its loop.
    """
    if is_network(url):
        return open_writer(url, retention_days=retention_days)
    from call_stream.process_writer import open_process_writer

    return open_process_writer(directory_of(url), retention_days=retention_days)


def open_reader(url: str) -> CallStreamReader:
    """A reader of the stream at `url`, which need not exist yet; nothing is asked of it here.

    Raises UnsupportedStreamUrl, and StreamError where the driver of such a stream is missing.
    """
    if is_network(url):
        _need_driver()
        from call_stream.jetstream_reader import open_jetstream_reader

        return open_jetstream_reader(url)
    from call_stream.file_reader import FileStreamReader

    return FileStreamReader(directory_of(url))


def is_network(url: str) -> bool:
    """Whether servers keep the stream at `url`, and not files of this host."""
    return url.partition(":")[0].lower() in ("nats", "tls")


def _need_driver() -> None:
    if importlib.util.find_spec("nats") is None:
        raise StreamError(
            "The driver of NATS is not installed, which the call stream URL asks for."
            " pip install 'target-hubspot-calls[nats]'"
        )


def directory_of(url: str) -> Path:
    """The directory of a file stream. Raises UnsupportedStreamUrl."""
    scheme, colon, path = url.partition(":")
    if not colon or scheme.lower() != "file":
        # Only the scheme is repeated: the rest of a network URL may hold a password.
        named = f"'{scheme}:'" if colon else "no scheme"
        raise UnsupportedStreamUrl(
            f"The call stream URL has {named}; supported is {SUPPORTED_URLS}."
        )
    if path.startswith("//"):
        path = path[2:]
        if not path.startswith("/"):
            raise UnsupportedStreamUrl(
                f"The call stream URL names another host; supported is {SUPPORTED_URLS}."
            )
    if not path or "\0" in path:
        raise UnsupportedStreamUrl(
            f"The call stream URL has no usable path; supported is {SUPPORTED_URLS}."
        )
    return Path(path).absolute()
