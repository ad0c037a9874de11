"""Keeps the STATE lines that a target writes, as they come.

Knows one pipe and where a line is to go; it must not know what the target does.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from hubspot_calls.confirmed_position import ConfirmedPosition
from hubspot_calls.processes import ChildProcess
from hubspot_calls.sync_state import UnreadableState

_LOOK_EVERY_S = 1.0

logger = logging.getLogger(__name__)


class StateKeeper:
    """Reads a target's output to its end in a thread of its own, and has each state saved."""

    def __init__(self, save: Callable[[str], None], confirmed: ConfirmedPosition) -> None:
        self._save = save
        self._confirmed = confirmed
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()
        self.fault: str | None = None
        """Why the last state was not kept; None if it was."""

    def begin(self, target: ChildProcess) -> None:
        """Begin to keep what this target says."""
        self._thread = threading.Thread(
            target=self._keep, args=(target,), name="states", daemon=True
        )
        self._thread.start()
        threading.Thread(target=self._note, name="confirmed", daemon=True).start()

    def end(self, within_s: float | None = None) -> None:
        """Wait until all that was said is kept, or for so long."""
        if self._thread is not None:
            self._thread.join(within_s)

    def _keep(self, target: ChildProcess) -> None:
        for raw in target.stdout:
            state = raw.decode("utf-8", "replace").strip()
            try:
                self._save(state)
                self._confirmed.confirm(state)
                self.fault = None
            except UnreadableState as err:
                # Reading on matters more: a full pipe would stop the target. An older mark only
                # means that calls are read again, and found to be known.
                logger.error("%s", err)
                self.fault = str(err)
        self._ended.set()
        self._confirmed.note()

    def _note(self) -> None:
        # Also where nothing follows: else the stream would show a backlog for as long as it is
        # quiet.
        while not self._ended.wait(_LOOK_EVERY_S):
            self._confirmed.note_in_time()
