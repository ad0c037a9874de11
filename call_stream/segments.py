"""The directory of a file stream: its segment files, read side, and who has read how far.

Knows names, headers and frames on disk; it never writes a segment, and no payload's meaning.

    <20-digit base position>.calls    a 32-byte header, then frames; 0600
    writer.lock                       flock of the one writer; holds the end after a clean close
    readers/<name>.json               the position a named reader has finished with

A position is base + offset in the file, so header bytes count. A new segment starts where the
one before ended, or POSITION_GAP further on when entries behind that end may have been seen by
a reader and are gone: flushed to no disk before a power cut, or rolled back on a full one. The
header names the end of the segment before, so that a gap is told from a loss. The very first
base is the time in microseconds: a bookmark of a stream that was thrown away never fits a new one.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from call_stream.frames import (
    FRAME_HEAD_BYTES,
    SEGMENT_HEADER_BYTES,
    Frame,
    claimed_bytes,
    later_batch_follows,
    parse_frame,
    parse_segment_header,
)
from call_stream.stream import StreamCorrupt

POSITION_GAP = 32 * 1024 * 1024
"""More bytes than one batch can have, which is as far as a reader can see past the durable end."""

READERS_NAME = "readers"
_SEGMENT_NAME = re.compile(r"([0-9]{20})\.calls")
_READER_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class SegmentFile:
    """A segment by name; its header is not read yet."""

    base: int
    path: Path


def segment_path(directory: Path, base: int) -> Path:
    """Where the segment starting at `base` lies."""
    return directory / f"{base:020d}.calls"


def list_segments(directory: Path) -> list[SegmentFile]:
    """All segments, oldest first; other files are nobody's business."""
    try:
        names = os.listdir(directory)  # noqa: PTH208  names are all that is wanted
    except FileNotFoundError:
        return []
    matches = (_SEGMENT_NAME.fullmatch(name) for name in names)
    bases = sorted(int(match[1]) for match in matches if match)
    return [SegmentFile(base, segment_path(directory, base)) for base in bases]


def segment_sizes(directory: Path) -> dict[int, int]:
    """Bytes of each segment's file, by its base; one that is deleted meanwhile is left out."""
    sizes = {}
    for segment in list_segments(directory):
        with suppress(FileNotFoundError):
            sizes[segment.base] = segment.path.stat().st_size
    return sizes


class OpenSegment:
    """An open segment to read from; its header has been checked."""

    def __init__(self, segment: SegmentFile) -> None:
        self.base = segment.base
        self.name = segment.path.name
        self._fd = os.open(segment.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            header = parse_segment_header(os.pread(self._fd, SEGMENT_HEADER_BYTES, 0))
            if header is None or header.base != segment.base:
                raise StreamCorrupt(self.name, 0, "the header")
        except BaseException:
            os.close(self._fd)
            raise
        self.previous_end = header.previous_end
        self.start = self.base + SEGMENT_HEADER_BYTES

    def __enter__(self) -> OpenSegment:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the file."""
        os.close(self._fd)

    def file_end(self) -> int:
        """Position of the end of the file as it is now, whole frames or not."""
        return self.base + os.fstat(self._fd).st_size

    def frames(self, position: int) -> Iterator[Frame]:
        """Whole frames from `position` on, up to the first place where there is none."""
        buffer, at = b"", 0
        while True:
            frame = parse_frame(buffer, at, position)
            if frame is not None:
                at += frame.end - position
                position = frame.end
                yield frame
                continue
            left = len(buffer) - at
            needed = claimed_bytes(buffer, at) if left >= FRAME_HEAD_BYTES else FRAME_HEAD_BYTES
            if left >= needed:
                return
            buffer, at = self._read(position, max(needed, _CHUNK_BYTES)), 0
            if len(buffer) < needed:
                return

    def last_end(self, position: int) -> int:
        """Where the whole frames from `position` on end."""
        for frame in self.frames(position):
            position = frame.end
        return position

    def acknowledged_at(self, position: int) -> bool:
        """Whether what stands at `position` had been flushed, because a later batch follows it."""
        behind = self.file_end() - position
        return behind > 0 and later_batch_follows(self._read(position, behind), position)

    def _read(self, position: int, size: int) -> bytes:
        return os.pread(self._fd, size, position - self.base)


def reader_path(directory: Path, reader: str) -> Path:
    """Where the position of the named reader is kept. Raises ValueError for an unfit name."""
    if not _READER_NAME.fullmatch(reader):
        raise ValueError("a reader's name has 1 to 64 letters, digits, '-' or '_'")
    return directory / READERS_NAME / f"{reader}.json"


def load_positions(directory: Path) -> dict[str, int]:
    """The saved position of every named reader. Raises StreamCorrupt for an unreadable one."""
    positions = {}
    for path in sorted((directory / READERS_NAME).glob("*.json")):
        if _READER_NAME.fullmatch(path.stem):
            positions[path.stem] = _load_position(path)
    return positions


def _load_position(path: Path) -> int:
    try:
        position = json.loads(path.read_bytes())["position"]
    except (ValueError, KeyError, TypeError) as err:
        raise StreamCorrupt(path.name, 0, "the reader's position") from err
    if not isinstance(position, int):
        raise StreamCorrupt(path.name, 0, "the reader's position")
    return position


def load_position(directory: Path, reader: str) -> int:
    """The position the named reader saved last; 0 when it never did."""
    try:
        return _load_position(reader_path(directory, reader))
    except FileNotFoundError:
        return 0
