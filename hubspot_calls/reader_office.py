"""Whether this process is the one that reads a shared stream now: asked for, renewed, given back.

Knows elections and time; what the reader does is not its business.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

from target_hubspot_calls.errors import CallSyncError

LEASE_S = 10.0
RENEW_EVERY_S = 2.5
# How soon after another reader's end this process asks again.
LOOK_EVERY_S = 1.0
# Before the lease can be another's, the reader has this long to end.
TO_END_S = 3.0

logger = logging.getLogger(__name__)


class OfficeElections(Protocol):
    """Who may do what only one process may do at a time; methods raise StoreUnavailable."""

    def take(
        self,
        office: str,
        holder: str,
        *,
        for_s: float,
        now: datetime,
        is_dead: Callable[[str], bool],
    ) -> object:
        """True, or what counts as true, if the office is this holder's for so long."""

    def give_back(self, office: str, holder: str) -> None:
        """Lets another have it."""

    def holder_of(self, office: str) -> str | None:
        """Who has it now."""


class ReaderOffice:
    """The office of the reader of one stream, stood for in a thread of its own.

    A store that hangs holds up that thread and nobody else: the office is believed to be ours only
    for as long as nobody else can have it, less what a reader needs to end.
    """

    def __init__(
        self,
        elections: OfficeElections,
        office: str,
        holder: str,
        *,
        is_dead: Callable[[str], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._elections = elections
        self._office = office
        self._holder = holder
        self._is_dead = is_dead
        self._clock = clock
        self._held_until = -math.inf
        self._stands_from = -math.inf
        self._was_given = False
        self._told: str | None = None
        self._ending = False
        self._wake = threading.Event()
        self._asked = threading.Event()
        self._thread = threading.Thread(target=self._stand, name="reader-office", daemon=True)
        self.error: Exception | None = None
        """What the thread died of; it never should."""

    @property
    def is_held(self) -> bool:
        """Whether this process may read now."""
        return self._clock() < self._held_until

    @property
    def has_asked(self) -> bool:
        """Whether the store has answered once, one way or the other."""
        return self._asked.is_set()

    def begin(self) -> None:
        """Begin to stand for the office."""
        self._thread.start()

    def stand_back(self, seconds: float) -> None:
        """Let another have the office, and do not ask for it again for so long."""
        self._stands_from = self._clock() + seconds
        self._held_until = -math.inf
        self._wake.set()

    def end(self, within_s: float = 2.0) -> None:
        """Give the office back and stand no more; a store that hangs is not waited for longer."""
        self._ending = True
        self._held_until = -math.inf
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(within_s)

    def holder(self) -> str | None:
        """Who has the office now, as far as the store says. Raises StoreUnavailable."""
        return self._elections.holder_of(self._office)

    def _stand(self) -> None:
        try:
            while not self._ending:
                if self._clock() >= self._stands_from:
                    self._ask()
                else:
                    self._give_back()
                self._wake.wait(RENEW_EVERY_S if self.is_held else LOOK_EVERY_S)
                self._wake.clear()
            self._give_back()
        except Exception as err:  # noqa: BLE001 - whoever watches over the run is told
            self.error = err
            self._held_until = -math.inf

    def _ask(self) -> None:
        asked_at = self._clock()
        try:
            is_ours = bool(
                self._elections.take(
                    self._office,
                    self._holder,
                    for_s=LEASE_S,
                    now=datetime.now(UTC),
                    is_dead=self._is_dead,
                )
            )
        except CallSyncError as err:
            # What was held stays so until it runs out: nobody else can have it earlier.
            self._tell(f"who reads the stream cannot be agreed on: {err}", logging.WARNING)
            return
        self._asked.set()
        self._was_given = is_ours
        if is_ours and not self._ending and asked_at >= self._stands_from:
            self._held_until = asked_at + LEASE_S - TO_END_S
            self._tell("this process reads the stream now")
        else:
            self._held_until = -math.inf
            if not is_ours:
                self._tell("another process reads the stream; this one delivers")

    def _give_back(self) -> None:
        if not self._was_given:
            return
        self._was_given = False
        try:
            self._elections.give_back(self._office, self._holder)
        except CallSyncError as err:
            logger.info("another process can read the stream in %g s: %s", LEASE_S, err)

    def _tell(self, sentence: str, level: int = logging.INFO) -> None:
        if sentence != self._told:
            logger.log(level, "%s", sentence)
        self._told = sentence
