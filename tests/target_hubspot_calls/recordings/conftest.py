"""A source of recordings on loopback that counts who connects, and a fetcher that may ask it."""

from __future__ import annotations

import asyncio
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from target_hubspot_calls.recordings.fetch import RecordingFetcher

PUBLIC = "93.184.215.14"


def a_wav(size: int = 2_000) -> bytes:
    sound = size - 44
    fields = (b"RIFF", 36 + sound, b"WAVE", b"fmt ", 16, 1, 1, 8000, 8000, 1, 8, b"data", sound)
    return struct.pack("<4sI4s4sIHHIIHH4sI", *fields) + b"\x80" * sound


def an_answer(body: bytes = b"", status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def a_redirect(location: str, status: int = 302) -> bytes:
    return an_answer(b"", f"{status} Found", f"Location: {location}")


Play = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Source:
    """What happened at a served source: connections taken, and the head of each request."""

    port: int = 0
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)
    server_names: list[str | None] = field(default_factory=list)

    def url(self, path: str = "/call.wav", *, host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"


@asynccontextmanager
async def a_source(*plays: Play, tls: ssl.SSLContext | None = None) -> AsyncIterator[Source]:
    """Serves one play a connection; the last one again and again."""
    source = Source()
    left = list(plays)
    tasks: set[asyncio.Task[None]] = set()
    if tls is not None:
        tls.sni_callback = lambda _, name, __: source.server_names.append(name)  # type: ignore[assignment]

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        source.connections += 1
        try:
            source.requests.append(await reader.readuntil(b"\r\n\r\n"))
            play = left.pop(0) if len(left) > 1 else left[0]
            if isinstance(play, bytes):
                writer.write(play)
                await writer.drain()
            else:
                await play(writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    source.port = server.sockets[0].getsockname()[1]
    try:
        yield source
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def a_resolver(**answers: Sequence[str] | list[Sequence[str]]) -> Any:
    """Knows hosts by their names with dots as underscores; several answers come one by one."""
    asked: list[str] = []

    async def resolve(host: str) -> Sequence[str]:
        asked.append(host)
        answer = answers.get(host.replace(".", "_"))
        if answer is None:
            raise OSError("unknown host")
        if answer and isinstance(answer[0], list):
            return answer.pop(0)  # type: ignore[attr-defined, no-any-return]
        return answer  # type: ignore[return-value]

    resolve.asked = asked  # type: ignore[attr-defined]
    return resolve


class NoNetwork(httpx.AsyncBaseTransport):
    """Answers instead of the internet, and keeps what would have been sent."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.left = list(answers)
        self.seen: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        answer = self.left.pop(0) if len(self.left) > 1 else self.left[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def connected_to(self) -> list[str]:
        return [request.url.host for request in self.seen]


def a_response(body: bytes = b"", status: int = 200, **headers: str) -> httpx.Response:
    """An answer as a transport gives it: unread."""

    async def pieces() -> AsyncIterator[bytes]:
        yield body

    return httpx.Response(status, headers=headers, content=pieces())


async def no_sleep(seconds: float) -> None:
    await asyncio.sleep(0)


@pytest.fixture
def a_fetcher() -> Callable[..., RecordingFetcher]:
    """Builds a fetcher that may ask this machine, and never waits between tries."""

    def build(*hosts: str, **options: Any) -> RecordingFetcher:
        return RecordingFetcher(hosts or ("127.0.0.1",), **{"sleep": no_sleep, **options})

    return build


async def read(fetcher: RecordingFetcher, url: str) -> bytes:
    """The whole recording, the fetcher closed afterwards."""
    async with fetcher, fetcher.open(url) as recording:
        return b"".join([piece async for piece in recording])
