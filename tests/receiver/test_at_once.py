"""Reports that come in one piece take a shorter way, and nobody outside can tell."""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import logging
import threading
import time

import pytest

from call_stream.file_writer import FileStreamWriter
from call_stream.stream import StreamUnavailable, open_reader, open_writer
from receiver.settings import ReceiverSettings
from receiver.whole_reports import WholeReports


class HeldStream:
    """A stream whose entries become durable, or fail, when the test says so."""

    def __init__(self, inner):
        self.inner = inner
        self.waiting = []

    def append_async(self, kind, payload, **owner):
        future = asyncio.get_running_loop().create_future()
        self.waiting.append((future, kind, payload))
        return future

    def append(self, kind, payload, **owner) -> concurrent.futures.Future[int]:
        raise AssertionError("the webhooks append from the event loop")

    def let_go(self, failure=None):
        future, kind, payload = self.waiting.pop(0)

        def settle():
            if future.cancelled():
                return
            if failure is None:
                future.set_result(self.inner.append(kind, payload).result(5))
            else:
                future.set_exception(failure)

        future.get_loop().call_soon_threadsafe(settle)

    def check(self):
        self.inner.check()

    def close(self):
        while self.waiting:
            self.let_go()
        self.inner.close()


@pytest.fixture
def held(tmp_path):
    return HeldStream(open_writer(f"file:{tmp_path}/stream"))


@pytest.fixture
def taken(monkeypatch):
    """Whether each request that was offered was taken at once."""
    answers = []
    take = WholeReports.take

    def noting(self, request, body):
        answers.append(take(self, request, body))
        return answers[-1]

    monkeypatch.setattr(WholeReports, "take", noting)
    return answers


def a_request(receiver, report, *lines):
    body = json.dumps(report).encode()
    head = [
        f"POST {receiver.path} HTTP/1.1",
        "Host: x",
        f"X-Vapi-Secret: {receiver.secret}",
        "X-Request-ID: mine-1",
        f"Content-Length: {len(body)}",
        *lines,
    ]
    return ("\r\n".join(head) + "\r\n\r\n").encode() + body


def warm(receiver, report):
    """Has the webhook looked up, which the shorter way does not do."""
    assert receiver.send_raw(a_request(receiver, report("warm"))).startswith(b"HTTP/1.1 200 ")


def wait_for(check):
    give_up_at = time.monotonic() + 10
    while not check():
        assert time.monotonic() < give_up_at
        time.sleep(0.005)


def stored_ids(tmp_path):
    entries = open_reader(f"file:{tmp_path}/stream").read()
    return [json.loads(entry.payload)["report"]["call"]["id"] for entry in entries]


def without_date(answer):
    return [line for line in answer.split(b"\r\n") if not line.startswith(b"date: ")]


def test_the_answer_is_that_of_the_ordinary_way_to_the_byte(serve, report, taken):
    receiver = serve()
    ordinary = receiver.send_raw(a_request(receiver, report("call-1")))

    at_once = receiver.send_raw(a_request(receiver, report("call-2")))

    assert taken == [False, True]
    assert without_date(at_once) == without_date(ordinary)


@pytest.mark.parametrize("cut", [10, 200, -1], ids=["in the head", "in the body", "at the end"])
def test_a_report_in_two_pieces_is_stored_all_the_same(serve, report, taken, tmp_path, cut):
    receiver = serve()
    warm(receiver, report)
    taken.clear()
    request = a_request(receiver, report("call-2"))

    with receiver.connect() as connection:
        connection.sendall(request[:cut])
        time.sleep(0.1)
        connection.sendall(request[cut:])
        answer = connection.recv(65536)

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert taken == ([True] if cut == 10 else [])
    receiver.stop()
    assert stored_ids(tmp_path) == ["warm", "call-2"]


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("Connection: close", b"200"),
        ("Expect: 100-continue", b"200"),
        # What comes behind such a head is no HTTP to the parser, and so no body.
        ("Upgrade: h2c\r\nConnection: upgrade", b"400"),
    ],
    ids=["closes", "expects", "upgrades"],
)
def test_what_asks_for_more_than_an_answer_goes_the_ordinary_way(
    serve, report, taken, line, status
):
    receiver = serve()
    warm(receiver, report)
    taken.clear()

    answer = receiver.send_raw(a_request(receiver, report("call-2"), line))

    assert taken == []
    assert b"HTTP/1.1 " + status in answer


def test_nobody_is_answered_before_the_report_is_in_the_stream(serve, report, held, taken):
    receiver = serve(stream=held)
    first = threading.Thread(target=warm, args=(receiver, report))
    first.start()
    wait_for(lambda: held.waiting)
    held.let_go()
    first.join()

    with receiver.connect() as connection:
        connection.sendall(a_request(receiver, report("call-2")))
        wait_for(lambda: held.waiting)
        connection.settimeout(0.3)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        held.let_go()
        connection.settimeout(5)
        answer = connection.recv(65536)

    assert taken == [False, True]
    assert answer.startswith(b"HTTP/1.1 200 ")


def test_requests_sent_without_waiting_are_answered_in_their_order(serve, report, taken, tmp_path):
    receiver = serve()
    warm(receiver, report)
    taken.clear()
    requests = [
        a_request(receiver, report(f"call-{n}")).replace(b"mine-1", b"mine-%d" % n)
        for n in range(5)
    ]

    answers = receiver.send_raw(b"".join(requests), answers=5)

    ids = [line for line in answers.split(b"\r\n") if line.startswith(b"x-request-id: ")]
    assert ids == [b"x-request-id: mine-%d" % n for n in range(5)]
    assert taken[0] is True
    receiver.stop()
    assert stored_ids(tmp_path) == ["warm", *(f"call-{n}" for n in range(5))]


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (StreamUnavailable("The disk is full."), b"503", "stream_unavailable"),
        (RuntimeError("call-2 has a transcript"), b"500", "internal_error"),
    ],
    ids=["unavailable", "a fault of ours"],
)
def test_a_report_that_cannot_be_stored_is_refused_and_the_connection_goes_on(
    serve, report, held, taken, caplog, failure, status, code
):
    receiver = serve(stream=held)
    first = threading.Thread(target=warm, args=(receiver, report))
    first.start()
    wait_for(lambda: held.waiting)
    held.let_go()
    first.join()
    caplog.set_level(logging.INFO)

    with receiver.connect() as connection:
        connection.sendall(a_request(receiver, report("call-2")))
        wait_for(lambda: held.waiting)
        held.let_go(failure)
        refused = connection.recv(65536)
        connection.sendall(a_request(receiver, report("call-3")))
        wait_for(lambda: held.waiting)
        held.let_go()
        stored = connection.recv(65536)

    head, _, body = refused.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 " + status)
    assert b"x-request-id: mine-1" in head
    assert (b"retry-after: " in head) == (status == b"503")
    assert b"connection: close" not in head
    assert json.loads(body)["code"] == code
    assert stored.startswith(b"HTTP/1.1 200 ")
    assert taken == [False, True, True]
    assert "opening hours" not in caplog.text


def test_a_sender_that_hangs_up_meanwhile_loses_no_report_and_no_room(
    serve, report, held, taken, tmp_path
):
    receiver = serve(ReceiverSettings(max_body_bytes=2000, max_in_flight_bytes=2000), stream=held)
    first = threading.Thread(target=warm, args=(receiver, report))
    first.start()
    wait_for(lambda: held.waiting)
    held.let_go()
    first.join()

    for number in range(8):
        with receiver.connect() as connection:
            connection.sendall(a_request(receiver, report(f"gone-{number}")))
            wait_for(lambda: held.waiting)
        wait_for(lambda: not receiver.server.server_state.connections)
        held.let_go()
        wait_for(lambda n=number: len(stored_ids(tmp_path)) == n + 2)

    assert taken == [False, *[True] * 8]


def test_a_report_under_way_is_answered_before_the_receiver_stops(serve, report, held, taken):
    receiver = serve(stream=held)
    first = threading.Thread(target=warm, args=(receiver, report))
    first.start()
    wait_for(lambda: held.waiting)
    held.let_go()
    first.join()

    with receiver.connect() as connection:
        connection.sendall(a_request(receiver, report("call-2")))
        wait_for(lambda: held.waiting)
        receiver.server.should_exit = True
        time.sleep(0.4)
        held.let_go()
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk

    assert taken == [False, True]
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"connection: close" in answer


def test_a_body_in_chunks_that_came_whole_is_held_to_the_limit(serve, report, taken):
    body = json.dumps(report("call-2")).encode()
    receiver = serve(ReceiverSettings(max_body_bytes=len(body)))
    warm(receiver, report)
    head = a_request(receiver, report("call-2"), "Transfer-Encoding: chunked").partition(
        b"\r\n\r\n"
    )
    lines = [line for line in head[0].split(b"\r\n") if not line.startswith(b"Content-Length")]

    def in_chunks(content):
        sized = [b"%x\r\n%b\r\n" % (len(each), each) for each in (content[:50], content[50:], b"")]
        return b"\r\n".join(lines) + b"\r\n\r\n" + b"".join(sized)

    answers = [receiver.send_raw(in_chunks(each)) for each in (body, body + b" ")]

    assert [answer[:13] for answer in answers] == [b"HTTP/1.1 200 ", b"HTTP/1.1 413 "]
    assert taken == [False, True, False]


def test_what_fails_unforeseen_is_answered_as_a_fault_and_keeps_no_room(
    serve, report, taken, caplog, monkeypatch, tmp_path
):
    receiver = serve(ReceiverSettings(max_body_bytes=2000, max_in_flight_bytes=2000))
    warm(receiver, report)
    append = FileStreamWriter.append_async

    def failing(self, kind, payload, **owner):
        raise RuntimeError(payload.decode())

    monkeypatch.setattr(FileStreamWriter, "append_async", failing)
    refused = [receiver.send_raw(a_request(receiver, report("call-2"))) for _ in range(8)]
    monkeypatch.setattr(FileStreamWriter, "append_async", append)
    stored = receiver.send_raw(a_request(receiver, report("call-3")))

    assert {answer.partition(b"\r\n")[0] for answer in refused} == {
        b"HTTP/1.1 500 Internal Server Error"
    }
    assert stored.startswith(b"HTTP/1.1 200 ")
    assert taken == [False] * 9 + [True]
    assert "a webhook request failed with RuntimeError" in caplog.text
    assert "opening hours" not in caplog.text
