"""What the writer of a file stream knows of its disk, and whether it takes more for it.

Counts and remembers; knows no thread, no process and no entry. Threads that share one call `take`
and `done` under a lock.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from call_stream.stream import MAX_PAYLOAD_BYTES, StreamUnavailable

MAX_QUEUED_BYTES = 64 * 1024 * 1024
"""How many bytes of payloads may wait for the disk in memory."""

_LEAST_FREE_BYTES = 1024 * 1024
_HUNG_S = 5.0


class DiskStanding:
    """How a stream's disk did last, and how many bytes wait for it."""

    def __init__(
        self,
        directory: Path,
        *,
        max_queued_bytes: int = MAX_QUEUED_BYTES,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.fault: str | None = None
        """Why nothing can be stored at all; None while it can."""
        self.is_closed = False
        self._directory = directory
        self._max_queued_bytes = max_queued_bytes
        self._clock_s = clock_s
        self._queued_bytes = 0
        self._refusal: str | None = None
        self._at_disk_since: float | None = None

    def take(self, size: int) -> None:
        """Counts a payload of `size` bytes that waits from now on.

        Raises StreamUnavailable if it cannot be taken, ValueError if no entry can be of that size.
        """
        if not 0 < size <= MAX_PAYLOAD_BYTES:
            raise ValueError(f"a payload has 1 to {MAX_PAYLOAD_BYTES} bytes, this one {size}")
        if self.is_closed:
            raise StreamUnavailable("The call stream is closed.")
        if self.fault:
            raise StreamUnavailable(self.fault)
        if self._queued_bytes and self._queued_bytes + size > self._max_queued_bytes:
            raise StreamUnavailable(
                "The call stream's disk is too slow: too much waits for it already."
            )
        self._queued_bytes += size

    def ask(self) -> None:
        """Notes that the disk has something to do, from now on unless it had already."""
        if self._at_disk_since is None:
            self._at_disk_since = self._clock_s()

    def answer(self, refusal: str | None = None, *, has_more: bool = False) -> None:
        """Notes that the disk has answered, with a refusal if it refused; it may have more to do.

        How many bytes do not wait any more is for `done` to say.
        """
        self._refusal = refusal
        self._at_disk_since = self._clock_s() if has_more else None

    def done(self, size: int) -> None:
        """Counts `size` bytes of payloads that do not wait any more, whatever became of them."""
        self._queued_bytes -= size

    @property
    def hangs(self) -> bool:
        """Whether the disk has had something to do for long, and has not answered."""
        since = self._at_disk_since
        return since is not None and self._clock_s() - since > _HUNG_S

    def check(self) -> None:
        """Returns when entries can be stored. Raises StreamUnavailable with the reason if not."""
        if self.is_closed:
            raise StreamUnavailable("The call stream is closed.")
        if self.fault:
            raise StreamUnavailable(self.fault)
        if self._queued_bytes >= self._max_queued_bytes:
            raise StreamUnavailable("The call stream's disk is too slow: too much waits for it.")
        if self.hangs:
            raise StreamUnavailable("The call stream's disk hangs: it has not answered for long.")
        refusal = self._refusal
        if refusal and _free_bytes(self._directory) < _LEAST_FREE_BYTES:
            raise StreamUnavailable(refusal)


def _free_bytes(directory: Path) -> int:
    status = os.statvfs(directory)
    return status.f_bavail * status.f_frsize
