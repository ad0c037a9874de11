"""Writing batches of entries durably into segment files: rotation, recovery, retention.

One caller, one thread: knows no queues, futures and sockets (file_writer.py, writing_process.py),
nor what a payload means.
"""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

from msgspec import Struct

from call_stream.disk import Disk
from call_stream.frames import (
    FRAME_HEAD_BYTES,
    SEGMENT_HEADER_BYTES,
    SegmentHeader,
    build_segment_header,
    frame_head,
)
from call_stream.rewriting_lock import segments_held
from call_stream.segments import (
    POSITION_GAP,
    OpenSegment,
    list_segments,
    load_positions,
    segment_path,
)
from call_stream.stream import StreamCorrupt, StreamUnavailable
from call_stream.writer_lock import WriterLock, lock_for_writing

logger = logging.getLogger("call_stream")

BATCH_ENTRIES = 512
"""How many entries a batch should have at most."""
BATCH_BYTES = 8 * 1024 * 1024
"""At how many bytes of payloads a batch should end."""
RETENTION_CHECK_S = 3600.0
"""How often `delete_expired` should be called where nothing is appended."""

_DAY_NS = 24 * 3600 * 1_000_000_000


class Entry(Struct, frozen=True, gc=False):
    """What one frame is made of."""

    kind: int
    received_ns: int
    payload: bytes


class SegmentLog:
    """The writing end of a stream's directory, held under its lock; see `open_segment_log`."""

    def __init__(
        self,
        directory: Path,
        lock: WriterLock,
        *,
        segment_bytes: int,
        retention_days: float | None,
        disk: Disk,
        clock_ns: Callable[[], int],
    ) -> None:
        self.directory = directory
        self.fault: str | None = None
        """Why nothing can be written until the stream is opened again; None while it can."""
        self._lock = lock
        self._segment_bytes = segment_bytes
        self._retention_ns = None if retention_days is None else int(retention_days * _DAY_NS)
        self._disk = disk
        self._clock_ns = clock_ns
        self._fd = -1  # no open segment: the next batch starts one
        self._base = 0
        self._end = 0
        self._next_base = 0

    def append(self, entries: Sequence[Entry]) -> list[int]:
        """The position of each entry; returns when all are durable.

        Raises StreamUnavailable, and then none of them is in the stream.
        """
        if self.fault:
            raise StreamUnavailable(self.fault)
        size = sum(FRAME_HEAD_BYTES + len(entry.payload) for entry in entries)
        self._make_room(size)
        data, positions = _build_batch(self._end, entries)
        self._write(data, first_frame_bytes=positions[0] - self._end)
        try:
            self._disk.fdatasync(self._fd)
        except OSError as err:
            # The kernel has marked the pages clean: a second fdatasync would lie about them.
            raise self._break(err) from err
        self._end = positions[-1]
        return positions

    def commit(self, entries: Sequence[Entry]) -> list[int] | StreamUnavailable:
        """The same as `append`, or why none of them is in the stream; for who serves others."""
        try:
            return self.append(entries)
        except StreamUnavailable as err:
            return err
        except Exception as err:  # whatever it is, nobody may wait forever
            logger.exception("the call stream's writer failed")
            self.fault = f"The call stream's writer failed ({type(err).__name__})."
            return StreamUnavailable(self.fault)

    def recover(self) -> None:
        """Cuts a torn tail and finds where to go on. Raises StreamCorrupt for damaged entries."""
        marked_end = self._lock.take_clean_mark()
        for leftover in self.directory.glob("*.calls.tmp"):
            leftover.unlink()
        segments = list_segments(self.directory)
        if not segments:
            self._next_base = self._clock_ns() // 1000
            return
        with OpenSegment(segments[-1]) as newest:
            self._base, self._end = newest.base, newest.last_end(newest.start)
            torn_bytes = newest.file_end() - self._end
            if newest.acknowledged_at(self._end):
                raise StreamCorrupt(newest.name, self._end - newest.base)
        if marked_end is not None and self._end < marked_end:
            logger.error(
                "the call stream has lost its last %d bytes, which had been acknowledged",
                marked_end - self._end,
            )
        fd = os.open(segments[-1].path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        try:
            if torn_bytes:
                logger.warning("cut a torn tail of %d bytes, never acknowledged", torn_bytes)
                self._disk.ftruncate(fd, self._end - self._base)
            if torn_bytes or self._end != marked_end:
                self._disk.fdatasync(fd)
        except BaseException:
            os.close(fd)
            raise
        if self._end == marked_end:
            self._fd = fd
            return
        # A reader may have seen entries that a power cut took back: leave their positions alone.
        os.close(fd)
        self._next_base = self._end + POSITION_GAP

    def delete_expired(self) -> None:
        """Deletes whole segments older than the retention that every named reader is done with.

        A failure is logged: it costs space, and must not cost a call.
        """
        if self._retention_ns is None:
            return
        try:
            with segments_held(self.directory, wait=False) as alone:
                deleted = self._unlink_expired(self._retention_ns) if alone else 0
            if deleted:
                self._disk.fsync_directory(self.directory)
        except (OSError, StreamCorrupt) as err:
            logger.error("old segments of the call stream could not be deleted: %s", err)

    def _unlink_expired(self, retention_ns: int) -> int:
        positions = load_positions(self.directory)
        if not positions:
            return 0
        finished = min(positions.values())
        oldest_kept_ns = self._clock_ns() - retention_ns
        deleted = 0
        for segment, following in pairwise(list_segments(self.directory)):
            with OpenSegment(following) as opened:
                end = opened.previous_end
            if end > finished or segment.path.stat().st_mtime_ns > oldest_kept_ns:
                break
            segment.path.unlink()
            deleted += 1
        return deleted

    def close(self) -> None:
        """Marks a clean end and lets the next writer in. To be called once."""
        if self._fd >= 0:
            if self.fault is None:
                self._lock.leave_clean_mark(self._end)
            os.close(self._fd)
        self._lock.release()

    def _make_room(self, size: int) -> None:
        """Leaves a segment open that takes `size` bytes more. Raises StreamUnavailable."""
        if self._fd >= 0:
            used = self._end - self._base
            if used == SEGMENT_HEADER_BYTES or used + size <= self._segment_bytes:
                return
            self._leave_segment(next_base=self._end)
        self._start_segment()
        self.delete_expired()

    def _leave_segment(self, *, next_base: int) -> None:
        os.close(self._fd)
        self._fd = -1
        self._next_base = next_base

    def _start_segment(self) -> None:
        header = SegmentHeader(self._next_base, self._end)
        path = segment_path(self.directory, header.base)
        temporary = path.with_name(path.name + ".tmp")
        fd = -1
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
            fd = os.open(temporary, flags, 0o600)
            self._write_all(fd, build_segment_header(header))
            self._disk.fdatasync(fd)
            self._disk.rename(temporary, path)
        except OSError as err:
            # Nothing of this file was ever promised to anybody: throw it away and start anew.
            if fd >= 0:
                os.close(fd)
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise StreamUnavailable(_refusal(err)) from err
        self._fd, self._base, self._end = fd, header.base, header.base + SEGMENT_HEADER_BYTES
        try:
            self._disk.fsync_directory(self.directory)
        except OSError as err:
            raise self._break(err) from err

    def _write(self, data: bytes, *, first_frame_bytes: int) -> None:
        try:
            self._write_all(self._fd, data)
        except OSError as err:
            if err.errno == errno.EIO:
                raise self._break(err) from err
            self._roll_back(first_frame_bytes)
            raise StreamUnavailable(_refusal(err)) from err

    def _write_all(self, fd: int, data: bytes) -> None:
        written = self._disk.write(fd, data)
        while written < len(data):
            more = self._disk.write(fd, memoryview(data)[written:])
            if more == 0:
                raise OSError(errno.ENOSPC, "the disk takes no more bytes")
            written += more

    def _roll_back(self, first_frame_bytes: int) -> None:
        """Takes a half-written batch back, so that no later entry stands behind a torn one."""
        offset = self._end - self._base
        seen_by_readers = os.fstat(self._fd).st_size >= offset + first_frame_bytes
        try:
            self._disk.ftruncate(self._fd, offset)
            self._disk.fdatasync(self._fd)
        except OSError as err:
            raise self._break(err) from err
        if seen_by_readers:
            self._leave_segment(next_base=self._end + POSITION_GAP)

    def _break(self, err: OSError) -> StreamUnavailable:
        """Refuses everything from now on; only opening the stream anew looks at the disk again."""
        self.fault = (
            f"The call stream cannot be written: {err.strerror or err}. Restart the receiver once"
            " the disk is in order."
        )
        logger.error("%s", self.fault)
        with suppress(OSError):  # what was not flushed must not look whole to the next writer
            self._disk.ftruncate(self._fd, self._end - self._base)
        return StreamUnavailable(self.fault)


def open_segment_log(
    directory: Path,
    *,
    segment_bytes: int,
    retention_days: float | None,
    disk: Disk | None = None,
    clock_ns: Callable[[], int] = time.time_ns,
    sleep: Callable[[float], None] = time.sleep,
) -> SegmentLog:
    """The recovered log in `directory`, which is made if needed, under its lock.

    Raises StreamBusy, StreamCorrupt and StreamUnavailable.
    """
    disk = disk or Disk()
    try:
        _make_directory(directory, disk)
        lock = lock_for_writing(directory, sleep)
    except OSError as err:
        raise StreamUnavailable(
            f"The call stream's directory {directory} cannot be used: {err.strerror or err}."
        ) from err
    log = SegmentLog(
        directory,
        lock,
        segment_bytes=segment_bytes,
        retention_days=retention_days,
        disk=disk,
        clock_ns=clock_ns,
    )
    try:
        log.recover()
        log.delete_expired()
    except OSError as err:
        lock.release()
        raise StreamUnavailable(_refusal(err)) from err
    except BaseException:
        lock.release()
        raise
    return log


def _make_directory(directory: Path, disk: Disk) -> None:
    if not directory.is_dir():
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        disk.fsync_directory(directory.parent)


def _build_batch(position: int, entries: Sequence[Entry]) -> tuple[bytes, list[int]]:
    parts: list[bytes] = []
    positions: list[int] = []
    start = position
    for entry in entries:
        payload = entry.payload
        parts.append(frame_head(position, position - start, entry.kind, entry.received_ns, payload))
        parts.append(payload)
        position += FRAME_HEAD_BYTES + len(payload)
        positions.append(position)
    return b"".join(parts), positions


def _refusal(err: OSError) -> str:
    if err.errno in (errno.ENOSPC, errno.EDQUOT):
        return "The call stream's disk is full; storing goes on by itself when there is space."
    return f"The call stream cannot be written at present: {err.strerror or err}."
