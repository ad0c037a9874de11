"""A log record for the lines that are written by the thousand: nothing is looked up for it.

Knows Python's logging; it must not know what a line says.
"""

from __future__ import annotations

import logging
import os
import time
from typing import Any

_ALWAYS: dict[str, Any] = vars(logging.makeLogRecord({})) | {
    "args": (),
    "process": os.getpid(),
    "pathname": __file__,
    "filename": os.path.basename(__file__),  # noqa: PTH119  as logging itself does
    "module": __name__.rpartition(".")[2],
}


class PreparedRecord(logging.LogRecord):
    """A record that says nothing of line of code, thread or task.

    Finding those out takes most of the time of an ordinary one.
    """

    def __init__(self, name: str, level: int, text: str, fields: dict[str, object]) -> None:
        now = time.time()
        self.__dict__.update(
            _ALWAYS,
            name=name,
            levelno=level,
            levelname=logging.getLevelName(level),
            msg=text,
            created=now,
            msecs=now % 1 * 1000,
            fields=fields,
        )
