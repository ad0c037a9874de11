"""Reading a call stream on JetStream by position, also while writers append and servers change.

A position is the sequence of an entry. Never writes an entry and never waits for one; knows no
payload's meaning.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

from nats.js import JetStreamContext

from call_stream import jetstream_state as state
from call_stream.jetstream_connection import ASKING_PATIENCE_S, JetStreamConnection
from call_stream.jetstream_cursor import Cursor
from call_stream.jetstream_layout import context, load_info
from call_stream.jetstream_marks import Mark
from call_stream.jetstream_names import to_reader_key
from call_stream.jetstream_url import JetStreamUrl, parse_jetstream_url
from call_stream.jetstream_walk import Walk
from call_stream.stream import Backlog, StreamEntry

T = TypeVar("T")

READING_PATIENCE_S = 20.0
"""How long a walk goes on trying while servers change, before it raises."""

_MOST_S = 120.0


class JetStreamReader:
    """A reader of a JetStream stream; connects at its first use, lets go when it is dropped."""

    def __init__(self, url: JetStreamUrl, *, patience_s: float = READING_PATIENCE_S) -> None:
        self._url = url
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._connection: JetStreamConnection | None = None
        self._idle: Cursor | None = None
        self._checked: int | None = None
        self._mark: Mark | None = None

    def read(self, after: int = 0) -> Iterator[StreamEntry]:
        """Entries behind position `after` (0: all that is kept), up to what is the end now.

        Raises PositionGone, StreamUnavailable, and StreamError for an entry that is not whole.

        PositionGone, too, where another entry stands at `after` than this reader gave out, or than
        a named reader noted there. What nobody noted on the servers cannot be told so: a bookmark
        that is newer than the last note of its reader, when servers that do not flush before they
        acknowledge have lost that note together with the entries.
        """
        connection = self._connect()
        walk = Walk(
            connection,
            after,
            cursor=self._take_idle(after),
            mark=self._mark_at(after),
            is_checked=after in (0, self._checked),
            patience_s=self._patience_s,
        )
        try:
            while not walk.is_over:
                yield from connection.run(walk.next_entries(), timeout_s=_MOST_S)
        finally:
            self._mark = walk.mark
            self._checked = walk.position if walk.is_checked else None
            self._leave(connection, walk.cursor)

    def end(self) -> int:
        """Position of the last entry; 0 when nothing was ever written."""

        async def load(js: JetStreamContext) -> int:
            return state.end_of(await load_info(js, self._url))

        return self._ask(load)

    def save_position(self, reader: str, position: int) -> None:
        """Keeps what this named reader has finished with, for the readers of every host.

        Retention goes by age alone and does not look at it. Raises PositionGone where the stream is
        not the one of which this reader saved a position before; position 0 begins anew.
        """
        key = to_reader_key(reader)
        mark = self._ask(lambda js: state.save_position(js, self._url, key, position))
        self._mark, self._checked = mark, position

    def load_position(self, reader: str) -> int:
        """The position this named reader saved last; 0 when it never did."""
        key = to_reader_key(reader)
        return self._ask(lambda js: state.load_position(js, self._url, key))

    def load_backlog(self, reader: str) -> Backlog:
        """What this named reader has not finished with, without reading through it.

        `size_bytes` is an estimate: as many entries of average size as lie behind the position,
        payloads in the object store not counted. Raises PositionGone.
        """
        key = to_reader_key(reader)
        return self._ask(lambda js: state.load_backlog(js, self._url, key))

    def close(self) -> None:
        """Lets go of the servers; what is asked after that connects anew."""
        with self._lock:
            connection, self._connection, self._idle = self._connection, None, None
        if connection is not None:
            connection.close()

    def _ask(self, question: Callable[[JetStreamContext], Awaitable[T]]) -> T:
        connection = self._connect()

        async def ask() -> T:
            client = await connection.client(min(self._patience_s, ASKING_PATIENCE_S))
            return await question(context(client))

        return connection.run(ask(), timeout_s=_MOST_S)

    def _connect(self) -> JetStreamConnection:
        with self._lock:
            if self._connection is None:
                connection = JetStreamConnection(self._url, name="call-stream-reader")
                connection.start()
                self._connection = connection
                weakref.finalize(self, connection.close_soon)
            return self._connection

    def _mark_at(self, position: int) -> Mark | None:
        """What is known already of the entry there."""
        mark = self._mark
        return mark if mark is not None and mark.position == position else None

    def _take_idle(self, position: int) -> Cursor | None:
        """The cursor of an earlier walk that ended where this one begins."""
        with self._lock:
            cursor = self._idle
            if cursor is None or cursor.position != position or not cursor.is_alive:
                return None
            self._idle = None
            return cursor

    def _leave(self, connection: JetStreamConnection, cursor: Cursor | None) -> None:
        if cursor is None:
            return
        with self._lock:
            replaced, self._idle = self._idle, cursor
        if replaced is not None:
            connection.run_soon(replaced.abandon())


def open_jetstream_reader(url: str, *, patience_s: float = READING_PATIENCE_S) -> JetStreamReader:
    """A reader of the stream at `url`, which is asked nothing yet. Raises UnsupportedStreamUrl."""
    return JetStreamReader(parse_jetstream_url(url), patience_s=patience_s)
