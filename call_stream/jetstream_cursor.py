"""A place in a JetStream stream from which messages are fetched in order, by an ephemeral consumer.

Runs in a reader's loop; knows sequences and the consumer's protocol, and not what a message means.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from contextlib import suppress
from typing import NamedTuple

from nats import errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext, api

from call_stream.jetstream_layout import context

BATCH = 500
_BATCH_BYTES = 8 * 1024 * 1024
_SILENCE_S = 2.0
_KEPT_S = 60.0
"""How long the server keeps a consumer that asks for nothing."""


class CursorLost(Exception):
    """The consumer is gone, or a message of it: another is to go on from the last position."""


class Fetched(NamedTuple):
    """A message and its place."""

    sequence: int
    message: Msg


class Cursor:
    """Messages behind a sequence; see `open_cursor`."""

    def __init__(self, client: Client, stream: str, consumer: str, position: int) -> None:
        self.client = client
        self.position = position
        """The sequence given out last, or behind which the first is looked for."""
        self._stream = stream
        self._consumer = consumer
        self._inbox = client.new_inbox()
        self._next_subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._request = json.dumps(
            {
                "batch": BATCH,
                "no_wait": True,
                # One message may always be as large as the server allows.
                "max_bytes": max(_BATCH_BYTES, 2 * client.max_payload),
            }
        ).encode()
        self._asked = 0
        self._got: deque[Fetched] = deque()
        self._delivered = 0
        self._is_broken = False
        self._answered = asyncio.Event()

    async def start(self) -> None:
        """Listens for what will be fetched."""
        self._subscription = await self.client.subscribe(f"{self._inbox}.*", cb=self._on_message)

    @property
    def has_message(self) -> bool:
        """Whether the next message is here already."""
        return bool(self._got)

    @property
    def is_alive(self) -> bool:
        """Whether it can still be fetched from, as far as is known."""
        return self.client.is_connected and not self._is_broken

    @property
    def first(self) -> Fetched:
        """The next message, which is here."""
        return self._got[0]

    async def fetch(self) -> bool:
        """Whether a message is here, after asking for some if not. Raises CursorLost."""
        if not self._got:
            await self._fetch()
        return bool(self._got)

    def drop_first(self) -> None:
        """Moves behind the next message."""
        self.position = self._got.popleft().sequence

    async def abandon(self) -> None:
        """Lets the server forget the consumer now, which it else does by itself in time."""
        with suppress(errors.Error, TimeoutError):
            await self._subscription.unsubscribe()
            if self.is_alive:
                await context(self.client).delete_consumer(self._stream, self._consumer)

    async def _fetch(self) -> None:
        self._asked += 1
        self._answered.clear()
        if not self.is_alive:
            raise CursorLost
        await self.client.publish(
            self._next_subject, self._request, reply=f"{self._inbox}.{self._asked}"
        )
        seen = -1
        while not self._answered.is_set():
            if len(self._got) == seen:
                self._is_broken = True  # what was asked for may still come: too late
                break
            seen = len(self._got)
            try:
                async with asyncio.timeout(_SILENCE_S):
                    await self._answered.wait()
            except TimeoutError:
                continue
        if self._is_broken and not self._got:
            raise CursorLost

    async def _on_message(self, msg: Msg) -> None:
        if not msg.reply:
            self._on_status(msg)
            return
        # $JS.ACK.[DOMAIN.ACCOUNT.]STREAM.CONSUMER.DELIVERED.SEQUENCE.NUMBER.TIME.LEFT[.RANDOM]
        tokens = msg.reply.split(".")
        at = 5 if len(tokens) == 9 else 7
        number, left = int(tokens[at + 1]), int(tokens[at + 3])
        if self._is_broken or number != self._delivered + 1:
            self._is_broken = True
            self._answered.set()
            return
        self._delivered = number
        self._got.append(Fetched(int(tokens[at]), msg))
        if left == 0 or len(self._got) >= BATCH:
            self._answered.set()

    def _on_status(self, msg: Msg) -> None:
        """The end of what was asked for: nothing more at present, or the consumer is gone."""
        if msg.subject != f"{self._inbox}.{self._asked}":
            return
        status = (msg.headers or {}).get("Status", "")
        said = (msg.headers or {}).get("Description", "")
        if status not in ("404", "408", "409") or "Consumer" in said or "Leadership" in said:
            self._is_broken = True
        self._answered.set()


async def open_cursor(js: JetStreamContext, client: Client, stream: str, position: int) -> Cursor:
    """A cursor behind this sequence. Raises what the driver raises."""
    info = await js.add_consumer(
        stream,
        api.ConsumerConfig(
            deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=position + 1,
            ack_policy=api.AckPolicy.NONE,
            inactive_threshold=_KEPT_S,
            mem_storage=True,
            num_replicas=1,
        ),
    )
    cursor = Cursor(client, stream, str(info.name), position)
    await cursor.start()
    return cursor
