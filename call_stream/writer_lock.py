"""The lock that makes a stream's writer the only one, and the mark a clean close leaves in it.

Knows no segments and no frames.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from call_stream.stream import StreamBusy

LOCK_NAME = "writer.lock"
_WAIT_S = 1.0
_POLL_S = 0.05


class WriterLock:
    """A held lock; the kernel lets go of it when the process ends, however it ends."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def take_clean_mark(self) -> int | None:
        """The end that a clean close left behind, if the last close was one; it is void now."""
        text = os.pread(self._fd, 32, 0)
        os.ftruncate(self._fd, 0)
        os.fsync(self._fd)
        return int(text) if text.isdigit() else None

    def leave_clean_mark(self, end: int) -> None:
        """Notes that the stream was closed in good order at `end`."""
        with suppress(OSError):  # without the mark the next writer only skips a gap
            os.pwrite(self._fd, b"%d" % end, 0)
            os.fsync(self._fd)

    def release(self) -> None:
        """Lets the next writer in."""
        os.close(self._fd)


def lock_for_writing(directory: Path, sleep: Callable[[float], None] = time.sleep) -> WriterLock:
    """The held lock of the stream in `directory`. Raises StreamBusy if another process has it."""
    fd = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    waited_s = 0.0
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if waited_s >= _WAIT_S:
                os.close(fd)
                raise StreamBusy(
                    f"Another process writes to the call stream in {directory}: only one receiver"
                    " can. Stop the other one, or give this one its own stream."
                ) from None
            sleep(_POLL_S)  # a receiver that is being replaced needs a moment to let go
            waited_s += _POLL_S
        else:
            return WriterLock(fd)


def is_written(directory: Path) -> bool:
    """Whether some process has the lock now, or may have it where that cannot be looked at."""
    try:
        fd = os.open(directory / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        # Let go of at once: a writer that starts just now asks again.
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
