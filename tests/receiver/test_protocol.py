"""Hostile and slow senders on raw sockets, against a real server with short limits."""

from __future__ import annotations

import json
import logging
import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from receiver.connections import ConnectionBounds, TurnedAway
from receiver.server import build_server
from receiver.settings import ReceiverSettings

SHORT = ConnectionBounds(head_timeout_s=0.4, body_timeout_s=0.8, read_timeout_s=0.6, fresh_s=0.1)


@pytest.fixture
def hurried(serve):
    """A receiver that waits for nobody."""
    return serve(ReceiverSettings(body_timeout_s=5), bounds=SHORT)


@pytest.fixture
def serve_app():
    """Serves any application behind a door."""
    running = []

    async def without_lifespan(scope, receive, send):
        if scope["type"] == "http":
            await running[0][2](scope, receive, send)
            return
        for part in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{part}.complete"})

    def start(app, bounds):
        listening = threading.Event()
        server = build_server(
            without_lifespan, "127.0.0.1", 0, on_listening=lambda _: listening.set(), bounds=bounds
        )
        thread = threading.Thread(target=server.run)
        running.append((server, thread, app))
        thread.start()
        assert listening.wait(10)
        server.port = int(server.url.rpartition(":")[2])
        return server

    yield start
    for server, thread, _ in running:
        server.should_exit = True
        thread.join(15)
        assert not thread.is_alive()


def until_closed(connection, *, within_s=10):
    """What the receiver sends before it closes, and the seconds that took."""
    started = time.monotonic()
    connection.settimeout(within_s)
    answer = b""
    try:
        while chunk := connection.recv(65536):
            answer += chunk
    except ConnectionResetError:
        pass
    return answer, time.monotonic() - started


def a_refusal(answer, status, code):
    """The headers of a refusal, once its form is checked."""
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:])
    content = json.loads(body)
    assert lines[0].split(" ")[1] == str(status), answer
    assert (content["success"], content["code"]) == (False, code)
    assert content["error"].endswith(".")
    assert headers["content-type"] == "application/json"
    assert headers["connection"] == "close"
    assert int(headers["content-length"]) == len(body)
    return headers


def a_head(receiver, *lines, method="POST", path=None):
    head = [
        f"{method} {path or receiver.path} HTTP/1.1",
        "Host: x",
        f"X-Vapi-Secret: {receiver.secret}",
        *lines,
    ]
    return ("\r\n".join(head) + "\r\n\r\n").encode()


def a_request(receiver, body=b'{"message": {"type": "hang"}}'):
    return a_head(receiver, f"Content-Length: {len(body)}") + body


def wait_for(check, timeout_s=10):
    give_up_at = time.monotonic() + timeout_s
    while not check():
        assert time.monotonic() < give_up_at
        time.sleep(0.01)


def turned_away(receiver):
    return receiver.server.door.turned_away


def test_a_silent_connection_is_closed_without_a_word(hurried):
    with hurried.connect() as connection:
        answer, took_s = until_closed(connection)

    assert answer == b""
    assert took_s < 3
    assert turned_away(hurried) == {TurnedAway.SLOW_HEAD: 1}


def test_the_limits_of_a_real_receiver_are_within_thirty_seconds():
    bounds = ConnectionBounds()

    assert bounds.head_timeout_s + 2 < 30
    assert ReceiverSettings().body_timeout_s < bounds.body_timeout_s <= 30


@pytest.mark.parametrize("before", [0, 2], ids=["first request", "later request"])
def test_a_head_that_dribbles_in_is_given_up(hurried, before):
    head = a_head(hurried, "Content-Length: 2")
    with hurried.connect() as connection:
        for _ in range(before):
            connection.sendall(a_request(hurried))
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
            time.sleep(0.5)
        connection.settimeout(0.05)
        answer = b""
        for byte in head[:60]:
            connection.sendall(bytes([byte]))
            try:
                answer = connection.recv(65536)
                break
            except TimeoutError:
                continue

    a_refusal(answer, 408, "head_timeout")


def test_a_connection_may_be_idle_between_requests(hurried):
    with hurried.connect() as connection:
        for _ in range(3):
            connection.sendall(a_request(hurried))
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
            time.sleep(0.7)

    assert not turned_away(hurried)


def test_an_idle_connection_is_closed_in_the_end(serve):
    receiver = serve(bounds=ConnectionBounds(keep_alive_s=1))

    with receiver.connect() as connection:
        connection.sendall(a_request(receiver))
        connection.recv(65536)
        answer, took_s = until_closed(connection)

    assert answer == b""
    assert 0.5 < took_s < 4


def test_a_body_that_dribbles_in_is_given_up_on_every_route(hurried):
    with hurried.connect() as connection:
        connection.sendall(a_head(hurried, "Content-Length: 100") + b"{")
        answer, took_s = until_closed(connection)

    a_refusal(answer, 408, "body_timeout")
    assert took_s < 4
    assert hurried.stored() == []


def test_the_rest_of_a_body_nobody_wants_is_not_waited_for(hurried):
    with hurried.connect() as connection:
        connection.sendall(a_head(hurried, "Content-Length: 100", path="/nowhere"))
        first = connection.recv(65536)
        connection.sendall(b"a")
        _, took_s = until_closed(connection)

    assert first.startswith(b"HTTP/1.1 404 ")
    assert took_s < 3


def test_a_request_answered_before_its_body_came_leaves_an_idle_connection(hurried):
    with hurried.connect() as connection:
        connection.sendall(a_head(hurried, "Content-Length: 2", path="/nowhere"))
        first = connection.recv(65536)
        connection.sendall(b"{}")
        time.sleep(0.9)
        connection.sendall(a_request(hurried))
        second = connection.recv(65536)

    assert (first[:12], second[:12]) == (b"HTTP/1.1 404", b"HTTP/1.1 200")
    assert not turned_away(hurried)


def test_an_answer_that_is_not_read_is_not_kept_for_ever(serve_app):
    async def long_answer(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(100):
            await send({"type": "http.response.body", "body": bytes(200_000), "more_body": True})

    server = serve_app(long_answer, SHORT)

    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_for(lambda: len(server.door) == 1)
        wait_for(lambda: len(server.door) == 0)

    assert server.door.turned_away == {TurnedAway.UNREAD_ANSWER: 1}


@pytest.mark.parametrize("size", [33_000, 1_000_000, 20_000_000])
def test_a_huge_header_is_refused(receiver, size):
    request = a_head(receiver, "X-Large: " + "a" * size)

    with receiver.connect() as connection:
        sender = ThreadPoolExecutor(1)
        sending = sender.submit(connection.sendall, request)
        answer, took_s = until_closed(connection)
        sender.shutdown()

    a_refusal(answer, 431, "head_too_large")
    assert sending.exception() is None or isinstance(sending.exception(), OSError)
    assert took_s < 5


@pytest.mark.parametrize("start", [b"\r\n\r\n", b"\r\n" * 20_000], ids=["two", "many"])
def test_blank_lines_before_a_head_count_with_it(receiver, start):
    request = start + a_head(receiver, "X-Large: " + "a" * 60_000)

    a_refusal(receiver.send_raw(request), 431, "head_too_large")


def test_a_slow_request_behind_another_does_not_take_its_answer(serve):
    released = []

    def holding(store):
        released.append(HeldStore(store))
        return released[0]

    receiver = serve(webhooks=holding, bounds=SHORT)
    with receiver.connect() as connection:
        connection.sendall(a_request(receiver))
        assert released[0].asked.wait(10)
        connection.sendall(a_head(receiver, "Content-Length: 100") + b"{")
        answer, _ = until_closed(connection)
    released[0].released.set()

    assert b" 408 " not in answer


def test_a_header_that_never_ends_is_cut_at_the_limit(receiver):
    sent = 0
    with receiver.connect() as connection:
        connection.sendall(a_head(receiver)[:-4] + b"\r\nX-Large: ")
        try:
            while sent < 100_000_000:
                connection.sendall(b"a" * 16_384)
                sent += 16_384
        except OSError:
            pass

    assert sent < 100_000_000


def test_a_head_within_the_limit_is_served_however_it_is_cut(receiver):
    body = b'{"message": {"type": "hang"}}'
    request = (
        a_head(receiver, f"Content-Length: {len(body)}", *["X-Large: " + "a" * 1000] * 30) + body
    )

    with receiver.connect() as connection:
        for size in (len(request), 1000, 31_000, 100):
            for start in range(0, len(request), size):
                connection.sendall(request[start : start + size])
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_the_limit_on_heads_does_not_count_bodies(receiver, report):
    body = json.dumps(report()).encode().ljust(300_000)

    answer = receiver.send_raw(a_request(receiver, body) * 3, answers=3)

    assert answer.count(b"HTTP/1.1 200 ") == 3
    assert len(receiver.stored()) == 3


@pytest.mark.parametrize("count", [101, 10_000])
def test_too_many_headers_are_refused(receiver, count):
    request = a_head(receiver, *[f"X-{number}: a" for number in range(count)])

    a_refusal(receiver.send_raw(request), 431, "head_too_large")


def test_a_hundred_headers_are_served(receiver):
    body = b'{"message": {"type": "hang"}}'
    lines = [f"X-{number}: a" for number in range(97)]
    request = a_head(receiver, f"Content-Length: {len(body)}", *lines) + body

    assert receiver.send_raw(request).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "request_bytes",
    [b"hello\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n", b"\x16\x03\x01\x02\0\1"],
    ids=["no HTTP", "a NUL in a header", "TLS"],
)
def test_what_is_no_http_is_answered_in_our_form(receiver, request_bytes, caplog):
    with caplog.at_level(logging.INFO):
        answer = receiver.send_raw(request_bytes)

    a_refusal(answer, 400, "malformed_request")
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_malformed_chunk_ends_the_request_with_one_answer(receiver):
    answer = receiver.send_raw(a_head(receiver, "Transfer-Encoding: chunked") + b"zz\r\n")

    a_refusal(answer, 400, "malformed_request")
    assert receiver.stored() == []


def test_garbage_behind_a_request_does_not_take_its_answer(receiver, report):
    answer = receiver.send_raw(a_request(receiver, json.dumps(report()).encode()) + b"\0garbage")

    assert re.findall(rb"HTTP/1.1 (\d+)", answer) in ([b"200"], [b"200", b"400"])
    assert len(receiver.stored()) == 1


def test_an_upgrade_is_answered_as_a_plain_request_and_ends(receiver):
    request = a_head(receiver, "Connection: Upgrade", "Upgrade: h2c", method="GET")

    answer = receiver.send_raw(request + b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

    assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"405"]
    assert b"connection: close" in answer


def test_thousand_silent_sockets_do_not_keep_a_good_sender_out(serve, report):
    receiver = serve(bounds=ConnectionBounds(max_connections=256, fresh_s=0.2))
    silent = [receiver.connect() for _ in range(1000)]

    answers = [receiver.post(report(str(number))).status_code for number in range(20)]
    fresh = []
    for _ in range(20):
        with receiver.connect() as connection:
            connection.sendall(a_request(receiver))
            fresh.append(connection.recv(65536)[:12])
        silent.append(receiver.connect())
    for connection in silent:
        connection.close()

    assert answers == [200] * 20
    assert fresh == [b"HTTP/1.1 200"] * 20
    assert len(receiver.stored()) == 20
    assert turned_away(receiver)[TurnedAway.SHED] >= 1000 - 256
    assert turned_away(receiver)[TurnedAway.TOO_MANY] == 0


def test_a_half_told_head_is_told_why_it_is_closed(serve):
    receiver = serve(bounds=ConnectionBounds(max_connections=2, fresh_s=0.1))

    with receiver.connect() as first, receiver.connect():
        first.sendall(b"POST /")
        time.sleep(0.3)
        with receiver.connect():
            answer, _ = until_closed(first)

    assert a_refusal(answer, 503, "too_many_connections")["retry-after"] == "5"


class HeldStore:
    """A store of webhooks that answers when it is told to."""

    def __init__(self, store):
        self.store = store
        self.asked = threading.Event()
        self.released = threading.Event()

    def get(self, webhook_id):
        self.asked.set()
        self.released.wait(20)
        return self.store.get(webhook_id)


def test_a_sender_beyond_the_limit_is_told_when_to_come_back(serve, report):
    held = []

    def holding(store):
        held.append(HeldStore(store))
        return held[0]

    receiver = serve(
        webhooks=holding, bounds=ConnectionBounds(max_connections=8, head_timeout_s=20)
    )
    busy = [receiver.connect() for _ in range(8)]
    for connection in busy:
        connection.sendall(a_request(receiver))
    wait_for(lambda: len(receiver.server.door) == 8 and held[0].asked.is_set())

    with receiver.connect() as surplus:
        surplus.sendall(a_request(receiver))
        told, _ = until_closed(surplus)
        with receiver.connect() as far_too_many:
            refused, took_s = until_closed(far_too_many)
    held[0].released.set()
    served = [connection.recv(65536)[:12] for connection in busy]
    for connection in busy:
        connection.close()
    wait_for(lambda: len(receiver.server.door) == 0)

    assert a_refusal(told, 503, "too_many_connections")["retry-after"] == "5"
    assert (refused, took_s < 2) == (b"", True)
    assert served == [b"HTTP/1.1 200"] * 8
    assert receiver.send_raw(a_request(receiver)).startswith(b"HTTP/1.1 200 ")


def test_one_address_can_be_given_a_limit(serve):
    receiver = serve(bounds=ConnectionBounds(max_per_address=3))
    connections = [receiver.connect() for _ in range(3)]
    for connection in connections:
        connection.sendall(a_request(receiver))

    with receiver.connect() as fourth:
        answer, took_s = until_closed(fourth)
    served = [connection.recv(65536)[:12] for connection in connections]
    for connection in connections:
        connection.close()
    wait_for(lambda: len(receiver.server.door) == 0)

    assert (answer, took_s < 2) == (b"", True)
    assert served == [b"HTTP/1.1 200"] * 3
    assert receiver.send_raw(a_request(receiver)).startswith(b"HTTP/1.1 200 ")


def test_slow_bodies_cannot_keep_a_good_sender_out(serve, report):
    receiver = serve(bounds=ConnectionBounds(max_connections=64, fresh_s=0.1))
    slow = [receiver.connect() for _ in range(64)]
    for connection in slow:
        connection.sendall(a_head(receiver, "Content-Length: 1000000") + b"{")
    wait_for(lambda: len(receiver.server.door) == 64)
    time.sleep(1.6)

    answers = []
    for number in range(10):
        with receiver.connect() as connection:
            connection.sendall(a_request(receiver, json.dumps(report(str(number))).encode()))
            answers.append(connection.recv(65536)[:12])
    told = [until_closed(connection)[0] for connection in slow[:1]]
    for connection in slow:
        connection.close()

    assert answers == [b"HTTP/1.1 200"] * 10
    a_refusal(told[0], 503, "too_many_connections")
    assert len(receiver.stored()) == 10


def test_stopping_lets_a_kept_connection_finish_what_is_on_its_way(serve, report):
    receiver = serve()
    body = json.dumps(report()).encode()
    with receiver.connect() as connection:
        connection.sendall(a_request(receiver))
        connection.recv(65536)

        receiver.server.should_exit = True
        wait_for(lambda: not receiver.server.servers[0].is_serving())
        connection.sendall(a_request(receiver, body))
        answer, _ = until_closed(connection)

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"connection: close" in answer
    assert len(receiver.stored()) == 1


def test_stopping_does_not_wait_for_a_body_that_does_not_come(serve, monkeypatch):
    monkeypatch.setattr("receiver.protocol.LAST_BODY_S", 0.5)
    receiver = serve()
    with receiver.connect() as connection:
        connection.sendall(a_head(receiver, "Content-Length: 100") + b"{")
        wait_for(lambda: receiver.server.server_state.tasks)

        receiver.server.should_exit = True
        answer, took_s = until_closed(connection)
    receiver.thread.join(10)

    assert a_refusal(answer, 503, "stopping")["retry-after"] == "5"
    assert took_s < 4
    assert not receiver.thread.is_alive()
