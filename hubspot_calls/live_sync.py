"""Keeps `tap-vapi | target-hubspot-calls` running in a worker, and starts it again.

Knows when to try again; what runs is the run's own business.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol

from call_stream.stream import StreamError
from hubspot_calls.halves import RunEnd
from hubspot_calls.pipeline import new_run
from hubspot_calls.settings import Settings
from hubspot_calls.sync_state import sole_sync
from target_hubspot_calls.errors import CallSyncError

FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0
_HEALTHY_S = 60.0

logger = logging.getLogger(__name__)


class Run(Protocol):
    """What is kept running: a pipeline, or a stand-in."""

    def run(self) -> RunEnd:
        """Run until it ends or is stopped."""

    def stop(self) -> None:
        """Ask the run to end in order."""


class LiveSync:
    """New calls reach HubSpot as they arrive, for as long as this runs.

    A run that dies is started again after 1, 2, 4 .. 60 s; one that held for a minute resets that.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        owner: str = "hubspot-calls serve",
        make_run: Callable[[], Run] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._owner = owner
        self._make_run = make_run or (lambda: new_run(settings, follow=True))
        self._clock = clock
        self._stop = threading.Event()
        # A second signal may come while the first one's handler holds it.
        self._lock = threading.RLock()
        self._run: Run | None = None
        self._thread = threading.Thread(target=self._keep_running, name="live-sync")

    def start(self) -> None:
        """Begin to sync, in a thread of its own."""
        self._thread.start()

    @property
    def is_running(self) -> bool:
        """Whether a run is under way, rather than waited for."""
        return self._run is not None

    def request_stop(self) -> None:
        """Ask the sync to end in order, without waiting for it."""
        self._stop.set()
        with self._lock:
            if self._run is not None:
                self._run.stop()

    def stop(self) -> None:
        """End the sync in order and wait until it has ended."""
        self.request_stop()
        if self._thread.ident is not None:
            self._thread.join()

    def _keep_running(self) -> None:
        wait_s = FIRST_WAIT_S
        while not self._stop.is_set():
            started = self._clock()
            reason = self._run_guarded()
            if self._stop.is_set():
                return
            if self._clock() - started >= _HEALTHY_S:
                wait_s = FIRST_WAIT_S
            logger.warning("live sync ended: %s; it starts again in %g s", reason, wait_s)
            self._stop.wait(wait_s)
            wait_s = min(wait_s * 2, LONGEST_WAIT_S)

    def _run_guarded(self) -> str:
        """Why the run ended, as a sentence."""
        try:
            with sole_sync(self._settings.data_dir, self._owner):
                end = self._run_to_its_end()
        except (CallSyncError, StreamError, OSError) as err:
            return str(err)
        except Exception as err:
            # A mistake of ours must not leave a process behind that looks alive and does nothing.
            logger.exception("live sync failed")
            return f"{type(err).__name__}, which is a mistake in this program"
        return end.fault or "the tap had no more to read"

    def _run_to_its_end(self) -> RunEnd:
        run = self._make_run()
        with self._lock:
            self._run = run
        try:
            if self._stop.is_set():
                return RunEnd(fault=None, stopped=True)
            return run.run()
        finally:
            with self._lock:
                self._run = None
