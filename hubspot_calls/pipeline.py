"""Runs `tap-vapi | target-hubspot-calls` as two processes, and keeps the state they reach.

Knows the two commands, their exit codes and STATE lines; it must not know what a call is.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from hubspot_calls.confirmed_position import ConfirmedPosition
from hubspot_calls.processes import (
    ChildProcess,
    LineHandler,
    clean_environment,
    singer_log_environment,
)
from hubspot_calls.run_totals import in_plain_words
from hubspot_calls.settings import READER_NAME, Settings
from hubspot_calls.signals import on_signals
from hubspot_calls.sync_state import StateFile, UnreadableState, sole_sync
from target_hubspot_calls.errors import CallSyncError

TAP = ("tap-vapi", "tap_vapi.tap")
TARGET = ("target-hubspot-calls", "target_hubspot_calls.target")

# The target takes up to 8 s to end in order after a signal.
DRAIN_S = 10.0
_TAP_GRACE_S = 5.0
_TARGET_HEAD_START_S = 1.0
_POLL_S = 0.1
_ENDED_AS_ASKED = (0, -signal.SIGTERM, 128 + signal.SIGTERM)

logger = logging.getLogger(__name__)

Progress = Callable[[], None]


class SyncFailed(CallSyncError):
    """A run that ended before its time; says which half failed, and its last error."""


@dataclass(frozen=True)
class RunEnd:
    """How a run ended; `fault` is None when all input was taken over, or when it was stopped."""

    fault: str | None
    stopped: bool
    signum: int | None = None
    seconds: float = 0.0


class Pipeline:
    """One run of the two processes. Call `run` once; `stop` may come from any thread."""

    def __init__(
        self, settings: Settings, *, follow: bool = False, on_line: LineHandler | None = None
    ) -> None:
        self._settings = settings
        self._follow = follow
        self._on_line = on_line
        self._state = StateFile(settings.data_dir)
        self._confirmed = ConfirmedPosition(settings.stream_url, READER_NAME)
        self._stop = threading.Event()
        self._state_fault: str | None = None

    def stop(self) -> None:
        """Ask the run to end in order: the tap first, then the target once it has drained."""
        self._stop.set()

    def run(self, progress: Progress | None = None) -> RunEnd:
        """Run to the end of the input, or until stopped. Raises UnreadableState."""
        arguments = ["--state", str(self._state.path)] if self._state.check() else []
        environment = clean_environment(singer_log_environment(self._settings.log_level))
        directory = Path.cwd()  # relative paths in the settings' URLs start here
        tap = ChildProcess(
            *TAP,
            arguments,
            config=self._settings.tap_config(follow=self._follow),
            environment=environment,
            directory=directory,
        )
        try:
            target = ChildProcess(
                *TARGET,
                config=self._settings.target_config(),
                environment=environment,
                directory=directory,
                stdin=tap.stdout,
                on_line=self._on_line,
                reword=in_plain_words,
            )
        except BaseException:
            tap.close()
            raise
        # Only the target may hold the reading end, or the tap would not notice when it goes.
        tap.stdout.close()
        return self._watch(tap, target, progress)

    def _watch(self, tap: ChildProcess, target: ChildProcess, progress: Progress | None) -> RunEnd:
        reader = threading.Thread(target=self._keep_states, args=(target,), name="states")
        reader.start()
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
            reader.join()
            target.close()
        if self._stop.is_set():
            if target_code not in _ENDED_AS_ASKED:
                logger.warning("%s", _describe(target, target_code))
            return RunEnd(fault=self._state_fault, stopped=True)
        return RunEnd(fault=self._find_fault(tap, tap_code, target, target_code), stopped=False)

    def _keep_states(self, target: ChildProcess) -> None:
        for raw in target.stdout:
            state = raw.decode("utf-8", "replace").strip()
            try:
                self._state.save(state)
                self._confirmed.confirm(state)
                self._state_fault = None
            except UnreadableState as err:
                # Reading on matters more: a full pipe would stop the target. An older mark only
                # means that calls are read again, and found to be known.
                logger.error("%s", err)
                self._state_fault = str(err)
        self._confirmed.note()

    def _find_fault(
        self, tap: ChildProcess, tap_code: int, target: ChildProcess, target_code: int
    ) -> str | None:
        if target_code != 0:
            return _describe(target, target_code)
        if tap_code != 0:
            return _describe(tap, tap_code)
        return self._state_fault


def run_once(
    settings: Settings,
    *,
    owner: str = "hubspot-calls sync",
    progress: Progress | None = None,
    on_line: LineHandler | None = None,
) -> RunEnd:
    """One pass over everything stored so far; SIGINT and SIGTERM end it in order.

    Raises SyncRunning when another process syncs this data directory, SyncFailed, UnreadableState.
    """
    started = time.monotonic()
    with sole_sync(settings.data_dir, owner):
        pipeline = Pipeline(settings, on_line=on_line)
        with on_signals(pipeline.stop) as seen:
            end = pipeline.run(progress)
    if end.fault is not None:
        raise SyncFailed(end.fault)
    return replace(end, signum=seen[0] if seen else None, seconds=time.monotonic() - started)


def _describe(child: ChildProcess, code: int) -> str:
    how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
    last = child.last_error or (child.last_lines[-1] if child.last_lines else None)
    return f"{child.name} {how}" + (f": {last}" if last else "; it said nothing")
