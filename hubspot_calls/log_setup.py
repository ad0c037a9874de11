"""Where log lines go: stderr, plain or JSON, set up once at start.

Knows Python's logging; it must not know who logs what.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

import msgspec

from hubspot_calls.settings import Settings

# httpx logs each address at INFO; ours say the same in the words of the trade.
_TOO_TALKATIVE = ("httpx", "httpcore", "alembic", "asyncio", "uvicorn")


class StderrHandler(logging.Handler):
    """Writes to whatever stderr is at that moment: a progress bar puts itself in between."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record as one line."""
        try:
            sys.stderr.write(self.format(record) + "\n")
        except Exception:  # noqa: BLE001 - logging's own way with a stderr that is gone
            self.handleError(record)


class PlainLine(logging.Formatter):
    """One line a record: time, level where it is not INFO, room, message."""

    _second = -1
    _time = ""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line, followed by its traceback if it has one."""
        second = int(record.created)
        if second != self._second:  # a busy receiver writes thousands of lines in each
            self._time = datetime.fromtimestamp(second).astimezone().strftime("%H:%M:%S")
            self._second = second
        level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        text = f"{self._time} {record.name}: {level}{record.getMessage()}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


class JsonLine(logging.Formatter):
    """One JSON object a line; a record's `fields`, where it has some, stand beside the rest."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as a JSON object with ts, level, logger and message."""
        entry = {
            **getattr(record, "fields", {}),
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        try:
            return msgspec.json.encode(entry).decode()
        except (TypeError, ValueError):  # a value of a foreign type, or text that is no UTF-8
            return json.dumps(entry, default=str)


def set_up_logging(settings: Settings) -> None:
    """Send all log records to stderr in the format and from the level of the settings."""
    handler = StderrHandler()
    handler.setFormatter(JsonLine() if settings.log_format == "json" else PlainLine())
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)
    for name in _TOO_TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
