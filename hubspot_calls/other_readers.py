"""What the other hosts have read of a shared stream, for one pass that is not the reader itself.

Knows the office, the shared state and where the stream ends; it must not know tap or target.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from call_stream.stream import StreamError, open_reader
from hubspot_calls.confirmed_position import bookmarks_of
from hubspot_calls.reader_office import ReaderOffice
from hubspot_calls.settings import Settings
from hubspot_calls.shared_stream import SharedStream, place_of

# Another host's reader is waited for as long as that one comes further.
STALLED_AFTER_S = 30.0
_LOOK_EVERY_S = 0.5

logger = logging.getLogger(__name__)


class Others:
    """What the other hosts do for one pass here: whether they have read all that there was."""

    def __init__(
        self,
        settings: Settings,
        shared: SharedStream,
        office: ReaderOffice,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._shared = shared
        self._office = office
        self._clock = clock
        self._end: int | None = None
        self._read = -1
        self._moved_at = clock()
        self._looked_at = float("-inf")
        self.reader: str | None = None
        """Where it is read, once that is known."""

    def have_read_all(self) -> bool:
        """Whether another process has taken over all that was stored at the first look.

        True also of one that comes no further, after a while: what is due can be tried all the
        same. Raises StoreUnavailable.
        """
        if self._office.is_held or not self._office.has_asked:
            return False
        now = self._clock()
        if now - self._looked_at < _LOOK_EVERY_S:
            return False
        self._looked_at = now
        holder = self._office.holder()
        if holder is None or holder == self._shared.holder:
            return False
        if self.reader is None:
            self.reader = place_of(holder)
            logger.info("%s reads the stream; waiting until it has come to its end", self.reader)
        read = bookmarks_of(self._shared.state.load() or "{}").get("stream", 0)
        if read != self._read:
            self._read, self._moved_at = read, now
        if now - self._moved_at > STALLED_AFTER_S:
            logger.warning("%s comes no further; what is due is delivered from here", self.reader)
            return True
        return read >= self._stream_end()

    def _stream_end(self) -> int:
        if self._end is None:
            try:
                self._end = open_reader(self._settings.stream_url).end()
            except (StreamError, OSError) as err:
                logger.warning("where the stream ends cannot be had: %s", err)
                self._end = 0
        return self._end
