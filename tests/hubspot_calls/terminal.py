"""The command as a person at a terminal meets it."""

from __future__ import annotations

import os
import pty
import subprocess
import sys


def seen_on_terminal(
    environment: dict[str, str], *arguments: str, answer: str = "", stderr: int | None = None
) -> tuple[str, int]:
    """What they see who give this answer when they are asked, and how it ends.

    They see its errors, too, unless `stderr` leads elsewhere.
    """
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "hubspot_calls", *arguments],
        env=environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs if stderr is None else stderr,
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:
            break
        if not piece:
            break
        shown += piece
        if answer and b"[y/N]" in shown:
            os.write(ours, answer.encode())
            answer = ""
    ended = process.wait()
    os.close(ours)
    return shown.decode(), ended
