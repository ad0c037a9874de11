"""Every request that reached the simulator, for tests and benchmarks to count.

It keeps no token, no query values and no body.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import asdict, dataclass
from typing import Any

_KEPT = 500_000


@dataclass
class LoggedRequest:
    """One request; `status` is 0 while it runs and where the connection was dropped."""

    at: float
    method: str
    path: str
    plain_path: str
    operation: str = ""
    status: int = 0
    portal_id: int | None = None
    body_size: int = 0
    body_read: bool = False
    inputs: int | None = None
    fault: str | None = None
    duration_ms: float = 0.0
    policy: str | None = None

    def payload(self) -> dict[str, Any]:
        """The entry as JSON."""
        return asdict(self)


class RequestLog:
    """The requests, oldest first."""

    def __init__(self) -> None:
        self.entries: deque[LoggedRequest] = deque(maxlen=_KEPT)

    def select(
        self,
        *,
        method: str | None = None,
        operation: str | None = None,
        status: int | None = None,
        portal_id: int | None = None,
    ) -> list[LoggedRequest]:
        """The entries that fit."""
        return [
            entry
            for entry in list(self.entries)
            if method in (None, entry.method)
            and operation in (None, entry.operation)
            and status in (None, entry.status)
            and portal_id in (None, entry.portal_id)
        ]

    def counts(self) -> dict[str, int]:
        """How many requests each operation had."""
        return dict(Counter(entry.operation for entry in list(self.entries)))

    def statuses(self) -> dict[str, int]:
        """How many answers each status had."""
        return dict(Counter(str(entry.status) for entry in list(self.entries)))
