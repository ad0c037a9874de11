"""Tells the call stream how far the target has confirmed its calls, so that retention may delete.

Knows where a Singer state keeps the call stream's bookmark; it must not know who runs the sync.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable
from typing import Any

from call_stream.stream import StreamError, open_reader

NOTED_EVERY_S = 60.0

logger = logging.getLogger(__name__)


class ConfirmedPosition:
    """The position of one named reader, noted in the stream at most once a minute.

    A following tap could note only where it began. A failure is logged once and ends nothing: it
    costs space, since nothing is deleted behind an older position.
    """

    def __init__(
        self, stream_url: str, reader_name: str, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream_url = stream_url
        self._reader_name = reader_name
        self._clock = clock
        self._confirmed: int | None = None
        self._noted: int | None = None
        self._noted_at = -math.inf
        self._failed = False

    def confirm(self, state: str) -> None:
        """Take the stream's bookmark of a STATE the target wrote; note it if it is time to."""
        position = stream_bookmark(state)
        if position is not None:
            self._confirmed = position
            if self._clock() - self._noted_at >= NOTED_EVERY_S:
                self.note()

    def note(self) -> None:
        """Note what was confirmed last, unless the stream has been told that already."""
        if self._confirmed is None or self._confirmed == self._noted:
            return
        self._noted_at = self._clock()
        try:
            open_reader(self._stream_url).save_position(self._reader_name, self._confirmed)
        except (OSError, StreamError) as err:
            if not self._failed:
                logger.warning(
                    "the call stream cannot note what the target has confirmed, so nothing is"
                    " deleted there: %s",
                    err,
                )
            self._failed = True
        else:
            self._noted = self._confirmed


def stream_bookmark(state: str) -> int | None:
    """The position that a Singer state gives for the source `stream`; None if it gives none."""
    partitions = _under(_under(_under(json.loads(state), "bookmarks"), "calls"), "partitions")
    for partition in partitions if isinstance(partitions, list) else ():
        if _under(_under(partition, "context"), "source") == "stream":
            position = _under(partition, "replication_key_value")
            return position if type(position) is int and position > 0 else None
    return None


def _under(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None
