"""The connection's own thread, whatever the driver does."""

from __future__ import annotations

import asyncio
import threading

import pytest
from nats import errors

from call_stream import jetstream_connection
from call_stream.jetstream_connection import JetStreamConnection
from call_stream.jetstream_url import parse_jetstream_url


def test_closing_ends_also_where_the_driver_keeps_a_cancelling_to_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connecting = threading.Event()

    async def connect(*_arguments: object, **_options: object) -> None:
        connecting.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise errors.NoServersError from None

    monkeypatch.setattr(jetstream_connection, "connect", connect)
    connection = JetStreamConnection(parse_jetstream_url("nats://127.0.0.1:4/CALLS"), name="ours")
    connection.start()
    assert connecting.wait(10)

    connection.close_soon()

    connection._thread.join(10)
    assert not connection._thread.is_alive()
