"""Which row of each workspace is the newest, as pages ask every few seconds to see if one came.

Opens the sync log only after something was written to it: readers keep its writer waiting.
"""

from __future__ import annotations

import threading
from typing import Protocol


class RowsWithVersion(Protocol):
    """What is needed of the sync log."""

    def version(self) -> object:
        """Another value after every write."""

    def newest_id(self, user_id: str, workspace_id: str, /) -> str | None:
        """The id of the workspace's row written last."""


class NewestRows:
    """The newest row's id of each workspace that was asked for since the last write."""

    def __init__(self, log: RowsWithVersion) -> None:
        self._log = log
        self._lock = threading.Lock()
        self._version: object = None
        self._ids: dict[tuple[str, str], str | None] = {}

    def id_of(self, user_id: str, workspace_id: str) -> str | None:
        """The id, None where there is no row. Raises SyncLogBusy, SyncLogUnavailable."""
        owner = (user_id, workspace_id)
        # Looked at before the row is: what is written meanwhile is found the next time.
        version = self._log.version()
        with self._lock:
            if version == self._version and owner in self._ids:
                return self._ids[owner]
        newest = self._log.newest_id(user_id, workspace_id)
        with self._lock:
            if version != self._version:
                self._version, self._ids = version, {}
            self._ids[owner] = newest
        return newest
