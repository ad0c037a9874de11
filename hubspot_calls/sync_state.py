"""Where the last sync stopped, of one data directory or of all hosts, and who may move that mark.

Knows files, locks and the store's door to shared states; what a Singer state says inside is the
tap's business.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from hubspot_calls.confirmed_position import bookmarks_of
from hubspot_calls.data_dir import make_data_dir
from target_hubspot_calls.errors import CallSyncError, StoreUnavailable

if TYPE_CHECKING:
    from target_hubspot_calls.store.sync_states import SyncStates

STATE_FILE = "sync_state.json"
LOCK_FILE = "sync.lock"

logger = logging.getLogger(__name__)


class SyncRunning(CallSyncError):
    """Another process syncs this data directory already."""


class UnreadableState(CallSyncError):
    """The state file is damaged or cannot be read or written."""


class StateFile:
    """The newest Singer state of a data directory; it is replaced whole or not at all."""

    def __init__(self, data_dir: Path) -> None:
        self.path = data_dir / STATE_FILE

    def save(self, line: str) -> None:
        """Keep this STATE value, on disk before this returns. Raises UnreadableState."""
        _check(line)
        try:
            self._replace(line)
        except OSError as err:
            raise UnreadableState(
                f"{self.path} cannot be written ({err.strerror}); check space and rights"
            ) from err

    def check(self) -> bool:
        """True if there is a state to go on from. Raises UnreadableState when it is damaged."""
        try:
            if not isinstance(json.loads(self.path.read_text("utf-8")), dict):
                raise ValueError("not an object")
        except FileNotFoundError:
            return False
        except (OSError, ValueError) as err:
            raise UnreadableState(
                f"{self.path} is damaged; delete it to read all stored calls again"
                " (no call gets a second note)"
            ) from err
        return True

    def _replace(self, line: str) -> None:
        handle, name = tempfile.mkstemp(prefix=f".{STATE_FILE}.", dir=self.path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self.path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        directory = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


class SharedState:
    """The newest Singer state of a stream that several hosts share, kept in their store.

    Nothing that its target confirmed is ever read again by the next reader, whichever host that is.
    """

    def __init__(self, states: SyncStates, stream: str, *, office: str, holder: str) -> None:
        self._states = states
        self._stream = stream
        self._office = office
        self._holder = holder

    def save(self, line: str) -> None:
        """Keep this STATE value, unless a newer one or another reader is there.

        Raises UnreadableState.
        """
        _check(line)
        try:
            was_kept = self._states.save(
                self._stream,
                line,
                office=self._office,
                holder=self._holder,
                is_older=is_older,
                now=datetime.now(UTC),
            )
        except StoreUnavailable as err:
            raise UnreadableState(f"how far the stream was read cannot be kept: {err}") from err
        if not was_kept:
            logger.debug("another reader has come further; this state was not kept")

    def load(self) -> str | None:
        """The state to go on from, if there is one. Raises StoreUnavailable."""
        return self._states.load(self._stream)

    def forget(self) -> None:
        """Have everything that is kept read again. Raises StoreUnavailable."""
        self._states.forget(self._stream)


def is_older(state: str, than: str) -> bool:
    """Whether a state lies behind another at any source that both tell of.

    Two of one stream are comparable: their bookmarks only grow, and a tap began at the older one.
    """
    theirs = bookmarks_of(than)
    return any(value < theirs.get(source, value) for source, value in bookmarks_of(state).items())


def _check(line: str) -> None:
    try:
        if not isinstance(json.loads(line), dict):
            raise ValueError("not an object")
    except ValueError as err:
        raise UnreadableState(
            "the target wrote a line that is no Singer state; nothing was kept of it"
        ) from err


@contextmanager
def sole_sync(data_dir: Path, owner: str) -> Iterator[None]:
    """Hold the right to sync this data directory, released by the system if we die.

    Raises SyncRunning, naming the command and process that hold it, and DataDirUnusable.
    """
    make_data_dir(data_dir)
    handle = os.open(data_dir / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            holder = os.pread(handle, 200, 0).decode("utf-8", "replace") or "another process"
            raise SyncRunning(
                f"{holder} already syncs {data_dir}; calls are sent by it,"
                " so wait for it or stop it first"
            ) from err
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"`{owner}` (process {os.getpid()})".encode(), 0)
        yield
    finally:
        os.close(handle)
