"""Exact rolling windows: what a portal lets through, and how near the limit anybody came.

It knows nothing of HTTP; whoever asks gives the time.
"""

from __future__ import annotations

from collections import deque


class RollingWindow:
    """Counts what happened in the last `seconds`, and keeps the highest count ever seen."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.peak = 0
        self.offered_peak = 0
        self.refused = 0
        self._accepted: deque[float] = deque()
        self._offered: deque[float] = deque()

    def admit(self, now: float, limit: int | None) -> bool:
        """Whether one more fits in the window that ends now; it is counted when it does."""
        self._prune(now)
        self._offered.append(now)
        self.offered_peak = max(self.offered_peak, len(self._offered))
        if limit is not None and len(self._accepted) >= limit:
            self.refused += 1
            return False
        self._accepted.append(now)
        self.peak = max(self.peak, len(self._accepted))
        return True

    def remaining(self, now: float, limit: int) -> int:
        """How many more fit in the window that ends now."""
        self._prune(now)
        return max(0, limit - len(self._accepted))

    def _prune(self, now: float) -> None:
        start = now - self.seconds
        for times in (self._accepted, self._offered):
            while times and times[0] <= start:
                times.popleft()


class RateBook:
    """The windows of every caller of every portal, by name."""

    def __init__(self) -> None:
        self._windows: dict[tuple[str, int, str], RollingWindow] = {}
        self._days: dict[int, tuple[str, int]] = {}

    def window(self, policy: str, portal_id: int, caller: str, seconds: float) -> RollingWindow:
        """The window of one policy, portal and caller; the empty caller is shared by all."""
        key = (policy, portal_id, caller)
        found = self._windows.get(key)
        if found is None:
            found = self._windows[key] = RollingWindow(seconds)
        return found

    def used_today(self, portal_id: int, day: str) -> int:
        """Requests of service keys on this portal on this day."""
        counted_day, count = self._days.get(portal_id, (day, 0))
        return count if counted_day == day else 0

    def count_today(self, portal_id: int, day: str) -> None:
        """Counts one request of a service key."""
        self._days[portal_id] = (day, self.used_today(portal_id, day) + 1)

    def peak(self, policy: str, portal_id: int | None = None) -> int:
        """The most requests let through in any window of one policy."""
        return max((w.peak for w in self._matching(policy, portal_id)), default=0)

    def offered_peak(self, policy: str, portal_id: int | None = None) -> int:
        """The most requests that arrived in any window of one policy, refused ones included."""
        return max((w.offered_peak for w in self._matching(policy, portal_id)), default=0)

    def refused(self, policy: str, portal_id: int | None = None) -> int:
        """How often one policy said no."""
        return sum(w.refused for w in self._matching(policy, portal_id))

    def report(self) -> list[dict[str, object]]:
        """All windows with their highest counts."""
        return [
            {
                "policy": policy,
                "portal_id": portal_id,
                "caller": caller,
                "window_s": window.seconds,
                "peak": window.peak,
                "offered_peak": window.offered_peak,
                "refused": window.refused,
            }
            for (policy, portal_id, caller), window in self._windows.items()
        ]

    def clear(self) -> None:
        """Forgets everything counted so far."""
        self._windows.clear()
        self._days.clear()

    def _matching(self, policy: str, portal_id: int | None) -> list[RollingWindow]:
        return [
            window
            for (name, portal, _), window in self._windows.items()
            if name == policy and portal_id in (None, portal)
        ]
