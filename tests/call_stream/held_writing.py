"""The process that writes a stream, on a disk that does what files in a folder say.

`hold` makes each flush wait until it is gone; `die` ends the process before the next flush, as a
kill -9 would; `write` and `fdatasync` hold the number of the error that the next call of it raises.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from call_stream import writing_process
from call_stream.disk import Disk


class HeldDisk(Disk):
    """The real disk, but for what the folder says."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, fd: int, data: bytes | memoryview) -> int:
        self._fail("write")
        return super().write(fd, data)

    def fdatasync(self, fd: int) -> None:
        if (self._folder / "die").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        while (self._folder / "hold").exists():
            time.sleep(0.01)
        self._fail("fdatasync")
        super().fdatasync(fd)

    def _fail(self, call: str) -> None:
        planned = self._folder / call
        if planned.exists():
            code = int(planned.read_text())
            planned.unlink()
            raise OSError(code, os.strerror(code))


if __name__ == "__main__":
    writing_process.main(HeldDisk(Path(sys.argv.pop(1))))
