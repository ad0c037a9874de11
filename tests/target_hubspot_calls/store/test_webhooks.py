"""Webhooks and their secrets."""

from __future__ import annotations

import re

import pytest

from target_hubspot_calls.store.webhooks import NoSecretToRotate, UnknownWebhook, Webhooks


@pytest.fixture
def webhooks(engine, clock):
    return Webhooks(engine, clock=clock)


def test_a_new_webhook_accepts_its_secret_and_no_other(webhooks, clock):
    created, secret = webhooks.create("ada", "sales", "secret")

    found = webhooks.get(created.id)

    assert found == created
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]{31}", found.id)
    assert (found.user_id, found.workspace_id, found.auth) == ("ada", "sales", "secret")
    assert (found.created_at, found.disabled_at) == (clock.now, None)
    assert found.accepts(secret.encode())
    assert not found.accepts(secret.encode() + b"x")
    assert not found.accepts(b"")


def test_a_secret_of_another_webhook_is_not_accepted(webhooks):
    created, _ = webhooks.create("ada", "sales", "secret")
    _, another = webhooks.create("bob", "sales", "bearer")

    assert not webhooks.get(created.id).accepts(another.encode())


def test_secrets_are_neither_stored_nor_printed(webhooks, store_path):
    created, secret = webhooks.create("ada", "sales", "secret")

    files = b"".join(path.read_bytes() for path in store_path.parent.iterdir())

    assert secret.encode() not in files
    assert secret not in repr(created)


def test_an_unknown_way_of_proof_is_refused(webhooks):
    with pytest.raises(ValueError, match="handshake"):
        webhooks.create("ada", "sales", "handshake")


def test_an_unknown_webhook_is_none_or_an_error(webhooks):
    assert webhooks.get("unknown") is None
    with pytest.raises(UnknownWebhook, match="no webhook unknown"):
        webhooks.rotate("unknown")
    with pytest.raises(UnknownWebhook, match="no webhook unknown"):
        webhooks.disable("unknown")


def test_both_secrets_are_accepted_for_a_while_after_a_rotation(webhooks, clock):
    created, old = webhooks.create("ada", "sales", "secret")
    new = webhooks.rotate(created.id, keep_old_for_s=60)
    clock.pass_s(59)
    during = webhooks.get(created.id)
    clock.pass_s(1)

    after = webhooks.get(created.id)

    assert (during.accepts(old.encode()), during.accepts(new.encode())) == (True, True)
    assert (after.accepts(old.encode()), after.accepts(new.encode())) == (False, True)


def test_a_second_rotation_does_not_give_the_first_secret_more_time(webhooks, clock):
    created, first = webhooks.create("ada", "sales", "secret")
    webhooks.rotate(created.id, keep_old_for_s=60)
    webhooks.rotate(created.id, keep_old_for_s=3600)
    clock.pass_s(61)

    assert not webhooks.get(created.id).accepts(first.encode())
    assert len(webhooks.get(created.id).secret_digests) == 2


def test_a_leaked_secret_can_be_dropped_at_once(webhooks):
    created, leaked = webhooks.create("ada", "sales", "secret")

    webhooks.rotate(created.id, keep_old_for_s=0)

    assert not webhooks.get(created.id).accepts(leaked.encode())


def test_a_disabled_webhook_is_found_and_accepts_nothing(webhooks, clock):
    created, secret = webhooks.create("ada", "sales", "secret")

    webhooks.disable(created.id)
    disabled_at = clock.now
    clock.pass_s(60)
    webhooks.disable(created.id)

    found = webhooks.get(created.id)
    assert found.disabled_at == disabled_at
    assert not found.accepts(secret.encode())


def test_webhooks_are_listed_by_user_and_workspace_oldest_first(webhooks, clock):
    ids = []
    for user, workspace in [("ada", "sales"), ("ada", "support"), ("bob", "sales")]:
        ids.append(webhooks.create(user, workspace, "secret")[0].id)
        clock.pass_s(1)

    assert [one.id for one in webhooks.list()] == ids
    assert [one.id for one in webhooks.list("ada")] == ids[:2]
    assert [one.id for one in webhooks.list("ada", "support")] == ids[1:2]


@pytest.mark.parametrize("way", ["secret", "bearer"])
def test_a_lent_secret_is_accepted_beside_the_others_until_it_is_taken_back(webhooks, way):
    created, secret = webhooks.create("ada", "sales", way)

    lent = webhooks.lend_secret(created.id, 60)
    meanwhile = webhooks.get(created.id)
    webhooks.take_back(lent)
    afterwards = webhooks.get(created.id)

    assert meanwhile.accepts(lent.text.encode())
    assert meanwhile.accepts(secret.encode())
    assert not afterwards.accepts(lent.text.encode())
    assert afterwards.accepts(secret.encode())


def test_a_lent_secret_that_nobody_takes_back_ends_by_itself(webhooks, clock):
    created, secret = webhooks.create("ada", "sales", "secret")
    lent = webhooks.lend_secret(created.id, 60)

    clock.pass_s(59)
    in_time = webhooks.get(created.id)
    clock.pass_s(1)
    too_late = webhooks.get(created.id)

    assert in_time.accepts(lent.text.encode())
    assert not too_late.accepts(lent.text.encode())
    assert too_late.accepts(secret.encode())


def test_a_lent_secret_is_not_printed(webhooks):
    created, _ = webhooks.create("ada", "sales", "secret")

    lent = webhooks.lend_secret(created.id, 60)

    assert lent.text not in repr(lent)


def test_nothing_is_lent_where_there_is_no_secret_or_no_webhook(webhooks):
    created, _ = webhooks.create("ada", "sales", "none")

    with pytest.raises(NoSecretToRotate):
        webhooks.lend_secret(created.id, 60)
    with pytest.raises(UnknownWebhook):
        webhooks.lend_secret("unknown", 60)
