"""Turns of this process's readers, so that a writer elsewhere gets its own.

DuckDB keeps writers out for as long as one reader has the file open, and readers that overlap would
have it open for ever. Knows time and threads, and no database.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from weakref import WeakValueDictionary

# Readers come and go together for so long; then the file is left alone for a moment longer than a
# writer waits between two looks (`opening.py`).
TURN_S = 0.25
PAUSE_S = 0.06


class ReaderTurns:
    """Who of this process may open one file to read it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._reading = 0
        self._turn_began = self._last_left = float("-inf")

    @contextmanager
    def turn(self, within_s: float) -> Iterator[bool]:
        """True as soon as one may read, False if that takes longer."""
        entered = self._enter(within_s)
        try:
            yield entered
        finally:
            if entered:
                self._leave()

    def _enter(self, within_s: float) -> bool:
        give_up_at = self._clock() + within_s
        with self._changed:
            while (wait_s := self._wait_s()) > 0:
                left_s = give_up_at - self._clock()
                if left_s <= 0:
                    return False
                self._changed.wait(min(wait_s, left_s))
            self._reading += 1
            return True

    def _wait_s(self) -> float:
        """How long to wait before looking again, 0 if one may read; may begin a new turn."""
        now = self._clock()
        paused_s = now - self._last_left if self._reading == 0 else 0.0
        if paused_s >= PAUSE_S:
            self._turn_began = now
        if now - self._turn_began < TURN_S:
            return 0.0
        return PAUSE_S - paused_s

    def _leave(self) -> None:
        with self._changed:
            self._reading -= 1
            self._last_left = self._clock()
            self._changed.notify_all()


_TURNS: WeakValueDictionary[Path, ReaderTurns] = WeakValueDictionary()
_LOCK = threading.Lock()


def turns_of(path: Path) -> ReaderTurns:
    """The turns of everybody in this process who reads this file, kept while anybody has them."""
    with _LOCK:
        return _TURNS.setdefault(path.absolute(), ReaderTurns())
