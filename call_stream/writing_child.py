"""The process that writes a file stream, as the receiver has it: started, heard, and ended.

Knows a child process and a socket; what is sent and answered means nothing here.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence

from call_stream.stream import StreamUnavailable
from call_stream.writing_messages import Answer, Answers

PROGRAM = ("-m", "call_stream.writing_process")

_RECEIVE_BYTES = 64 * 1024
# It needs nothing that we are told by variables, and no secret of ours.
_VARIABLES = ("PATH", "HOME", "LANG", "TZ")
_PREFIXES = ("LC_", "LD_", "PYTHON")


class WritingChild:
    """The process, and our end of the socket to it."""

    def __init__(self, program: Sequence[str], *arguments: str) -> None:
        """Starts Python with a program that is told our socket first. Raises StreamUnavailable."""
        self.socket, theirs = socket.socketpair()
        self._answers = Answers()
        try:
            with theirs:
                self._process = subprocess.Popen(  # noqa: S603 - our own module, no shell
                    [sys.executable, "-P", *program, str(theirs.fileno()), *arguments],
                    stdin=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    env=_environment(),
                    # Ctrl-C reaches the whole foreground group; this one ends when we have.
                    start_new_session=True,
                )
        except OSError as err:
            self.socket.close()
            raise StreamUnavailable(
                f"The process that writes the call stream cannot be started: {err.strerror}."
            ) from err

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def hear(self) -> Iterator[Answer] | None:
        """Whatever it has answered; None once it has ended."""
        try:
            data = self.socket.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return iter(())
        except OSError:
            return None
        return self._answers.take(data) if data else None

    def end(self) -> int:
        """The exit code of a process that has let go of its socket."""
        self.socket.close()
        return self._process.wait()


def _environment() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if k in _VARIABLES or k.startswith(_PREFIXES)}
