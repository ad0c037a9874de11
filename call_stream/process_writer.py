"""Group commit for an event loop: a process of its own writes and flushes what waits at once.

A thread that flushes has to wait for the interpreter behind the loop, again and again, and each of
the loop's callbacks wakes it in vain: together that costs a third of a webhook's time. Knows the
process and its socket; the disk is the process's business (writing_process.py).
"""

from __future__ import annotations

import asyncio
import logging
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
_LOOK_S = 1.0
# Who ends a receiver does not wait longer for a disk that does not answer.
_PATIENCE_AT_THE_END_S = 1.5
# A process that dies sooner after another, and has stored nothing, would die again.
_STEADY_S = 10.0

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
        self._will_send = self._is_blocked = self._is_open = False
        self._said_hanging = False
        self._looking: asyncio.TimerHandle | None = None
        self._why_not_open: StreamError | None = None
        self._died_at: float | None = None
        """When a process died last, by the loop's clock; None once another one has stored."""
        self._child = start()
        self._wait_until_open()

    @property
    def pid(self) -> int:
        """The process that writes now."""
        return self._child.pid

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
        try:
            if loop is not self._loop:
                self._listen(loop)
            head = entry_head(int(kind), self._clock_ns(), size)
            waiting = _Waiting(loop.create_future(), head, payload)
        except BaseException:
            self._standing.done(size)
            raise
        self._waiting.append(waiting)
        self._put_out(waiting)
        return waiting.future

    def check(self) -> None:
        """Returns when entries can be stored. Raises StreamUnavailable with the reason if not."""
        self._standing.check()

    def close(self) -> None:
        """Stores what was taken, then ends the process. May be called twice.

        To be called in the event loop, or when it has ended; raises RuntimeError elsewhere.
        """
        if self._loop is not None and self._loop.is_running() and not _is_here(self._loop):
            raise RuntimeError("the writer is its event loop's, and to be closed there")
        if self._standing.is_closed:
            return
        self._standing.is_closed = True
        self._stop_listening()
        try:
            self._wait_until_open(_PATIENCE_AT_THE_END_S)
            while not self._child.send():
                self._take_next(_PATIENCE_AT_THE_END_S, to_send=True)
            self._child.send_no_more()
            while not self._child.has_ended:
                self._take_next(_PATIENCE_AT_THE_END_S)
            self._child.end()
        except TimeoutError:
            logger.error(
                "the call stream's disk hangs: %d reports were not stored, and not answered",
                len(self._waiting),
            )
            self._child.kill()
        except (OSError, StreamError):
            self._child.end()
        self._refuse_all("The call stream is closed.")

    def _wait_until_open(self, within_s: float | None = None) -> None:
        while not self._is_open:
            if self._child.has_ended:
                code = self._child.end()
                raise self._why_not_open or StreamUnavailable(_has_ended(code))
            self._take_next(within_s)

    def _take_next(self, within_s: float | None, *, to_send: bool = False) -> None:
        """Takes what is answered next, unless more can be sent first. Raises TimeoutError."""
        if not self._child.wait(within_s, to_send=to_send):
            raise TimeoutError
        self._take_answers()

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        self._stop_listening()
        loop.add_reader(self._child.fileno(), self._hear)
        self._loop = loop
        self._will_send = False
        self._looking = loop.call_later(_LOOK_S, self._look_at_disk)

    def _stop_listening(self) -> None:
        loop, self._loop = self._loop, None
        if loop is not None and not loop.is_closed():
            loop.remove_reader(self._child.fileno())
            if self._is_blocked:
                loop.remove_writer(self._child.fileno())
        self._is_blocked = False
        if self._looking is not None:
            self._looking.cancel()

    def _look_at_disk(self) -> None:
        """Says in the log when the disk begins to hang, and when it is over."""
        if self._standing.hangs != self._said_hanging:
            self._said_hanging = not self._said_hanging
            if self._said_hanging:
                logger.error("the call stream's disk hangs: reports wait for it, unanswered")
            else:
                logger.info("the call stream's disk answers again")
        if self._loop is not None:
            self._looking = self._loop.call_later(_LOOK_S, self._look_at_disk)

    def _put_out(self, waiting: _Waiting) -> None:
        """Sends the entry, with all others that come in this turn of the loop."""
        assert self._loop is not None  # noqa: S101  who puts out listens
        self._standing.ask()
        self._child.put(waiting.head, waiting.payload)
        if not self._will_send:
            self._will_send = True
            self._loop.call_soon(self._send)

    def _send(self) -> None:
        self._will_send = False
        if self._is_blocked or not self._is_open or self._loop is None:
            return
        try:
            has_sent_all = self._child.send()
        except OSError:
            self._loop.call_soon(self._hear)
            return
        if not has_sent_all:
            self._is_blocked = True
            self._loop.add_writer(self._child.fileno(), self._send_on)

    def _send_on(self) -> None:
        if self._loop is not None:
            self._loop.remove_writer(self._child.fileno())
        self._is_blocked = False
        self._send()

    def _hear(self) -> None:
        if self._loop is None:  # it was closed, or stopped listening, meanwhile
            return
        self._take_answers()
        if self._child.has_ended:
            self._lose_child(self._loop)

    def _take_answers(self) -> None:
        for answer in self._child.hear():
            self._take(answer)

    def _take(self, answer: Answer) -> None:
        match answer:
            case Stored(positions):
                self._died_at = None
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
                if self._standing.fault is not None:
                    logger.info("the call stream is written again")
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
        with suppress(RuntimeError):  # the loop is closed: nobody waits there any more
            settle_future(waiting.future, result)

    def _refuse_all(self, why: str) -> None:
        while self._waiting:
            self._settle(StreamUnavailable(why))
        self._standing.answer()

    def _lose_child(self, loop: asyncio.AbstractEventLoop) -> None:
        """Has another process take over; at once, unless that has just failed."""
        self._stop_listening()
        self._is_open = False
        code = self._child.end()
        why = str(self._why_not_open or _has_ended(code))
        died_before, self._died_at = self._died_at, loop.time()
        if died_before is None or self._died_at - died_before > _STEADY_S:
            logger.error("%s Another one takes over.", why)
            self._start_another(loop)
        else:
            self._give_up_for_now(loop, why)

    def _start_another(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._standing.is_closed:
            return
        try:
            self._child = self._start()
        except StreamUnavailable as err:
            self._give_up_for_now(loop, str(err))
            return
        self._listen(loop)
        for waiting in self._waiting:
            self._child.put(waiting.head, waiting.payload)

    def _give_up_for_now(self, loop: asyncio.AbstractEventLoop, why: str) -> None:
        if self._standing.fault != why:
            logger.error("%s It is tried again every second.", why)
        self._standing.fault = why
        self._refuse_all(why)
        loop.call_later(_START_AGAIN_S, self._start_another, loop)


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

    Raises StreamBusy, StreamUnavailable, and StreamError for a damaged stream.
    """
    days = "" if retention_days is None else repr(retention_days)

    def start() -> WritingChild:
        return WritingChild(program, str(directory), str(segment_bytes), days)

    standing = DiskStanding(directory, max_queued_bytes=max_queued_bytes, clock_s=clock_s)
    return ProcessStreamWriter(start, standing=standing, clock_ns=clock_ns)


def _has_ended(exit_code: int) -> str:
    return f"The process that writes the call stream has ended (exit code {exit_code})."


def _is_here(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether the loop runs in this thread."""
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False
