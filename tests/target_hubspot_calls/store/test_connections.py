"""Connections of workspaces, and the life of their keys."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.fernet import Fernet

from target_hubspot_calls.errors import NotConnected, SettingsError, WrongEncryptionKey
from target_hubspot_calls.store.connections import Connections, holds_tokens
from target_hubspot_calls.store.vault import Vault
from target_hubspot_calls.tokens import TokenSet

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()
TOKENS = TokenSet(
    access_token="canary-access",
    refresh_token="canary-refresh",
    expires_at=datetime(2026, 3, 1, 12, 30, tzinfo=UTC),
    scopes=("oauth", "files"),
    portal_id=7,
)


def load(connections, connection):
    return asyncio.run(connections.tokens(connection.id).load())


def test_a_grant_is_stored_and_its_tokens_come_back(connections, clock):
    added = connections.add_oauth("ada", "sales", TOKENS)

    found = connections.get("ada", "sales")

    assert found == added
    assert (found.kind, found.portal_id, found.scopes) == ("oauth", 7, ("oauth", "files"))
    assert (found.expires_at, found.state) == (TOKENS.expires_at, "active")
    assert found.created_at == found.updated_at == clock.now
    assert load(connections, found) == TOKENS


def test_a_service_key_is_stored_without_the_white_space_around_it(connections):
    added = connections.add_service_key("ada", "sales", " pat-na1-canary\n")

    assert (added.kind, added.expires_at, added.scopes) == ("service_key", None, ())
    assert load(connections, added) == TokenSet("pat-na1-canary")


@pytest.mark.parametrize("key", ["", " \n", "two words", "schlüssel", "line\nline"])
def test_an_odd_service_key_is_refused_and_not_shown(connections, key):
    with pytest.raises(SettingsError) as raised:
        connections.add_service_key("ada", "sales", key)

    assert raised.value.faults == ["the service key is empty or has characters no key has"]


def test_a_workspace_without_a_connection_has_none(connections):
    connections.add_service_key("ada", "sales", "key")

    assert connections.get("ada", "support") is None
    assert connections.get("bob", "sales") is None


def test_connections_are_listed_by_user_and_workspace(connections):
    for user, workspace in [("ada", "sales"), ("ada", "support"), ("bob", "sales")]:
        connections.add_service_key(user, workspace, "key")

    def listed(*chosen):
        return [(one.user_id, one.workspace_id) for one in connections.list(*chosen)]

    assert listed() == [("ada", "sales"), ("ada", "support"), ("bob", "sales")]
    assert listed("ada") == [("ada", "sales"), ("ada", "support")]
    assert listed(None, "sales") == [("ada", "sales"), ("bob", "sales")]


def test_connecting_again_replaces_the_connection_and_its_troubles(connections):
    old = connections.add_oauth("ada", "sales", TOKENS)
    connections.require_reconnect(old.id, "The grant is dead.")

    new = connections.add_service_key("ada", "sales", "key")

    assert connections.list() == (new,)
    assert (new.state, new.state_detail) == ("active", None)


def test_what_is_learned_about_a_replaced_connection_does_not_touch_the_new_one(connections):
    old = connections.add_oauth("ada", "sales", TOKENS)
    new = connections.add_oauth("ada", "sales", TokenSet("another"))

    connections.require_reconnect(old.id, "The grant is dead.")

    assert connections.get("ada", "sales") == new


def test_tokens_of_a_replaced_connection_are_neither_loaded_nor_saved(connections):
    old = connections.add_oauth("ada", "sales", TOKENS)
    new = connections.add_oauth("ada", "sales", TokenSet("another"))

    with pytest.raises(NotConnected):
        load(connections, old)
    with pytest.raises(NotConnected):
        asyncio.run(connections.tokens(old.id).save(TOKENS))

    assert load(connections, new) == TokenSet("another")


def test_removing_a_connection_leaves_nothing_of_it(connections):
    connections.add_oauth("ada", "sales", TOKENS)

    removed = connections.remove("ada", "sales")

    assert removed is True
    assert connections.list() == ()
    assert connections.remove("ada", "sales") is False


def test_states_and_waits_are_kept_until_the_connection_works_again(connections, clock):
    added = connections.add_service_key("ada", "sales", "key")
    until = clock.now + timedelta(hours=3)
    clock.pass_s(5)

    connections.set_portal(added.id, 42)
    connections.lack_scope(added.id, "The scope files is missing.")
    lacking = connections.get("ada", "sales")
    connections.require_reconnect(added.id, "The grant is dead.")
    dead = connections.get("ada", "sales")
    connections.block_until(added.id, until, "daily_limit", "The daily limit is reached.")
    blocked = connections.get("ada", "sales")
    connections.activate(added.id)
    working = connections.get("ada", "sales")

    assert (lacking.state, lacking.state_detail) == ("missing_scope", "The scope files is missing.")
    assert (dead.state, dead.state_detail) == ("reconnect_required", "The grant is dead.")
    assert (blocked.blocked_until, blocked.blocked_reason, blocked.state_detail) == (
        until,
        "daily_limit",
        "The daily limit is reached.",
    )
    assert (working.state, working.state_detail, working.blocked_until) == ("active", None, None)
    assert working.blocked_reason is None
    assert (working.portal_id, working.updated_at) == (42, clock.now)


def test_no_token_can_be_read_from_the_files_or_seen_in_print(connections, store_path, engine):
    added = connections.add_oauth("ada", "sales", TOKENS)

    files = b"".join(path.read_bytes() for path in store_path.parent.iterdir())

    assert b"canary" not in files
    assert "canary" not in repr(added)
    assert "canary" not in repr(vars(connections.tokens(added.id)))


def test_a_store_knows_whether_a_key_is_needed(engine, connections):
    before = holds_tokens(engine)
    connections.add_service_key("ada", "sales", "key")

    assert (before, holds_tokens(engine)) == (False, True)


def test_tokens_of_another_key_are_a_clear_error_at_the_check_and_at_use(engine, connections):
    added = connections.add_service_key("ada", "sales", "key")
    with_another_key = Connections(engine, Vault([NEW]))

    with pytest.raises(WrongEncryptionKey):
        with_another_key.check_keys()
    with pytest.raises(WrongEncryptionKey):
        load(with_another_key, added)

    connections.check_keys()


def test_after_reencryption_the_old_key_can_go(engine):
    old = Connections(engine, Vault([OLD]))
    added = [old.add_service_key("ada", f"w{number}", f"key-{number}") for number in range(3)]

    done = Connections(engine, Vault([NEW, OLD])).reencrypt()

    new = Connections(engine, Vault([NEW]))
    assert done == 3
    assert [load(new, one).access_token for one in added] == ["key-0", "key-1", "key-2"]


def test_reencryption_that_broke_off_half_way_goes_on_where_it_was(engine):
    class BreaksOff(Vault):
        left = 2

        def reencrypt(self, sealed: bytes) -> bytes:
            if not self.left:
                raise KeyboardInterrupt
            self.left -= 1
            return super().reencrypt(sealed)

    old = Connections(engine, Vault([OLD]))
    added = [old.add_service_key("ada", f"w{number}", f"key-{number}") for number in range(3)]
    with pytest.raises(KeyboardInterrupt):
        Connections(engine, BreaksOff([NEW, OLD])).reencrypt()

    both = Connections(engine, Vault([NEW, OLD]))
    half_way = [load(both, one).access_token for one in added]
    done = both.reencrypt()

    assert half_way == ["key-0", "key-1", "key-2"]
    assert done == 1
    Connections(engine, Vault([NEW])).check_keys()


def test_one_connection_that_no_key_opens_does_not_hold_up_the_others(engine):
    lost = Connections(engine, Vault([Fernet.generate_key().decode()]))
    closed = lost.add_service_key("ada", "a", "key")
    Connections(engine, Vault([OLD])).add_service_key("ada", "b", "key")

    with pytest.raises(WrongEncryptionKey, match=closed.id):
        Connections(engine, Vault([NEW, OLD])).reencrypt()

    assert Connections(engine, Vault([NEW, OLD])).remove("ada", "a")
    Connections(engine, Vault([NEW])).check_keys()


def test_tokens_of_the_settings_never_replace_those_that_were_renewed(connections):
    first = connections.keep_oauth(":settings:", "fingerprint", TOKENS)

    second = connections.keep_oauth(":settings:", "fingerprint", TOKENS)

    assert second == first
