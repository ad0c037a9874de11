"""The entries a JetStream writer has taken and not settled: in line, or published and awaited.

Runs in the writer's loop; knows publishes and acknowledgements, and neither threads nor what is to
be done when a stream is missing.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
from nats import errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import api

from call_stream.jetstream_errors import NO_ANSWER, SLOW, in_our_words
from call_stream.jetstream_layout import context, open_payloads
from call_stream.jetstream_names import (
    EXPECTED_STREAM,
    KIND,
    MESSAGE_ID,
    OBJECT,
    RECEIVED_NS,
    subject_of,
)
from call_stream.jetstream_payloads import patience_for, store_payload
from call_stream.settling import EntryFuture, settle
from call_stream.stream import Owner, StreamError, StreamUnavailable

MOST_IN_FLIGHT = 1024
MOST_IN_FLIGHT_BYTES = 8 * 1024 * 1024
REPEAT_S = 1.5
"""When a publish without an acknowledgement is repeated, under the same id."""

_SOON_S = 0.5
_HEADER_BYTES = 1024  # more than ours take
_MOST_STORING = 4
# Not leader, no quorum, too many requests: the server says that it will answer otherwise soon.
_PASSING = frozenset({10006, 10007, 10008, 10009, 10167})

logger = logging.getLogger("call_stream")


@dataclass(slots=True, eq=False)
class Waiting:
    """An entry that is not settled; `loop` is None when a thread waits for a concurrent future."""

    kind: int
    received_ns: int
    payload: bytes
    owner: Owner
    future: EntryFuture
    loop: asyncio.AbstractEventLoop | None
    taken_at: float = field(default_factory=time.monotonic)
    sent_at: float = 0.0
    storing: bool = False
    """Whether its payload is on its way into the object store."""


class _Fault(msgspec.Struct):
    code: int = 0
    err_code: int = 0
    description: str = "it does not say why"


class _Ack(msgspec.Struct):
    seq: int = 0
    error: _Fault | None = None


_decode_ack = msgspec.json.Decoder(_Ack).decode


class Publishing:
    """What is in line and under way; `on_done` hears the bytes of each burst that was settled.

    Its second argument is why the last entry of the burst was refused, None if it was not.
    """

    def __init__(
        self, stream: str, *, patience_s: float, on_done: Callable[[int, str | None], None]
    ) -> None:
        self.line: deque[Waiting] = deque()
        """Entries in line; any thread may append."""
        self.client: Client | None = None
        """Where entries are published now; None while there is nowhere."""
        self._stream = stream
        self._patience_s = patience_s
        self._on_done = on_done
        self._in_flight: dict[str, Waiting] = {}
        self._in_flight_bytes = 0
        self._inbox = ""
        self._limit = 0
        self._config = api.StreamConfig()
        # The id of an entry: what the server knows a repeated publish by, and its answer's address.
        self._id_prefix = secrets.token_urlsafe(15)
        self._id_count = 0
        self._settled: list[tuple[Waiting, int | StreamUnavailable]] = []
        self._storing: set[asyncio.Task[None]] = set()
        self._complaint: str | None = None

    @property
    def is_empty(self) -> bool:
        """Whether every entry that was taken is settled."""
        return not self.line and not self._in_flight and not self._settled

    async def attach(self, client: Client, config: api.StreamConfig) -> None:
        """Publishes what is under way again, here; what is in line follows with `send`."""
        limits = [client.max_payload, config.max_msg_size or 0]
        self._limit = min(limit for limit in limits if limit > 0) - _HEADER_BYTES
        self._config = config
        self._inbox = client.new_inbox()
        await client.subscribe(f"{self._inbox}.*", cb=self._on_ack)
        self.client = client
        for entry_id, waiting in list(self._in_flight.items()):
            await self._publish(entry_id, waiting)

    def detach(self) -> None:
        """Publishes nothing until there is another connection."""
        self.client = None
        for task in self._storing:
            task.cancel()

    async def send(self) -> None:
        """Publishes what is in line, as much as may be under way at once."""
        while self.line and self.client is not None:
            if len(self._in_flight) >= MOST_IN_FLIGHT:
                return
            if self._in_flight and self._in_flight_bytes >= MOST_IN_FLIGHT_BYTES:
                return
            waiting = self.line.popleft()
            self._id_count += 1
            entry_id = f"{self._id_prefix}{self._id_count}"
            self._in_flight[entry_id] = waiting
            self._in_flight_bytes += len(waiting.payload)
            await self._publish(entry_id, waiting)

    async def repeat(self, now: float) -> None:
        """Publishes again what was not acknowledged, under the id it has."""
        for entry_id, waiting in list(self._in_flight.items()):
            if now - waiting.sent_at > REPEAT_S and entry_id in self._in_flight:
                await self._publish(entry_id, waiting)

    def give_up(self, now: float, why: Callable[[], str]) -> None:
        """Refuses what has waited too long; of what was published nobody knows if it is stored."""
        reason: str | None = None
        for entry_id, waiting in list(self._in_flight.items()):
            if now - waiting.taken_at > self._patience_of(waiting):
                reason = reason or self._complaint or why()
                self._settle(entry_id, StreamUnavailable(reason))
        while self.line and now - self.line[0].taken_at > self._patience_of(self.line[0]):
            reason = reason or self._complaint or why()
            self._add_settled(self.line.popleft(), StreamUnavailable(reason))

    def _patience_of(self, waiting: Waiting) -> float:
        size = len(waiting.payload)
        return self._patience_s + (patience_for(size) if size > self._limit > 0 else 0.0)

    async def _publish(self, entry_id: str, waiting: Waiting) -> None:
        client = self.client
        if client is None:
            return
        waiting.sent_at = time.monotonic()
        if len(waiting.payload) <= self._limit:
            await self._publish_message(client, entry_id, waiting, waiting.payload)
        elif not waiting.storing and len(self._storing) < _MOST_STORING:
            waiting.storing = True
            task = asyncio.ensure_future(self._store(client, entry_id, waiting))
            self._storing.add(task)
            task.add_done_callback(self._storing.discard)

    async def _publish_message(
        self, client: Client, entry_id: str, waiting: Waiting, data: bytes, **headers: str
    ) -> None:
        try:
            await client.publish(
                subject_of(self._stream, waiting.owner),
                data,
                reply=f"{self._inbox}.{entry_id}",
                headers={
                    MESSAGE_ID: entry_id,
                    EXPECTED_STREAM: self._stream,
                    KIND: str(waiting.kind),
                    RECEIVED_NS: str(waiting.received_ns),
                    **headers,
                },
            )
        except (errors.Error, OSError):
            # The connection is lost: the next one publishes this again, or patience ends.
            logger.debug("call stream: a publish failed", exc_info=True)

    async def _store(self, client: Client, entry_id: str, waiting: Waiting) -> None:
        """Puts the payload into the object store, then publishes an entry that names it."""
        try:
            with in_our_words():
                store = await open_payloads(context(client), self._config)
                await store_payload(store, entry_id, waiting.payload, most_bytes=self._limit)
        except StreamError as err:
            self._complaint = str(err)
        else:
            waiting.sent_at = time.monotonic()
            await self._publish_message(client, entry_id, waiting, b"", **{OBJECT: entry_id})
        finally:
            waiting.storing = False

    async def _on_ack(self, msg: Msg) -> None:
        entry_id = msg.subject[len(self._inbox) + 1 :]
        waiting = self._in_flight.get(entry_id)
        if waiting is None:
            return  # of a publish that was repeated, and answered already
        if not msg.data:  # nobody listens: no leader at present, or no stream
            self._complaint = NO_ANSWER
            waiting.sent_at = time.monotonic() - REPEAT_S + _SOON_S
            return
        try:
            ack = _decode_ack(msg.data)
        except msgspec.DecodeError:
            self._complaint = SLOW
            return
        if ack.error is None:
            self._complaint = None
            self._settle(entry_id, ack.seq)
        elif ack.error.err_code in _PASSING:
            self._complaint = f"JetStream cannot store at present: {ack.error.description}."
            waiting.sent_at = time.monotonic() - REPEAT_S + _SOON_S
        else:
            self._settle(
                entry_id, StreamUnavailable(f"JetStream refuses: {ack.error.description}.")
            )

    def _settle(self, entry_id: str, result: int | StreamUnavailable) -> None:
        waiting = self._in_flight.pop(entry_id)
        self._in_flight_bytes -= len(waiting.payload)
        self._add_settled(waiting, result)

    def _add_settled(self, waiting: Waiting, result: int | StreamUnavailable) -> None:
        if not self._settled:  # what the same turn of the loop settles is told together
            asyncio.get_running_loop().call_soon(self._tell)
        self._settled.append((waiting, result))

    def _tell(self) -> None:
        settled, self._settled = self._settled, []
        settle([waiting for waiting, _ in settled], [result for _, result in settled])
        last = settled[-1][1]
        self._on_done(
            sum(len(waiting.payload) for waiting, _ in settled),
            None if isinstance(last, int) else str(last),
        )
