"""Over real sockets against a server that misbehaves in ways no HTTP library would."""

from __future__ import annotations

import asyncio
import gzip
import os
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import httpx
import pytest

from target_hubspot_calls.errors import AnswerLost, HubSpotError, Unavailable
from target_hubspot_calls.hubspot import api
from target_hubspot_calls.hubspot.client import HubSpotClient
from target_hubspot_calls.hubspot.engagements import EngagementKind, NewEngagement
from target_hubspot_calls.hubspot.files import FileUpload
from target_hubspot_calls.hubspot.retry import RetryPolicy
from target_hubspot_calls.hubspot.transport import open_http

CREATED = b'{"results":[{"id":"9001","properties":{"vapi_call_id":"call-1"}}]}'
ACCOUNT = b'{"portalId":4711}'
ONCE = RetryPolicy(tries=1)


async def resets_before_reading(connection: Any) -> None:
    connection.reset()


async def resets_after_reading(connection: Any) -> None:
    await connection.read_request()
    connection.reset()


async def closes_in_mid_answer(connection: Any) -> None:
    await connection.read_request()
    connection.writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 500\r\n\r\n" + CREATED)
    await connection.writer.drain()


async def speaks_no_http(connection: Any) -> None:
    await connection.read_request()
    connection.writer.write(b"220 mail.example ESMTP\r\n")
    await connection.writer.drain()


async def says_nothing(connection: Any) -> None:
    await connection.read_request()
    await asyncio.sleep(30)


async def drips(connection: Any) -> None:
    await connection.read_request()
    connection.writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 500\r\n\r\n")
    for byte in CREATED:
        connection.writer.write(bytes([byte]))
        await connection.writer.drain()
        await asyncio.sleep(0.02)


async def never_ends(connection: Any) -> None:
    await connection.read_request()
    connection.writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    for _ in range(1000):
        connection.writer.write(b" " * 65_536)
        await connection.writer.drain()


async def sends_a_gzip_bomb(connection: Any) -> None:
    await connection.read_request()
    bomb = gzip.compress(b" " * 30_000_000)
    await connection.answer(bomb, headers="Content-Encoding: gzip\r\n")


async def sends_broken_gzip(connection: Any) -> None:
    await connection.read_request()
    await connection.answer(b"no gzip", headers="Content-Encoding: gzip\r\n")


async def sends_good_gzip(connection: Any) -> None:
    await connection.read_request()
    await connection.answer(gzip.compress(ACCOUNT), headers="Content-Encoding: gzip\r\n")


async def create_one(client: HubSpotClient) -> Any:
    note = NewEngagement("call-1", "301", {"hs_timestamp": "1"})
    return await client.create_engagements(EngagementKind.NOTE, [note])


BAD_PLAYS = [
    resets_before_reading,
    resets_after_reading,
    closes_in_mid_answer,
    speaks_no_http,
    says_nothing,
    drips,
    never_ends,
    sends_a_gzip_bomb,
    sends_broken_gzip,
]


@pytest.fixture
def short_deadlines(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("READ", "CREATE"):
        kind = getattr(api, name)
        monkeypatch.setattr(api, name, api.RequestKind(kind.effect, 0.3))


@pytest.mark.parametrize("play", BAD_PLAYS, ids=lambda play: play.__name__)
@pytest.mark.usefixtures("short_deadlines")
def test_whatever_becomes_of_the_answer_a_create_is_sent_once(
    play: Any, a_server: Callable[..., Any], a_client: Callable[..., HubSpotClient]
) -> None:
    async def scenario() -> int:
        async with a_server(play, play) as (url, opened):
            async with a_client(url, max_answer_bytes=1_000_000) as client:
                with pytest.raises(AnswerLost):
                    await create_one(client)
            return len(opened)

    assert asyncio.run(scenario()) == 1


@pytest.mark.parametrize("play", BAD_PLAYS, ids=lambda play: play.__name__)
@pytest.mark.usefixtures("short_deadlines")
def test_whatever_becomes_of_the_answer_a_read_is_sent_again(
    play: Any, a_server: Callable[..., Any], a_client: Callable[..., HubSpotClient]
) -> None:
    async def scenario() -> int:
        async with (
            a_server(play, sends_good_gzip) as (url, _),
            a_client(url, max_answer_bytes=1_000_000) as client,
        ):
            return (await client.fetch_account()).portal_id

    assert asyncio.run(scenario()) == 4711


def test_the_deadline_counts_from_sending_to_the_last_byte(
    a_server: Callable[..., Any],
    a_client: Callable[..., HubSpotClient],
    short_deadlines: None,
) -> None:
    async def scenario() -> float:
        async with a_server(drips) as (url, _), a_client(url) as client:
            started = time.monotonic()
            with pytest.raises(AnswerLost):
                await create_one(client)
            return time.monotonic() - started

    assert 0.25 < asyncio.run(scenario()) < 0.9


def test_a_port_where_nobody_listens_is_unavailable_and_nothing_is_lost(
    a_server: Callable[..., Any], a_client: Callable[..., HubSpotClient], clock: Any
) -> None:
    async def scenario() -> None:
        async with a_server() as (url, _):
            pass
        async with a_client(url) as client:
            with pytest.raises(Unavailable):
                await create_one(client)

    asyncio.run(scenario())

    assert len(clock.slept) == 2


def test_a_redirect_is_refused_and_the_other_host_never_hears_of_us(
    a_server: Callable[..., Any], a_client: Callable[..., HubSpotClient]
) -> None:
    async def scenario() -> int:
        async with a_server() as (elsewhere, visitors):

            async def redirects(connection: Any) -> None:
                await connection.read_request()
                await connection.answer(
                    b"", "307 Temporary Redirect", f"Location: {elsewhere}/crm\r\n"
                )

            async with a_server(redirects) as (url, _), a_client(url, retry=ONCE) as client:
                with pytest.raises(Unavailable, match="redirect"):
                    await create_one(client)
            return len(visitors)

    assert asyncio.run(scenario()) == 0


def test_a_request_for_another_host_is_never_sent(a_server: Callable[..., Any]) -> None:
    async def scenario() -> int:
        async with a_server() as (elsewhere, visitors):
            async with open_http("https://api.hubapi.com") as http:
                with pytest.raises(ValueError, match="another host"):
                    await http.get(f"{elsewhere}/account")
            return len(visitors)

    assert asyncio.run(scenario()) == 0


def test_a_proxy_in_the_environment_is_not_used(
    a_server: Callable[..., Any], a_client: Callable[..., HubSpotClient]
) -> None:
    async def scenario() -> tuple[int, int]:
        async with a_server() as (proxy, visitors), a_server(sends_good_gzip) as (url, _):
            names = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY")
            with mock.patch.dict(os.environ, dict.fromkeys(names, proxy)):
                async with a_client(url) as client:
                    account = await client.fetch_account()
            return account.portal_id, len(visitors)

    assert asyncio.run(scenario()) == (4711, 0)


def test_what_we_say_of_ourselves(
    a_server: Callable[..., Any], a_client: Callable[..., HubSpotClient]
) -> None:
    requests: list[bytes] = []

    async def keeps(connection: Any) -> None:
        requests.append(await connection.read_request())
        await connection.answer(ACCOUNT)

    async def scenario() -> None:
        async with a_server(keeps) as (url, _), a_client(url) as client:
            await client.fetch_account()

    asyncio.run(scenario())

    head = requests[0].decode().lower()
    assert "user-agent: target-hubspot-calls/0" in head
    assert "authorization: bearer canary-access-1" in head
    assert "get /account-info/2026-09/details http/1.1" in head


class Pieces:
    """Content of many pieces, and the most of them that were handed out before being sent."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.given = 0

    async def __aiter__(self) -> Any:
        for _ in range(self.count):
            self.given += 1
            yield b"x" * 65_536


@pytest.mark.parametrize("size", [None, 200 * 65_536], ids=["chunked", "of stated size"])
def test_an_upload_streams_and_waits_for_a_slow_reader(
    size: int | None, a_server: Callable[..., Any], a_client: Callable[..., HubSpotClient]
) -> None:
    content = Pieces(200)
    given_early: list[int] = []

    async def reads_late(connection: Any) -> None:
        head = await connection.reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.1)
        given_early.append(content.given)
        ending = b"--\r\n" if size else b"\r\n0\r\n\r\n"
        body = b""
        while not body.endswith(ending):
            body += await connection.reader.read(65_536)
        assert (b"content-length" in head.lower()) == (size is not None)
        assert body.count(b"x" * 1024) >= 200
        await connection.answer(b'{"id":"77"}', "201 Created")

    async def scenario() -> str:
        async with a_server(reads_late) as (url, _), a_client(url) as client:
            upload = FileUpload("call-1.wav", "/vapi-calls", content, "audio/wav", size)
            return (await client.upload_file(upload)).id

    assert asyncio.run(scenario()) == "77"
    assert given_early[0] < 200


def test_an_early_refusal_of_an_upload_is_heard(
    a_server: Callable[..., Any], a_client: Callable[..., HubSpotClient]
) -> None:
    async def refuses(connection: Any) -> None:
        await connection.reader.readuntil(b"\r\n\r\n")
        await connection.answer(
            b'{"category":"TOO_LARGE"}', "413 Payload Too Large", "Connection: close\r\n"
        )

    async def scenario() -> None:
        async with a_server(refuses) as (url, _), a_client(url) as client:
            with pytest.raises(HubSpotError) as refused:
                await client.upload_file(FileUpload("call-1.wav", "/vapi-calls", Pieces(400)))
            assert type(refused.value).__name__ in ("Rejected", "AnswerLost")

    asyncio.run(scenario())


def test_a_cancelled_request_leaves_the_client_usable(
    a_server: Callable[..., Any], a_client: Callable[..., HubSpotClient]
) -> None:
    async def scenario() -> int:
        async with a_server(says_nothing, sends_good_gzip) as (url, _), a_client(url) as client:
            task = asyncio.create_task(client.fetch_account())
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return (await client.fetch_account()).portal_id

    assert asyncio.run(scenario()) == 4711


def test_the_http_libraries_timeouts_are_ours() -> None:
    async def scenario() -> httpx.Timeout:
        async with open_http("https://api.hubapi.com") as http:
            return http.timeout

    assert asyncio.run(scenario()).connect == api.CONNECT_S
