"""Group commit: many callers append, one thread writes and flushes for all of them at once.

Knows queues, futures and event loops; the disk is segment_log.py's business.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from msgspec import Struct

from call_stream.disk import Disk
from call_stream.disk_standing import MAX_QUEUED_BYTES, DiskStanding
from call_stream.segment_log import (
    BATCH_BYTES,
    BATCH_ENTRIES,
    RETENTION_CHECK_S,
    Entry,
    SegmentLog,
    open_segment_log,
)
from call_stream.settling import EntryFuture, settle
from call_stream.stream import (
    DEFAULT_OWNER,
    SEGMENT_BYTES,
    EntryKind,
    Owner,
    StreamUnavailable,
)


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
        standing: DiskStanding,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._log = log
        self._standing = standing
        self._clock_ns = clock_ns
        self._line: deque[_Waiting] = deque()
        self._lock = threading.Lock()
        self._bell = threading.Lock()  # held while there is nothing to wake the thread for
        self._bell.acquire()
        self._asleep = False
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
        self._standing.check()

    def close(self) -> None:
        """Stores what was taken, then lets go of the stream. May be called twice."""
        with self._lock:
            first = not self._standing.is_closed
            self._standing.is_closed = True
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
        waiting = _Waiting(Entry(int(kind), self._clock_ns(), payload), future, loop)
        with self._lock:
            self._standing.take(len(payload))
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
                if self._standing.is_closed:
                    return False
                self._asleep = True
            while not self._bell.acquire(timeout=RETENTION_CHECK_S):
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
        self._standing.ask()
        results = self._log.commit([waiting.entry for waiting in batch])
        self._standing.answer(str(results) if isinstance(results, StreamUnavailable) else None)
        with self._lock:
            self._standing.fault = self._log.fault
            self._standing.done(sum(len(waiting.entry.payload) for waiting in batch))
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
    standing = DiskStanding(directory, max_queued_bytes=max_queued_bytes, clock_s=clock_s)
    writer = FileStreamWriter(log, standing=standing, clock_ns=clock_ns)
    writer.start()
    return writer
