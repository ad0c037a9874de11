"""Where log lines go: stderr, plain or JSON, set up once at start.

Knows Python's logging; it must not know who logs what.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime

import msgspec

from hubspot_calls.settings import Settings
from receiver.quick_log import Say

# httpx logs each address at INFO; ours say the same in the words of the trade.
_TOO_TALKATIVE = ("httpx", "httpcore", "alembic", "asyncio", "uvicorn")


class LineFormatter(logging.Formatter):
    """Makes one line of a record, followed by its traceback if it has one."""

    wants_fields = True
    """Whether its lines show a record's fields; else only those that the text lacks."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line."""
        fields = getattr(record, "fields", {})
        exception = self.formatException(record.exc_info) if record.exc_info else None
        line = (record.created, record.name, record.levelno, record.getMessage())
        return self.line(*line, fields, exception)

    def line(
        self,
        created: float,
        name: str,
        level: int,
        text: str,
        fields: Mapping[str, object],
        exception: str | None = None,
    ) -> str:
        """The line of what a record holds."""
        raise NotImplementedError


class PlainLine(LineFormatter):
    """Time, level where it is not INFO, room, message."""

    wants_fields = False
    _second = -1
    _time = ""

    def line(
        self,
        created: float,
        name: str,
        level: int,
        text: str,
        fields: Mapping[str, object],
        exception: str | None = None,
    ) -> str:
        """The line; the fields repeat what the text says, but for `why`, a finer word."""
        second = int(created)
        if second != self._second:  # a busy receiver writes thousands of lines in each
            self._time = datetime.fromtimestamp(second).astimezone().strftime("%H:%M:%S")
            self._second = second
        word = "" if level == logging.INFO else f"{logging.getLevelName(level).lower()}: "
        why = fields.get("why")
        line = f"{self._time} {name}: {word}{text}{f' (why: {why})' if why else ''}"
        return f"{line}\n{exception}" if exception else line


class JsonLine(LineFormatter):
    """One JSON object a line; a record's `fields`, where it has some, stand beside the rest."""

    def line(
        self,
        created: float,
        name: str,
        level: int,
        text: str,
        fields: Mapping[str, object],
        exception: str | None = None,
    ) -> str:
        """A JSON object with ts, level, logger and message."""
        entry = {
            **fields,
            "ts": datetime.fromtimestamp(created, UTC).isoformat(),
            "level": logging.getLevelName(level).lower(),
            "logger": name,
            "message": text,
        }
        if exception:
            entry["exception"] = exception
        try:
            return msgspec.json.encode(entry).decode()
        except (TypeError, ValueError):  # a value of a foreign type, or text that is no UTF-8
            return json.dumps(entry, default=str)


class StderrHandler(logging.Handler):
    """Writes to whatever stderr is at that moment: a progress bar puts itself in between.

    Lines that an event loop brings by the thousand are made and written together as soon as it has
    turned: one by one they take five times as long, and each write lets other threads in between.
    """

    def __init__(self, lines: LineFormatter) -> None:
        super().__init__()
        self.setFormatter(lines)
        self._lines = lines
        self._waiting: list[tuple[float, str, int, Say]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record as one line."""
        try:
            self._write(self.format(record))
        except Exception:  # noqa: BLE001 - logging's own way with a stderr that is gone
            self.handleError(record)

    def write_line(self, name: str, level: int, say: Say) -> None:
        """Write the line that a record of this would become, without making the record."""
        if level < self.level:
            return
        self.acquire()
        try:
            self._waiting.append((time.time(), name, level, say))
            first = len(self._waiting) == 1
        finally:
            self.release()
        if first:
            self._flush_soon()

    def flush(self) -> None:
        """Write what waits."""
        self._write()

    def _write(self, *latest: str) -> None:
        """Write what waits, and these lines behind it."""
        self.acquire()
        try:
            waiting, self._waiting = self._waiting, []
            wants_fields = self._lines.wants_fields
            lines = [
                self._lines.line(created, name, level, *say(wants_fields))
                for created, name, level, say in waiting
            ]
            lines += latest
            if lines:
                sys.stderr.write("\n".join(lines) + "\n")
        finally:
            self.release()

    def _flush_soon(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._flush_if_possible()
        else:
            loop.call_soon(self._flush_if_possible)

    def _flush_if_possible(self) -> None:
        with suppress(OSError, ValueError):  # a stderr that is gone can be told nothing
            self.flush()


def set_up_logging(settings: Settings) -> None:
    """Send all log records to stderr in the format and from the level of the settings."""
    handler = StderrHandler(JsonLine() if settings.log_format == "json" else PlainLine())
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)
    for name in _TOO_TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
