import asyncio
import itertools
import json
import logging
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from call_stream.disk import Disk
from call_stream.excerpt import record_from_excerpt
from call_stream.file_writer import open_file_writer
from call_stream.stream import EntryKind, StreamUnavailable, open_writer
from receiver.settings import ReceiverSettings
from target_hubspot_calls.errors import StoreUnavailable


def refused(answer, status, code):
    """Checks that the answer is the contract's error, and says what it says."""
    assert answer.status_code == status, answer.text
    content = answer.json()
    assert content.keys() == {"success", "error", "code"}
    assert content["success"] is False
    assert content["code"] == code
    return content["error"]


def wait_for(check, timeout_s=20):
    give_up_at = time.monotonic() + timeout_s
    while not check():
        assert time.monotonic() < give_up_at, "it did not happen in time"
        time.sleep(0.01)


def test_a_report_is_answered_once_its_record_is_on_disk(receiver, report):
    answer = receiver.post(report("call-1"))

    (entry,) = receiver.stored()
    record = record_from_excerpt(entry.payload)
    assert (answer.status_code, answer.content) == (200, b"{}")
    assert answer.headers["content-type"] == "application/json"
    assert entry.kind is EntryKind.REPORT
    assert (record.id, record.user_id, record.workspace_id, record.webhook_id) == (
        "call-1",
        "ada",
        "analytics",
        receiver.webhook.id,
    )
    assert record.customer_number == "+12025550143"


def test_only_allow_listed_fields_are_stored(receiver, report):
    body = report(phoneNumber={"server": {"secret": "canary-1"}}, assistant={"prompt": "canary-2"})
    body["message"]["call"]["monitor"] = {"controlUrl": "https://canary-3.example"}

    receiver.post(body)

    assert b"canary" not in receiver.stored()[0].payload


@pytest.mark.parametrize(
    "body",
    [
        {"message": {"type": "status-update", "status": "ended", "call": {"id": "c"}}},
        {"message": {"type": "assistant-request"}},
        {"message": {"type": "something-new"}},
        {"message": {}},
        {"message": None},
        {},
    ],
    ids=json.dumps,
)
def test_other_messages_are_answered_and_not_stored(receiver, body):
    answer = receiver.post(body)

    assert (answer.status_code, answer.content, receiver.stored()) == (200, b"{}", [])


def test_a_report_without_a_call_id_goes_to_quarantine(receiver, report):
    body = report(call={"type": "webCall"}, customer={"number": "+12025550199"})

    answer = receiver.post(body)

    (entry,) = receiver.stored()
    kept = json.loads(entry.payload)
    assert answer.status_code == 200
    assert entry.kind is EntryKind.QUARANTINE
    assert kept.pop("received_at").startswith("20")
    assert "call id" in kept.pop("reason")
    assert kept == {
        "webhook_id": receiver.webhook.id,
        "user_id": "ada",
        "workspace_id": "analytics",
        "message_type": "end-of-call-report",
    }


@pytest.mark.parametrize("header", ["X-Vapi-Secret", "x-vapi-secret"])
def test_a_wrong_secret_is_refused(receiver, report, header):
    wrong = [
        "",
        "wrong",
        receiver.secret[:-1],
        receiver.secret + "x",
        receiver.secret.swapcase(),
        b"\xc3\xa9\xff",
        "Bearer " + receiver.secret,
        "a" * 10_000,
    ]

    answers = [receiver.post(report(), headers={"X-Vapi-Secret": each}) for each in wrong]

    sentences = {refused(answer, 401, "unauthorized") for answer in answers}
    assert len(sentences) == 1
    assert receiver.stored() == []


def test_a_missing_secret_is_refused(receiver, report):
    answer = receiver.client.post(receiver.path, json=report())

    refused(answer, 401, "unauthorized")
    assert receiver.stored() == []


def test_another_webhooks_secret_is_refused(receiver, report):
    _, other = receiver.webhooks.create("ada", "analytics")

    answer = receiver.post(report(), headers={"X-Vapi-Secret": other})

    refused(answer, 401, "unauthorized")


def test_a_bearer_webhook_takes_its_token_and_nothing_else(receiver, report):
    webhook, token = receiver.webhooks.create("ada", "analytics", "bearer")
    path = f"/api/webhooks/{webhook.id}"
    presented = {
        f"Bearer {token}": 200,
        f"bearer   {token}": 200,
        token: 401,
        f"Basic {token}": 401,
        "Bearer": 401,
        f"Bearer {token}x": 401,
    }

    answers = {
        each: receiver.client.post(path, json=report(), headers={"Authorization": each}).status_code
        for each in presented
    }

    assert answers == presented
    assert receiver.post(report(), path=path).status_code == 401


def test_authentication_comes_before_parsing(receiver):
    answer = receiver.post(b"{not json", headers={"X-Vapi-Secret": "wrong"})

    refused(answer, 401, "unauthorized")


@pytest.mark.parametrize(
    "webhook_id",
    ["unknown", "", "a" * 65, "..%2f..%2fetc%2fpasswd", "%00", "a%0A", "a/b", "caf%C3%A9", "a.b"],
)
def test_an_unknown_webhook_is_not_found(receiver, report, webhook_id):
    answer = receiver.post(report(), path=f"/api/webhooks/{webhook_id}")

    refused(answer, 404, "unknown_webhook")
    assert receiver.stored() == []


def test_a_disabled_webhook_is_not_found_within_two_seconds(receiver, report):
    before = receiver.post(report())
    receiver.webhooks.disable(receiver.webhook.id)
    time.sleep(2.05)

    after = receiver.post(report())

    assert before.status_code == 200
    refused(after, 404, "unknown_webhook")


def test_a_rotated_secret_works_beside_the_old_one(receiver, report):
    receiver.post(report())
    fresh = receiver.webhooks.rotate(receiver.webhook.id)
    time.sleep(2.05)

    answers = [
        receiver.post(report(), headers={"X-Vapi-Secret": each}).status_code
        for each in (receiver.secret, fresh)
    ]

    assert answers == [200, 200]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"true",
        b"[1]",
        b'"text"',
        b"1",
        b"{} {}",
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16"),
        b'{"unread": "\xff\xfe"}',
        b'{"message": {"type": "end-of-call-report", "call": {"id": "\xc3\x28"}}}',
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": 1e999}',
        b'{"a": "\\ud800"}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"a": ' + b"[" * 2_000 + b"]" * 2_000 + b"}",
        b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b"[" * 1_000_000,
        b'{"a":' * 100_000,
    ],
    ids=lambda body: repr(body[:30]),
)
def test_what_is_no_json_object_is_refused(receiver, body):
    answer = receiver.post(body)

    refused(answer, 400, "invalid_json")
    assert receiver.stored() == []


def test_a_report_cut_at_any_byte_is_refused(receiver, report):
    body = json.dumps(report()).encode()

    answers = {receiver.post(body[:size]).status_code for size in range(len(body))}

    assert answers == {400}
    assert receiver.stored() == []


@pytest.mark.parametrize(
    "value",
    [
        "1e308",
        "-1e308",
        "9" * 400,
        "-9223372036854775809",
        "18446744073709551616",
        '"\\u0000"',
        '"\\u202e"',
        '"\\ud83d\\ude00"',
        "[" * 400 + "]" * 400,
        '{"a":' * 400 + "1" + "}" * 400,
        "[" * 900 + "]" * 900,
    ],
    ids=lambda value: value[:30],
)
@pytest.mark.parametrize(
    "place", ["cost", "startedAt", "durationMs", "summary", "customer", "analysis"]
)
def test_odd_values_are_stored_or_refused_and_never_a_fault(receiver, report, place, value):
    body = report(**{place: "PLACE"})
    if place == "analysis":
        body["message"]["analysis"] = {"structuredData": {"deep": "PLACE"}}
    text = json.dumps(body).replace('"PLACE"', value)

    answer = receiver.post(text.encode())

    entries = receiver.stored()
    assert (answer.status_code, len(entries)) in [(200, 1), (400, 0)], answer.text
    if entries and entries[0].kind is EntryKind.REPORT:
        assert record_from_excerpt(entries[0].payload).id == "call-1"


def test_the_last_of_duplicate_keys_counts(receiver):
    body = b'{"message": {"type": "end-of-call-report", "call": {"id": "a"}, "call": {"id": "b"}}}'

    receiver.post(body)

    assert record_from_excerpt(receiver.stored()[0].payload).id == "b"


@pytest.mark.parametrize("kind", ["text/plain", "application/json; charset=utf-16", ""])
def test_the_bytes_decide_and_not_the_content_type(receiver, report, kind):
    answer = receiver.post(report(), headers={"Content-Type": kind})

    assert answer.status_code == 200
    assert len(receiver.stored()) == 1


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"])
def test_other_methods_are_refused(receiver, method):
    answer = receiver.client.request(method, receiver.path)

    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"
    if method != "HEAD":
        refused(answer, 405, "method_not_allowed")


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "identity, gzip", "x"])
def test_a_compressed_body_is_refused_and_never_inflated(receiver, report, encoding):
    answer = receiver.post(report(), headers={"Content-Encoding": encoding})

    refused(answer, 415, "unsupported_encoding")


def test_an_identity_encoding_is_no_compression(receiver, report):
    answer = receiver.post(report(), headers={"Content-Encoding": "identity"})

    assert answer.status_code == 200


def test_a_body_of_exactly_the_limit_is_taken_and_one_byte_more_is_not(serve, report):
    body = json.dumps(report()).encode()
    receiver = serve(ReceiverSettings(max_body_bytes=len(body) + 10))

    def in_chunks(content):
        yield content[:50]
        yield content[50:]

    at_limit = body + b" " * 10
    answers = [
        receiver.post(at_limit).status_code,
        receiver.post(at_limit + b" ").status_code,
        receiver.client.post(
            receiver.path,
            content=in_chunks(at_limit),
            headers={"X-Vapi-Secret": receiver.secret},
        ).status_code,
        receiver.client.post(
            receiver.path,
            content=in_chunks(at_limit + b" "),
            headers={"X-Vapi-Secret": receiver.secret},
        ).status_code,
    ]

    assert answers == [200, 413, 200, 413]
    assert len(receiver.stored()) == 2


def test_the_default_limit_is_ten_megabytes(receiver, report):
    body = json.dumps(report()).encode()

    answers = [
        receiver.post(body.ljust(10_000_000)).status_code,
        receiver.post(body.ljust(10_000_001)).status_code,
        receiver.post(body.ljust(12_000_000)).status_code,
    ]

    assert answers == [200, 413, 413]


def test_a_huge_announced_body_is_refused_before_it_is_sent(receiver):
    head = f"POST {receiver.path} HTTP/1.1\r\nHost: x\r\nX-Vapi-Secret: {receiver.secret}\r\n"

    answers = [
        receiver.send_raw(f"{head}Content-Length: {length}\r\n\r\n".encode())
        for length in (10_000_001, 99_999_999_999, 10**30)
    ]

    assert all(answer.startswith((b"HTTP/1.1 413", b"HTTP/1.1 400")) for answer in answers)
    assert answers[0].startswith(b"HTTP/1.1 413")
    assert b"connection: close" in answers[0]


def test_a_sender_of_too_much_can_finish_and_sees_why_it_was_refused(receiver):
    head = (
        f"POST {receiver.path} HTTP/1.1\r\nHost: x\r\nX-Vapi-Secret: {receiver.secret}\r\n"
        "Content-Length: 12000000\r\n\r\n"
    )

    answer = receiver.send_raw(head.encode() + bytes(12_000_000))

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"code": "body_too_large"' in answer


def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_an_endless_chunked_body_is_cut_early_with_flat_memory(receiver):
    head = (
        f"POST {receiver.path} HTTP/1.1\r\nHost: x\r\nX-Vapi-Secret: {receiver.secret}\r\n"
        "Transfer-Encoding: chunked\r\n\r\n"
    )
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    sent = 0
    before = resident_bytes()
    most = 0

    with receiver.connect() as connection:
        connection.sendall(head.encode())
        try:
            while sent < 50_000_000:
                connection.sendall(chunk)
                sent += 65536
                most = max(most, resident_bytes())
        except (ConnectionResetError, BrokenPipeError):
            pass
        cut = sent < 50_000_000

    assert cut
    assert most - before < 24_000_000
    assert receiver.stored() == []


def test_a_body_that_does_not_arrive_is_given_up(serve, report):
    receiver = serve(ReceiverSettings(body_timeout_s=0.2))
    request = (
        f"POST {receiver.path} HTTP/1.1\r\nHost: x\r\nX-Vapi-Secret: {receiver.secret}\r\n"
        'Content-Length: 100\r\n\r\n{"message"'
    )

    answer = receiver.send_raw(request.encode())

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code": "body_timeout"' in answer
    assert receiver.stored() == []


def test_a_sender_that_hangs_up_leaves_nothing_and_no_traceback(receiver, report, caplog):
    body = json.dumps(report()).encode()
    head = (
        f"POST {receiver.path} HTTP/1.1\r\nHost: x\r\nX-Vapi-Secret: {receiver.secret}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode()
    request = head + body

    with caplog.at_level(logging.INFO):
        for size in range(1, len(request), 7):
            with receiver.connect() as connection:
                connection.sendall(request[:size])
        receiver.post(report("last"))

    outcomes = {record.fields["outcome"] for record in caplog.records if record.name == "receiver"}
    assert [record_from_excerpt(entry.payload).id for entry in receiver.stored()] == ["last"]
    assert outcomes == {"sender_gone", "stored"}
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert "Traceback" not in caplog.text


def test_a_sender_that_hangs_up_before_the_answer_has_its_report_stored_once(
    serve, report, tmp_path, caplog
):
    class SlowDisk(Disk):
        def fdatasync(self, fd):
            reached.set()
            hung_up.wait(40)
            super().fdatasync(fd)

    reached, hung_up = threading.Event(), threading.Event()
    receiver = serve(stream=open_file_writer(tmp_path / "stream", disk=SlowDisk()))
    body = json.dumps(report()).encode()
    head = (
        f"POST {receiver.path} HTTP/1.1\r\nHost: x\r\nX-Vapi-Secret: {receiver.secret}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode()

    with receiver.connect() as connection:
        connection.sendall(head + body)
        assert reached.wait(20)
    wait_for(lambda: not receiver.server.server_state.connections)
    hung_up.set()
    receiver.stop()

    assert len(receiver.stored()) == 1
    assert "Traceback" not in caplog.text


class FullStream:
    """A stream whose disk is full, until it is not."""

    def __init__(self):
        self.full = True
        self.taken = []

    def append_async(self, kind, payload, **owner):
        future = asyncio.get_running_loop().create_future()
        if self.full:
            future.set_exception(StreamUnavailable("The call stream's disk is full."))
        else:
            self.taken.append(payload)
            future.set_result(1)
        return future

    def check(self):
        if self.full:
            raise StreamUnavailable("The call stream's disk is full.")

    def close(self):
        pass


def test_a_stream_that_cannot_store_is_answered_with_when_to_come_back(serve, report):
    stream = FullStream()
    receiver = serve(ReceiverSettings(retry_after_s=7), stream=stream)

    while_full = receiver.post(report())
    ready_while_full = receiver.client.get("/readyz")
    stream.full = False
    afterwards = receiver.post(report())

    assert refused(while_full, 503, "stream_unavailable") == "The call stream's disk is full."
    assert while_full.headers["retry-after"] == "7"
    assert (ready_while_full.status_code, ready_while_full.json()) == (
        503,
        {"store": "ok", "stream": "unavailable"},
    )
    assert afterwards.status_code == 200
    assert len(stream.taken) == 1


def test_a_store_that_cannot_answer_is_a_503(serve, report):
    class DownStore:
        def __init__(self, store):
            pass

        def get(self, webhook_id):
            raise StoreUnavailable("The database at secret-host cannot be reached.")

    receiver = serve(webhooks=DownStore)

    answer = receiver.post(report())
    ready = receiver.client.get("/readyz")

    assert "secret-host" not in refused(answer, 503, "store_unavailable")
    assert int(answer.headers["retry-after"]) > 0
    assert (ready.status_code, ready.json()) == (503, {"store": "unavailable", "stream": "ok"})


def test_a_fault_of_ours_is_answered_in_our_form_and_logged_without_values(serve, report, caplog):
    class BuggyStore:
        def __init__(self, store):
            pass

        def get(self, webhook_id):
            raise KeyError("can" + "ary")

    receiver = serve(webhooks=BuggyStore)

    with caplog.at_level(logging.INFO):
        answer = receiver.post(report())

    refused(answer, 500, "internal_error")
    assert "KeyError" in caplog.text
    assert "canary" not in caplog.text


def test_hot_webhooks_do_not_ask_the_database_each_time(serve, report):
    asked = []

    class CountingStore:
        def __init__(self, store):
            self.store = store

        def get(self, webhook_id):
            asked.append(webhook_id)
            return self.store.get(webhook_id)

    receiver = serve(webhooks=CountingStore)

    started = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: receiver.post(report(str(n))).status_code, range(100)))
    took_s = time.monotonic() - started

    assert answers == [200] * 100
    assert len(asked) <= 1 + took_s // ReceiverSettings().webhook_cache_s


def test_parallel_reports_are_each_stored_once(receiver, report):
    ids = [f"call-{number}" for number in range(300)]

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda each: receiver.post(report(each)).status_code, ids))

    stored = [record_from_excerpt(entry.payload).id for entry in receiver.stored()]
    assert answers == [200] * 300
    assert sorted(stored) == sorted(ids)


def test_the_same_report_twice_is_stored_twice(receiver, report):
    for _ in range(2):
        receiver.post(report("call-1"))

    assert len(receiver.stored()) == 2


@pytest.mark.parametrize(
    ("body", "headers", "outcome", "status", "words"),
    [
        ("report", {}, "stored", 200, "call call-1 stored"),
        ({"message": {"type": "hang"}}, {}, "ignored", 200, "message of type hang ignored"),
        (
            {"message": {"type": "a\nfaked line"}},
            {},
            "ignored",
            200,
            "message of type unknown ignored",
        ),
        (
            {"message": {"type": "end-of-call-report"}},
            {},
            "quarantined",
            200,
            "a report that names no usable call put into quarantine",
        ),
        (
            "report",
            {"X-Vapi-Secret": "canary-secret"},
            "unauthorized",
            401,
            "message refused with 401 unauthorized",
        ),
        (b"canary", {}, "invalid_json", 400, "message refused with 400 invalid_json"),
    ],
    ids=["stored", "ignored", "odd type", "quarantined", "unauthorized", "invalid"],
)
def test_each_request_leaves_one_log_line_without_anything_private(
    receiver, report, caplog, body, headers, outcome, status, words
):
    with caplog.at_level(logging.INFO, "receiver"):
        answer = receiver.post(report() if body == "report" else body, headers=headers)

    (record,) = [record for record in caplog.records if record.name == "receiver"]
    assert re.fullmatch(rf"{words}, webhook {receiver.webhook.id}, \d+\.\d ms", record.message)
    assert record.levelno == logging.INFO
    assert record.fields.pop("ms") >= 0
    assert record.fields.pop("request_id") == answer.headers["x-request-id"]
    assert record.fields.pop("why", None) == ("wrong_secret" if status == 401 else None)
    record.fields.pop("message_type", None)
    assert record.fields == {
        "event": "webhook",
        "webhook_id": receiver.webhook.id,
        "call_id": "call-1" if outcome == "stored" else None,
        "outcome": outcome,
        "status": status,
    }


def test_a_number_without_an_assistant_is_warned_of(receiver, caplog):
    with caplog.at_level(logging.INFO, "receiver"):
        answer = receiver.post({"message": {"type": "assistant-request"}})

    (record,) = [record for record in caplog.records if record.name == "receiver"]
    assert (answer.status_code, record.levelno) == (200, logging.WARNING)
    assert "the server of a phone number without an assistant" in record.message
    assert record.fields["message_type"] == "assistant-request"


def test_a_log_line_stays_one_line_whatever_the_call_id(receiver, report, caplog):
    with caplog.at_level(logging.INFO, "receiver"):
        receiver.post(report("a\r\nfake: line\x1b[31m"))

    (line,) = [record.message for record in caplog.records if record.name == "receiver"]
    assert line.isprintable()


def test_a_path_that_is_no_id_is_not_repeated_in_the_log(receiver, report, caplog):
    with caplog.at_level(logging.INFO, "receiver"):
        receiver.post(report(), path="/api/webhooks/canary%0Aline")

    assert "canary" not in caplog.text


def test_a_slow_sender_does_not_hold_up_the_others(receiver, report):
    def post_all():
        started = time.monotonic()
        answers = {receiver.post(report(str(number))).status_code for number in range(50)}
        return answers, time.monotonic() - started

    _, alone_s = post_all()
    slow = [receiver.connect() for _ in range(50)]
    for connection in slow:
        connection.sendall(b"POST " + receiver.path.encode() + b" HTTP/1.1\r\nHost: x\r\n")

    answers, took_s = post_all()
    for connection in slow:
        connection.close()

    assert answers == {200}
    # A busy machine is slow alone, too.
    assert took_s < max(5, 10 * alone_s)


def test_stopping_under_load_stores_all_that_was_answered(serve, report):
    receiver = serve()
    answered = []

    def send(lane):
        with httpx.Client(base_url=receiver.url, trust_env=False) as client:
            for number in itertools.count():
                call_id = f"{lane}-{number}"
                headers = {"X-Vapi-Secret": receiver.secret}
                try:
                    answer = client.post(receiver.path, json=report(call_id), headers=headers)
                except httpx.HTTPError:
                    return
                if answer.status_code == 200:
                    answered.append(call_id)

    lanes = [threading.Thread(target=send, args=(lane,)) for lane in range(8)]
    for lane in lanes:
        lane.start()
    wait_for(lambda: len(answered) > 20)
    receiver.stop()
    for lane in lanes:
        lane.join()

    stored = {record_from_excerpt(entry.payload).id for entry in receiver.stored()}
    assert len(answered) > 20
    assert set(answered) <= stored
    open_writer(receiver.stream_url).close()
