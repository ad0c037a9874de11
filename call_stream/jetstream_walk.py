"""One walk of a reader over a JetStream stream, which goes on over lost connections and leaders.

Runs in a reader's loop; knows where the walk began to end, and no payload's meaning.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from nats.js import JetStreamContext, api
from nats.js import errors as js_errors

from call_stream.jetstream_connection import ASKING_PATIENCE_S, JetStreamConnection
from call_stream.jetstream_cursor import Cursor, CursorLost, open_cursor
from call_stream.jetstream_entries import to_entry
from call_stream.jetstream_errors import CredentialsRefused, in_our_words
from call_stream.jetstream_layout import context
from call_stream.jetstream_marks import Mark, check_marks, mark_of
from call_stream.jetstream_state import end_of, load_checked, load_marks_at
from call_stream.stream import PositionGone, StreamEntry, StreamError, StreamUnavailable

_BATCH_BYTES = 8 * 1024 * 1024
_TRY_AGAIN_S = 0.2
_LAG_S = 0.05


class CursorLagging(Exception):
    """The server that is read from does not have yet what its leader has."""


class Walk:
    """Entries behind a position, up to what its leader said was the end when the walk began."""

    def __init__(
        self,
        connection: JetStreamConnection,
        position: int,
        *,
        cursor: Cursor | None,
        mark: Mark | None,
        is_checked: bool,
        patience_s: float,
    ) -> None:
        self.cursor = cursor
        """Where the walk stands on the server; None until it has to fetch."""
        self.is_over = False
        """Whether everything up to the end has been given out."""
        self.mark = mark
        """What is known of the entry at the position; None if nothing is."""
        self.is_checked = is_checked
        """Whether the position is one of this stream, as far as can be known."""
        self.position = position
        """The entry given out last, or behind which the first is looked for."""
        self._info: api.StreamInfo | None = None
        self._connection = connection
        self._url = connection.url
        self._end: int | None = None
        self._patience_s = patience_s

    async def next_entries(self) -> list[StreamEntry]:
        """The next entries; none at the end. Raises StreamError after trying for a while."""
        give_up_at = time.monotonic() + self._patience_s
        while True:
            try:
                with in_our_words():
                    entries = await self._fetch()
                if entries or self.is_over:
                    return entries
                raise CursorLagging
            except (CursorLost, CursorLagging) as err:
                if time.monotonic() > give_up_at:
                    raise StreamUnavailable(
                        "The call stream cannot be read at present: its servers do not answer."
                    ) from None
                if isinstance(err, CursorLagging):
                    await asyncio.sleep(_LAG_S)
                    continue
            except CredentialsRefused:
                raise
            except StreamUnavailable:
                # Servers that never answered may not be servers: a wrong URL is told sooner.
                if time.monotonic() > give_up_at or not self._connection.was_up:
                    raise
            lost, self.cursor = self.cursor, None
            if lost is not None:
                await lost.abandon()
            await asyncio.sleep(_TRY_AGAIN_S)

    async def _fetch(self) -> list[StreamEntry]:
        """What comes at once; none at the end, or while the server is behind its leader."""
        client = await self._connection.client(min(self._patience_s, ASKING_PATIENCE_S))
        js = context(client)
        if self._end is None:
            self._info = await load_checked(js, self._url, self.position)
            if not self.is_checked:
                await self._check(js, await load_marks_at(js, self._url, self.position))
                self.is_checked = True
            self._end = end_of(self._info)
        if self.position >= self._end:
            self.is_over = True
            return []
        if self.cursor is None:
            if self.mark is not None:
                # Servers that were away may have come back without what was read of them.
                await self._check(js, [self.mark])
            self.cursor = await open_cursor(js, client, self._url.stream, self.position)
        if not await self.cursor.fetch():
            self.is_over = not await self._is_more(js, self._end)
            return []
        entries: list[StreamEntry] = []
        size = 0
        while self.position < self._end and size < _BATCH_BYTES and self.cursor.has_message:
            try:
                entry = await self._take(js, self.cursor)
            except StreamError:
                if not entries:
                    raise
                break  # what came before is given out first; the next step meets this again
            entries.append(entry)
            size += len(entry.payload)
        self.is_over = self.position >= self._end
        return entries

    async def _check(self, js: JetStreamContext, marks: Sequence[Mark]) -> None:
        """Raises PositionGone where none of the marks is of what stands at the position now."""
        gone: PositionGone | None = None
        for mark in marks:
            try:
                await check_marks(js, self._url, self.position, [mark])
            except PositionGone as err:
                gone = err
            else:
                self.mark = mark
                return
        if gone is not None:
            raise gone

    async def _is_more(self, js: JetStreamContext, end: int) -> bool:
        """Whether the leader has an entry up to the end; the last ones may have been deleted."""
        try:
            following = await js.get_msg(
                self._url.stream, seq=self.position + 1, subject=">", next=True
            )
        except js_errors.NotFoundError:
            return False
        return following.seq is not None and following.seq <= end

    async def _take(self, js: JetStreamContext, cursor: Cursor) -> StreamEntry:
        """The next entry, of a cursor that has it here."""
        sequence, message = cursor.first
        if self.position and sequence != self.position + 1:
            # Deleted ones may lie between; what expired before it was read must be told.
            await load_checked(js, self._url, self.position)
        with in_our_words():
            entry = await to_entry(js, self._url.stream, sequence, message.headers, message.data)
        cursor.drop_first()
        self.position = sequence
        self.mark = mark_of(sequence, message.headers, self._info)
        return entry
