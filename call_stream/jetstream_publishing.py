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
from call_stream.jetstream_payloads import drop_payload, patience_for, store_payload
from call_stream.settling import EntryFuture, settle
from call_stream.stream import Owner, StreamError, StreamUnavailable

MOST_IN_FLIGHT = 1024
MOST_IN_FLIGHT_BYTES = 8 * 1024 * 1024
REPEAT_S = 1.5
"""When a publish without an acknowledgement is repeated, under the same id."""

_SOON_S = 0.5
_HEADER_BYTES = 1024  # more than ours take
_MOST_STORING = 4
# Not leader, no quorum, too many requests, or the first publish under this id is still being
# replicated: the server says that it will answer otherwise soon.
_PASSING = frozenset({10006, 10007, 10008, 10009, 10158, 10167})
_TOO_LARGE = 10054

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
    object_name: str | None = None
    """The object that holds its payload, once one does for certain."""
    attempted: list[str] = field(default_factory=list)
    """Names under which storing its payload failed, or is under way."""
    wire_bytes: int = 0
    """How much of what may be under way at once it takes."""
    complaint: str | None = None
    """Why it cannot be stored, where that says nothing of other entries."""


class _Fault(msgspec.Struct):
    code: int = 0
    err_code: int = 0
    description: str = "it does not say why"


class _Ack(msgspec.Struct):
    seq: int = 0
    error: _Fault | None = None


_decode_ack = msgspec.json.Decoder(_Ack).decode


OnDone = Callable[[int, int | StreamUnavailable | None], None]


class Publishing:
    """What is in line and under way; `on_done` hears the bytes of each burst that was settled.

    Its second argument is the position of the last entry or why that was refused; None where
    nothing in the burst says how others will fare.
    """

    def __init__(self, stream: str, *, patience_s: float, on_done: OnDone) -> None:
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
        self._last: int | StreamUnavailable | None = None
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
            # Large ones are few by themselves, and must not stop others that can be stored.
            waiting.wire_bytes = 0 if self._is_large(waiting) else len(waiting.payload)
            self._in_flight_bytes += waiting.wire_bytes
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
                if self._is_large(waiting) and waiting.object_name is None:
                    own = waiting.complaint or self._complaint or why()
                    self._settle(entry_id, StreamUnavailable(own), is_its_own=True)
                    continue
                reason = reason or self._complaint or why()
                self._settle(entry_id, StreamUnavailable(reason))
        while self.line and now - self.line[0].taken_at > self._patience_of(self.line[0]):
            reason = reason or self._complaint or why()
            self._add_settled(self.line.popleft(), StreamUnavailable(reason))

    def _patience_of(self, waiting: Waiting) -> float:
        storing_s = patience_for(len(waiting.payload)) if self._is_large(waiting) else 0.0
        return self._patience_s + storing_s

    def _is_large(self, waiting: Waiting) -> bool:
        """Whether its payload goes into the object store."""
        return len(waiting.payload) > self._limit > 0

    async def _publish(self, entry_id: str, waiting: Waiting) -> None:
        client = self.client
        if client is None:
            return
        waiting.sent_at = time.monotonic()
        if waiting.object_name is not None:
            # Never stored again: the message that names this object may be in the stream already.
            named = {OBJECT: waiting.object_name}
            await self._publish_message(client, entry_id, waiting, b"", **named)
        elif not self._is_large(waiting):
            await self._publish_message(client, entry_id, waiting, waiting.payload)
        elif not waiting.storing and len(self._storing) < _MOST_STORING:
            waiting.storing = True
            task = asyncio.ensure_future(self._store(client, entry_id, waiting))
            self._storing.add(task)
            task.add_done_callback(lambda task: self._end_storing(task, waiting))

    def _end_storing(self, task: asyncio.Task[None], waiting: Waiting) -> None:
        """Lets the next attempt begin, also where this one was cut off before its first step."""
        self._storing.discard(task)
        waiting.storing = False

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
        """Puts the payload into the object store, then publishes an entry that names it.

        Each attempt has a name of its own: one whose answer was lost may have stored, and the
        driver takes away the chunks of what it puts again or believes to have failed.
        """
        name = f"{entry_id}-{len(waiting.attempted) + 1}"
        waiting.attempted.append(name)
        try:
            with in_our_words():
                store = await open_payloads(context(client), self._config)
                await store_payload(store, name, waiting.payload, most_bytes=self._limit)
        except StreamError as err:
            waiting.complaint = str(err)
            return
        waiting.object_name = name
        waiting.complaint = None
        await self._publish(entry_id, waiting)
        for failed in waiting.attempted[:-1]:  # no message names them, nor ever will
            await drop_payload(store, failed)

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
        if ack.error is None and not ack.seq:  # of a repeat, while the first is not stored yet
            self._complaint = SLOW
            waiting.sent_at = time.monotonic() - REPEAT_S + _SOON_S
        elif ack.error is None:
            self._complaint = None
            self._settle(entry_id, ack.seq)
        elif ack.error.err_code in _PASSING:
            self._complaint = f"JetStream cannot store at present: {ack.error.description}."
            waiting.sent_at = time.monotonic() - REPEAT_S + _SOON_S
        else:
            refusal = StreamUnavailable(f"JetStream refuses: {ack.error.description}.")
            self._settle(entry_id, refusal, is_its_own=ack.error.err_code == _TOO_LARGE)

    def _settle(
        self, entry_id: str, result: int | StreamUnavailable, *, is_its_own: bool = False
    ) -> None:
        waiting = self._in_flight.pop(entry_id)
        self._in_flight_bytes -= waiting.wire_bytes
        self._add_settled(waiting, result, is_its_own=is_its_own)

    def _add_settled(
        self, waiting: Waiting, result: int | StreamUnavailable, *, is_its_own: bool = False
    ) -> None:
        if not self._settled:  # what the same turn of the loop settles is told together
            asyncio.get_running_loop().call_soon(self._tell)
        self._settled.append((waiting, result))
        if not is_its_own:
            self._last = result

    def _tell(self) -> None:
        settled, self._settled = self._settled, []
        last, self._last = self._last, None
        settle([waiting for waiting, _ in settled], [result for _, result in settled])
        self._on_done(sum(len(waiting.payload) for waiting, _ in settled), last)
