"""Reading a file stream by position, also while its writer appends.

Never writes a segment and never waits: reading ends at the last whole entry, and goes on from
there when asked again. Knows no payload's meaning.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Generator, Iterator
from datetime import UTC, datetime
from pathlib import Path

from call_stream.disk import fsync_directory
from call_stream.frames import Frame
from call_stream.segments import (
    POSITION_GAP,
    OpenSegment,
    list_segments,
    load_position,
    reader_path,
    segment_sizes,
)
from call_stream.stream import (
    Backlog,
    EntryKind,
    PositionGone,
    StreamCorrupt,
    StreamEntry,
    StreamError,
)

_KINDS = {int(kind): kind for kind in EntryKind}


class FileStreamReader:
    """A reader of the stream in `directory`; many may read at once, each with its own object."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._known_end = 0

    def read(self, after: int = 0) -> Iterator[StreamEntry]:
        """Entries behind position `after` (0: all that is kept), ending at the last whole one.

        Raises PositionGone and StreamCorrupt.
        """
        base = self._base_holding(after)
        has_begun = bool(after)
        while base is not None:
            try:
                opened = self._open(base, after)
            except PositionGone:
                if has_begun:
                    raise
                base = self._base_holding(0)  # what is kept begins later by now
                continue
            has_begun = True
            with opened as segment:
                base = yield from self._entries_of(segment, max(after, segment.start), after)

    def end(self) -> int:
        """Position just after the last whole entry; 0 when nothing was ever written."""
        segments = list_segments(self._directory)
        if not segments:
            return 0
        with OpenSegment(segments[-1]) as segment:
            known = self._known_end
            if not segment.start <= known <= segment.file_end():
                known = segment.start
            self._known_end = segment.last_end(known)
        return self._known_end

    def save_position(self, reader: str, position: int) -> None:
        """Keeps what this named reader has finished with; retention deletes nothing behind it."""
        path = reader_path(self._directory, reader)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        text = json.dumps({"position": position, "saved_at": datetime.now(UTC).isoformat()})
        fd, temporary = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=path.parent)  # 0600
        try:
            with os.fdopen(fd, "w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        fsync_directory(path.parent)

    def load_position(self, reader: str) -> int:
        """The position this named reader saved last; 0 when it never did."""
        return load_position(self._directory, reader)

    def load_backlog(self, reader: str) -> Backlog:
        """What this named reader has not finished with, without reading through it.

        Looks at file sizes and at one entry; `end` may so lie behind bytes of a batch that is
        being written. Raises PositionGone and StreamCorrupt.
        """
        position = self.load_position(reader)
        oldest = next(self.read(position), None)
        if oldest is None:
            return Backlog(end=position, position=position, size_bytes=0, oldest_at=None)
        sizes = segment_sizes(self._directory)  # of what it lies in, too
        return Backlog(
            end=max(base + size for base, size in sizes.items()),
            position=position,
            size_bytes=sum(
                max(0, base + size - max(base, position)) for base, size in sizes.items()
            ),
            oldest_at=oldest.received_at,
        )

    def _base_holding(self, after: int) -> int | None:
        segments = list_segments(self._directory)
        if not segments:
            if after:
                raise PositionGone(after, "the stream is empty")
            return None
        if not after:
            return segments[0].base
        if after < segments[0].base:
            with self._open(segments[0].base, after) as oldest:
                # After a crash a gap lies before a segment: whoever read up to it lost nothing.
                if not 0 < oldest.previous_end <= after:
                    raise PositionGone(after, "the entries there are no longer kept")
            return segments[0].base
        return max(segment.base for segment in segments if segment.base <= after)

    def _base_after(self, base: int) -> int | None:
        later = (segment.base for segment in list_segments(self._directory))
        return next((later_base for later_base in later if later_base > base), None)

    def _open(self, base: int, after: int) -> OpenSegment:
        for segment in list_segments(self._directory):
            if segment.base == base:
                try:
                    return OpenSegment(segment)
                except FileNotFoundError:
                    break
        raise PositionGone(after, "the entries there are no longer kept")

    def _entries_of(
        self, segment: OpenSegment, position: int, after: int
    ) -> Generator[StreamEntry, None, int | None]:
        """Whole entries of one segment; returns where the next segment starts, if there is one.

        A next segment counts only if it was there before this one was read to its end: else what
        the writer put here in between would be passed over. Raises StreamCorrupt unless the
        entries end where they should.
        """
        asked_at = position
        stuck_at = -1
        while True:
            later_base = self._base_after(segment.base)
            for frame in segment.frames(position):
                position = frame.end
                yield _entry(frame)
            if self._ends_at(segment, position, later_base):
                return later_base
            # What stands here had been flushed. It may have been half written when we read it
            # and whole by now, so only a second look without any progress proves the damage.
            if stuck_at == position:
                raise _fault(segment, position, asked_at, after)
            stuck_at = position

    def _ends_at(self, segment: OpenSegment, position: int, later_base: int | None) -> bool:
        if later_base is not None:
            with self._open(later_base, position) as later:
                # Entries seen past that end were rolled back on a full disk; see segments.py.
                return position >= later.previous_end
        beyond = position - segment.file_end()
        if beyond > POSITION_GAP:
            raise PositionGone(position, "it lies beyond the end of the stream")
        return not segment.acknowledged_at(position)


def _fault(segment: OpenSegment, position: int, asked_at: int, after: int) -> StreamError:
    if after and position == asked_at and asked_at > segment.start:
        end = segment.start
        for frame in segment.frames(segment.start):
            end = frame.end
            if end >= after:
                break
        if end > after:
            return PositionGone(after, "no entry ends there")
    return StreamCorrupt(segment.name, position - segment.base)


def _entry(frame: Frame) -> StreamEntry:
    kind = _KINDS.get(frame.kind)
    if kind is None:
        raise StreamError(
            f"The entry before position {frame.end} is of a kind this version does not know."
            " A newer version wrote it; update this one."
        )
    return StreamEntry(frame.end, kind, frame.received_ns, frame.payload)
