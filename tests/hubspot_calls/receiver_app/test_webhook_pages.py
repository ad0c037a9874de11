"""Webhooks on the integration page: made, changed, rotated, switched and tried out."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import UTC, datetime
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from call_stream.excerpt import record_from_excerpt
from call_stream.stream import open_reader
from hubspot_calls.commands.webhook_views import to_listed
from hubspot_calls.doctor.here import look_at_webhooks
from receiver import bodies, hmac_signatures, in_flight, reports, signatures, webhooks
from receiver.pages.webhook_words import counted
from target_hubspot_calls.store.webhook_auth import STANDARD_WEBHOOKS, HmacPlan, SecretHeader
from target_hubspot_calls.store.webhook_counts import Count
from target_hubspot_calls.store.webhooks import UnknownWebhook
from tests.hubspot_calls.receiver_app.conftest import GRACE, start_receiver

REPORT = {"message": {"type": "end-of-call-report", "call": {"id": "a-call"}}}


def post(whole: Any, path: str, **fields: str) -> Any:
    return whole.ask("POST", path, of=GRACE, data=fields)


def webhooks_of(whole: Any) -> Any:
    return whole.store.webhooks.list(GRACE.user_id, GRACE.workspace_id)


def a_webhook(whole: Any, *args: Any, **options: Any) -> Any:
    return whole.store.webhooks.create(GRACE.user_id, GRACE.workspace_id, *args, **options)


def shown(page: str, element_id: str) -> str:
    """What stands in a field that can be copied."""
    found = re.search(rf'id="{element_id}"[^>]*value="([^"]*)"', page) or re.search(
        rf'<textarea id="{element_id}"[^>]*>([^<]*)</textarea>', page
    )
    assert found, element_id
    return unescape(found[1])


def report_to(whole: Any, webhook_id: str, secret: str) -> int:
    answer = whole.client.post(
        f"/api/webhooks/{webhook_id}", json=REPORT, headers={"X-Vapi-Secret": secret}
    )
    return int(answer.status_code)


def stored_calls(whole: Any) -> list[Any]:
    reader = open_reader(whole.store.settings.stream_url)
    return [record_from_excerpt(entry.payload) for entry in reader.read()]


def test_a_new_webhook_shows_its_secret_once_with_what_vapi_is_told(whole: Any) -> None:
    answer = post(whole, "/webhooks", label=" Front desk ", auth="secret", assistants="a-1, a-2")

    (webhook,) = webhooks_of(whole)
    secret, url = shown(answer.text, "secret"), shown(answer.text, "url")
    assert answer.status_code == 200
    assert (webhook.label, webhook.assistant_ids) == ("Front desk", ("a-1", "a-2"))
    assert webhook.accepts(secret.encode())
    assert url == f"http://127.0.0.1:8000/api/webhooks/{webhook.id}"
    assert json.loads(shown(answer.text, f"settings-{webhook.id}")) == {
        "serverMessages": ["end-of-call-report"],
        "server": {
            "url": url,
            "headers": {"X-Vapi-Secret": secret},
            "backoffPlan": {"type": "exponential", "maxRetries": 5, "baseDelaySeconds": 2},
        },
    }
    assert '<body data-address="/">' in answer.text
    assert secret not in whole.ask("GET", "/", of=GRACE).text
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(("way", "field"), [("bearer", "token"), ("hmac", "secretKey")])
def test_where_vapi_keeps_the_secret_apart_its_credential_is_shown(
    whole: Any, way: str, field: str
) -> None:
    answer = post(whole, "/webhooks", auth=way)

    (webhook,) = webhooks_of(whole)
    credential = json.loads(shown(answer.text, f"credential-{webhook.id}"))
    settings = json.loads(shown(answer.text, f"settings-{webhook.id}"))
    secret = shown(answer.text, "secret")
    assert credential["authenticationPlan"]["type"] == way
    assert credential["authenticationPlan"][field] == secret
    assert settings["server"]["credentialId"]
    assert secret not in json.dumps(settings)


def test_later_a_placeholder_stands_where_the_secret_was(whole: Any) -> None:
    webhook, secret = a_webhook(whole)

    page = whole.ask("GET", "/", of=GRACE).text

    settings = json.loads(shown(page, f"settings-{webhook.id}"))
    assert settings["server"]["headers"] == {"X-Vapi-Secret": "<the secret of this webhook>"}
    assert secret not in page


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"auth": "none"}, "Choose how VAPI proves itself."),
        ({"auth": "header"}, "Choose how VAPI proves itself."),
        ({}, "Choose how VAPI proves itself."),
        ({"auth": "secret", "label": "x" * 201}, "at most 200 characters"),
        ({"auth": "secret", "label": "a\x07bell"}, "at most 200 characters"),
        ({"auth": "secret", "assistants": "a " * 30 + "ü"}, "An assistant ID has letters"),
        (
            {"auth": "secret", "assistants": " ".join(f"a-{n}" for n in range(51))},
            "At most 50 assistants",
        ),
    ],
)
def test_a_form_that_cannot_be_used_comes_back_with_what_was_typed(
    whole: Any, fields: dict[str, str], sentence: str
) -> None:
    answer = post(whole, "/webhooks", **{"label": "Typed before", **fields})

    assert answer.status_code == 400
    assert sentence in answer.text
    assert 'class="field-fault"' in answer.text
    assert fields.get("label", "Typed before") in answer.text
    assert webhooks_of(whole) == ()


def test_a_new_secret_leaves_the_old_one_a_day(whole: Any) -> None:
    webhook, old = a_webhook(whole)
    assert report_to(whole, webhook.id, old) == 200

    answer = post(whole, f"/webhooks/{webhook.id}/rotate")

    new = shown(answer.text, "secret")
    assert "The old secret works until" in answer.text
    assert [report_to(whole, webhook.id, each) for each in (old, new)] == [200, 200]


def test_a_leaked_secret_is_stopped_at_once(whole: Any) -> None:
    webhook, old = a_webhook(whole)
    assert report_to(whole, webhook.id, old) == 200

    answer = post(whole, f"/webhooks/{webhook.id}/rotate", stop_old="1")

    new = shown(answer.text, "secret")
    assert "The old secret has stopped working." in answer.text
    assert [report_to(whole, webhook.id, each) for each in (old, new)] == [401, 200]


def test_off_and_on_act_at_once(whole: Any) -> None:
    webhook, secret = a_webhook(whole)
    heard = [report_to(whole, webhook.id, secret)]

    off = post(whole, f"/webhooks/{webhook.id}/off")
    heard.append(report_to(whole, webhook.id, secret))
    page = whole.ask("GET", off.headers["location"], of=GRACE).text
    on = post(whole, f"/webhooks/{webhook.id}/on")
    heard.append(report_to(whole, webhook.id, secret))

    assert heard == [200, 404, 200]
    assert (off.status_code, on.status_code) == (303, 303)
    assert "The webhook is off." in page
    assert f'action="/webhooks/{webhook.id}/on"' in page


def test_name_and_assistants_are_changed_at_once(whole: Any) -> None:
    webhook, secret = a_webhook(whole, label="Before", assistant_ids=["a-1"])
    assert report_to(whole, webhook.id, secret) == 200
    before = len(stored_calls(whole))

    answer = post(whole, f"/webhooks/{webhook.id}/change", label="", assistants="")

    assert answer.headers["location"] == "/?notice=webhook-changed"
    changed = whole.store.webhooks.get(webhook.id)
    assert (changed.label, changed.assistant_ids) == (None, ())
    assert report_to(whole, webhook.id, secret) == 200
    assert len(stored_calls(whole)) == before + 1


def test_a_change_that_cannot_be_comes_back_open_with_what_was_typed(whole: Any) -> None:
    webhook, _ = a_webhook(whole, label="Before")

    answer = post(whole, f"/webhooks/{webhook.id}/change", label="y" * 300)

    assert answer.status_code == 400
    assert "y" * 300 in answer.text
    assert whole.store.webhooks.get(webhook.id).label == "Before"


def test_a_webhook_that_is_open_to_all_has_no_secret_to_make_anew(whole: Any) -> None:
    webhook, _ = a_webhook(whole, "none")

    page = whole.ask("GET", "/", of=GRACE).text
    answer = post(whole, f"/webhooks/{webhook.id}/rotate")

    assert "Anybody who knows the address" in page
    assert "/rotate" not in page
    assert answer.status_code == 409


WAYS = {
    "secret": ("secret", None),
    "bearer": ("bearer", None),
    "bearer without its word": ("bearer", SecretHeader("X-Token", bearer_prefix=False)),
    "header": ("header", SecretHeader("X-Acme")),
    "hmac": ("hmac", None),
    "hmac of the standard": ("hmac", STANDARD_WEBHOOKS),
    "hmac of all there is": (
        "hmac",
        HmacPlan(
            algorithm="sha512",
            prefix="sha512=",
            payload_format="{method}|{url}|{timestamp}|{svix-id}|{body}",
            message_id_header="svix-id",
        ),
    ),
    "hmac without a time": ("hmac", HmacPlan(include_timestamp=False, payload_format="{body}")),
    "none": ("none", None),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_test_call_takes_the_real_door_by_the_webhooks_own_way(whole: Any, way: str) -> None:
    auth, options = WAYS[way]
    webhook, _ = a_webhook(whole, auth, options=options)

    answer = post(whole, f"/webhooks/{webhook.id}/test", number=" +12025550142 ")

    (call,) = stored_calls(whole)
    assert answer.status_code == 303
    assert answer.headers["location"] == f"/calls/{call.id}?notice=test-sent"
    assert call.id.startswith("test-")
    assert call.customer_number == "+12025550142"
    assert "Nobody was on the phone" in (call.summary or "")
    assert (call.user_id, call.workspace_id) == (GRACE.user_id, GRACE.workspace_id)


def test_a_test_leaves_no_secret_behind(whole: Any) -> None:
    webhook, _ = a_webhook(whole)
    before = whole.store.webhooks.get(webhook.id)

    post(whole, f"/webhooks/{webhook.id}/test")

    assert whole.store.webhooks.get(webhook.id) == before


def test_a_test_without_a_number_is_a_call_of_nobody(whole: Any) -> None:
    webhook, _ = a_webhook(whole, assistant_ids=["a-1", "a-2"])

    post(whole, f"/webhooks/{webhook.id}/test")

    (call,) = stored_calls(whole)
    assert (call.customer_number, call.assistant_id) == (None, "a-1")


def test_a_test_of_a_webhook_that_is_off_says_so(whole: Any) -> None:
    webhook, _ = a_webhook(whole, label="Front desk")
    whole.store.webhooks.disable(webhook.id)

    answer = post(whole, f"/webhooks/{webhook.id}/test")

    assert answer.status_code == 200
    assert "Front desk is turned off" in answer.text
    assert "404: There is no such webhook, or it is disabled." in answer.text
    assert stored_calls(whole) == []


def test_a_test_says_that_the_secret_does_not_open(whole: Any) -> None:
    webhook, _ = a_webhook(whole, "hmac")
    whole.store.settings.key_file.unlink()

    page = whole.ask("GET", "/", of=GRACE).text
    answer = post(whole, f"/webhooks/{webhook.id}/test")

    assert "Secret unreadable" in page
    assert answer.status_code == 200
    assert "503: The webhook&#39;s secret does not open" in answer.text
    assert "bring back its encryption keys" in answer.text


@pytest.mark.parametrize("written", ["1" * 41, "nonsense", "+1", "<b>", "\x00"])
def test_what_is_no_phone_number_comes_back(whole: Any, written: str) -> None:
    webhook, _ = a_webhook(whole)

    answer = post(whole, f"/webhooks/{webhook.id}/test", number=written)

    assert answer.status_code == 400
    assert "This is no phone number; write it like +1 202 555 0142." in answer.text
    assert stored_calls(whole) == []


def test_a_number_may_be_typed_as_people_write_it(whole: Any) -> None:
    webhook, _ = a_webhook(whole)

    post(whole, f"/webhooks/{webhook.id}/test", number="(202) 555-0142")

    (call,) = stored_calls(whole)
    assert call.customer_number == "+12025550142"


def test_what_came_of_requests_is_told_in_words(whole: Any) -> None:
    webhook, _ = a_webhook(whole)
    at = datetime(2026, 11, 20, 12, tzinfo=UTC)
    counts = {"stored": 1, "ignored": 3, "wrong_secret": 2, "disabled": 1, "a_new_word": 1}
    whole.store.webhook_counts.add(
        {(webhook.id, word): (count, at) for word, count in counts.items()}
    )

    page = " ".join(whole.ask("GET", "/", of=GRACE).text.split())

    assert "<dd>1 report</dd>" in page
    assert "3 other messages than reports" in page
    assert "2 with a wrong secret, 1 a new word, 1 while it was off; last" in page
    assert "leave only end-of-call-report" in page


def test_every_word_that_is_counted_is_one_for_people() -> None:
    sources = [
        Path(module.__file__ or "").read_text()
        for module in (bodies, hmac_signatures, in_flight, reports, signatures, webhooks)
    ]
    before = r"Unproven\(|Refusal\(\s*\d+,\s*|event\.outcome = |_unavailable\(\s*"
    raised = re.compile(rf'(?:{before})"(\w+)"')
    words = {word for source in sources for word in raised.findall(source)}

    told = {word: str(counted({word: Count(1, datetime.now(UTC))})[0]) for word in words}

    # A 401 is counted by its finer word, a 404 of a known webhook as `disabled`.
    unknown = {word for word, text in told.items() if text == f"1 {word.replace('_', ' ')}"}
    assert len(words) > 20
    assert unknown <= {"unauthorized", "unknown_webhook"}


def test_a_test_call_is_counted_as_such_and_not_as_vapis(tmp_path: Path) -> None:
    receiver, stop = start_receiver(tmp_path / "data")
    webhook, secret = a_webhook(receiver)
    closed, _ = a_webhook(receiver)
    receiver.store.webhooks.disable(closed.id)

    report_to(receiver, webhook.id, secret)
    for each in (webhook, closed):
        post(receiver, f"/webhooks/{each.id}/test")
    receiver.client.__exit__(None, None, None)
    counts = receiver.store.webhook_counts.of([webhook.id, closed.id])
    listed = to_listed(closed, "", counts[closed.id])
    (found,) = look_at_webhooks(receiver.store)
    receiver.client.__enter__()
    stop()

    assert {word: each.count for word, each in counts[webhook.id].items()} == {
        "stored": 1,
        "tested": 1,
    }
    assert set(counts[closed.id]) == {"tested"}
    assert (listed["last_heard_at"], listed["last_refused_at"]) == (None, None)
    assert "VAPI's last report came" in found.said


def test_a_test_call_alone_leaves_vapi_unheard(whole: Any) -> None:
    webhook, _ = a_webhook(whole)
    at = datetime(2026, 11, 20, 12, tzinfo=UTC)

    whole.store.webhook_counts.add({(webhook.id, "tested"): (1, at)})

    page = " ".join(whole.ask("GET", "/", of=GRACE).text.split())
    (found,) = look_at_webhooks(whole.store)
    assert "<dt>Last heard</dt> <dd>Nothing yet</dd>" in page
    assert "<dt>Refused</dt>" not in page
    assert "VAPI has not reported yet" in found.said


def test_a_sender_cannot_pass_for_a_test(whole: Any) -> None:
    webhook, secret = a_webhook(whole)

    whole.client.post(
        f"/api/webhooks/{webhook.id}?extensions=hubspot_calls.trial",
        json=REPORT,
        headers={"X-Vapi-Secret": secret, "Extensions": "hubspot_calls.trial"},
    )
    whole.client.__exit__(None, None, None)
    counts = whole.store.webhook_counts.of([webhook.id])
    whole.client.__enter__()

    assert set(counts[webhook.id]) == {"stored"}


def test_a_test_that_is_not_answered_in_time_says_so(
    whole: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(*_: object) -> None:
        await asyncio.Event().wait()

    webhook, _ = a_webhook(whole)
    monkeypatch.setattr("receiver.trials.TIMEOUT_S", 0.05)
    monkeypatch.setattr("receiver.webhooks.WebhookRoute.__call__", hang)

    answer = post(whole, f"/webhooks/{webhook.id}/test")

    assert answer.status_code == 200
    assert '<h1 id="title">The test call was not answered</h1>' in answer.text
    assert "The webhook did not answer the test call in time." in answer.text
    assert "disk" in answer.text


def test_a_webhook_that_went_away_meanwhile_is_a_page(
    whole: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise UnknownWebhook("gone")

    webhook, _ = a_webhook(whole)
    monkeypatch.setattr("target_hubspot_calls.store.webhooks.Webhooks.disable", fail)

    answer = whole.ask(
        "POST", f"/webhooks/{webhook.id}/off", of=GRACE, headers={"Accept": "text/html"}
    )

    assert answer.status_code == 404
    assert "<h1" in answer.text
