"""The process that writes a call stream, counting how often it flushes.

Run by webhook_servers.py: python benchmarks/counting_writer.py COUNT_FILE, and what
`call_stream.writing_process` is run with.
"""

from __future__ import annotations

import sys
from pathlib import Path

from call_stream import writing_process
from call_stream.disk import Disk


class CountingDisk(Disk):
    """The real disk, counting how often it is asked to flush."""

    fsyncs = 0

    def fdatasync(self, fd: int) -> None:
        self.fsyncs += 1
        super().fdatasync(fd)


if __name__ == "__main__":
    counted, disk = Path(sys.argv.pop(1)), CountingDisk()
    writing_process.main(disk)
    counted.write_text(str(disk.fsyncs))
