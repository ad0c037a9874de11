"""A process that appends from many threads and prints the name of each acknowledged entry."""

from __future__ import annotations

import subprocess
import sys

_WRITER = """
import sys, threading
from call_stream.stream import EntryKind, open_writer

writer = open_writer(sys.argv[1], segment_bytes=200_000)
first = int(sys.argv[2])
lock = threading.Lock()

def append(lane):
    for number in range(10**9):
        name = f"{first + lane}-{number}"
        writer.append(EntryKind.CALL, name.encode().ljust(lane * 97 + 20)).result()
        with lock:
            sys.stdout.write(name + "\\n")
            sys.stdout.flush()

for lane in range(16):
    threading.Thread(target=append, args=(lane,)).start()
"""


def start_writer(url: str, first: int = 0) -> subprocess.Popen[bytes]:
    """The process, whose entries begin with the numbers from `first` on."""
    return subprocess.Popen(
        [sys.executable, "-c", _WRITER, url, str(first)], stdout=subprocess.PIPE
    )
