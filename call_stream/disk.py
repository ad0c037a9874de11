"""The few system calls that durability hangs on, behind one seam that tests can make fail.

Knows nothing of frames, segments or streams.
"""

from __future__ import annotations

import os
from pathlib import Path

_fdatasync = getattr(os, "fdatasync", os.fsync)  # macOS has only fsync


class Disk:
    """The real disk: each method is one system call and raises its OSError."""

    def write(self, fd: int, data: bytes | memoryview) -> int:
        """Bytes taken, which may be fewer than given."""
        return os.write(fd, data)

    def fdatasync(self, fd: int) -> None:
        """Returns when the file's data is on disk."""
        _fdatasync(fd)

    def ftruncate(self, fd: int, size: int) -> None:
        """Cuts the file to `size` bytes."""
        os.ftruncate(fd, size)

    def rename(self, source: Path, target: Path) -> None:
        """Gives a file its final name."""
        source.rename(target)

    def fsync_directory(self, directory: Path) -> None:
        """Returns when the names in `directory` are on disk."""
        fsync_directory(directory)


def fsync_directory(directory: Path) -> None:
    """Makes the names in `directory` durable."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
