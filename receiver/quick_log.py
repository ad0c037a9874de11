"""Log lines that are written by the thousand, at a small part of what they cost otherwise.

Python's logging makes a record of each line first and hands it up a chain of handlers: a fifth of
the time of a whole webhook. Knows logging; it must not know what a line says.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

Say = Callable[[bool], tuple[str, dict[str, object]]]
"""Makes a line's text and, asked with True, the same as fields; else only what the text lacks.

Asked a moment later, it must still say the same.
"""

WriteLine = Callable[[str, int, Say], None]
"""What a handler may offer as `write_line`: a logger's name, a level, and what there is to say."""


def log_line(logger: logging.Logger, level: int, say: Say) -> None:
    """Writes the line by the short way if one handler offers it, else by an ordinary record."""
    if not logger.isEnabledFor(level):
        return
    write = _short_way(logger)
    if write is not None:
        write(logger.name, level, say)
        return
    text, fields = say(True)
    record = logger.makeRecord(
        logger.name, level, __file__, 0, text, (), None, extra={"fields": fields}
    )
    logger.handle(record)


def _short_way(logger: logging.Logger) -> WriteLine | None:
    """The one handler's `write_line`; None if somebody else listens, too, or filters."""
    root = logging.root
    if logger.parent is not root or not logger.propagate or logger.handlers or logger.filters:
        return None
    if len(root.handlers) != 1 or root.handlers[0].filters:
        return None
    return getattr(root.handlers[0], "write_line", None)
