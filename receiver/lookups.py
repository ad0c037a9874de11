"""Webhooks by id for the hot route, which must not ask the database for every call.

Keeps answers for a moment only, so that disabling and rotating act at once for people.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from receiver.signatures import Webhook

MOST_STRANGERS_PER_S = 200


class TooManyStrangers(Exception):
    """So many unknown ids are asked for that one more is not looked up."""


class WebhookDirectory(Protocol):
    """What the receiver asks for webhooks; may block. Raises StoreUnavailable."""

    def get(self, webhook_id: str, /) -> Webhook | None:
        """The webhook, disabled or not; None if there is none."""


class WebhookLookup:
    """Remembers answers, also "there is none", for `keep_s` seconds and at most `most` ids."""

    def __init__(
        self,
        directory: WebhookDirectory,
        *,
        keep_s: float,
        most: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._keep_s = keep_s
        self._most = most
        self._clock = clock
        self._kept: OrderedDict[str, tuple[float, Webhook | None]] = OrderedDict()
        self._asked: dict[str, asyncio.Task[Webhook | None]] = {}
        self._existing: set[str] = set()
        self._second = 0
        self._strangers = 0

    def at_hand(self, webhook_id: str) -> Webhook | None:
        """The webhook as `find` would give it without asking; None where it takes asking."""
        kept = self._kept.get(webhook_id)
        return kept[1] if kept is not None and kept[0] > self._clock() else None

    async def find(self, webhook_id: str) -> Webhook | None:
        """The webhook, disabled or not; None if there is none. Raises StoreUnavailable."""
        kept = self._kept.get(webhook_id)
        if kept is not None and kept[0] > self._clock():
            return kept[1]
        asked = self._asked.get(webhook_id)
        if asked is None:  # one question to the database, however many calls wait for it
            asked = asyncio.create_task(self._ask(webhook_id))
            self._asked[webhook_id] = asked
            asked.add_done_callback(lambda task: self._forget_question(webhook_id, task))
        return await asyncio.shield(asked)

    async def find_for_sender(self, webhook_id: str) -> Webhook | None:
        """The same, but ids that nobody knows are looked up only so often: anybody can make one up.

        Raises StoreUnavailable, TooManyStrangers.
        """
        kept = self._kept.get(webhook_id)
        if kept is not None and kept[0] > self._clock():
            return kept[1]
        if webhook_id not in self._existing:
            self._admit_stranger()
        return await self.find(webhook_id)

    def forget(self, webhook_id: str) -> None:
        """Has the webhook looked up again: what is known of it, or just being read, is old."""
        self._kept.pop(webhook_id, None)
        self._asked.pop(webhook_id, None)

    def _admit_stranger(self) -> None:
        second = int(self._clock())
        if second != self._second:
            self._second, self._strangers = second, 0
        self._strangers += 1
        if self._strangers > MOST_STRANGERS_PER_S:
            raise TooManyStrangers

    async def _ask(self, webhook_id: str) -> Webhook | None:
        expires = self._clock() + self._keep_s
        webhook = await asyncio.to_thread(self._directory.get, webhook_id)
        if self._asked.get(webhook_id) is not asyncio.current_task():
            return webhook  # forgotten meanwhile
        self._kept[webhook_id] = (expires, webhook)
        if webhook is not None:
            self._existing.add(webhook_id)
        self._kept.move_to_end(webhook_id)
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return webhook

    def _forget_question(self, webhook_id: str, task: asyncio.Task[Webhook | None]) -> None:
        if self._asked.get(webhook_id) is task:
            del self._asked[webhook_id]
        if not task.cancelled():
            task.exception()  # those who waited have it; if all went away, nobody needs it
