"""Keeps one host's DuckDB file filled for analysts, where several hosts share a history.

Every run asks for the office; the one that has it fills, the others leave the file alone. Must not
know what calls are.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime

from sqlalchemy import Engine

from target_hubspot_calls.errors import StoreUnavailable
from target_hubspot_calls.shared_history.copying import copy_missing
from target_hubspot_calls.store.elections import Elections
from target_hubspot_calls.store.held_outbox import HeldOutbox, OfficeLost
from target_hubspot_calls.store.one_holder import Taken
from target_hubspot_calls.sync_log.log import SyncLog, SyncLogUnavailable

OFFICE = "sync_log"
# Whoever vanishes loses the office after so long.
OFFICE_S = 30.0
RENEW_S = 10.0
ASK_S = 5.0
# A host whose file cannot be used lets another try for so long.
STEP_BACK_S = 60.0
# One filling takes hardly longer: the end of a run waits for it.
FILLING_S = 5.0
_LOADED_ROWS = 1_000

logger = logging.getLogger(__name__)


class Filler:
    """Fills the file while this run is elected; `is_dead` says of another run that it is over."""

    def __init__(
        self,
        engine: Engine,
        log: SyncLog,
        holder: str,
        *,
        now: Callable[[], datetime],
        is_dead: Callable[[str], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._log = log
        self._holder = holder
        self._now = now
        self._is_dead = is_dead
        self._clock = clock
        self._elections = Elections(engine)
        self._outbox = HeldOutbox(engine, OFFICE, holder)
        self._turn = threading.Lock()
        self._in_office = False
        self._asked_at = self._ask_at = float("-inf")
        self._copying: Iterator[int] | None = None

    def fill(self) -> None:
        """Writes what waits, some seconds' worth at most; nothing without the office.

        Raises StoreUnavailable, SyncLogBusy, SyncLogUnavailable; no row is lost by it.
        """
        # A call that nobody waits for any more may still be at it.
        if not self._turn.acquire(timeout=2 * FILLING_S):
            return
        try:
            if self._has_office():
                self._fill_within(self._clock() + FILLING_S)
        except OfficeLost:
            self._in_office = False
        except SyncLogUnavailable:
            self._step_back()
            raise
        finally:
            self._turn.release()

    def leave(self) -> None:
        """Lets another run have the office at once; without the store it runs out by itself."""
        if not self._in_office:
            return
        self._in_office = False
        try:
            self._elections.give_back(OFFICE, self._holder)
        except StoreUnavailable as err:
            logger.info("the sync log's office is free in %g s: %s", OFFICE_S, err)

    def _has_office(self) -> bool:
        """Asks, or renews, when it is time to; who has it anew has all to compare again."""
        asked_at = self._clock()
        if asked_at < self._ask_at:
            return self._in_office
        had_until = self._asked_at + OFFICE_S if self._in_office else asked_at
        self._in_office = False
        taken = self._elections.take(
            OFFICE, self._holder, for_s=OFFICE_S, now=self._now(), is_dead=self._is_dead
        )
        # Whoever believed us dead may have had it, and filled another file, within our own time.
        if taken is Taken.TAKEN_OVER or (taken and had_until <= asked_at):
            self._copying = copy_missing(self._engine, self._log)
        self._in_office = bool(taken)
        self._asked_at = asked_at
        self._ask_at = asked_at + (RENEW_S if taken else ASK_S)
        return self._in_office

    def _fill_within(self, give_up_at: float) -> None:
        while self._copying is not None:
            copying, self._copying = self._copying, None
            try:
                is_over = next(copying, None) is None
            except BaseException:
                # It is over once it has failed, and what is missing is still missing.
                self._copying = copy_missing(self._engine, self._log)
                raise
            self._copying = None if is_over else copying
            if self._clock() >= give_up_at:
                return
        while rows := self._outbox.load(_LOADED_ROWS):
            self._log.append(rows)
            self._outbox.delete([row["id"] for row in rows])
            if len(rows) < _LOADED_ROWS or self._clock() >= give_up_at:
                return

    def _step_back(self) -> None:
        self.leave()
        self._ask_at = self._clock() + STEP_BACK_S
