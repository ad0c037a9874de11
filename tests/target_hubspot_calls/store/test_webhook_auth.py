"""Ways of proof and their options, and the secrets of signed webhooks."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest
from cryptography.fernet import Fernet

from target_hubspot_calls.errors import SettingsError, WrongEncryptionKey
from target_hubspot_calls.store.database import writing
from target_hubspot_calls.store.schema import webhooks as webhooks_table
from target_hubspot_calls.store.sealed import holds_sealed, reencrypt_sealed
from target_hubspot_calls.store.vault import Vault
from target_hubspot_calls.store.webhook_auth import (
    STANDARD_WEBHOOKS,
    HmacPlan,
    SecretHeader,
    WebhookAuth,
    parse_options,
    settle_options,
    to_json_options,
)
from target_hubspot_calls.store.webhooks import NoSecretToRotate, UnknownWebhook, Webhooks


@pytest.fixture
def webhooks(engine, clock, vault):
    return Webhooks(engine, open_vault=lambda create: vault, clock=clock)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"algorithm": "md5"}, "algorithm must be one of sha256, sha512, sha1"),
        ({"encoding": "base32"}, "encoding must be one of hex, base64"),
        ({"prefix": "v1 "}, "prefix must be"),
        ({"prefix": "é"}, "prefix must be"),
        ({"signature_header": "x signature"}, "signature header must be a header name"),
        ({"signature_header": "Content-Type"}, "cannot be Content-Type"),
        ({"timestamp_header": ""}, "timestamp header must be a header name"),
        ({"message_id_header": "x\r\ny"}, "message id header must be a header name"),
        ({"timestamp_header": "X-Signature"}, "need a header each"),
        ({"payload_format": "{timestamp}"}, "must name {body} once"),
        ({"payload_format": "{body}{body}"}, "must name {body} once"),
        ({"payload_format": "{timestamp}.{Body}"}, "can name only {body}"),
        ({"payload_format": "{timestamp}.{body}}"}, "can name only {body}"),
        ({"payload_format": "{body}" + "x" * 500}, "at most 500 characters"),
        ({"include_timestamp": False}, "no timestamp is sent"),
        ({"payload_format": "{svix-id}{body}"}, "no message id header is given"),
    ],
    ids=str,
)
def test_a_plan_that_cannot_work_is_refused(wrong, says):
    with pytest.raises(SettingsError) as caught:
        HmacPlan(**wrong)

    assert says in str(caught.value)


def test_every_fault_of_a_plan_is_named():
    with pytest.raises(SettingsError) as caught:
        HmacPlan(algorithm="md5", encoding="x", signature_header="", payload_format="")

    assert len(caught.value.faults) == 4


def test_the_defaults_are_those_of_vapi():
    assert to_json_options(HmacPlan()) == {
        "algorithm": "sha256",
        "encoding": "hex",
        "prefix": "",
        "signature_header": "x-signature",
        "timestamp_header": "x-timestamp",
        "include_timestamp": True,
        "payload_format": "{timestamp}.{body}",
        "message_id_header": None,
        "secret_is_base64": False,
    }


@pytest.mark.parametrize("name", ["", "a b", "a:b", "é", "x" * 101, "Host", "content-length"])
def test_a_header_that_cannot_carry_a_secret_is_refused(name):
    with pytest.raises(SettingsError):
        SecretHeader(name)


@pytest.mark.parametrize(
    ("auth", "options"),
    [
        (WebhookAuth.SECRET, SecretHeader("X-Other")),
        (WebhookAuth.BEARER, HmacPlan()),
        (WebhookAuth.HEADER, None),
        (WebhookAuth.HEADER, SecretHeader("X-A", bearer_prefix=True)),
        (WebhookAuth.HMAC, SecretHeader("X-A")),
        (WebhookAuth.NONE, SecretHeader("X-A")),
    ],
)
def test_options_of_another_way_are_refused(auth, options):
    with pytest.raises(SettingsError):
        settle_options(auth, options)


@pytest.mark.parametrize(
    ("auth", "options"),
    [
        (WebhookAuth.SECRET, None),
        (WebhookAuth.BEARER, SecretHeader("X-A")),
        (WebhookAuth.HEADER, SecretHeader("X-A")),
        (WebhookAuth.HMAC, STANDARD_WEBHOOKS),
        (WebhookAuth.HMAC, replace(HmacPlan(), algorithm="sha1")),
        (WebhookAuth.NONE, None),
    ],
)
def test_options_come_back_as_they_were_stored(webhooks, auth, options):
    created, _ = webhooks.create("ada", "sales", auth, options=options)

    assert webhooks.get(created.id) == created
    assert created.options == settle_options(auth, options)


@pytest.mark.parametrize(
    "stored",
    [
        {"header": "X-A"},
        {"header": "X-A", "bearer_prefix": False, "new": 1},
        {"header": 1, "bearer_prefix": False},
        {"header": "X-A", "bearer_prefix": "yes"},
        [],
        "X-A",
    ],
    ids=str,
)
def test_stored_options_of_another_version_are_not_guessed(stored):
    with pytest.raises(SettingsError):
        parse_options(WebhookAuth.HEADER, stored)


def test_a_webhook_whose_options_cannot_be_read_is_found_and_unreadable(engine, webhooks):
    created, _ = webhooks.create("ada", "sales", "hmac")
    with writing(engine) as connection:
        connection.execute(webhooks_table.update().values(auth_options={"algorithm": "rot13"}))

    found = webhooks.get(created.id)

    assert (found.is_readable, found.options, found.signing_secrets) == (False, None, ())


def test_a_signing_secret_is_kept_sealed_and_opens_nothing_by_itself(webhooks, engine, store_path):
    created, secret = webhooks.create("ada", "sales", "hmac")

    found = webhooks.get(created.id)

    files = b"".join(path.read_bytes() for path in store_path.parent.iterdir())
    assert found == created
    assert found.signing_secrets == (secret.encode(),)
    assert (found.secret_digests, found.accepts(secret.encode())) == ((), False)
    assert holds_sealed(engine)
    assert secret.encode() not in files
    assert secret not in repr(found)


def test_a_base64_secret_is_signed_with_as_bytes(webhooks):
    created, secret = webhooks.create("ada", "sales", "hmac", options=STANDARD_WEBHOOKS)

    assert webhooks.get(created.id).signing_secrets == (base64.b64decode(secret),)
    assert len(base64.b64decode(secret)) == 32


def test_a_secret_under_an_older_key_opens_and_moves_to_the_newest(webhooks, engine, clock):
    old, new = (Fernet.generate_key().decode() for _ in range(2))
    vaults = {"now": Vault([old])}
    webhooks = Webhooks(engine, open_vault=lambda create: vaults["now"], clock=clock)
    created, secret = webhooks.create("ada", "sales", "hmac")
    vaults["now"] = Vault([new, old])

    done = reencrypt_sealed(engine, vaults["now"])
    vaults["now"] = Vault([new])

    assert done == 1
    assert webhooks.get(created.id).signing_secrets == (secret.encode(),)


@pytest.mark.parametrize("loss", ["another key", "no key", "no vault"])
def test_a_secret_that_does_not_open_is_said_and_hides_no_other_webhook(
    engine, webhooks, clock, loss
):
    def lost(create):
        raise WrongEncryptionKey("The key file is missing.")

    signed, _ = webhooks.create("ada", "sales", "hmac")
    plain, secret = webhooks.create("ada", "sales", "secret")
    other = Vault([Fernet.generate_key().decode()])
    doors = {"another key": lambda create: other, "no key": lost, "no vault": None}
    without_key = Webhooks(engine, open_vault=doors[loss], clock=clock)

    found = without_key.get(signed.id)

    assert (found.is_readable, found.signing_secrets) == (False, ())
    assert without_key.get(plain.id).accepts(secret.encode())
    with pytest.raises((WrongEncryptionKey, SettingsError)):
        Webhooks(engine, open_vault=lost, clock=clock).create("ada", "sales", "hmac")


def test_a_webhook_open_to_anyone_has_no_secret_to_rotate(webhooks):
    created, secret = webhooks.create("ada", "sales", "none")

    assert (secret, webhooks.get(created.id)) == ("", created)
    assert not created.accepts(b"")
    with pytest.raises(NoSecretToRotate):
        webhooks.rotate(created.id)


def test_label_and_assistants_can_be_given_and_changed(webhooks):
    created, _ = webhooks.create("ada", "sales", label="front desk", assistant_ids=["a", "b"])
    before = webhooks.get(created.id)
    webhooks.set_label(created.id, None)
    webhooks.limit_to(created.id, [])

    after = webhooks.get(created.id)

    assert (before.label, before.assistant_ids) == ("front desk", ("a", "b"))
    assert (after.label, after.assistant_ids) == (None, ())


def test_an_unknown_webhook_cannot_be_changed(webhooks):
    for change in (
        webhooks.enable,
        lambda webhook_id: webhooks.limit_to(webhook_id, []),
        lambda webhook_id: webhooks.set_label(webhook_id, "x"),
    ):
        with pytest.raises(UnknownWebhook):
            change("unknown")
