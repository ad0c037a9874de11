"""Whether runs of several hosts live, told by what they say in a shared store every two seconds.

Nobody's clock decides: a run is dead for another one when that other has looked for ten seconds
and found it silent. Knows nothing of calls.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Engine

from target_hubspot_calls.errors import StoreUnavailable
from target_hubspot_calls.store.database import beside
from target_hubspot_calls.store.runs import DEAD_AFTER, Look, Runs

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rhythm:
    """How often a run says that it lives, and what silence means; all in seconds.

    A run that has not been heard for `sure_s` writes nothing more of its own accord, long before
    it is dead for others after `dead_s`. Who was not heard itself judges nobody for `dead_s`, so a
    store that was down makes nobody dead.
    """

    beat_every_s: float = 2.0
    sure_s: float = 5.0
    dead_s: float = DEAD_AFTER.total_seconds()
    statement_s: float = 4.0


RHYTHM = Rhythm()


@dataclass(frozen=True)
class _Seen:
    """What a run said last, and when we heard that first, by our own stopwatch."""

    seen_at: datetime
    first_heard: float


class Heartbeat:
    """The heartbeat of this run, in a thread and with a connection of its own."""

    def __init__(
        self,
        engine: Engine,
        run_id: str,
        *,
        rhythm: Rhythm | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._run_id = run_id
        self._rhythm = rhythm or RHYTHM
        self._monotonic = monotonic
        self._own: Engine | None = None
        self._runs = Runs(engine)
        self._thread: threading.Thread | None = None
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self._vanishes = False
        self._streak = 0
        self._sure_until = float("-inf")
        # From when on every beat of ours was heard, and when the last one was.
        self._healthy_since: float | None = None
        self._looked_at = float("-inf")
        self._seen: dict[str, _Seen] = {}
        self._server: tuple[datetime, float] | None = None

    def quiet_s(self, holder: str) -> float:
        """For how many seconds a run that is dead has surely sent nothing.

        One that was silent for so long sent nothing from when it was sure of itself last. One that
        is not known any more may have sent something a moment ago.
        """
        with self._lock:
            is_silent = holder.partition("/")[0] in self._seen
        return self._rhythm.dead_s - self._rhythm.sure_s if is_silent else 0.0

    def enter(self) -> None:
        """Makes this run known as alive, until it leaves or dies. Raises StoreUnavailable."""
        self._own = beside(self._engine, statement_s=self._rhythm.statement_s)
        self._runs = Runs(self._own)
        try:
            self.beat()
        except BaseException:
            self._own.dispose()
            raise
        self._thread = threading.Thread(target=self._beat_regularly, name="heartbeat", daemon=True)
        self._thread.start()

    def leave(self) -> None:
        """Ends it; harmless when it never began. What cannot be told is seen by the silence."""
        if self._thread is None or self._own is None:
            return
        self._ending.set()
        self._thread.join()
        self._thread = None
        try:
            if not self._vanishes:
                self._runs.forget(self._run_id)
        except StoreUnavailable as err:
            logger.info("other hosts notice the end of this run by themselves: %s", err)
        self._own.dispose()

    def vanish(self) -> None:
        """Has `leave` only fall silent: others find out, and wait for as long as for a dead run."""
        self._vanishes = True

    def beat(self) -> None:
        """Says once that this run lives, and looks who else does. Raises StoreUnavailable."""
        began = self._monotonic()
        try:
            look = self._runs.beat(self._run_id)
        except StoreUnavailable:
            with self._lock:
                self._healthy_since = None
            raise
        with self._lock:
            self._hear(look, began, self._monotonic())

    def is_dead(self, holder: str) -> bool:
        """True if the run of a holder ("run/claim") was silent for as long as we listened well.

        False also where we did not. Raises StoreUnavailable.
        """
        run_id = holder.partition("/")[0]
        if run_id == self._run_id:
            return False
        with self._lock:
            if not self._may_judge():
                return False
            seen = self._seen.get(run_id)
            if seen is not None:
                return self._looked_at - seen.first_heard >= self._rhythm.dead_s
        # Runs enter before they take anything, and leave when nothing is theirs any more.
        return not self._runs.is_known(run_id)

    def streak(self) -> int | None:
        """A number that stays the same while others surely count this run among the living."""
        with self._lock:
            return self._streak if self._monotonic() < self._sure_until else None

    def now(self) -> datetime:
        """The time of the store's server, which all hosts share. Only after `enter`."""
        with self._lock:
            assert self._server is not None  # noqa: S101  said at the first beat
            told, heard = self._server
            return told + timedelta(seconds=self._monotonic() - heard)

    def _hear(self, look: Look, began: float, ended: float) -> None:
        if began >= self._sure_until:
            self._streak += 1
        # From the beginning: the store may have noted the beat at any moment after it.
        self._sure_until = began + self._rhythm.sure_s
        was_away = ended - self._looked_at > self._rhythm.dead_s / 2
        if self._healthy_since is None or was_away:
            self._healthy_since = ended
        self._looked_at = ended
        self._server = (look.now, (began + ended) / 2)
        self._seen = {
            run_id: known
            if (known := self._seen.get(run_id)) and known.seen_at == seen_at
            else _Seen(seen_at, ended)
            for run_id, seen_at in look.seen_at.items()
        }

    def _may_judge(self) -> bool:
        return (
            self._healthy_since is not None
            and self._looked_at - self._healthy_since >= self._rhythm.dead_s
            and self._monotonic() < self._sure_until
        )

    def _beat_regularly(self) -> None:
        while not self._ending.wait(self._rhythm.beat_every_s):
            try:
                self.beat()
            except StoreUnavailable as err:
                logger.warning("this run cannot say that it lives: %s", err)
