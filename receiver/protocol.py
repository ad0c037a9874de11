"""One HTTP connection, bounded: uvicorn's own protocol, and the limits that it lacks.

Knows uvicorn's protocol class from inside (tests/receiver/test_uvicorn.py holds what it counts
on); must not know routes, or what connections are allowed in all (connections.py).
"""

from __future__ import annotations

import asyncio
from typing import ClassVar

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from receiver.answers import Refusal, refusal_lines
from receiver.at_once import AtOnce, WholeRequest
from receiver.connection_state import ConnectionState
from receiver.connections import Admission, Door, Phase, TurnedAway
from receiver.one_write import AnswerTransport, own_fields, send_whole
from receiver.parting_words import PARTING_WORDS, STOPPING

LAST_REQUEST_S = 0.25
"""How long a kept-alive connection may still bring a request that is on its way when we stop."""
LAST_BODY_S = 3.0
"""How long a body under way may still arrive when we stop."""

_END_OF_HEAD = b"\r\n\r\n"
_LEAVING_S = 2.0
_MOST_IGNORED_BYTES = 32 * 1024 * 1024


class _Refused(Exception):
    """Tells the parser to stop at a head that is not served."""

    def __init__(self, why: TurnedAway) -> None:
        super().__init__(why.value)
        self.why = why


class BoundedProtocol(HttpToolsProtocol):
    """Uvicorn's protocol behind a door; see `bounded_protocol`."""

    door: ClassVar[Door]
    at_once: ClassVar[AtOnce | None]

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
        self._state = ConnectionState(self._send_whole)
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
        if self._may_be_whole():
            state.body = b""
        else:
            self._begin()

    def on_body(self, body: bytes) -> None:
        """Keeps a piece of the body; as it came, since most bodies are one, and a copy is dear."""
        state = self._state
        if state.body is not None:
            state.body = state.body + body if state.body else body
            return
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
        state = self._state
        state.in_body = False
        if state.body is not None:
            if self._is_taken(state.body):
                state.body = None
                return
            self._begin_late()
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
            self._say(PARTING_WORDS[why])
        else:
            self.drop()

    def drop(self) -> None:
        """Close the connection at once."""
        self.transport.abort()

    def _begin(self) -> None:
        """Has uvicorn begin the request whose head is there."""
        state = self._state
        HttpToolsProtocol.on_headers_complete(self)  # super() costs more on this hottest of paths
        cycle = self.cycle
        if cycle.scope["method"] != "HEAD":
            cycle.transport = AnswerTransport(self.transport)  # type: ignore[assignment]
            cycle.scope["extensions"] = state.extensions
        if state.stopping:
            cycle.keep_alive = False

    def _begin_late(self) -> None:
        """Begins a request that might have come in one piece, and hands on what came of it."""
        body, self._state.body = self._state.body, None
        self._begin()
        if body:
            self.on_body(body)

    def _may_be_whole(self) -> bool:
        """Whether the request can be taken at once, should all of it be there already."""
        at_once, cycle, parser = self.at_once, self.cycle, self.parser
        return (
            at_once is not None
            and self.url.startswith(at_once.path_prefix)
            and (cycle is None or cycle.response_complete)
            and not self.expect_100_continue
            and not self._state.stopping
            and not self.flow.write_paused
            and parser.get_method() == b"POST"
            and parser.get_http_version() == "1.1"
            and parser.should_keep_alive()
            and not parser.should_upgrade()
        )

    def _is_taken(self, body: bytes) -> bool:
        """Whether somebody has taken the request, which stands in for uvicorn's cycle then."""
        before, path = self.cycle, self.url.decode("latin-1")
        request = WholeRequest(self, path, self.scope)  # type: ignore[arg-type]
        self.cycle = request  # type: ignore[assignment]
        if self.at_once is not None and self.at_once.take(request, body):
            return True
        self.cycle = before
        return False

    def _send_whole(self, status_line: bytes, fields_and_body: bytes) -> bool:
        """Whether the answer to the one request in hand was sent; see one_write.py."""
        if self.pipeline:  # the request being answered is not the one that came last
            return False
        return send_whole(self.cycle, self.transport, status_line, fields_and_body)

    def _give_up_body(self) -> None:
        if self.phase()[0] is Phase.BODY:
            self._say(STOPPING)

    def _parse(self, data: bytes) -> None:
        """What uvicorn's data_received does, but for its log lines and its words to the sender."""
        if self._state.leaving:
            self._state.ignored_bytes += len(data)
            if self._state.ignored_bytes > _MOST_IGNORED_BYTES:
                self.drop()
            return
        self._unset_keepalive_if_required()
        state = self._state
        try:
            self.parser.feed_data(data)
            if state.body is not None:  # there is more to come
                self._begin_late()
        except httptools.HttpParserUpgrade:
            # We speak nothing else; the answer says so, and what comes behind is no HTTP.
            self.cycle.keep_alive = False
            self._state.leaving = True
        except httptools.HttpParserError as err:
            cause = err.__context__
            self._refuse(cause.why if isinstance(cause, _Refused) else TurnedAway.MALFORMED)

    def _refuse(self, why: TurnedAway) -> None:
        self._state.body = None
        if self._state.leaving:
            return
        self.door.turned_away[why] += 1
        self._say(PARTING_WORDS[why])

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
        status_line, rest = refusal_lines(refusal, closes=True)
        self.transport.write(status_line + own_fields(self.server_state.default_headers) + rest)
        self.transport.write_eof()
        self.loop.call_later(_LEAVING_S, self.drop)


def bounded_protocol(door: Door, at_once: AtOnce | None = None) -> type[BoundedProtocol]:
    """The protocol class of all connections that come in by this door.

    Whole requests are shown to `at_once` first.
    """
    return type("DoorProtocol", (BoundedProtocol,), {"door": door, "at_once": at_once})


def _ends_within(room: int, data: bytes) -> bool:
    """Whether a head that begins with `data` surely ends there; blank lines first could deceive."""
    return data[:1] not in b"\r\n" and data.find(_END_OF_HEAD, 0, room) >= 0
