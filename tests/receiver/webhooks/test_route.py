"""What the route does around the check: limits, ids, counts, log lines, hostile bodies."""

import asyncio
import json
import logging
import time

import pytest

from receiver.event_log import MOST_REFUSED_PER_S
from receiver.in_flight import InFlight
from receiver.settings import ReceiverSettings
from receiver.webhook_counts import WebhookTally
from target_hubspot_calls.errors import StoreUnavailable
from target_hubspot_calls.store.webhook_auth import HmacPlan
from target_hubspot_calls.store.webhook_counts import WebhookCounts


@pytest.fixture
def hook(door):
    """A webhook and the headers that open it."""
    webhook, secret = door.webhooks.create("ada", "sales")
    return webhook, {"X-Vapi-Secret": secret}


def test_a_limited_webhook_takes_its_assistants_only(door, report):
    webhook, secret = door.webhooks.create("ada", "sales", assistant_ids=["front", "desk"])
    headers = {"X-Vapi-Secret": secret}
    bodies = [
        report("1", assistant={"id": "front"}),
        report("2", assistant={"id": "other"}),
        report("3"),
        json.dumps(
            {"message": {"type": "end-of-call-report", "call": {"id": "4", "assistantId": "desk"}}}
        ).encode(),
    ]

    answers = [door.post(webhook, headers, body) for body in bodies]

    assert {(answer.status, answer.body) for answer in answers} == {(200, b"{}")}
    assert door.outcomes() == ["stored", "other_assistant", "other_assistant", "stored"]
    assert door.stored() == ["1", "4"]


def test_a_report_that_names_no_call_is_kept_whatever_the_limits(door):
    webhook, secret = door.webhooks.create("ada", "sales", assistant_ids=["front"])
    body = b'{"message": {"type": "end-of-call-report"}}'

    door.post(webhook, {"X-Vapi-Secret": secret}, body)

    assert (door.outcomes(), door.stored()) == (["quarantined"], ["-"])


def test_limits_can_be_changed_and_lifted(door, report, hook):
    webhook, headers = hook
    answers = []
    for assistant_ids in (["front"], ["other"], []):
        door.webhooks.limit_to(webhook.id, assistant_ids)
        door.post(webhook, headers, report(assistant={"id": "other"}))
        answers.append(door.outcomes()[-1])

    assert answers == ["other_assistant", "stored", "stored"]


@pytest.mark.parametrize("given", [b"abc-1.2:3_Z", b"x" * 128])
def test_a_senders_request_id_is_kept(door, report, hook, given):
    webhook, headers = hook

    answers = [
        door.post(webhook, {**headers, "X-Request-ID": given}, report()),
        door.post(webhook, {"X-Request-ID": given}, report()),
        door.post("unknown", {"X-Request-ID": given}, report()),
    ]

    assert {answer.headers[b"x-request-id"] for answer in answers} == {given}
    assert {event.request_id.encode() for event in door.events} == {given}


@pytest.mark.parametrize("given", [b"", b"a b", b"x" * 129, b"\xff", b"a\r\nSet-Cookie: x", b"<a>"])
def test_an_odd_request_id_is_not_repeated(door, report, hook, given):
    webhook, headers = hook

    answers = [
        door.post(webhook, {**headers, "X-Request-ID": given}, report()),
        door.post(webhook, {"X-Request-ID": given}, report()),
    ]

    made = [answer.headers[b"x-request-id"] for answer in answers]
    assert all(len(each) == 32 and each.isalnum() for each in made)
    assert len(set(made)) == 2


def test_who_finds_no_room_is_asked_to_come_back(open_door, report):
    in_flight = InFlight(100, retry_after_s=7)
    door = open_door(in_flight=in_flight)
    webhook, secret = door.webhooks.create("ada", "sales")
    headers = {"X-Vapi-Secret": secret}

    with in_flight.reserve(60):
        full = door.post(webhook, headers, report())
    later = door.post(webhook, headers, report())

    assert (full.status, full.code, full.headers[b"retry-after"]) == (503, "busy", b"7")
    assert (later.status, in_flight.used_bytes) == (200, 0)


def test_room_is_given_back_whatever_becomes_of_a_request(open_door, report, sign, full_stream):
    in_flight = InFlight(1_000_000)
    door = open_door(in_flight=in_flight, stream=full_stream)
    webhook, secret = door.webhooks.create("ada", "sales")
    signed, _ = door.webhooks.create("ada", "sales", "hmac")

    door.post(webhook, {"X-Vapi-Secret": secret}, report())
    door.post(webhook, {"X-Vapi-Secret": secret}, b"{")
    door.post(signed, sign(HmacPlan(), "wrong", report()), report())

    assert door.outcomes() == ["stream_unavailable", "invalid_json", "wrong_signature"]
    assert in_flight.used_bytes == 0


def test_a_signed_body_over_the_limit_is_cut_while_it_is_read(open_door, report, sign):
    door = open_door(settings=ReceiverSettings(max_body_bytes=100))
    webhook, secret = door.webhooks.create("ada", "sales", "hmac")
    body = report().ljust(400)
    headers = sign(HmacPlan(), secret, body)

    async def send_in_chunks():
        path = f"/api/webhooks/{webhook.id}"
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        raw.append((b"transfer-encoding", b"chunked"))
        chunks = [body[at : at + 40] for at in range(0, len(body), 40)]
        sent = []

        async def receive():
            return {"type": "http.request", "body": chunks.pop(0), "more_body": bool(chunks)}

        async def send(message):
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": path, "headers": raw}
        await door.route(scope, receive, send)
        return sent[0]["status"]

    assert asyncio.run(send_in_chunks()) == 413


def test_small_refused_bodies_do_not_cost_the_sender_its_connection(door, report, hook):
    webhook, _ = hook

    small = door.post(webhook, {}, report())
    large = door.post(webhook, {}, report().ljust(100_000))

    assert b"connection" not in small.headers
    assert large.headers[b"connection"] == b"close"


def test_who_listens_cannot_make_a_stored_call_fail(open_door, report, caplog):
    def fail(event, seconds):
        raise KeyError("can" + "ary")

    door = open_door(on_event=[fail])
    webhook, secret = door.webhooks.create("ada", "sales")

    answer = door.post(webhook, {"X-Vapi-Secret": secret}, report())

    assert (answer.status, door.stored()) == (200, ["call-1"])
    assert "KeyError" in caplog.text
    assert "canary" not in caplog.text


def test_refused_senders_cannot_fill_the_log(door, report, hook, caplog, monkeypatch):
    webhook, headers = hook
    now = [100.0]
    monkeypatch.setattr("receiver.webhooks.time.perf_counter", lambda: now[0])

    with caplog.at_level(logging.INFO, "receiver"):
        for _ in range(MOST_REFUSED_PER_S + 30):
            door.post(webhook, {}, report())
        door.post(webhook, headers, report())
        now[0] += 1
        door.post(webhook, {}, report())

    lines = [record.getMessage() for record in caplog.records if record.name == "receiver"]
    refused = [line for line in lines if line.startswith("message refused")]
    assert len(refused) == MOST_REFUSED_PER_S + 1
    assert sum(line.startswith("call call-1 stored") for line in lines) == 1
    assert lines[-2:] == ["30 more messages refused", refused[-1]]


def test_counts_reach_the_store_now_and_then_and_at_the_end(open_door, report):
    async def send(door, tally, webhook, secret):
        async with tally:
            await door.ask(webhook, {"X-Vapi-Secret": secret}, report())
            await door.ask(webhook, {"X-Vapi-Secret": "x"}, report())
            await door.ask("unknown", {}, report())
            await asyncio.sleep(0.2)
            between = counts.of([webhook.id])[webhook.id]
            door.clock.pass_s(60)
            await door.ask(webhook, {"X-Vapi-Secret": secret}, report())
        return between, counts.of([webhook.id])[webhook.id]

    saved = []
    tally = WebhookTally(
        lambda counted: (saved.append(dict(counted)), counts.add(counted))[1], every_s=0.05
    )
    door = open_door(on_event=[tally.count])
    counts = WebhookCounts(door.engine)
    webhook, secret = door.webhooks.create("ada", "sales")
    started = door.clock.now

    between, after = asyncio.run(send(door, tally, webhook, secret))

    assert {word: each.count for word, each in between.items()} == {"stored": 1, "wrong_secret": 1}
    assert {word: each.count for word, each in after.items()} == {"stored": 2, "wrong_secret": 1}
    assert (after["wrong_secret"].last_at, after["stored"].last_at) == (started, door.clock.now)
    assert len(saved) >= 2
    assert all(saved), "something was written where nothing was counted"


def test_counts_wait_for_a_store_that_is_down(door, report, hook, caplog):
    webhook, headers = hook
    down = [True]
    saved = []

    def save(counted):
        if down[0]:
            raise StoreUnavailable("The store is down.")
        saved.append({word: count for (_, word), (count, _) in counted.items()})

    async def run():
        tally = WebhookTally(save)
        door.events.clear()
        await door.ask(webhook, headers, report())
        tally.count(door.events[0], 0.0)
        await tally.flush()
        tally.count(door.events[0], 0.0)
        down[0] = False
        await tally.flush()

    asyncio.run(run())

    assert saved == [{"stored": 2}]
    assert "could not be counted yet" in caplog.text


# What a report may hold and how it ends; J1 to J5.
BODIES = {
    "empty": b"",
    "null": b"null",
    "list": b"[1]",
    "true": b"true",
    "two documents": b"{} {}",
    "byte order mark": b"\xef\xbb\xbf{}",
    "utf-16": "{}".encode("utf-16"),
    "bad utf-8 in a field nobody reads": b'{"message":{"type":"hang","x":"\xff"}}',
    "nested 100,000 deep": b"[" * 100_000,
    "objects nested 50,000 deep": b'{"a":' * 50_000,
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
@pytest.mark.parametrize("auth", ["secret", "hmac"])
def test_what_is_no_json_object_is_refused_however_it_is_authenticated(door, sign, auth, body):
    webhook, secret = door.webhooks.create("ada", "sales", auth)
    proof = {"X-Vapi-Secret": secret, **sign(HmacPlan(), secret, body)}

    answer = door.post(webhook, proof, body)

    assert (answer.status, answer.code, door.stored()) == (400, "invalid_json", [])


def test_a_signed_report_cut_at_any_byte_is_never_a_fault(door, report, sign):
    webhook, secret = door.webhooks.create("ada", "sales", "hmac")
    whole = report()

    answers = {
        door.post(webhook, sign(HmacPlan(), secret, whole[:size]), whole[:size]).status
        for size in range(len(whole))
    }

    assert (answers, door.stored()) == ({400}, [])


def test_the_last_of_duplicate_keys_counts(door, hook):
    webhook, headers = hook
    body = b'{"message":{"type":"end-of-call-report","call":{"id":"a"},"call":{"id":"b"}}}'

    door.post(webhook, headers, body)

    assert door.stored() == ["b"]


@pytest.mark.parametrize(
    "webhook_id",
    ["../../etc/x", "..%2f..%2fx", "/", "a//b", "\x00", "a\n", "a" * 8000, "caf\u00e9", ".", ""],
    ids=lambda webhook_id: repr(webhook_id[:12]),
)
def test_no_path_leads_anywhere_but_to_a_webhook(door, report, tmp_path, webhook_id):
    before = sorted(tmp_path.rglob("*"))

    answer = door.post(webhook_id, {"X-Vapi-Secret": "x"}, report())

    assert (answer.status, answer.code) == (404, "unknown_webhook")
    assert sorted(tmp_path.rglob("*")) == before
    assert door.events[0].webhook_id is None


@pytest.mark.parametrize("auth", ["secret", "hmac"])
def test_a_refused_sender_costs_less_than_one_that_is_taken(open_door, report, sign, auth):
    door = open_door(lookup_keep_s=60)
    webhook, secret = door.webhooks.create("ada", "sales", auth)
    bodies = [report(str(number), summary="x" * 4000) for number in range(200)]
    right = [{"X-Vapi-Secret": secret, **sign(HmacPlan(), secret, body)} for body in bodies]
    wrong = [{"X-Vapi-Secret": "x", **sign(HmacPlan(), "wrong", body)} for body in bodies]

    async def cpu_s(headers):
        started = time.process_time()
        for each, body in zip(headers, bodies, strict=True):
            await door.ask(webhook, each, body)
        return time.process_time() - started

    async def measure():
        await cpu_s(wrong)
        return await cpu_s(right), await cpu_s(wrong)

    taken_s, refused_s = asyncio.run(measure())

    assert len(door.stored()) == 200
    assert refused_s < taken_s


def test_a_flood_of_made_up_ids_is_asked_to_come_back_and_hurts_no_known_webhook(open_door, report):
    door = open_door(lookup_clock=lambda: 0.0)
    webhook, secret = door.webhooks.create("ada", "sales")

    async def flood():
        await door.ask(webhook, {"X-Vapi-Secret": secret}, report())
        answers = [await door.ask(f"made-up-{number}", {}, b"{}") for number in range(300)]
        return answers, await door.ask(webhook, {"X-Vapi-Secret": secret}, report())

    answers, known = asyncio.run(flood())

    told = {(answer.status, answer.code) for answer in answers}
    assert told == {(404, "unknown_webhook"), (503, "busy")}
    assert known.status == 200
