"""Runs `tap-vapi | target-hubspot-calls` as two processes, and keeps the state they reach.

Knows how the two halves are joined, their ends and STATE lines; it must not know what a call is.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import replace
from typing import Protocol

from hubspot_calls.confirmed_position import ConfirmedPosition
from hubspot_calls.halves import (
    ENDED_AS_ASKED,
    Progress,
    RunEnd,
    SyncFailed,
    describe_end,
    start_tap,
    start_target,
)
from hubspot_calls.processes import ChildProcess, LineHandler
from hubspot_calls.settings import READER_NAME, Settings
from hubspot_calls.shared_run import SharedRun
from hubspot_calls.shared_stream import is_shared
from hubspot_calls.signals import on_signals
from hubspot_calls.state_keeper import StateKeeper
from hubspot_calls.sync_state import StateFile, sole_sync

# The target takes up to 8 s to end in order after a signal.
DRAIN_S = 10.0
_TAP_GRACE_S = 5.0
_TARGET_HEAD_START_S = 1.0
_POLL_S = 0.1

logger = logging.getLogger(__name__)


class Run(Protocol):
    """One run of tap and target, whichever way they are joined."""

    def run(self, progress: Progress | None = None) -> RunEnd:
        """Run to the end of the input, or until stopped."""

    def stop(self) -> None:
        """Ask the run to end in order."""


class Pipeline:
    """One run over a stream of this host's own. Call `run` once; `stop` may come from any thread.

    With `from_start` all that the stream keeps is read again.
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
        self._state = StateFile(settings.data_dir)
        self._states = StateKeeper(
            self._state.save, ConfirmedPosition(settings.stream_url, READER_NAME)
        )
        self._stop = threading.Event()

    def stop(self) -> None:
        """Ask the run to end in order: the tap first, then the target once it has drained."""
        self._stop.set()

    def run(self, progress: Progress | None = None) -> RunEnd:
        """Run to the end of the input, or until stopped. Raises UnreadableState."""
        goes_on = not self._from_start and self._state.check()
        arguments = ["--state", str(self._state.path)] if goes_on else []
        tap = start_tap(self._settings, follow=self._follow, arguments=arguments)
        try:
            target = start_target(self._settings, stdin=tap.stdout, on_line=self._on_line)
        except BaseException:
            tap.close()
            raise
        # Only the target may hold the reading end, or the tap would not notice when it goes.
        tap.stdout.close()
        return self._watch(tap, target, progress)

    def _watch(self, tap: ChildProcess, target: ChildProcess, progress: Progress | None) -> RunEnd:
        self._states.begin(target)
        try:
            while target.exit_code is None and not self._stop.wait(_POLL_S):
                if progress is not None:
                    progress()
        finally:
            if target.exit_code == 0:
                # A target that is done has seen the end of its tap, which may still be leaving.
                tap.wait(_TAP_GRACE_S)
            # Without its tap the target sees the end of its input and finishes what it holds.
            tap_code = tap.close(_TAP_GRACE_S)
            if target.wait(_TARGET_HEAD_START_S) is None:
                target.terminate()
                target.wait(DRAIN_S)
            target_code = target.kill()
            self._states.end()
            target.close()
        if self._stop.is_set():
            if target_code not in ENDED_AS_ASKED:
                logger.warning("%s", describe_end(target, target_code))
            return RunEnd(fault=self._states.fault, stopped=True)
        return RunEnd(fault=self._find_fault(tap, tap_code, target, target_code), stopped=False)

    def _find_fault(
        self, tap: ChildProcess, tap_code: int, target: ChildProcess, target_code: int
    ) -> str | None:
        if target_code != 0:
            return describe_end(target, target_code)
        if tap_code != 0:
            return describe_end(tap, tap_code)
        return self._states.fault


def new_run(
    settings: Settings,
    *,
    follow: bool = False,
    from_start: bool = False,
    on_line: LineHandler | None = None,
) -> Run:
    """A run as the stream of these settings asks for it: of this host's own, or a shared one."""
    kind = SharedRun if is_shared(settings.stream_url) else Pipeline
    return kind(settings, follow=follow, from_start=from_start, on_line=on_line)


def run_once(
    settings: Settings,
    *,
    owner: str = "hubspot-calls sync",
    from_start: bool = False,
    progress: Progress | None = None,
    on_line: LineHandler | None = None,
) -> RunEnd:
    """One pass over everything stored so far; SIGINT and SIGTERM end it in order.

    Raises SyncRunning when another process syncs this data directory, SyncFailed, UnreadableState,
    StoreUnavailable.
    """
    started = time.monotonic()
    with sole_sync(settings.data_dir, owner):
        run = new_run(settings, from_start=from_start, on_line=on_line)
        with on_signals(run.stop) as seen:
            end = run.run(progress)
    if end.fault is not None:
        raise SyncFailed(end.fault)
    return replace(end, signum=seen[0] if seen else None, seconds=time.monotonic() - started)
