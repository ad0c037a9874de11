"""The process that writes a file stream for a receiver: what waits together is flushed together.

In a process of its own it never waits for the receiver's interpreter, nor the receiver for it.
Knows one socket and one segment log; ends when the receiver's end of the socket does, however that
went.
"""

from __future__ import annotations

import logging
import select
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path

from call_stream.disk import Disk
from call_stream.segment_log import (
    BATCH_BYTES,
    BATCH_ENTRIES,
    RETENTION_CHECK_S,
    SegmentLog,
    open_segment_log,
)
from call_stream.stream import StreamError, StreamUnavailable
from call_stream.writing_messages import (
    Answer,
    Entries,
    NotOpened,
    Opened,
    Refused,
    Said,
    Stored,
    encode_answer,
)

_RECEIVE_BYTES = 1024 * 1024


class _Receiver:
    """The receiver's end: what it sends, and what it is told for as long as it is there."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)

    def tell(self, answer: Answer) -> None:
        """Sends an answer; one that nobody hears any more is no loss, and any other is a fault."""
        with suppress(ConnectionError):
            self._connection.sendall(encode_answer(answer))

    def hear(self, within_s: float) -> bytes | None:
        """What has come, all that is there up to a batch; None if nothing has, b"" at the end."""
        if not self._poll.poll(within_s * 1000):
            return None
        pieces: list[bytes] = []
        size = 0
        with suppress(BlockingIOError, ConnectionResetError):  # no more; the receiver was killed
            while size < BATCH_BYTES:
                data = self._connection.recv(_RECEIVE_BYTES, socket.MSG_DONTWAIT)
                if not data:
                    break
                pieces.append(data)
                size += len(data)
        return b"".join(pieces)


class _Relay(logging.Handler):
    """Has the receiver log what is said here."""

    def __init__(self, receiver: _Receiver) -> None:
        super().__init__()
        self._receiver = receiver

    def emit(self, record: logging.LogRecord) -> None:
        self._receiver.tell(Said(record.levelno, _sayable(self.format(record))))


def run(
    connection: socket.socket,
    directory: Path,
    *,
    segment_bytes: int,
    retention_days: float | None,
    disk: Disk | None = None,
) -> None:
    """Writes the stream in `directory` with what comes by the socket, until it is closed."""
    receiver = _Receiver(connection)
    logger = logging.getLogger("call_stream")
    logger.addHandler(_Relay(receiver))
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        log = open_segment_log(
            directory, segment_bytes=segment_bytes, retention_days=retention_days, disk=disk
        )
    except StreamError as err:
        receiver.tell(NotOpened(type(err).__name__, _sayable(str(err))))
        return
    receiver.tell(Opened())
    try:
        _write(receiver, log)
    finally:
        log.close()


def _write(receiver: _Receiver, log: SegmentLog) -> None:
    entries = Entries()
    while True:
        data = receiver.hear(RETENTION_CHECK_S)
        if data is None:
            log.delete_expired()
            continue
        if not data:
            return
        whole = entries.take(data)
        for at in range(0, len(whole), BATCH_ENTRIES):
            batch = whole[at : at + BATCH_ENTRIES]
            result = log.commit(batch)
            if isinstance(result, StreamUnavailable):
                receiver.tell(Refused(len(batch), str(result), is_fault=log.fault is not None))
            else:
                receiver.tell(Stored(result))


def _sayable(text: str) -> str:
    """The text, with what of a directory's name is not UTF-8 escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


def main(disk: Disk | None = None) -> None:
    """Runs `python -m call_stream.writing_process SOCKET_FD DIRECTORY SEGMENT_BYTES DAYS`.

    DAYS of retention are empty where everything is kept.
    """
    # The receiver ends first, in its own order: what it has taken until then is still to be stored.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    _, fd, directory, segment_bytes, days = sys.argv
    with socket.socket(fileno=int(fd)) as connection:
        run(
            connection,
            Path(directory),
            segment_bytes=int(segment_bytes),
            retention_days=float(days) if days else None,
            disk=disk,
        )


if __name__ == "__main__":
    main()
