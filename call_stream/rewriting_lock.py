"""The lock of whoever replaces or deletes whole segments of a file stream: one at a time.

A segment that is deleted while another process puts a rewritten one in its place would come back.
Knows no segments and no frames.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK_NAME = "segments.lock"


@contextmanager
def segments_held(directory: Path, *, wait: bool) -> Iterator[bool]:
    """True if nobody else replaces or deletes segments until the end; False without waiting."""
    fd = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(fd)
