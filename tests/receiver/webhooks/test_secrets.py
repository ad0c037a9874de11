"""Webhooks whose sender shows the secret itself, or nothing at all."""

import hashlib
import hmac
import json

import pytest

from target_hubspot_calls.store.database import writing
from target_hubspot_calls.store.schema import webhook_secrets, webhooks
from target_hubspot_calls.store.webhook_auth import SecretHeader


@pytest.mark.parametrize(
    ("auth", "options", "right"),
    [
        ("secret", None, {"X-Vapi-Secret": "SECRET"}),
        ("bearer", None, {"Authorization": "Bearer SECRET"}),
        (
            "bearer",
            SecretHeader("X-Acme-Token", bearer_prefix=True),
            {"X-Acme-Token": "Bearer SECRET"},
        ),
        ("bearer", SecretHeader("X-Vapi-Secret"), {"X-Vapi-Secret": "SECRET"}),
        ("header", SecretHeader("X-Acme"), {"X-Acme": "SECRET"}),
        ("header", SecretHeader("Authorization"), {"Authorization": "SECRET"}),
    ],
    ids=["secret", "bearer", "bearer in a header", "bare bearer", "header", "bare authorization"],
)
def test_each_way_takes_its_secret_and_nothing_like_it(door, report, auth, options, right):
    webhook, secret = door.webhooks.create("ada", "sales", auth, options=options)
    ((name, value),) = right.items()
    written = value.replace("SECRET", secret)
    wrong = [
        {},
        {name: ""},
        {name: written[:-1]},
        {name: written + "x"},
        {name: written.swapcase()},
        {name: f"Basic {secret}"},
        {name: secret if written != secret else f"Bearer {secret}"},
        {name: written.encode() + b"\xff"},
        {name: bytes(range(0x80, 0x100))},
        {name: "v0," + secret},
        {name: " ".join([written] * 1000)},
        {"X-Other": written},
        [(name.lower().encode(), b"wrong"), (name.lower().encode(), written.encode())],
        [(name.lower().encode(), written.encode()), (name.lower().encode(), written.encode())],
    ]

    answers = [door.post(webhook, headers, report()) for headers in wrong]
    accepted = door.post(webhook, {name: written}, report("mine"))

    assert {(answer.status, answer.code) for answer in answers} == {(401, "unauthorized")}
    assert len({answer.body for answer in answers}) == 1
    assert accepted.status == 200
    assert door.stored() == ["mine"]


def test_why_a_secret_was_refused_is_counted_and_not_told(door, report):
    webhook, secret = door.webhooks.create("ada", "sales")
    right = (b"x-vapi-secret", secret.encode())

    for headers in ({}, {"X-Vapi-Secret": "x"}, [right, right]):
        door.post(webhook, headers, report())

    assert door.outcomes() == ["no_secret", "wrong_secret", "repeated_header"]


def test_another_header_may_come_twice(door, report):
    webhook, secret = door.webhooks.create("ada", "sales")
    headers = [(b"x-forwarded-for", b"a"), (b"x-forwarded-for", b"b")]

    answer = door.post(webhook, [*headers, (b"x-vapi-secret", secret.encode())], report())

    assert answer.status == 200


@pytest.mark.parametrize("auth", ["secret", "bearer", "hmac"])
def test_a_webhook_without_a_secret_in_force_lets_nobody_in(door, report, auth):
    webhook, secret = door.webhooks.create("ada", "sales", auth)
    with writing(door.engine) as connection:
        connection.execute(webhook_secrets.delete())
    attempts = [{}, {"X-Vapi-Secret": ""}, {"Authorization": "Bearer "}, {"X-Vapi-Secret": secret}]
    empty_key = hmac.new(b"", b"1795176000." + report(), "sha256").hexdigest()
    attempts.append({"x-signature": empty_key, "x-timestamp": "1795176000"})

    answers = {door.post(webhook, headers, report()).status for headers in attempts}

    assert answers == {401}
    assert door.stored() == []


def test_anyone_may_send_where_that_was_asked_for_by_name(door, report):
    webhook, secret = door.webhooks.create("ada", "sales", "none")

    answer = door.post(webhook, {}, report())

    assert (secret, answer.status, door.stored()) == ("", 200, ["call-1"])


def test_a_way_this_version_does_not_know_lets_nobody_in(door, report):
    webhook, secret = door.webhooks.create("ada", "sales", "header", options=SecretHeader("X-A"))
    with writing(door.engine) as connection:
        connection.execute(webhooks.update().values(auth_options={"header": "X-A", "new": True}))

    answer = door.post(webhook, {"X-A": secret}, report())

    assert (answer.status, answer.code) == (503, "secret_unreadable")
    assert door.stored() == []


def test_a_secret_opens_its_own_webhook_only(door, report):
    mine, _ = door.webhooks.create("ada", "sales")
    _, other_secret = door.webhooks.create("ada", "sales")

    answer = door.post(mine, {"X-Vapi-Secret": other_secret}, report())

    assert answer.status == 401


def test_no_report_is_refused_while_a_secret_is_rotated(door, report):
    webhook, secret = door.webhooks.create("ada", "sales")
    answers = []
    for number in range(20):
        if number == 10:
            fresh = door.webhooks.rotate(webhook.id, keep_old_for_s=60)
        used = secret if number < 15 else fresh
        answers.append(door.post(webhook, {"X-Vapi-Secret": used}, report(str(number))).status)
    door.clock.pass_s(61)

    late = door.post(webhook, {"X-Vapi-Secret": secret}, report())

    assert answers == [200] * 20
    assert late.status == 401


def test_a_disabled_webhook_is_unknown_until_it_is_enabled(door, report):
    webhook, secret = door.webhooks.create("ada", "sales")
    headers = {"X-Vapi-Secret": secret}
    door.webhooks.disable(webhook.id)

    disabled = door.post(webhook, headers, report())
    door.webhooks.enable(webhook.id)
    enabled = door.post(webhook, headers, report())

    assert (disabled.status, disabled.code, enabled.status) == (404, "unknown_webhook", 200)
    assert door.outcomes() == ["disabled", "stored"]


def test_secrets_are_compared_in_constant_time_only(door, report, monkeypatch):
    compared = []

    def compare(one, other):
        compared.append((bytes(one), bytes(other)))
        return True

    webhook, _ = door.webhooks.create("ada", "sales")
    door.webhooks.rotate(webhook.id)
    digests = door.webhooks.get(webhook.id).secret_digests
    monkeypatch.setattr(hmac, "compare_digest", compare)

    answer = door.post(webhook, {"X-Vapi-Secret": "anything"}, report())

    presented = hashlib.sha256(b"anything").digest()
    assert answer.status == 200  # nothing but compare_digest decides
    assert compared == [(presented, digest) for digest in digests]
    assert len(digests) == 2


def test_a_stranger_costs_a_comparison_too(door, report, monkeypatch):
    compared = []
    monkeypatch.setattr(hmac, "compare_digest", lambda *both: compared.append(both) or True)

    answer = door.post("unknown", {"X-Vapi-Secret": "x"}, report())

    assert (answer.status, len(compared)) == (404, 1)


def test_bad_requests_are_refused_before_a_byte_of_the_body_is_parsed(door):
    webhook, _ = door.webhooks.create("ada", "sales")

    answer = door.post(webhook, {"X-Vapi-Secret": "x"}, b"\xff not json")

    assert json.loads(answer.body)["code"] == "unauthorized"
