"""Deletes single entries of a call stream on JetStream, with their payloads in the object store.

The servers write over what they delete. A gap is left, which readers pass over; positions stay.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from nats.js import JetStreamContext
from nats.js import errors as js_errors

from call_stream.jetstream_connection import JetStreamConnection
from call_stream.jetstream_errors import in_our_words
from call_stream.jetstream_layout import context, load_info
from call_stream.jetstream_names import OBJECT
from call_stream.jetstream_payloads import delete_payload
from call_stream.jetstream_url import parse_jetstream_url

T = TypeVar("T")

_PATIENCE_S = 10.0
_MOST_S = 60.0


class JetStreamForgetting:
    """The stream at `url`, to delete from. Methods raise StreamError."""

    def __init__(self, url: str) -> None:
        self._url = parse_jetstream_url(url)
        self._connection = JetStreamConnection(self._url, name="call-stream-forgetting")
        self._connection.start()

    def is_possible(self) -> bool:
        """Whether the stream lets entries be deleted, which is decided when it is made."""

        async def ask(js: JetStreamContext) -> bool:
            info = await load_info(js, self._url)
            return info is not None and not info.config.deny_delete

        return self._ask(ask)

    def delete(self, position: int) -> None:
        """Deletes the entry; one that is gone already does not matter."""

        async def ask(js: JetStreamContext) -> None:
            try:
                message = await js.get_msg(self._url.stream, seq=position)
            except js_errors.NotFoundError:
                return
            name = (message.headers or {}).get(OBJECT)
            if name is not None:
                # First, so that whoever is cut off here still finds what names the payload.
                await delete_payload(js, self._url.stream, name)
            with suppress(js_errors.NotFoundError):
                await js.delete_msg(self._url.stream, position)

        self._ask(ask)

    def close(self) -> None:
        """Lets go of the servers."""
        self._connection.close()

    def _ask(self, question: Callable[[JetStreamContext], Awaitable[T]]) -> T:
        async def ask() -> T:
            client = await self._connection.client(_PATIENCE_S)
            with in_our_words():
                return await question(context(client))

        return self._connection.run(ask(), timeout_s=_MOST_S)
