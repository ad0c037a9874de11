"""Whether a run that claimed calls still lives, told by a locked file in the data directory.

The kernel drops the lock with the process, however it ended, so a killed run's calls are free at
once. Of a run in another data directory nothing is known: its claims run out by time.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Protocol

from target_hubspot_calls.errors import StoreUnavailable

FOLDER = "runs"


class Presence(Protocol):
    """How runs know of each other whether they live."""

    def enter(self) -> None:
        """Makes this run known as alive. Raises StoreUnavailable."""

    def leave(self) -> None:
        """Ends it; harmless when it never began."""

    def vanish(self) -> None:
        """Has `leave` tell nobody: something stays this run's, and others take it as a dead one's.

        Never raises.
        """

    def is_dead(self, holder: str) -> bool:
        """True if the run of a holder ("run/claim") surely lives no more.

        False also where nothing is known of it. Raises StoreUnavailable.
        """

    def streak(self) -> int | None:
        """A number that stays the same while others surely count this run among the living.

        None when they may not: then nothing is this run's own until it has asked again.
        """

    def quiet_s(self, holder: str) -> float:
        """For how many seconds a run that is dead has surely sent nothing; 0 if nobody knows."""


class FilePresence:
    """The locked file of this run, and a look at those of others."""

    def __init__(self, data_dir: Path, run_id: str) -> None:
        self._folder = data_dir / FOLDER
        self._run_id = run_id
        self._vanishes = False
        self._handle: int | None = None

    def enter(self) -> None:
        """Makes this run known as alive. Raises StoreUnavailable."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = self._folder / self._run_id
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._handle, fcntl.LOCK_EX)
        except OSError as err:
            raise StoreUnavailable(
                f"The data directory {self._folder.parent} cannot be written: {err.strerror}."
            ) from err

    def leave(self) -> None:
        """Ends it; harmless when it never began."""
        if self._handle is not None:
            if not self._vanishes:
                (self._folder / self._run_id).unlink(missing_ok=True)
            os.close(self._handle)
            self._handle = None

    def vanish(self) -> None:
        """Has `leave` let go of the file and keep it, as the kernel does for a killed run."""
        self._vanishes = True

    def is_dead(self, holder: str) -> bool:
        """True if the run of a holder ("run/claim") surely lives no more.

        False also where nothing is known of it.
        """
        run_id = holder.partition("/")[0]
        if run_id == self._run_id:
            return False
        path = self._folder / run_id
        try:
            handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(handle)
        return True

    def quiet_s(self, holder: str) -> float:
        """Nothing: a run is known to be dead the moment after its last request."""
        return 0.0

    def streak(self) -> int | None:
        """Always the same: whoever is stopped for long keeps its lock."""
        return 0
