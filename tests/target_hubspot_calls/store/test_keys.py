"""Access keys."""

from __future__ import annotations

import re

import pytest

from target_hubspot_calls.store.keys import AccessKeys, UnknownAccessKey


@pytest.fixture
def keys(engine, clock):
    return AccessKeys(engine, clock=clock)


def test_a_key_opens_what_it_was_made_for(keys, clock):
    created, text = keys.create("ada", "sales")

    opened = keys.authenticate(text)

    assert opened == created
    assert re.fullmatch(r"hck_[A-Za-z0-9_-]{43}", text)
    assert (opened.user_id, opened.workspace_id) == ("ada", "sales")
    assert (opened.hint, opened.created_at) == (text[-4:], clock.now)


@pytest.mark.parametrize("text", ["", "hck_", "hck_" + "A" * 43, "hck_\ud800", "hck_ä", "Bearer x"])
def test_anything_else_opens_nothing(keys, text):
    keys.create("ada", "sales")

    assert keys.authenticate(text) is None


def test_keys_are_neither_stored_nor_printed(keys, store_path):
    created, text = keys.create("ada", "sales")

    files = b"".join(path.read_bytes() for path in store_path.parent.iterdir())

    assert text[4:].encode() not in files
    assert text[:-4] not in repr(created)


def test_a_revoked_key_opens_nothing_and_stays_in_the_list(keys, clock):
    created, text = keys.create("ada", "sales")

    keys.revoke(created.id)
    revoked_at = clock.now
    clock.pass_s(60)
    keys.revoke(created.id)

    assert keys.authenticate(text) is None
    assert [one.revoked_at for one in keys.list()] == [revoked_at]


def test_an_unknown_key_cannot_be_revoked(keys):
    with pytest.raises(UnknownAccessKey, match="no access key unknown"):
        keys.revoke("unknown")


def test_keys_are_listed_by_user_and_workspace(keys):
    for user, workspace in [("ada", "sales"), ("ada", "support"), ("bob", "sales")]:
        keys.create(user, workspace)

    def listed(*chosen):
        return [(one.user_id, one.workspace_id) for one in keys.list(*chosen)]

    assert listed() == [("ada", "sales"), ("ada", "support"), ("bob", "sales")]
    assert listed("ada") == [("ada", "sales"), ("ada", "support")]
    assert listed("ada", "support") == [("ada", "support")]
