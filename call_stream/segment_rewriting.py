"""Puts other payloads of the same length into segments of a file stream, segment by segment.

A segment is written anew beside the old one and takes its place in one step, so that whoever reads,
and whoever is killed at any moment, finds the old or the new one whole. Positions, times and kinds
stay. Knows no payload's meaning.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from call_stream.disk import Disk
from call_stream.frames import FRAME_HEAD_BYTES, Frame, frame_head
from call_stream.rewriting_lock import segments_held
from call_stream.segments import OpenSegment, SegmentFile, list_segments
from call_stream.stream import StreamBusy, StreamCorrupt, StreamUnavailable
from call_stream.writer_lock import lock_for_writing

NewPayload = Callable[[Frame], bytes | None]
"""What a frame is to hold from now on, as long as what it holds; None leaves it as it is."""

_TRIES = 3


@dataclass(frozen=True)
class Rewritten:
    """How many frames hold something else now, and how many could not be reached."""

    frames: int
    left: int
    """Frames in the newest segment, while another process writes to it."""


def rewrite_segments(
    directory: Path, new_payload: NewPayload, *, disk: Disk | None = None
) -> Rewritten:
    """Gives frames of all segments their new payloads; the newest only where nobody writes to it.

    What it leaves unwritten behind the last whole frame of the newest goes too: it was never
    acknowledged. Raises StreamCorrupt, StreamUnavailable and ValueError for another length.
    """
    disk = disk or Disk()
    if not list_segments(directory):
        return Rewritten(0, 0)
    try:
        with segments_held(directory, wait=True):
            return _rewrite_all(directory, new_payload, disk)
    except OSError as err:
        raise StreamUnavailable(
            f"The call stream in {directory} cannot be rewritten: {err.strerror or err}."
            " What was done stays done; try again."
        ) from err


def count_frames(directory: Path, new_payload: NewPayload) -> Rewritten:
    """What `rewrite_segments` would come to if nobody wrote to the newest; changes nothing."""
    found = 0
    for segment in list_segments(directory):
        with suppress(FileNotFoundError), OpenSegment(segment) as opened:
            found += sum(new_payload(frame) is not None for frame in opened.frames(opened.start))
    return Rewritten(found, 0)


def _rewrite_all(directory: Path, new_payload: NewPayload, disk: Disk) -> Rewritten:
    rewritten = 0
    for segment, following in pairwise(list_segments(directory)):
        with OpenSegment(following) as opened:
            end = opened.previous_end
        rewritten += _rewrite(segment, new_payload, disk, end=end)
    newest = list_segments(directory)[-1]
    try:
        lock = lock_for_writing(directory)
    except StreamBusy:
        with OpenSegment(newest) as opened:
            left = sum(new_payload(frame) is not None for frame in opened.frames(opened.start))
        return Rewritten(rewritten, left)
    try:
        # Whoever had the lock a moment ago may have begun another one.
        for segment in list_segments(directory):
            if segment.base >= newest.base:
                rewritten += _rewrite(segment, new_payload, disk, end=None)
    finally:
        # The mark of a clean end stays as it is: the end is where it was.
        lock.release()
    return Rewritten(rewritten, 0)


def _rewrite(segment: SegmentFile, new_payload: NewPayload, disk: Disk, *, end: int | None) -> int:
    """How many frames were changed; `end` is where the segment has to end, None for the newest."""
    for tries_left in reversed(range(_TRIES)):
        data, changed = _changed(segment, new_payload, end)
        if data is None:
            return 0
        try:
            _replace(segment.path, data, disk)
        except FileNotFoundError:
            # A writer that starts just now clears drafts away, as a killed one may have left them.
            if not tries_left:
                raise
        else:
            return changed
    return 0


def _changed(
    segment: SegmentFile, new_payload: NewPayload, end: int | None
) -> tuple[bytearray | None, int]:
    """The segment's new bytes, None where they are the old ones, and how many frames changed."""
    data: bytearray | None = None
    changed = 0
    with OpenSegment(segment) as opened:
        position = opened.start
        for frame in opened.frames(opened.start):
            start, position = position, frame.end
            payload = new_payload(frame)
            if payload is None:
                continue
            if len(payload) != len(frame.payload):
                raise ValueError("a payload can only be replaced by one of the same length")
            if data is None:
                data = bytearray(segment.path.read_bytes())
            at = start - segment.base
            back = start - frame.batch_start
            head = frame_head(start, back, frame.kind, frame.received_ns, payload)
            data[at : at + FRAME_HEAD_BYTES + len(payload)] = head + payload
            changed += 1
        if position < (opened.file_end() if end is None else end):
            if end is not None or opened.acknowledged_at(position):
                raise StreamCorrupt(opened.name, position - segment.base)
            data = bytearray(segment.path.read_bytes()) if data is None else data
            del data[position - segment.base :]
    return data, changed


def _replace(path: Path, data: bytearray, disk: Disk) -> None:
    """Puts the bytes in the file's place, as old as the file was: retention goes by that."""
    found = path.stat()
    draft = path.with_name(path.name + ".tmp")
    draft.unlink(missing_ok=True)
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        written = 0
        while written < len(data):
            written += disk.write(fd, memoryview(data)[written:])
        os.utime(fd, ns=(found.st_atime_ns, found.st_mtime_ns))
        os.fsync(fd)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    finally:
        os.close(fd)
    disk.rename(draft, path)
    disk.fsync_directory(path.parent)
