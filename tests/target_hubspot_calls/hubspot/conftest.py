"""A clock that only sleeps move, a portal's client, and a server that misbehaves."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from target_hubspot_calls.hubspot.auth import MemoryTokens, PortalAuth
from target_hubspot_calls.hubspot.client import HubSpotClient, open_client
from target_hubspot_calls.hubspot.oauth import OAuthApp
from target_hubspot_calls.hubspot.pace import Pace
from target_hubspot_calls.hubspot.retry import RetryPolicy
from target_hubspot_calls.tokens import TokenSet

API = "https://api.hubapi.com"


class StillClock:
    """Time that moves only when somebody sleeps."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return datetime(2026, 11, 20, 12, 0, tzinfo=UTC) + timedelta(seconds=self.seconds - 1000)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds
        await asyncio.sleep(0)


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def an_app(clock: StillClock) -> Callable[..., OAuthApp]:
    def build(api_url: str = API) -> OAuthApp:
        return OAuthApp(
            client_id="app-1",
            client_secret="canary-client-secret",
            redirect_uri="https://calls.example/callback",
            api_url=api_url,
            now=clock.now,
        )

    return build


@pytest.fixture
def a_token_set(clock: StillClock) -> Callable[..., TokenSet]:
    def build(**fields: Any) -> TokenSet:
        return TokenSet(
            **{
                "access_token": "canary-access-1",
                "refresh_token": "canary-refresh-1",
                "expires_at": clock.now() + timedelta(seconds=1800),
                "scopes": ("oauth",),
                "portal_id": 4711,
                **fields,
            }
        )

    return build


@pytest.fixture
def a_client(
    clock: StillClock,
    an_app: Callable[..., OAuthApp],
    a_token_set: Callable[..., TokenSet],
) -> Callable[..., HubSpotClient]:
    def build(api_url: str = API, store: Any = None, **options: Any) -> HubSpotClient:
        auth = PortalAuth(
            store or MemoryTokens(a_token_set()),
            an_app(api_url),
            now=clock.now,
            sleep=clock.sleep,
        )
        return open_client(
            api_url,
            auth,
            options.pop("pace", None) or Pace(clock=clock.monotonic, sleep=clock.sleep),
            retry=options.pop("retry", RetryPolicy(tries=3)),
            sleep=clock.sleep,
            rng=random.Random(7),
            **options,
        )

    return build


@pytest.fixture
def a_handler() -> Callable[..., httpx.MockTransport]:
    """A transport that plays the given answers one after another and keeps the requests."""

    def build(*answers: httpx.Response | Exception) -> httpx.MockTransport:
        left = list(answers)
        seen: list[httpx.Request] = []

        async def handle(request: httpx.Request) -> httpx.Response:
            await request.aread()
            seen.append(request)
            answer = left.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        transport = httpx.MockTransport(handle)
        transport.seen = seen  # type: ignore[attr-defined]
        return transport

    return build


class RawConnection:
    """One connection of the misbehaving server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def read_request(self) -> bytes:
        head = await self.reader.readuntil(b"\r\n\r\n")
        lower = head.lower()
        if b"transfer-encoding: chunked" in lower:
            return head + await self.reader.readuntil(b"0\r\n\r\n")
        length = 0
        if b"content-length:" in lower:
            length = int(lower.split(b"content-length:")[1].split(b"\r\n")[0])
        return head + await self.reader.readexactly(length)

    async def answer(self, body: bytes, status: str = "200 OK", headers: str = "") -> None:
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
        self.writer.write(head.encode() + body)
        await self.writer.drain()

    def reset(self) -> None:
        raw = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Play = Callable[[RawConnection], Awaitable[None]]


@pytest.fixture
def a_server() -> Callable[..., Any]:
    """Serves each connection with the next play; yields the address and the connections' count."""

    @asynccontextmanager
    async def serve(*plays: Play) -> AsyncIterator[tuple[str, list[RawConnection]]]:
        left = list(plays)
        opened: list[RawConnection] = []
        tasks: set[asyncio.Task[None]] = set()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            tasks.add(asyncio.current_task())  # type: ignore[arg-type]
            connection = RawConnection(reader, writer)
            opened.append(connection)
            try:
                await left.pop(0)(connection)
            except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            yield f"http://127.0.0.1:{port}", opened
        finally:
            for task in tasks:
                task.cancel()
            server.close()
            await server.wait_closed()

    return serve
