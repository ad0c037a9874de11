"""What goes to the network of an answer, and in how many pieces."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import random
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from receiver.answers import send_ok
from receiver.one_write import AnswerTransport
from receiver.server import ReceiverServer, build_server

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"


class Network:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closed = False

    def write(self, piece: bytes) -> None:
        assert not self.closed
        self.written.append(piece)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


@pytest.fixture
def network() -> Network:
    return Network()


@pytest.fixture
def transport(network: Network) -> Any:
    return AnswerTransport(network)  # type: ignore[arg-type]


def test_head_and_body_are_one_piece(network: Network, transport: AnswerTransport) -> None:
    transport.write(HEAD)
    transport.write(b"{}")

    assert network.written == [HEAD + b"{}"]


def test_what_follows_goes_out_as_it_comes(network: Network, transport: AnswerTransport) -> None:
    for piece in (HEAD, b"", b"{", b"}"):
        transport.write(piece)

    assert network.written == [HEAD, b"{", b"}"]


def test_a_word_to_go_on_is_not_kept_back(network: Network, transport: AnswerTransport) -> None:
    transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    transport.write(HEAD)
    transport.write(b"{}")

    assert network.written == [b"HTTP/1.1 100 Continue\r\n\r\n", HEAD + b"{}"]


def test_closing_sends_a_head_that_waits(network: Network, transport: AnswerTransport) -> None:
    transport.write(HEAD)

    transport.close()

    assert (network.written, network.closed, transport.is_closing()) == ([HEAD], True, True)


@contextmanager
def served(app: Callable[..., Any]) -> Iterator[ReceiverServer]:
    async def with_lifespan(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await app(scope, receive, send)
            return
        for part in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{part}.complete"})

    listening = threading.Event()
    server = build_server(with_lifespan, "127.0.0.1", 0, on_listening=lambda url: listening.set())
    thread = threading.Thread(target=server.run)
    thread.start()
    assert listening.wait(10)
    yield server
    server.should_exit = True
    thread.join(15)


def exchange(server: ReceiverServer, request: bytes, answers: int = 1) -> bytes:
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(request)
        answer = b""
        while answer.count(b"HTTP/1.1 ") < answers or not answer.endswith((b"}", b"\r\n\r\n")):
            piece = connection.recv(65536)
            if not piece:
                break
            answer += piece
        return answer


def test_every_kind_of_answer_comes_whole_over_one_connection() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        chunked = scope["path"] == "/chunked"
        length = [] if chunked else [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": length})
        if chunked:
            await send({"type": "http.response.body", "body": b"{", "more_body": True})
        await send({"type": "http.response.body", "body": b"}" if chunked else b"{}"})

    requests = [
        b"GET /plain HTTP/1.1\r\nHost: x\r\n\r\n",
        b"HEAD /plain HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /chunked HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /plain HTTP/1.1\r\nHost: x\r\n\r\n",
    ]
    with served(app) as server:
        answers = [exchange(server, request) for request in requests]
        pipelined = exchange(server, b"".join(requests), answers=4)

    assert [answer.partition(b"\r\n\r\n")[2] for answer in answers[:2]] == [b"{}", b""]
    assert answers[2].partition(b"\r\n\r\n")[2] == b"1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"
    assert pipelined.count(b"HTTP/1.1 200 OK") == 4


def test_an_app_that_fails_after_its_head_ends_the_connection_with_it() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError

    with served(app) as server:
        answer = exchange(server, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")


async def answer_its_path(scope: Any, receive: Any, send: Any) -> None:
    """Answers by the short cut where there is one, the longer the sooner it was asked."""
    name = scope["path"].removeprefix("/")
    await asyncio.sleep((10 - int(name)) / 100)
    await send_ok(scope, send, name)


def test_the_short_cut_keeps_the_order_of_pipelined_requests() -> None:
    requests = [b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number for number in range(5, 10)]

    with served(answer_its_path) as server:
        answers = exchange(server, b"".join(requests), answers=len(requests))

    assert re.findall(rb"x-request-id: (\d)", answers) == [b"5", b"6", b"7", b"8", b"9"]
    assert answers.count(b"HTTP/1.1 200 OK") == len(requests)


def test_requests_leave_nothing_for_the_garbage_collector() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send_ok(scope, send, "id")

    request = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
    with served(app) as server:
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            gc.collect()
            gc.disable()
            try:
                for _ in range(200):
                    connection.sendall(request)
                    connection.recv(65536)
                left = gc.collect()
            finally:
                gc.enable()

    assert left < 200


@pytest.mark.parametrize("size", [1, 700, 60_000, 400_000])
@pytest.mark.parametrize("chunked", [False, True], ids=["with a length", "chunked"])
def test_a_body_in_pieces_comes_whole(size: int, chunked: bool) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        digest, more = hashlib.sha256(), True
        while more:
            message = await receive()
            assert type(message["body"]) is bytes
            digest.update(message["body"])
            more = message["more_body"]
        await send_ok(scope, send, digest.hexdigest())

    body = random.Random(size).randbytes(size)
    head = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % size
    pieces = [b"POST / HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n"]
    step = max(1, size // 7)
    for at in range(0, size, step):
        piece = body[at : at + step]
        pieces.append(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
    pieces.append(b"0\r\n\r\n" if chunked else b"")

    with served(app) as server:
        together = exchange(server, b"".join(pieces))
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(0.002)
            apart = connection.recv(65536)

    told = b"x-request-id: " + hashlib.sha256(body).hexdigest().encode()
    assert told in together
    assert told in apart
