"""Group commit: many callers append, one thread writes and flushes for all of them at once.

Knows queues, futures and event loops; the disk is segment_log.py's business.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from msgspec import Struct

from call_stream.disk import Disk
from call_stream.segment_log import Entry, SegmentLog, open_segment_log
from call_stream.settling import EntryFuture, settle
from call_stream.stream import (
    DEFAULT_OWNER,
    MAX_PAYLOAD_BYTES,
    SEGMENT_BYTES,
    EntryKind,
    Owner,
    StreamUnavailable,
)

logger = logging.getLogger("call_stream")

BATCH_ENTRIES = 512
BATCH_BYTES = 8 * 1024 * 1024
MAX_QUEUED_BYTES = 64 * 1024 * 1024
_RETENTION_CHECK_S = 3600.0
_LEAST_FREE_BYTES = 1024 * 1024
_HUNG_S = 5.0


class _Waiting(Struct, frozen=True):
    """An entry in line; `loop` is None when a thread waits for a concurrent future."""

    entry: Entry
    future: EntryFuture
    loop: asyncio.AbstractEventLoop | None


class FileStreamWriter:
    """The one writer of a file stream; entries wait in memory for the next flush, bounded."""

    def __init__(
        self,
        log: SegmentLog,
        *,
        max_queued_bytes: int = MAX_QUEUED_BYTES,
        clock_ns: Callable[[], int] = time.time_ns,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._max_queued_bytes = max_queued_bytes
        self._clock_ns = clock_ns
        self._clock_s = clock_s
        self._at_disk_since: float | None = None
        self._line: deque[_Waiting] = deque()
        self._lock = threading.Lock()
        self._bell = threading.Lock()  # held while there is nothing to wake the thread for
        self._bell.acquire()
        self._asleep = False
        self._queued_bytes = 0
        self._refusal: str | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="call-stream-writer", daemon=True)

    def start(self) -> None:
        """Starts the writing thread."""
        self._thread.start()

    def __enter__(self) -> FileStreamWriter:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def append(
        self, kind: EntryKind, payload: bytes, *, owner: Owner = DEFAULT_OWNER
    ) -> concurrent.futures.Future[int]:
        """A future of the entry's position, done only when the entry is durable.

        Raises StreamUnavailable at once when refusal is already known, else through the future.
        Raises ValueError for an empty payload or one over MAX_PAYLOAD_BYTES.
        """
        future: concurrent.futures.Future[int] = concurrent.futures.Future()
        self._enqueue(kind, payload, future, None)
        return future

    def append_async(
        self, kind: EntryKind, payload: bytes, *, owner: Owner = DEFAULT_OWNER
    ) -> asyncio.Future[int]:
        """The same as `append` for a running event loop, woken once per batch."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[int] = loop.create_future()
        self._enqueue(kind, payload, future, loop)
        return future

    def check(self) -> None:
        """Returns when entries can be stored. Raises StreamUnavailable with the reason if not."""
        if self._closed:
            raise StreamUnavailable("The call stream is closed.")
        if self._log.fault:
            raise StreamUnavailable(self._log.fault)
        if self._queued_bytes >= self._max_queued_bytes:
            raise StreamUnavailable("The call stream's disk is too slow: too much waits for it.")
        since = self._at_disk_since
        if since is not None and self._clock_s() - since > _HUNG_S:
            raise StreamUnavailable("The call stream's disk hangs: it has not answered for long.")
        refusal = self._refusal
        if refusal and _free_bytes(self._log.directory) < _LEAST_FREE_BYTES:
            raise StreamUnavailable(refusal)

    def close(self) -> None:
        """Stores what was taken, then lets go of the stream. May be called twice."""
        with self._lock:
            first = not self._closed
            self._closed = True
            self._wake()
        self._thread.join()
        if first:
            self._log.close()

    def _enqueue(
        self,
        kind: EntryKind,
        payload: bytes,
        future: EntryFuture,
        loop: asyncio.AbstractEventLoop | None,
    ) -> None:
        size = len(payload)
        if not 0 < size <= MAX_PAYLOAD_BYTES:
            raise ValueError(f"a payload has 1 to {MAX_PAYLOAD_BYTES} bytes, this one {size}")
        waiting = _Waiting(Entry(int(kind), self._clock_ns(), payload), future, loop)
        with self._lock:
            if self._closed:
                raise StreamUnavailable("The call stream is closed.")
            if self._log.fault:
                raise StreamUnavailable(self._log.fault)
            if self._queued_bytes and self._queued_bytes + size > self._max_queued_bytes:
                raise StreamUnavailable(
                    "The call stream's disk is too slow: too much waits for it already."
                )
            self._queued_bytes += size
            self._line.append(waiting)
            self._wake()

    def _wake(self) -> None:
        """Rings for the thread, once and only if it sleeps; under the lock."""
        if self._asleep:
            self._asleep = False
            self._bell.release()

    def _run(self) -> None:
        while self._wait_for_entries():
            while batch := self._take_batch():
                self._store(batch)

    def _wait_for_entries(self) -> bool:
        """Whether there are any; False once the stream is closed and all are stored."""
        while True:
            with self._lock:
                if self._line:
                    return True
                if self._closed:
                    return False
                self._asleep = True
            while not self._bell.acquire(timeout=_RETENTION_CHECK_S):
                self._log.delete_expired()

    def _take_batch(self) -> list[_Waiting]:
        """Everything that waits, up to a batch's bounds."""
        batch: list[_Waiting] = []
        size = 0
        while self._line and len(batch) < BATCH_ENTRIES and size < BATCH_BYTES:
            waiting = self._line.popleft()
            batch.append(waiting)
            size += len(waiting.entry.payload)
        return batch

    def _store(self, batch: list[_Waiting]) -> None:
        results: list[int] | StreamUnavailable
        self._at_disk_since = self._clock_s()
        try:
            results = self._log.append([waiting.entry for waiting in batch])
            self._refusal = None
        except StreamUnavailable as err:
            results = err
            self._refusal = str(err)
        except Exception as err:  # whatever it is, nobody may wait forever
            logger.exception("the call stream's writer failed")
            self._log.fault = f"The call stream's writer failed ({type(err).__name__})."
            results = StreamUnavailable(self._log.fault)
        self._at_disk_since = None
        with self._lock:
            self._queued_bytes -= sum(len(waiting.entry.payload) for waiting in batch)
        settle(batch, results)


def open_file_writer(
    directory: Path,
    *,
    segment_bytes: int = SEGMENT_BYTES,
    retention_days: float | None = None,
    max_queued_bytes: int = MAX_QUEUED_BYTES,
    disk: Disk | None = None,
    clock_ns: Callable[[], int] = time.time_ns,
    clock_s: Callable[[], float] = time.monotonic,
) -> FileStreamWriter:
    """The started writer of the stream in `directory`.

    Raises StreamBusy, StreamCorrupt and StreamUnavailable.
    """
    log = open_segment_log(
        directory,
        segment_bytes=segment_bytes,
        retention_days=retention_days,
        disk=disk,
        clock_ns=clock_ns,
    )
    writer = FileStreamWriter(
        log, max_queued_bytes=max_queued_bytes, clock_ns=clock_ns, clock_s=clock_s
    )
    writer.start()
    return writer


def _free_bytes(directory: Path) -> int:
    status = os.statvfs(directory)
    return status.f_bavail * status.f_frsize
