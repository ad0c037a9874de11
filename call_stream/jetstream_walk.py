"""One walk of a reader over a JetStream stream, which goes on over lost connections and leaders.

Runs in a reader's loop; knows where the walk began to end, and no payload's meaning.
"""

from __future__ import annotations

import asyncio
import time

from nats.js import JetStreamContext

from call_stream.jetstream_connection import PATIENCE_S, JetStreamConnection
from call_stream.jetstream_cursor import Cursor, CursorLost, open_cursor
from call_stream.jetstream_entries import to_entry
from call_stream.jetstream_errors import CredentialsRefused, in_our_words
from call_stream.jetstream_layout import context
from call_stream.jetstream_state import load_checked
from call_stream.stream import StreamEntry, StreamError, StreamUnavailable

_BATCH_BYTES = 8 * 1024 * 1024
_TRY_AGAIN_S = 0.2


class Walk:
    """Entries behind a position, up to what was the end when the first of them was sent."""

    def __init__(
        self,
        connection: JetStreamConnection,
        position: int,
        *,
        cursor: Cursor | None,
        patience_s: float,
    ) -> None:
        self.cursor = cursor
        """Where the walk stands on the server; None before its first step."""
        self.left: int | None = None
        """How many entries are to be given out yet; None until the first is here."""
        self._connection = connection
        self._url = connection.url
        self._position = position
        self._patience_s = patience_s

    async def next_entries(self) -> list[StreamEntry]:
        """The next entries; none at the end. Raises StreamError after trying for a while."""
        give_up_at = time.monotonic() + self._patience_s
        while True:
            try:
                with in_our_words():
                    return await self._fetch()
            except CursorLost:
                if time.monotonic() > give_up_at:
                    raise StreamUnavailable(
                        "The call stream cannot be read at present: its servers do not answer."
                    ) from None
            except CredentialsRefused:
                raise
            except StreamUnavailable:
                if time.monotonic() > give_up_at:
                    raise
            lost, self.cursor = self.cursor, None
            if lost is not None:
                await lost.abandon()
            await asyncio.sleep(_TRY_AGAIN_S)

    async def _fetch(self) -> list[StreamEntry]:
        client = await self._connection.client(min(self._patience_s, PATIENCE_S))
        js = context(client)
        if self.cursor is None:
            if await load_checked(js, self._url, self._position) is None:
                return []
            self.cursor = await open_cursor(js, client, self._url.stream, self._position)
        if not await self.cursor.fetch():
            self.left = 0
            return []
        entries: list[StreamEntry] = []
        size = 0
        while self.left != 0 and size < _BATCH_BYTES and self.cursor.has_message:
            try:
                entry = await self._take(js, self.cursor)
            except StreamError:
                if not entries:
                    raise
                break  # what came before is given out first; the next step meets this again
            entries.append(entry)
            size += len(entry.payload)
        return entries

    async def _take(self, js: JetStreamContext, cursor: Cursor) -> StreamEntry:
        """The next entry, of a cursor that has it here."""
        sequence, behind, message = cursor.first
        if self._position and sequence != self._position + 1:
            # Deleted ones may lie between; what expired before it was read must be told.
            await load_checked(js, self._url, self._position)
        with in_our_words():
            entry = await to_entry(js, self._url.stream, sequence, message.headers, message.data)
        cursor.drop_first()
        self._position = sequence
        self.left = behind if self.left is None else self.left - 1
        return entry
