"""One walk of a reader over a JetStream stream, which goes on over lost connections and leaders.

Runs in a reader's loop; knows where the walk began to end, and no payload's meaning.
"""

from __future__ import annotations

import asyncio
import time

from nats.js import JetStreamContext
from nats.js import errors as js_errors

from call_stream.jetstream_connection import ASKING_PATIENCE_S, JetStreamConnection
from call_stream.jetstream_cursor import Cursor, CursorLost, open_cursor
from call_stream.jetstream_entries import to_entry
from call_stream.jetstream_errors import CredentialsRefused, in_our_words
from call_stream.jetstream_layout import context
from call_stream.jetstream_state import end_of, load_checked
from call_stream.stream import StreamEntry, StreamError, StreamUnavailable

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
        patience_s: float,
    ) -> None:
        self.cursor = cursor
        """Where the walk stands on the server; None until it has to fetch."""
        self.is_over = False
        """Whether everything up to the end has been given out."""
        self._connection = connection
        self._url = connection.url
        self._position = position
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
            self._end = end_of(await load_checked(js, self._url, self._position))
        if self._position >= self._end:
            self.is_over = True
            return []
        if self.cursor is None:
            self.cursor = await open_cursor(js, client, self._url.stream, self._position)
        if not await self.cursor.fetch():
            self.is_over = not await self._is_more(js, self._end)
            return []
        entries: list[StreamEntry] = []
        size = 0
        while self._position < self._end and size < _BATCH_BYTES and self.cursor.has_message:
            try:
                entry = await self._take(js, self.cursor)
            except StreamError:
                if not entries:
                    raise
                break  # what came before is given out first; the next step meets this again
            entries.append(entry)
            size += len(entry.payload)
        self.is_over = self._position >= self._end
        return entries

    async def _is_more(self, js: JetStreamContext, end: int) -> bool:
        """Whether the leader has an entry up to the end; the last ones may have been deleted."""
        try:
            following = await js.get_msg(
                self._url.stream, seq=self._position + 1, subject=">", next=True
            )
        except js_errors.NotFoundError:
            return False
        return following.seq is not None and following.seq <= end

    async def _take(self, js: JetStreamContext, cursor: Cursor) -> StreamEntry:
        """The next entry, of a cursor that has it here."""
        sequence, message = cursor.first
        if self._position and sequence != self._position + 1:
            # Deleted ones may lie between; what expired before it was read must be told.
            await load_checked(js, self._url, self._position)
        with in_our_words():
            entry = await to_entry(js, self._url.stream, sequence, message.headers, message.data)
        cursor.drop_first()
        self._position = sequence
        return entry
