"""Raw bodies of authentic reports, encrypted, for a while: to see what VAPI really sent.

A call stream for each day, so that a day is deleted whole when its time is over. Must not know
whether anybody waits: a copy that cannot be kept is missed by support and by no call.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import queue
import re
import shutil
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Protocol

import msgspec

from call_stream.stream import (
    MAX_PAYLOAD_BYTES,
    CallStreamWriter,
    EntryKind,
    StreamError,
    open_reader,
    open_writer,
)
from receiver.reports import Arrival

logger = logging.getLogger("receiver")

MAX_WAITING_BYTES = 32 * 1024 * 1024
LEAST_FREE_BYTES = 256 * 1024 * 1024
"""Below this the disk belongs to the calls themselves."""

_EXPIRY_CHECK_S = 3600.0
_DAY_NAME = re.compile(r"\d{4}-\d{2}-\d{2}")
# Most of a report is text; the level costs a third of the default's time for nearly its size.
_LEVEL = 3


@dataclass(frozen=True, slots=True)
class RawReport:
    """One authentic body as it came, and what became of it."""

    arrival: Arrival
    request_id: str
    call_id: str | None
    outcome: str
    body: bytes


KeepRaw = Callable[[RawReport], None]


class Sealer(Protocol):
    """Encrypts, and decrypts with any key in use."""

    def encrypt_bytes(self, data: bytes) -> bytes:
        """The bytes, unreadable without the key."""

    def decrypt_bytes(self, sealed: bytes) -> bytes:
        """The bytes again. Raises WrongEncryptionKey."""


class RawReports:
    """Keeps raw reports in `directory` for `days`, on a thread of its own while it is entered."""

    def __init__(
        self,
        directory: Path,
        sealer: Sealer,
        *,
        days: float,
        max_waiting_bytes: int = MAX_WAITING_BYTES,
        least_free_bytes: int = LEAST_FREE_BYTES,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._directory = directory
        self._sealer = sealer
        self._days = days
        self._max_waiting_bytes = max_waiting_bytes
        self._least_free_bytes = least_free_bytes
        self._clock = clock
        self._waiting: queue.SimpleQueue[RawReport | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._waiting_bytes = 0
        self._day: date | None = None
        self._writer: CallStreamWriter | None = None
        self.lost = 0
        """Copies that could not be kept."""
        self._thread = threading.Thread(target=self._run, name="raw-reports", daemon=True)

    async def __aenter__(self) -> RawReports:
        self._thread.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._waiting.put(None)
        await asyncio.to_thread(self._thread.join)

    def keep(self, report: RawReport) -> None:
        """Takes a copy to be kept soon; drops it when too many wait already."""
        size = len(report.body)
        with self._lock:
            fits = self._waiting_bytes + size <= self._max_waiting_bytes
            if fits:
                self._waiting_bytes += size
        if fits:
            self._waiting.put(report)
        else:
            self._lose("too many wait for the disk")

    def _run(self) -> None:
        delete_expired(self._directory, self._days, self._clock())
        while True:
            try:
                report = self._waiting.get(timeout=_EXPIRY_CHECK_S)
            except queue.Empty:
                delete_expired(self._directory, self._days, self._clock())
                continue
            if report is None:
                break
            try:
                self._store(report)
            except Exception as err:  # noqa: BLE001  a support copy must not end the others
                self._lose(str(err) if isinstance(err, StreamError) else type(err).__name__)
            finally:
                with self._lock:
                    self._waiting_bytes -= len(report.body)
        if self._writer is not None:
            self._writer.close()

    def _store(self, report: RawReport) -> None:
        payload = self._sealer.encrypt_bytes(_pack(report))
        if len(payload) > MAX_PAYLOAD_BYTES:
            self._lose("one is too large")
            return
        writer = self._writer_of(report.arrival.received_at)
        if shutil.disk_usage(self._directory).free < self._least_free_bytes:
            self._lose("the disk has little free space")
            return
        kind = EntryKind.CALL if report.call_id else EntryKind.QUARANTINE
        writer.append(kind, payload).add_done_callback(self._learn)

    def _learn(self, stored: concurrent.futures.Future[int]) -> None:
        err = stored.exception()
        if err is not None:
            self._lose(str(err))

    def _writer_of(self, received_at: datetime) -> CallStreamWriter:
        day = received_at.date()
        if self._writer is None or day != self._day:
            if self._writer is not None:
                self._writer.close()
            self._writer = None
            delete_expired(self._directory, self._days, self._clock())
            self._writer = open_writer(f"file:{self._directory / day.isoformat()}")
            self._day = day
        return self._writer

    def _lose(self, why: str) -> None:
        self.lost += 1
        if self.lost == 1 or self.lost % 1000 == 0:
            logger.error("%d raw reports could not be kept for support: %s", self.lost, why)


def delete_expired(directory: Path, days: float, now: datetime) -> None:
    """Deletes the days that lie wholly before `now` by more than `days`."""
    for path, day in days_in(directory):
        end = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
        if now - end >= timedelta(days=days):
            shutil.rmtree(path, ignore_errors=True)


def read_raw_reports(
    directory: Path,
    sealer: Sealer,
    *,
    call_id: str | None = None,
    request_id: str | None = None,
) -> Iterator[RawReport]:
    """What is kept of a call or a request, oldest first. Raises WrongEncryptionKey, StreamError."""
    for path, _ in days_in(directory):
        for entry in open_reader(f"file:{path}").read():
            if call_id is not None and entry.kind is not EntryKind.CALL:
                continue
            if not entry.payload.strip():  # it was deleted
                continue
            report = unpack(sealer.decrypt_bytes(entry.payload))
            if call_id in (None, report.call_id) and request_id in (None, report.request_id):
                yield report


def days_in(directory: Path) -> list[tuple[Path, date]]:
    """The days that are kept, oldest first; whatever else lies there is left alone."""
    days = []
    for path in directory.iterdir() if directory.is_dir() else ():
        with suppress(ValueError):
            if _DAY_NAME.fullmatch(path.name) and path.is_dir():
                days.append((path, date.fromisoformat(path.name)))
    return sorted(days)


class _Head(msgspec.Struct):
    """What stands before the body."""

    webhook_id: str
    user_id: str
    workspace_id: str
    received_at: datetime
    request_id: str
    call_id: str | None
    outcome: str


def _pack(report: RawReport) -> bytes:
    arrival = report.arrival
    head = _Head(
        arrival.webhook_id,
        arrival.user_id,
        arrival.workspace_id,
        arrival.received_at,
        report.request_id,
        report.call_id,
        report.outcome,
    )
    return zlib.compress(msgspec.json.encode(head) + b"\n" + report.body, _LEVEL)


def unpack(packed: bytes) -> RawReport:
    """The report of an entry that was decrypted."""
    written, _, body = zlib.decompress(packed).partition(b"\n")
    head = msgspec.json.decode(written, type=_Head)
    arrival = Arrival(head.webhook_id, head.user_id, head.workspace_id, head.received_at)
    return RawReport(arrival, head.request_id, head.call_id, head.outcome, body)
