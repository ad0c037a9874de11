"""Tells the call stream how far the target has confirmed its calls, so that retention may delete.

Knows where a Singer state keeps the call stream's bookmark; it must not know who runs the sync.
"""

from __future__ import annotations

import json
import logging
import math
import threading
import time
from collections.abc import Callable
from typing import Any

from call_stream.stream import CallStreamReader, StreamError, open_reader

NOTED_EVERY_S = 60.0
# Where a note costs no write to this disk, and is what the backlog is told by.
SHARED_NOTED_EVERY_S = 5.0

logger = logging.getLogger(__name__)


class ConfirmedPosition:
    """The position of one named reader, noted in the stream now and then.

    A following tap could note only where it began. A failure is logged once and ends nothing: it
    costs space, since nothing is deleted behind an older position.
    """

    def __init__(
        self,
        stream_url: str,
        reader_name: str,
        *,
        every_s: float = NOTED_EVERY_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream_url = stream_url
        self._reader_name = reader_name
        self._every_s = every_s
        self._clock = clock
        self._reader: CallStreamReader | None = None
        self._confirmed: int | None = None
        self._noted: int | None = None
        self._noted_at = -math.inf
        self._failed = False
        # Two threads note: the one that hears of states, and one that looks at the clock.
        self._lock = threading.Lock()

    def confirm(self, state: str) -> None:
        """Take the stream's bookmark of a STATE the target wrote; note it if it is time to."""
        position = stream_bookmark(state)
        if position is not None:
            self._confirmed = position
            self.note_in_time()

    def note_in_time(self) -> None:
        """Note what was confirmed last, if that is new and the last note is long enough ago."""
        if self._clock() - self._noted_at >= self._every_s:
            self.note()

    def note(self) -> None:
        """Note what was confirmed last, unless the stream has been told that already."""
        with self._lock:
            confirmed = self._confirmed
            if confirmed is None or confirmed == self._noted:
                return
            self._noted_at = self._clock()
            try:
                self._open_reader().save_position(self._reader_name, confirmed)
            except (OSError, StreamError) as err:
                if not self._failed:
                    logger.warning(
                        "the call stream cannot note what the target has confirmed, so nothing is"
                        " deleted there: %s",
                        err,
                    )
                self._failed = True
            else:
                self._noted = confirmed

    def _open_reader(self) -> CallStreamReader:
        if self._reader is None:
            self._reader = open_reader(self._stream_url)
        return self._reader


def stream_bookmark(state: str) -> int | None:
    """The position that a Singer state gives for the source `stream`; None if it gives none."""
    position = bookmarks_of(state).get("stream", 0)
    return position if position > 0 else None


def bookmarks_of(state: str) -> dict[str, int]:
    """How far a Singer state says that each source has been read; empty if it is no such state."""
    partitions = _under(_under(_under(json.loads(state), "bookmarks"), "calls"), "partitions")
    found: dict[str, int] = {}
    for partition in partitions if isinstance(partitions, list) else ():
        source = _under(_under(partition, "context"), "source")
        value = _under(partition, "replication_key_value")
        if isinstance(source, str) and type(value) is int:
            found.setdefault(source, value)
    return found


def _under(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None
