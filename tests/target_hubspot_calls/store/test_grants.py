"""Grants: what stood before them, what ends soon, and which are still lived on."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography.fernet import Fernet

from target_hubspot_calls.store.connections import Connections
from target_hubspot_calls.store.grants import Grants, PortalDiffers
from target_hubspot_calls.store.vault import Vault
from target_hubspot_calls.tokens import TokenSet


@pytest.fixture
def grants(engine, vault, clock):
    return Grants(engine, vault, clock=clock)


@pytest.fixture
def tokens(clock):
    return TokenSet(
        "canary-access", "canary-refresh", clock.now + timedelta(minutes=30), ("files",), 7
    )


def test_the_first_grant_stands_in_nobodys_place(grants, connections, tokens):
    before = grants.store("ada", "sales", tokens, may_change_portal=False)

    assert before is None
    found = connections.get("ada", "sales")
    assert (found.kind, found.portal_id, found.scopes) == ("oauth", 7, ("files",))


def test_a_grant_hands_back_what_it_replaced(grants, connections, tokens):
    old = connections.add_oauth("ada", "sales", tokens)

    before = grants.store(
        "ada", "sales", replace(tokens, refresh_token="new"), may_change_portal=False
    )

    assert (before.connection, before.tokens) == (old, tokens)
    assert connections.get("ada", "sales").id != old.id
    assert len(connections.list()) == 1


def test_another_portal_needs_a_word(grants, connections, tokens):
    old = connections.add_oauth("ada", "sales", tokens)
    other = replace(tokens, portal_id=8)

    with pytest.raises(PortalDiffers) as raised:
        grants.store("ada", "sales", other, may_change_portal=False)

    assert (raised.value.connected, raised.value.granted) == (7, 8)
    assert connections.get("ada", "sales") == old
    grants.store("ada", "sales", other, may_change_portal=True)
    assert connections.get("ada", "sales").portal_id == 8


def test_a_portal_nobody_knew_may_be_any(grants, connections, tokens):
    connections.add_service_key("ada", "sales", "key")

    grants.store("ada", "sales", tokens, may_change_portal=False)

    assert connections.get("ada", "sales").portal_id == 7


def test_what_is_taken_is_gone_and_the_others_stay(grants, connections, tokens):
    connections.add_oauth("ada", "sales", tokens)
    other = connections.add_oauth("ada", "support", tokens)

    taken = grants.take("ada", "sales")

    assert taken.tokens == tokens
    assert grants.take("ada", "sales") is None
    assert connections.list() == (other,)


def test_what_no_key_opens_is_taken_without_its_tokens(grants, engine, tokens):
    lost = Connections(engine, Vault([Fernet.generate_key().decode()]))
    lost.add_oauth("ada", "sales", tokens)

    assert grants.take("ada", "sales").tokens is None


def test_those_that_end_soon_come_first_to_end_first(grants, connections, tokens, clock):
    for name, minutes in [("c", 9), ("a", -60), ("b", 5), ("later", 11)]:
        ends = replace(tokens, expires_at=clock.now + timedelta(minutes=minutes))
        connections.add_oauth(name, "w", ends)
    connections.add_service_key("key", "w", "key")
    connections.keep_oauth(":settings:", "w", replace(tokens, expires_at=clock.now))
    dead = connections.add_oauth("dead", "w", replace(tokens, expires_at=clock.now))
    connections.require_reconnect(dead.id, "Dead.")
    missing = connections.add_oauth("d", "w", replace(tokens, expires_at=clock.now))
    connections.lack_scope(missing.id, "Missing.")

    soon = grants.expiring(clock.now + timedelta(minutes=10), limit=9)

    assert [one.user_id for one in soon] == ["a", "d", "b", "c"]
    assert len(grants.expiring(clock.now + timedelta(minutes=10), limit=2)) == 2


def test_a_grant_is_in_use_while_any_connection_lives_on_it(grants, connections, tokens):
    connections.add_oauth("ada", "sales", tokens)
    connections.add_oauth("bob", "sales", replace(tokens, access_token="another"))

    grants.take("ada", "sales")
    by_bob = grants.is_in_use(tokens)
    grants.take("bob", "sales")

    assert by_bob
    assert not grants.is_in_use(tokens)
    assert not grants.is_in_use(replace(tokens, refresh_token="other"))
