"""Runs a target that delivers what is due, and the tap beside it while this process is the reader.

One process of all hosts reads a shared stream. What it reads goes through its own target into the
ledger, which every host's target delivers from. Must not know how a reader is elected.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable

from hubspot_calls.confirmed_position import SHARED_NOTED_EVERY_S, ConfirmedPosition
from hubspot_calls.halves import (
    ENDED_AS_ASKED,
    Progress,
    RunEnd,
    describe_end,
    start_tap,
    start_target,
)
from hubspot_calls.other_readers import Others
from hubspot_calls.processes import ChildProcess, LineHandler
from hubspot_calls.reader_office import ReaderOffice
from hubspot_calls.settings import READER_NAME, Settings
from hubspot_calls.shared_stream import open_shared_stream
from hubspot_calls.state_keeper import StateKeeper
from hubspot_calls.sync_state import SharedState
from target_hubspot_calls.errors import StoreUnavailable

# All of an end in order takes less than 10 s, the time process managers usually give.
TAP_GRACE_S = 1.0
TARGET_HEAD_START_S = 0.3
DRAIN_S = 8.2
# A tap that fails is tried again after so long, twice as long each time; others may read meanwhile.
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0
_HEALTHY_S = 60.0
_POLL_S = 0.1

logger = logging.getLogger(__name__)


class SharedRun:
    """One run over a shared stream. Call `run` once; `stop` may come from any thread.

    Two taps at once do no harm: a call that is accepted again is found to be known. Without
    `follow` it ends when all that was stored at its beginning has been taken over, by whichever
    host, and what was due has been tried.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        follow: bool = False,
        from_start: bool = False,
        on_line: LineHandler | None = None,
    ) -> None:
        self._settings = settings
        self._follow = follow
        self._from_start = from_start
        self._on_line = on_line
        self._stop = threading.Event()

    def stop(self) -> None:
        """Ask the run to end in order: the tap first, then the target."""
        self._stop.set()

    def run(self, progress: Progress | None = None) -> RunEnd:
        """Run to the end of the input, or until stopped. Raises StoreUnavailable."""
        with open_shared_stream(self._settings) as shared:
            office = shared.office()
            reading = Reading(
                self._settings,
                office,
                shared.state,
                follow=self._follow,
                from_start=self._from_start,
            )
            states = StateKeeper(
                shared.state.save,
                ConfirmedPosition(
                    self._settings.stream_url, READER_NAME, every_s=SHARED_NOTED_EVERY_S
                ),
            )
            try:
                target = start_target(self._settings, stdin=reading.output, on_line=self._on_line)
            except BaseException:
                reading.close()
                raise
            finally:
                # Only the target may hold this end, or a tap would not notice when it goes.
                os.close(reading.output)
            states.begin(target)
            office.begin()
            others = None if self._follow else Others(self._settings, shared, office)
            try:
                self._watch(reading, target, others, progress)
            finally:
                target_code = _end(reading, target)
                states.end(within_s=5.0)
                office.end()
                target.close()
        return self._ended(reading, states, others, target, target_code)

    def _watch(
        self,
        reading: Reading,
        target: ChildProcess,
        others: Others | None,
        progress: Progress | None,
    ) -> None:
        while target.exit_code is None and not self._stop.wait(_POLL_S):
            reading.step()
            if reading.fault is not None and self._follow:
                return
            if others is not None and reading.is_idle and others.have_read_all():
                reading.close()
            if progress is not None:
                progress()

    def _ended(
        self,
        reading: Reading,
        states: StateKeeper,
        others: Others | None,
        target: ChildProcess,
        target_code: int,
    ) -> RunEnd:
        if self._stop.is_set():
            if target_code not in ENDED_AS_ASKED:
                logger.warning("%s", describe_end(target, target_code))
            return RunEnd(fault=None if self._follow else states.fault, stopped=True)
        # After a fault of the reading side the target was told to end.
        as_it_should = (0,) if reading.fault is None else ENDED_AS_ASKED
        fault = reading.fault or states.fault
        if target_code not in as_it_should:
            fault = describe_end(target, target_code)
        return RunEnd(fault=fault, stopped=False, read_elsewhere=others.reader if others else None)


class Reading:
    """The pipe into a target, and the tap that writes to it while this process holds the office.

    `fault` says why this target can be given no more.
    """

    def __init__(
        self,
        settings: Settings,
        office: ReaderOffice,
        state: SharedState,
        *,
        follow: bool,
        from_start: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._office = office
        self._state = state
        self._follow = follow
        self._from_start = from_start
        self._clock = clock
        self._tap: ChildProcess | None = None
        self._began_at = 0.0
        self._wait_s = FIRST_WAIT_S
        self._is_torn = False
        self.output, self._input = os.pipe()
        self.fault: str | None = None

    @property
    def is_idle(self) -> bool:
        """Whether nothing is read now, and more may come."""
        return self._tap is None and self._input >= 0

    def step(self) -> None:
        """Begin, go on or end to read, as the office and the tap's own end ask for it."""
        if self._office.error is not None:
            self.fault = f"the election of the reader failed: {self._office.error}"
        if self._input < 0 or self.fault is not None:
            return
        if self._tap is None:
            if self._office.is_held:
                self._begin()
        elif self._tap.exit_code is not None:
            self._take_end()
        elif not self._office.is_held:
            logger.info("another process may read the stream now; reading ends here")
            if not self.end():
                self.fault = "the tap did not end in time"

    def end(self) -> bool:
        """End the tap, if there is one; False if the last line written may be torn."""
        tap, self._tap = self._tap, None
        self._is_torn = self._is_torn or (tap is not None and tap.close(TAP_GRACE_S) < 0)
        return not self._is_torn

    def close(self) -> None:
        """Show the target the end of its input."""
        if self._input >= 0:
            os.close(self._input)
            self._input = -1

    def _begin(self) -> None:
        try:
            if self._from_start:
                self._state.forget()
                self._from_start = False
            state = self._state.load()
        except StoreUnavailable as err:
            self._stand_back(f"how far the stream was read cannot be had: {err}")
            return
        self._began_at = self._clock()
        self._tap = start_tap(self._settings, follow=self._follow, state=state, stdout=self._input)

    def _take_end(self) -> None:
        """What becomes of a tap that ended by itself."""
        assert self._tap is not None  # noqa: S101 - asked before
        code = self._tap.close()
        how = describe_end(self._tap, code)
        self._tap = None
        if not self._follow:
            # One pass: the target now finishes what it holds.
            self.fault = how if code != 0 else None
            self.close()
        elif code < 0:
            self.fault, self._is_torn = how, True
        else:
            # It has written whole lines, so that the target can go on with the next tap's.
            if self._clock() - self._began_at >= _HEALTHY_S:
                self._wait_s = FIRST_WAIT_S
            self._stand_back(how)

    def _stand_back(self, why: str) -> None:
        logger.warning("the stream is not read: %s; it is tried again in %g s", why, self._wait_s)
        self._office.stand_back(self._wait_s)
        self._wait_s = min(self._wait_s * 2, LONGEST_WAIT_S)


def _end(reading: Reading, target: ChildProcess) -> int:
    """The exit code of the target, after an end in order; by force where that takes too long."""
    if not reading.end():
        # The target must not take a torn line for one.
        target.terminate()
    reading.close()
    if target.wait(TARGET_HEAD_START_S) is None:
        target.terminate()
        target.wait(DRAIN_S)
    return target.kill()
