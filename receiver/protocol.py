"""One HTTP connection, bounded: uvicorn's own protocol, and the limits that it lacks.

Knows uvicorn's protocol class from inside (tests/receiver/test_uvicorn.py holds what it counts
on); must not know routes, or what connections are allowed in all (connections.py).
"""

from __future__ import annotations

import asyncio
import http
from collections.abc import Callable
from typing import ClassVar

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from receiver.answers import WHOLE_ANSWER, Refusal, error_body
from receiver.connections import Admission, Door, Phase, TurnedAway
from receiver.one_write import AnswerTransport, send_whole

LAST_REQUEST_S = 0.25
"""How long a kept-alive connection may still bring a request that is on its way when we stop."""
LAST_BODY_S = 3.0
"""How long a body under way may still arrive when we stop."""

_END_OF_HEAD = b"\r\n\r\n"
_LEAVING_S = 2.0
_MOST_IGNORED_BYTES = 32 * 1024 * 1024
_MALFORMED = Refusal(400, "malformed_request", "The request is not well-formed HTTP.")
_HEAD_TOO_LARGE = Refusal(431, "head_too_large", "The request's headers are too large.")
_SLOW_HEAD = Refusal(408, "head_timeout", "The request's headers did not arrive in time.")
_SLOW_BODY = Refusal(408, "body_timeout", "The request's body did not arrive in time.")
_TOO_MANY = Refusal(
    503,
    "too_many_connections",
    "The receiver has too many connections; come back later.",
    {"Retry-After": "5"},
)
_STOPPING = Refusal(
    503, "stopping", "The receiver is stopping; come back later.", {"Retry-After": "5"}
)
_WORDS = {
    TurnedAway.MALFORMED: _MALFORMED,
    TurnedAway.HEAD_TOO_LARGE: _HEAD_TOO_LARGE,
    TurnedAway.SLOW_HEAD: _SLOW_HEAD,
    TurnedAway.SLOW_BODY: _SLOW_BODY,
    TurnedAway.SHED: _TOO_MANY,
    TurnedAway.TOO_MANY: _TOO_MANY,
}


class _Refused(Exception):
    """Tells the parser to stop at a head that is not served."""

    def __init__(self, why: TurnedAway) -> None:
        super().__init__(why.value)
        self.why = why


class _State:
    """What a connection knows beside what uvicorn does.

    One attribute of the protocol, as CPython reads objects with more than 30 of them slowly.
    """

    __slots__ = (
        "extensions",
        "head_bytes",
        "heads",
        "ignored_bytes",
        "in_body",
        "leaving",
        "stopping",
        "surplus",
    )

    def __init__(self, send_whole: Callable[[bytes, bytes], bool]) -> None:
        # One for all requests of the connection: tied to each, it would be garbage to be collected.
        self.extensions: dict[str, dict[object, object]] = {WHOLE_ANSWER: {"send": send_whole}}
        self.head_bytes = 0
        self.heads = 0
        self.ignored_bytes = 0
        self.in_body = False
        self.leaving = False
        self.stopping = False
        self.surplus = False


class BoundedProtocol(HttpToolsProtocol):
    """Uvicorn's protocol behind a door; see `bounded_protocol`."""

    door: ClassVar[Door]

    @property
    def address(self) -> str | None:
        """The client's, as far as the network knows it."""
        return self.client[0] if self.client else None

    def phase(self) -> tuple[Phase, object]:
        """What it is waiting for, and the request that this is about."""
        cycle = self.cycle
        if self.flow.write_paused or self.transport.is_closing():
            return Phase.READING, cycle
        if cycle is not None and not cycle.response_complete and not cycle.disconnected:
            return (Phase.BODY if cycle.more_body else Phase.ANSWER), cycle
        if self._state.leaving:
            return Phase.LEAVING, cycle
        return (Phase.IDLE if self.timeout_keep_alive_task else Phase.HEAD), cycle

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Takes the connection, unless there are far too many."""
        self._state = _State(self._send_whole)
        super().connection_made(transport)
        admission = self.door.enter(self, self.loop)
        self._state.surplus = admission is Admission.SURPLUS
        if admission is Admission.REFUSED:
            self.drop()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets the connection."""
        self.door.leave(self)
        self._state.extensions.clear()  # they hold on to the connection, and it to them
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Gives the parser what has come, counting the bytes of a head that is not whole."""
        state = self._state
        if state.in_body or state.leaving:
            self._parse(data)
            return
        room = self.door.bounds.max_head_bytes - state.head_bytes
        if len(data) > room and not _ends_within(room, data):
            self._parse_to(room, data)
            return
        heads = state.heads
        self._parse(data)
        if heads != state.heads:
            state.head_bytes = 0
            return
        state.head_bytes += len(data)
        if state.head_bytes > self.door.bounds.max_head_bytes:
            self._refuse(TurnedAway.HEAD_TOO_LARGE)

    def _parse_to(self, room: int, data: bytes) -> None:
        """Parses what may still belong to a head, and the rest only if the head has ended there."""
        heads = self._state.heads
        self._parse(data[:room])
        if heads == self._state.heads:
            self._refuse(TurnedAway.HEAD_TOO_LARGE)
        else:
            self._state.head_bytes = 0
            self.data_received(data[room:])

    def on_headers_complete(self) -> None:
        """Begins a request, unless its head is too much or it comes when we are full."""
        state = self._state
        state.heads += 1
        state.in_body = True
        if len(self.headers) > self.door.bounds.max_headers:
            raise _Refused(TurnedAway.HEAD_TOO_LARGE)
        if state.surplus and self.door.is_full:
            raise _Refused(TurnedAway.TOO_MANY)
        HttpToolsProtocol.on_headers_complete(self)  # super() costs more on this hottest of paths
        cycle = self.cycle
        if cycle.scope["method"] != "HEAD":
            cycle.transport = AnswerTransport(self.transport)  # type: ignore[assignment]
            cycle.scope["extensions"] = state.extensions
        if state.stopping:
            cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """Keeps a piece of the body; as it came, since most bodies are one, and a copy is dear."""
        cycle = self.cycle
        if cycle.response_complete:
            return
        if not cycle.body:
            cycle.body = body  # type: ignore[assignment]  # of bytes, `receive` makes no copy
        else:
            cycle.body = bytearray(cycle.body) if isinstance(cycle.body, bytes) else cycle.body
            cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        """Ends a request; what comes next is another's head. As uvicorn's, without upgrades."""
        self._state.in_body = False
        cycle = self.cycle
        if not cycle.response_complete:
            cycle.more_body = False
            cycle.message_event.set()
        elif self.timeout_keep_alive_task is None:
            # It was answered before its body had come whole, and idles from now on.
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def shutdown(self) -> None:
        """Ends the connection once it has its answer, and has brought what is on its way."""
        self._state.stopping = True
        if self.cycle is None or self.cycle.response_complete:
            self.loop.call_later(LAST_REQUEST_S, super().shutdown)
        else:
            super().shutdown()
            self.loop.call_later(LAST_BODY_S, self._give_up_body)

    def end(self, why: TurnedAway) -> None:
        """Close the connection, with a word to the sender where one can be heard."""
        phase, _ = self.phase()
        if phase is Phase.BODY or (phase is Phase.HEAD and self._state.head_bytes):
            self._say(_WORDS[why])
        else:
            self.drop()

    def drop(self) -> None:
        """Close the connection at once."""
        self.transport.abort()

    def _send_whole(self, status_line: bytes, fields_and_body: bytes) -> bool:
        """Whether the answer to the one request in hand was sent; see one_write.py."""
        if self.pipeline:  # the request being answered is not the one that came last
            return False
        return send_whole(self.cycle, self.transport, status_line, fields_and_body)

    def _give_up_body(self) -> None:
        if self.phase()[0] is Phase.BODY:
            self._say(_STOPPING)

    def _parse(self, data: bytes) -> None:
        """What uvicorn's data_received does, but for its log lines and its words to the sender."""
        if self._state.leaving:
            self._state.ignored_bytes += len(data)
            if self._state.ignored_bytes > _MOST_IGNORED_BYTES:
                self.drop()
            return
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # We speak nothing else; the answer says so, and what comes behind is no HTTP.
            self.cycle.keep_alive = False
            self._state.leaving = True
        except httptools.HttpParserError as err:
            cause = err.__context__
            self._refuse(cause.why if isinstance(cause, _Refused) else TurnedAway.MALFORMED)

    def _refuse(self, why: TurnedAway) -> None:
        if self._state.leaving:
            return
        self.door.turned_away[why] += 1
        self._say(_WORDS[why])

    def _say(self, refusal: Refusal) -> None:
        """Refuse what comes in, and leave the sender a moment to read why.

        Closing at once would reset the connection where bytes of the sender lie unread, and with it
        would go the answer.
        """
        if self._state.leaving or self.transport.is_closing():
            return
        self._state.leaving = True
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            if not cycle.more_body:  # an earlier request has its answer first, and that is the last
                cycle.keep_alive = False
                return
            if cycle.response_started or self.pipeline:
                self.drop()  # a word now would be taken for the answer to an earlier request
                return
            cycle.disconnected = True
            cycle.message_event.set()
        self.transport.write(_answer(refusal, self.server_state.default_headers))
        self.transport.write_eof()
        self.loop.call_later(_LEAVING_S, self.drop)


def bounded_protocol(door: Door) -> type[BoundedProtocol]:
    """The protocol class of all connections that come in by this door."""
    return type("DoorProtocol", (BoundedProtocol,), {"door": door})


def _ends_within(room: int, data: bytes) -> bool:
    """Whether a head that begins with `data` surely ends there; blank lines first could deceive."""
    return data[:1] not in b"\r\n" and data.find(_END_OF_HEAD, 0, room) >= 0


def _answer(refusal: Refusal, default_headers: list[tuple[bytes, bytes]]) -> bytes:
    body = error_body(refusal.code, refusal.sentence)
    fields = [
        *default_headers,
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        *((name.lower().encode(), value.encode()) for name, value in refusal.headers.items()),
        (b"connection", b"close"),
    ]
    phrase = http.HTTPStatus(refusal.status).phrase.encode()
    lines = [b"HTTP/1.1 %d %s" % (refusal.status, phrase)]
    lines += [name + b": " + value for name, value in fields]
    return b"\r\n".join([*lines, b"", body])
