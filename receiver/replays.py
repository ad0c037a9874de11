"""Signed requests that were stored, so that a captured one cannot be stored again.

Keeps marks in memory, bounded in time and number; must not know what a request says. The marks do
not outlive the process, and under a flood the oldest go first: a request repeated then is stored a
second time, which the target merges by call id.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence

MOST_KEPT = 50_000


class StoredOnce:
    """Stores what it does not know yet. One event loop uses it.

    VAPI may send the very same bytes again when our answer was lost. Then the first must count:
    whoever sent it is answered as if for the first time, but only once that one is on disk. What
    could not be stored is not kept in mind, so it is stored when it comes again.
    """

    def __init__(self, *, most: int = MOST_KEPT) -> None:
        self._most = most
        self._kept: OrderedDict[bytes, float] = OrderedDict()
        self._under_way: dict[bytes, asyncio.Future[None]] = {}

    async def store(
        self,
        marks: Sequence[bytes],
        store: Callable[[], Awaitable[None]],
        *,
        keep_until_s: float,
        now_s: float,
    ) -> bool:
        """True once `store` has ended well, False if one with any of the marks has before.

        Raises what `store` raises.
        """
        while first := next((self._under_way[m] for m in marks if m in self._under_way), None):
            await asyncio.wait([first])
        self._forget_expired(now_s)
        if any(mark in self._kept for mark in marks):
            return False
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._under_way.update(dict.fromkeys(marks, ended))
        try:
            await store()
            self._kept.update(dict.fromkeys(marks, keep_until_s))
            return True
        finally:
            for mark in marks:
                del self._under_way[mark]
            ended.set_result(None)

    def _forget_expired(self, now_s: float) -> None:
        kept = self._kept
        while kept and (len(kept) > self._most or next(iter(kept.values())) < now_s):
            kept.popitem(last=False)
