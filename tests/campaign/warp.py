"""A clock that runs faster than the world and can be moved on, shared by simulator and workers.

Knows nothing of what is timed by it. Retry waits, claims, tokens and rate windows of minutes pass
in seconds, and stay in proportion to each other.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime


@dataclass
class Warp:
    """Time that passes `speed` times as fast as the world's, `ahead_s` seconds further on."""

    speed: float
    began: float = field(default_factory=time.time)
    ahead_s: float = 0.0

    def time(self) -> float:
        """Seconds since 1970, warped."""
        return self.began + (time.time() - self.began) * self.speed + self.ahead_s

    def now(self) -> datetime:
        """The warped time, aware and UTC."""
        return datetime.fromtimestamp(self.time(), UTC)

    def real_s(self, seconds: float) -> float:
        """How long so many warped seconds take in the world."""
        return seconds / self.speed

    async def sleep(self, seconds: float) -> None:
        """Waits so many warped seconds."""
        await asyncio.sleep(self.real_s(max(0.0, seconds)))
