"""Singer lines on stdout, and noticing that nobody reads them any more.

Knows a pipe; it must not know records, streams or settings.
"""

from __future__ import annotations

import io
import logging
import os
import select
import sys
import time
from typing import NoReturn

from singer_sdk.contrib.msgspec import MsgSpecWriter
from singer_sdk.singerlib.encoding.simple import Message

logger = logging.getLogger("tap-vapi")


class SingerLines(MsgSpecWriter):
    """Writes messages; ends the run (exit 1) once their reader has gone."""

    def write_message(self, message: Message) -> None:
        """Writes one whole line. Raises SystemExit where nobody reads it."""
        try:
            super().write_message(message)
        except BrokenPipeError:
            end_unread()


def wait_for_reader(seconds: float) -> None:
    """Waits, and raises SystemExit as soon as the reader of stdout has gone.

    An idle tap writes nothing, so it would otherwise outlive its target unnoticed.
    """
    pipe = _stdout_descriptor()
    if pipe is None:
        time.sleep(seconds)
        return
    poll = select.poll()
    poll.register(pipe, 0)
    if poll.poll(seconds * 1000):
        end_unread()


def end_unread() -> NoReturn:
    """Ends the run without the traceback that flushing a closed stdout would leave."""
    logger.error("The reader of the records has gone; the next run goes on from its last STATE.")
    pipe = _stdout_descriptor()
    if pipe is not None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, pipe)
        os.close(nowhere)
    sys.exit(1)


def _stdout_descriptor() -> int | None:
    try:
        return sys.stdout.fileno()
    except (io.UnsupportedOperation, ValueError):
        return None
