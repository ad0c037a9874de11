"""Counts what becomes of each webhook's requests, and hands the numbers on now and then.

In memory, so that a count costs no request a disk write: what was counted in the last seconds
before a kill is lost. Must not know where the numbers are kept.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from types import TracebackType

from receiver.event_log import Event
from receiver.webhook_standing import TESTED
from target_hubspot_calls.errors import StoreUnavailable

logger = logging.getLogger("receiver")

FLUSH_EVERY_S = 5.0

Counted = Mapping[tuple[str, str], tuple[int, datetime]]
"""How often, and when last, by webhook id and word."""


class WebhookTally:
    """Counts while it is entered; `save` may block and raise StoreUnavailable."""

    def __init__(self, save: Callable[[Counted], None], *, every_s: float = FLUSH_EVERY_S) -> None:
        self._save = save
        self._every_s = every_s
        self._counted: dict[tuple[str, str], tuple[int, datetime]] = {}
        self._saving: asyncio.Task[None] | None = None

    async def __aenter__(self) -> WebhookTally:
        self._saving = asyncio.create_task(self._go_on())
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._saving is not None:
            self._saving.cancel()
            with suppress(asyncio.CancelledError):
                await self._saving
        await self.flush()

    def count(self, event: Event, seconds: float) -> None:
        """Counts one request for its webhook; strangers' ids are not counted.

        A test call of ours has a word of its own, whatever came of it: VAPI was not heard.
        """
        if not event.is_known or event.webhook_id is None:
            return
        word = TESTED if event.is_trial else event.why or event.outcome
        key = event.webhook_id, word
        known = self._counted.get(key)
        self._counted[key] = (known[0] + 1 if known else 1), event.at

    async def flush(self) -> None:
        """Hands on what was counted since; keeps it when that fails."""
        counted, self._counted = self._counted, {}
        if not counted:
            return
        try:
            await asyncio.to_thread(self._save, counted)
        except StoreUnavailable as err:
            logger.warning("what webhooks took and refused could not be counted yet: %s", err)
            for key, (count, last_at) in counted.items():
                more, later = self._counted.get(key, (0, last_at))
                self._counted[key] = count + more, later

    async def _go_on(self) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            await self.flush()
