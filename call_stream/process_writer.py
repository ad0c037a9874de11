"""Group commit for an event loop: a process of its own writes and flushes what waits at once.

A thread that flushes has to wait for the interpreter behind the loop, again and again, and each of
the loop's callbacks wakes it in vain: together that costs a third of a webhook's time. Knows the
process and its socket; the disk is the process's business (writing_process.py).
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from call_stream.disk_standing import MAX_QUEUED_BYTES, DiskStanding
from call_stream.settling import settle_future
from call_stream.stream import (
    DEFAULT_OWNER,
    SEGMENT_BYTES,
    EntryKind,
    Owner,
    StreamBusy,
    StreamError,
    StreamUnavailable,
)
from call_stream.writing_child import PROGRAM, WritingChild
from call_stream.writing_messages import (
    Answer,
    NotOpened,
    Opened,
    Refused,
    Said,
    Stored,
    entry_head,
)

logger = logging.getLogger("call_stream")

_START_AGAIN_S = 1.0

_ERRORS: dict[str, type[StreamError]] = {
    error.__name__: error for error in (StreamBusy, StreamUnavailable)
}


class _Waiting(Struct, frozen=True):
    """An entry that is not known to be durable, as it is sent, and who waits for it."""

    future: asyncio.Future[int]
    head: bytes
    payload: bytes


class ProcessStreamWriter:
    """The one writer of a file stream, for one event loop; entries wait in memory, bounded.

    If its process dies another one takes over: it looks at the stream as after any crash, and what
    was not acknowledged is sent to it, too. Of that something may be in the stream twice then.
    """

    def __init__(
        self,
        start: Callable[[], WritingChild],
        *,
        standing: DiskStanding,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Starts the process and waits until the stream is open. Raises StreamError."""
        self._start = start
        self._standing = standing
        self._clock_ns = clock_ns
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: deque[_Waiting] = deque()
        self._outgoing: list[bytes | memoryview] = []
        self._will_send = self._is_blocked = self._is_open = False
        self._why_not_open: StreamError | None = None
        self._deaths = 0
        """How many processes have died since one has stored something last."""
        self._process = start()
        self._wait_until_open()

    @property
    def pid(self) -> int:
        """The process that writes now."""
        return self._process.pid

    def append_async(
        self, kind: EntryKind, payload: bytes, *, owner: Owner = DEFAULT_OWNER
    ) -> asyncio.Future[int]:
        """A future of the entry's position, done only when the entry is durable.

        To be called in a running event loop. Raises StreamUnavailable at once when refusal is
        already known, else through the future. Raises ValueError for an empty payload or one over
        MAX_PAYLOAD_BYTES.
        """
        loop = asyncio.get_running_loop()
        size = len(payload)
        self._standing.take(size)
        if loop is not self._loop:
            self._listen(loop)
        waiting = _Waiting(
            loop.create_future(), entry_head(int(kind), self._clock_ns(), size), payload
        )
        self._waiting.append(waiting)
        self._put_out(waiting)
        return waiting.future

    def check(self) -> None:
        """Returns when entries can be stored. Raises StreamUnavailable with the reason if not."""
        self._standing.check()

    def close(self) -> None:
        """Stores what was taken, then ends the process. May be called twice.

        To be called in the event loop, or when it has ended.
        """
        if self._standing.is_closed:
            return
        self._standing.is_closed = True
        self._stop_listening()
        with suppress(OSError, StreamError):
            self._process.socket.setblocking(True)
            self._wait_until_open()
            self._process.socket.sendall(b"".join(self._outgoing))
            self._process.socket.shutdown(socket.SHUT_WR)
        while (answers := self._process.hear()) is not None:
            for answer in answers:
                self._take(answer)
        self._process.end()
        self._refuse_all("The call stream is closed.")

    def _wait_until_open(self) -> None:
        while not self._is_open:
            answers = self._process.hear()
            if answers is None:
                code = self._process.end()
                raise self._why_not_open or StreamUnavailable(_has_ended(code))
            for answer in answers:
                self._take(answer)

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        self._stop_listening()
        self._loop = loop
        self._will_send = False
        self._process.socket.setblocking(False)
        loop.add_reader(self._process.socket.fileno(), self._hear)

    def _stop_listening(self) -> None:
        loop, self._loop = self._loop, None
        if loop is not None and not loop.is_closed():
            loop.remove_reader(self._process.socket.fileno())
            if self._is_blocked:
                loop.remove_writer(self._process.socket.fileno())
        self._is_blocked = False

    def _put_out(self, waiting: _Waiting) -> None:
        """Sends the entry, with all others that come in this turn of the loop."""
        assert self._loop is not None  # noqa: S101  who puts out listens
        self._outgoing += (waiting.head, waiting.payload)
        if not self._will_send:
            self._will_send = True
            self._loop.call_soon(self._send)

    def _send(self) -> None:
        self._will_send = False
        if self._is_blocked or not self._is_open or not self._outgoing or self._loop is None:
            return
        data = b"".join(self._outgoing)
        try:
            sent = self._process.socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:  # it has ended: reading tells
            return
        self._standing.ask()
        self._outgoing.clear()
        if sent < len(data):
            self._outgoing.append(memoryview(data)[sent:])
            self._is_blocked = True
            self._loop.add_writer(self._process.socket.fileno(), self._send_on)

    def _send_on(self) -> None:
        if self._loop is not None:
            self._loop.remove_writer(self._process.socket.fileno())
        self._is_blocked = False
        self._send()

    def _hear(self) -> None:
        answers = self._process.hear()
        if answers is None:
            self._lose_process()
            return
        for answer in answers:
            self._take(answer)

    def _take(self, answer: Answer) -> None:
        match answer:
            case Stored(positions):
                self._deaths = 0
                for position in positions:
                    self._settle(position)
                self._standing.answer(has_more=bool(self._waiting))
            case Refused(count, sentence, is_fault):
                if is_fault:
                    self._standing.fault = sentence
                for _ in range(count):
                    self._settle(StreamUnavailable(sentence))
                self._standing.answer(sentence, has_more=bool(self._waiting))
            case Opened():
                self._is_open = True
                self._why_not_open = self._standing.fault = None
                self._send()
            case NotOpened(error, sentence):
                self._why_not_open = _ERRORS.get(error, StreamError)(sentence)
            case Said(level, text):
                logger.log(level, "%s", text)

    def _settle(self, result: int | StreamUnavailable) -> None:
        waiting = self._waiting.popleft()
        self._standing.done(len(waiting.payload))
        if not waiting.future.done():  # a caller that went away has cancelled its own
            with suppress(RuntimeError):  # the loop is closed: nobody waits there any more
                settle_future(waiting.future, result)

    def _refuse_all(self, why: str) -> None:
        self._outgoing.clear()
        while self._waiting:
            self._settle(StreamUnavailable(why))
        self._standing.answer()

    def _lose_process(self) -> None:
        """Has another process take over; at once, unless that has just failed."""
        loop = self._loop
        assert loop is not None  # noqa: S101  who hears listens
        self._stop_listening()
        self._is_open = False
        self._deaths += 1
        code = self._process.end()
        why = str(self._why_not_open or _has_ended(code))
        if self._deaths == 1:
            logger.error("%s Another one takes over.", why)
            self._start_another(loop)
            return
        if self._standing.fault is None:
            logger.error("%s It is tried again every second.", why)
        self._standing.fault = why
        self._refuse_all(why)
        loop.call_later(_START_AGAIN_S, self._start_another, loop)

    def _start_another(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._standing.is_closed:
            return
        try:
            self._process = self._start()
        except StreamUnavailable as err:
            self._standing.fault = str(err)
            self._refuse_all(str(err))
            loop.call_later(_START_AGAIN_S, self._start_another, loop)
            return
        self._outgoing = [part for each in self._waiting for part in (each.head, each.payload)]
        self._listen(loop)


def open_process_writer(
    directory: Path,
    *,
    segment_bytes: int = SEGMENT_BYTES,
    retention_days: float | None = None,
    max_queued_bytes: int = MAX_QUEUED_BYTES,
    program: Sequence[str] = PROGRAM,
    clock_ns: Callable[[], int] = time.time_ns,
    clock_s: Callable[[], float] = time.monotonic,
) -> ProcessStreamWriter:
    """The writer of the stream in `directory`, whose process has opened it.

    Raises StreamError: StreamBusy and StreamUnavailable by name.
    """
    days = "" if retention_days is None else repr(retention_days)

    def start() -> WritingChild:
        return WritingChild(program, str(directory), str(segment_bytes), days)

    standing = DiskStanding(directory, max_queued_bytes=max_queued_bytes, clock_s=clock_s)
    return ProcessStreamWriter(start, standing=standing, clock_ns=clock_ns)


def _has_ended(exit_code: int) -> str:
    return f"The process that writes the call stream has ended (exit code {exit_code})."
