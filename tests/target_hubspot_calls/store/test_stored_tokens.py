"""Tokens that several processes share: read, renewed and claimed."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import select

from target_hubspot_calls.store.database import reading
from target_hubspot_calls.store.schema import connections as table
from target_hubspot_calls.store.stored_tokens import StoredTokens
from target_hubspot_calls.tokens import TokenSet

OLD = TokenSet("old", "refresh", datetime(2026, 3, 1, 12, 30, tzinfo=UTC), ("oauth",), 7)
NEW = replace(OLD, access_token="new", expires_at=datetime(2026, 3, 1, 13, 0, tzinfo=UTC))

CLAIM = """
import asyncio, os, sys
from datetime import UTC, datetime
from target_hubspot_calls.store.database import open_database
from target_hubspot_calls.store.connections import Connections
from target_hubspot_calls.store.vault import Vault
url, key, connection_id = sys.argv[1:]
engine = open_database(url)
tokens = Connections(engine, Vault([key])).tokens(connection_id)
print("ready", flush=True)
sys.stdin.readline()
print(asyncio.run(tokens.claim_refresh(str(os.getpid()))))
engine.dispose()
"""


@pytest.fixture
def connection(connections):
    return connections.add_oauth("ada", "sales", OLD)


@pytest.fixture
def tokens(connections, connection):
    return connections.tokens(connection.id)


def test_loading_sees_what_another_has_saved(connections, connection, tokens):
    before = asyncio.run(tokens.load())
    asyncio.run(connections.tokens(connection.id).save(NEW))

    after = asyncio.run(tokens.load())

    assert (before, after) == (OLD, NEW)


def test_saving_shows_in_the_connection_without_changing_what_it_does_not_name(
    connections, connection, tokens, clock
):
    clock.pass_s(60)

    asyncio.run(tokens.save(replace(NEW, scopes=(), portal_id=None)))

    saved = connections.get("ada", "sales")
    assert saved == replace(connection, expires_at=NEW.expires_at, updated_at=clock.now)


def test_only_one_holder_may_refresh(tokens):
    async def claim_at_once() -> list[bool]:
        return await asyncio.gather(*(tokens.claim_refresh(f"p{number}") for number in range(10)))

    claims = asyncio.run(claim_at_once())

    assert sorted(claims) == [False] * 9 + [True]


def test_only_one_process_may_refresh(url, connection, start_python, engine):
    key = Fernet.generate_key().decode()
    processes = [start_python(CLAIM, url, key, connection.id) for _ in range(3)]
    for process in processes:
        process.stdout.readline()

    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    claims = [process.communicate()[0].strip() for process in processes]

    assert sorted(claims) == ["False", "False", "True"]


def test_a_claim_that_nobody_ended_ends_by_itself(tokens, clock):
    asyncio.run(tokens.claim_refresh("crashed", for_s=30))
    clock.pass_s(29)
    early = asyncio.run(tokens.claim_refresh("next"))
    clock.pass_s(1)

    late = asyncio.run(tokens.claim_refresh("next"))

    assert (early, late) == (False, True)


def test_saving_new_tokens_ends_the_claim_in_the_same_transaction(tokens, engine):
    asyncio.run(tokens.claim_refresh("one"))

    asyncio.run(tokens.save(NEW))

    with reading(engine) as database:
        claim = database.execute(select(table.c.refresh_holder, table.c.refresh_until)).one()
    assert tuple(claim) == (None, None)


def test_a_claim_is_released_by_its_holder_only(tokens):
    asyncio.run(tokens.claim_refresh("one"))

    asyncio.run(tokens.release_refresh("two"))
    after_two = asyncio.run(tokens.claim_refresh("two"))
    asyncio.run(tokens.release_refresh("one"))
    after_one = asyncio.run(tokens.claim_refresh("two"))

    assert (after_two, after_one) == (False, True)


def test_who_was_stopped_for_longer_than_its_claim_lasts_does_not_bring_back_older_tokens(
    connections, connection, tokens, clock
):
    late = replace(NEW, access_token="late")
    other = connections.tokens(connection.id)
    asyncio.run(tokens.claim_refresh("stopped", for_s=30))
    clock.pass_s(31)
    asyncio.run(other.claim_refresh("other"))
    asyncio.run(other.save(NEW))

    asyncio.run(tokens.save(late))
    after_late = asyncio.run(tokens.load())
    asyncio.run(tokens.claim_refresh("stopped"))
    asyncio.run(tokens.save(late))

    assert after_late == NEW
    assert asyncio.run(tokens.load()) == late


@pytest.mark.parametrize("is_claimed", [True, False], ids=["claimed by another", "claimed no more"])
def test_a_late_answer_is_kept_where_nobody_has_a_newer_one(
    connections, connection, tokens, clock, is_claimed
):
    other = connections.tokens(connection.id)
    asyncio.run(tokens.claim_refresh("stopped", for_s=30))
    clock.pass_s(31)
    asyncio.run(other.claim_refresh("other"))
    if not is_claimed:
        asyncio.run(other.release_refresh("other"))

    asyncio.run(tokens.save(NEW))

    assert asyncio.run(other.load()) == NEW


def test_claims_of_different_connections_do_not_touch(connections, tokens):
    other = connections.add_oauth("bob", "sales", OLD)

    claims = [
        asyncio.run(tokens.claim_refresh("one")),
        asyncio.run(connections.tokens(other.id).claim_refresh("two")),
    ]

    assert claims == [True, True]


@pytest.mark.parametrize("ahead_s", [3, -3], ids=["ahead", "behind"])
def test_a_host_whose_clock_is_three_seconds_off_does_not_refresh_beside_another(
    engine, vault, connection, clock, ahead_s
):
    def off() -> datetime:
        return clock.now + timedelta(seconds=ahead_s)

    right = StoredTokens(engine, vault, connection.id, clock=clock)
    other = StoredTokens(engine, vault, connection.id, clock=off)
    asyncio.run(right.claim_refresh("right", for_s=30))
    # A token request is given up after 20 s.
    clock.pass_s(20)

    during = asyncio.run(other.claim_refresh("off"))
    clock.pass_s(13)
    after = asyncio.run(other.claim_refresh("off"))

    assert (during, after) == (False, True)


def test_without_a_clock_of_the_callers_a_claim_ends_by_the_stores(engine, vault, connection):
    tokens = StoredTokens(engine, vault, connection.id)
    first = asyncio.run(tokens.claim_refresh("crashed", for_s=0.2))
    early = asyncio.run(tokens.claim_refresh("next"))
    time.sleep(0.3)

    late = asyncio.run(tokens.claim_refresh("next"))

    assert (first, early, late) == (True, False, True)
