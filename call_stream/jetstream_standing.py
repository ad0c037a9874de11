"""How safe acknowledged entries are on the servers of a call stream: versions, copies, flushing.

Asks servers and changes nothing; what follows from the answers is for whoever reads them.
"""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from nats.js import api

from call_stream.jetstream_client import connect, leave
from call_stream.jetstream_connection import JetStreamConnection
from call_stream.jetstream_layout import context, differences, load_info
from call_stream.jetstream_url import JetStreamUrl, parse_jetstream_url

_MONITORING_S = 2.0
_ALL_S = 30.0


@dataclass(frozen=True, slots=True)
class ServerStanding:
    """One server, by its address."""

    address: str
    version: str | None
    """None where it does not answer."""
    flush_every_s: float | None = None
    """How often it flushes to disk, 0 for before every acknowledgement; None if not known.

    Only the monitoring port tells, and only of servers that can be set otherwise than the default.
    """

    @property
    def release(self) -> tuple[int, ...]:
        """The version to compare by; empty where it is not known."""
        numbers = (self.version or "").partition("-")[0].split(".")
        return tuple(int(each) for each in numbers if each.isdigit())


@dataclass(frozen=True, slots=True)
class JetStreamStanding:
    """What the servers say of themselves and of the stream."""

    stream: str
    servers: tuple[ServerStanding, ...]
    exists: bool
    max_payload: int
    """Bytes of the largest message; larger payloads go to the object store."""
    replicas: int = 0
    current_replicas: int = 0
    """How many of them have all of the stream now."""
    is_on_disk: bool = True
    max_age_s: float | None = None
    """After how long entries are deleted, read or not; None for never."""
    duplicate_window_s: float = 0.0
    drops_oldest: bool = False
    """Whether the stream, when full, drops what nobody may have read."""
    differences: tuple[str, ...] = ()
    """Where the stream is not as the settings would make it."""


def inspect_jetstream(
    url: str, *, retention_days: float | None = None, patience_s: float = 3.0
) -> JetStreamStanding:
    """How the servers of the call stream at `url` stand. Raises StreamError."""
    parsed = parse_jetstream_url(url)
    connection = JetStreamConnection(parsed, name="call-stream-doctor")
    connection.start()
    try:
        return connection.run(
            _inspect(connection, parsed, retention_days, patience_s), timeout_s=_ALL_S
        )
    finally:
        connection.close()


async def _inspect(
    connection: JetStreamConnection,
    url: JetStreamUrl,
    retention_days: float | None,
    patience_s: float,
) -> JetStreamStanding:
    client = await connection.client(patience_s)
    info = await load_info(context(client), url)
    servers = await asyncio.gather(
        *[_look_at(host, port, connection) for host, port in connection.servers]
    )
    if info is None:
        return JetStreamStanding(url.stream, tuple(servers), False, client.max_payload)
    config = info.config
    return JetStreamStanding(
        stream=url.stream,
        servers=tuple(servers),
        exists=True,
        max_payload=client.max_payload,
        replicas=config.num_replicas or 1,
        current_replicas=_current(info.cluster),
        is_on_disk=config.storage != api.StorageType.MEMORY,
        max_age_s=config.max_age or None,
        duplicate_window_s=config.duplicate_window,
        drops_oldest=config.discard == api.DiscardPolicy.OLD
        and any(limit and limit > 0 for limit in (config.max_bytes, config.max_msgs)),
        differences=tuple(differences(config, url, retention_days)),
    )


def _current(cluster: api.ClusterInfo | None) -> int:
    """The leader and those that have all it has."""
    if cluster is None:
        return 1
    peers = cluster.replicas or []
    return 1 + sum(bool(peer.current) and not peer.offline for peer in peers)


async def _look_at(host: str, port: int, connection: JetStreamConnection) -> ServerStanding:
    address = f"{host}:{port}"
    url = connection.url
    try:
        client = await connect(host, port, url, connection.options, name="call-stream-doctor")
    except Exception:  # noqa: BLE001  whatever it is, the server does not answer
        return ServerStanding(address, None)
    try:
        said: dict[str, Any] = client._server_info
        flush = await asyncio.to_thread(
            _load_flush_s, host, url.monitoring_port, str(said.get("server_id"))
        )
        return ServerStanding(address, str(said.get("version")), flush)
    finally:
        await leave(client)


def _load_flush_s(host: str, port: int, server_id: str) -> float | None:
    """What the monitoring port of this very server says; None where it does not say."""
    named = f"[{host}]" if ":" in host else host
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{named}:{port}/varz", timeout=_MONITORING_S) as answer:
            told = json.loads(answer.read(1_000_000))
        config = told["jetstream"]["config"]
    except (OSError, urllib.error.URLError, ValueError, KeyError, TypeError):
        return None
    if told.get("server_id") != server_id or "sync_interval" not in config:
        return None
    return 0.0 if config.get("sync_always") else config["sync_interval"] / 1e9
