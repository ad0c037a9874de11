"""One client of one NATS server: how it is spoken to, and let go of when it is dead.

Knows the driver, TLS and secrets; whoever calls decides which server, and when again.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from contextlib import suppress
from typing import Any

from nats import errors
from nats.aio.client import Client

from call_stream.jetstream_credentials import load_credentials
from call_stream.jetstream_errors import NoTls
from call_stream.jetstream_url import JetStreamUrl
from call_stream.stream import StreamError

_CONNECT_S = 2
_PING_S = 1
_LEAVE_S = 0.5

logger = logging.getLogger("call_stream")


class OurClient(Client):
    """The driver's client, which sends no secret in the clear where TLS is asked for."""

    needs_tls = False

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        # The driver goes on without TLS when the server does not ask for it.
        if initial_connection and self.needs_tls and not info.get("tls_required"):
            raise NoTls
        await super()._process_info(info, initial_connection)


async def connect(
    host: str, port: int, url: JetStreamUrl, options: dict[str, Any], *, name: str
) -> Client:
    """A client of this one server, which does not reconnect. Raises what the driver raises."""
    client = OurClient()
    client.needs_tls = url.tls
    seen: list[Exception] = []

    async def note(err: Exception) -> None:
        seen.append(err)
        logger.debug("call stream: %s:%s: %s", host, port, type(err).__name__)

    server = f"nats://[{host}]:{port}" if ":" in host else f"nats://{host}:{port}"
    try:
        async with asyncio.timeout(3 * _CONNECT_S):
            await client.connect(
                servers=[server],
                name=name,
                error_cb=note,
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                connect_timeout=_CONNECT_S,
                ping_interval=_PING_S,
                max_outstanding_pings=2,
                **options,
            )
    except BaseException as err:
        _abort(client)
        await leave(client, within_s=0.05)
        if isinstance(err, errors.NoServersError) and seen:
            raise seen[-1] from None
        raise
    return client


async def leave(client: Client, *, within_s: float = _LEAVE_S) -> None:
    """Closes the client, also where the other side is dead and takes nothing any more."""
    with suppress(Exception):
        await asyncio.wait_for(client.close(), within_s)
    _abort(client)
    await asyncio.sleep(0)


def _abort(client: Client) -> None:
    writer = getattr(getattr(client, "_transport", None), "_io_writer", None)
    if writer is not None:
        writer.transport.abort()


def options_of(url: JetStreamUrl) -> dict[str, Any]:
    """How the servers are to be spoken to. Raises StreamError for files that cannot be used."""
    options: dict[str, Any] = {}
    if url.password is not None:
        options.update(user=url.user, password=url.password)
    elif url.token is not None:
        options.update(token=url.token)
    if url.credentials is not None:
        credentials = load_credentials(url.credentials)
        options.update(user_jwt_cb=credentials.load_jwt, signature_cb=credentials.sign)
    if url.tls:
        options.update(tls=_tls_of(url))
    return options


def _tls_of(url: JetStreamUrl) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=url.tls_ca)
        if url.tls_cert is not None:
            context.load_cert_chain(url.tls_cert, url.tls_key)
    except OSError as err:
        said = err.strerror or type(err).__name__
        raise StreamError(
            f"A TLS file that the call stream URL names cannot be used: {said}."
        ) from err
    return context
