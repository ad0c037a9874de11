"""The process that writes a file stream, as the receiver has it: started, heard, and ended.

Knows a child process and a socket; what is sent and answered means nothing here.
"""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress

from call_stream.stream import StreamUnavailable
from call_stream.writing_messages import Answer, Answers

PROGRAM = ("-m", "call_stream.writing_process")

_RECEIVE_BYTES = 64 * 1024
_KILLED_WITHIN_S = 0.5
# It needs nothing that we are told by variables, and no secret of ours.
_VARIABLES = ("PATH", "HOME", "LANG", "TZ")
_PREFIXES = ("LC_", "LD_", "PYTHON")


class WritingChild:
    """The process, our end of the socket to it, and what is on its way there."""

    def __init__(self, program: Sequence[str], *arguments: str) -> None:
        """Starts Python with a program that is told its socket first. Raises StreamUnavailable."""
        self.has_ended = False
        """Whether it has let go of its socket, and all that it answered was heard."""
        self._answers = Answers()
        self._outgoing: list[bytes] = []
        self._unsent = memoryview(b"")
        try:
            ours, theirs = socket.socketpair()
            with ExitStack() as unless_started, theirs:
                unless_started.enter_context(ours)
                self._process = subprocess.Popen(  # noqa: S603 - our own module, no shell
                    [sys.executable, "-P", *program, str(theirs.fileno()), *arguments],
                    stdin=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    env=_environment(),
                    # Ctrl-C reaches the whole foreground group; this one ends when we have.
                    start_new_session=True,
                )
                unless_started.pop_all()
        except OSError as err:
            raise StreamUnavailable(
                f"The process that writes the call stream cannot be started: {err.strerror}."
            ) from err
        self._socket = ours
        self._socket.setblocking(False)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def fileno(self) -> int:
        """Of our end of the socket."""
        return self._socket.fileno()

    def put(self, *parts: bytes) -> None:
        """Has them sent by the next `send`."""
        self._outgoing += parts

    def send(self) -> bool:
        """Whether all that was put has gone; else the socket takes no more now.

        Raises OSError once the process has ended.
        """
        while True:
            if not self._unsent:
                if not self._outgoing:
                    return True
                self._unsent = memoryview(b"".join(self._outgoing))
                self._outgoing.clear()
            try:
                sent = self._socket.send(self._unsent)
            except BlockingIOError:
                return False
            self._unsent = self._unsent[sent:]

    def send_no_more(self) -> None:
        """Tells the process to store what it has, and to end. Raises OSError if it has ended."""
        self._socket.shutdown(socket.SHUT_WR)

    def hear(self) -> list[Answer]:
        """All that it has answered since."""
        pieces = []
        # To the very end: some event loops tell only once that a socket's other side is gone.
        with suppress(BlockingIOError):
            while not self.has_ended:
                try:
                    data = self._socket.recv(_RECEIVE_BYTES)
                except ConnectionError:
                    data = b""
                self.has_ended = not data
                pieces.append(data)
        return self._answers.take(b"".join(pieces))

    def wait(self, within_s: float | None = None, *, to_send: bool = False) -> bool:
        """Whether there is something to hear or, if wanted, more can be sent, in that time."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN | (select.POLLOUT if to_send else 0))
        return bool(poll.poll(None if within_s is None else within_s * 1000))

    def end(self) -> int:
        """The exit code of a process that has let go of its socket."""
        self.has_ended = True
        self._socket.close()
        return self._process.wait()

    def kill(self) -> None:
        """Ends it by force; one that the disk holds up ends when that answers."""
        self.has_ended = True
        self._socket.close()
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_KILLED_WITHIN_S)


def _environment() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if k in _VARIABLES or k.startswith(_PREFIXES)}
