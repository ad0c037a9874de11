"""What a Singer plugin started by us says of itself.

Knows log records; `child_logging.json` puts it in place.
"""

from __future__ import annotations

import logging
import os

_CHATTER = tuple(f"{os.sep}{package}{os.sep}" for package in ("singer_sdk", "alembic"))


class WithoutChatter(logging.Filter):
    """Lets pass what our rooms say, and of the packages below them only what is a warning."""

    def filter(self, record: logging.LogRecord) -> bool:
        """True if the record is to be written."""
        return record.levelno != logging.INFO or not any(
            part in record.pathname for part in _CHATTER
        )
