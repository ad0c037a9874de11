"""Tokens are renewed ahead of their end, by one process at a time, and quietly."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from datetime import timedelta

import pytest

from receiver.token_keeper import TokenKeeper
from target_hubspot_calls.clock import Clock
from target_hubspot_calls.hubspot.grants import GrantClient
from target_hubspot_calls.hubspot.oauth import OAuthApp
from target_hubspot_calls.tokens import TokenSet

REFRESHED = "POST /oauth/token"


class Kept:
    """Grants of a simulated portal in a real store, and a keeper that is told when to look."""

    def __init__(self, front, portal_id):
        self.front = front
        self.portal = front.portal
        self.portal_id = portal_id
        self.seconds = 0.0
        self.workspace = front.a_workspace()
        self.app = OAuthApp(
            client_id=front.client_id,
            client_secret="canary-client-secret",
            api_url=front.portal.url,
            now=front.clock,
        )

    def connect(self, *, ends_in_s=1800.0, workspace=None, lifetime_s=1800.0):
        """A grant whose access token ends so soon; its id."""
        workspace = workspace or self.workspace
        issued = self.portal.issue_tokens(
            self.portal_id, self.app.client_id, lifetime_s=max(1.0, ends_in_s)
        )
        here = self.front.clock.offset
        self.front.clock.offset = here - timedelta(seconds=lifetime_s - ends_in_s)
        added = self.front.connections.add_oauth(
            workspace.user_id,
            workspace.workspace_id,
            TokenSet(
                issued["access_token"],
                issued["refresh_token"],
                self.front.clock() + timedelta(seconds=lifetime_s),
                tuple(issued["scopes"]),
                self.portal_id,
            ),
        )
        self.front.clock.offset = here
        return added

    def tokens(self, connection):
        return asyncio.run(self.front.connections.tokens(connection.id).load())

    def now(self, connection):
        found = self.front.connections.list(connection.user_id, connection.workspace_id)
        return found[0]

    def keeper(self, client, **options):
        clock = Clock(now=self.front.clock, monotonic=lambda: self.seconds, random=lambda: 0.5)
        return TokenKeeper(
            self.front.grants, self.front.connections, self.app, client.send, clock=clock, **options
        )

    def look(self, times=1):
        """What one keeper does in so many looks, a minute apart."""

        async def looks():
            async with GrantClient(self.app) as client:
                keeper = self.keeper(client)
                for _ in range(times):
                    await keeper.look()
                    self.seconds += 60

        asyncio.run(looks())

    def refreshes(self):
        return len(self.portal.requests(operation=REFRESHED))


async def asked(kept):
    """Returns once HubSpot was asked for new tokens."""
    for _ in range(500):
        if kept.refreshes():
            return
        await asyncio.sleep(0.01)


@pytest.fixture
def kept(a_front, portal, a_portal_id):
    front = a_front()
    portal.clear_requests()
    yield Kept(front, a_portal_id())
    portal.settings.change({"rotate_refresh_tokens": False})


def test_a_token_that_ends_soon_is_renewed_before_anybody_needs_it(kept):
    connection = kept.connect(ends_in_s=290)
    before = kept.tokens(connection)

    kept.look()

    after = kept.tokens(connection)
    assert after.access_token != before.access_token
    assert after.expires_at - kept.front.clock() > timedelta(minutes=29)
    assert kept.now(connection).expires_at == after.expires_at


def test_a_token_that_ended_while_we_were_away_is_renewed_too(kept):
    connection = kept.connect(ends_in_s=-86_400)

    kept.look()

    assert kept.tokens(connection).expires_at > kept.front.clock()


def test_a_token_with_life_in_it_is_left_alone(kept):
    kept.connect(ends_in_s=700)

    kept.look(times=3)

    assert kept.refreshes() == 0


def test_tokens_made_at_one_moment_are_not_renewed_at_one_moment(kept):
    for _ in range(40):
        kept.connect(ends_in_s=450, workspace=kept.front.a_workspace())

    kept.look()

    assert 5 < kept.refreshes() < 35


def test_a_token_made_to_live_shortly_is_not_renewed_all_the_time(kept):
    kept.connect(ends_in_s=60, lifetime_s=90)

    kept.look()

    assert kept.refreshes() == 0


def test_a_refresh_token_that_changes_is_kept(kept):
    kept.portal.settings.change({"rotate_refresh_tokens": True})
    connection = kept.connect(ends_in_s=100)
    before = kept.tokens(connection)

    kept.look()
    kept.front.clock.pass_s(1700)
    kept.look()

    after = kept.tokens(connection)
    assert after.refresh_token != before.refresh_token
    assert kept.refreshes() == 2
    assert kept.now(connection).state == "active"


def test_service_keys_and_tokens_of_settings_are_not_touched(kept):
    kept.front.connections.add_service_key("ada", "sales", "key")
    kept.front.connections.keep_oauth(
        ":settings:", "f", TokenSet("none", "canary", kept.front.clock() - timedelta(days=9))
    )

    kept.look()

    assert kept.refreshes() == 0


def test_of_two_processes_one_renews(kept):
    kept.portal.settings.change({"rotate_refresh_tokens": True})
    kept.portal.add_fault("delay", path="*/token", delay_s=0.3, times=None)
    connection = kept.connect(ends_in_s=100)

    async def both():
        async with GrantClient(kept.app) as one, GrantClient(kept.app) as two:
            await asyncio.gather(kept.keeper(one).look(), kept.keeper(two).look())

    asyncio.run(both())

    assert kept.refreshes() == 1
    assert kept.now(connection).state == "active"


def test_a_grant_that_was_revoked_is_shown_to_need_a_person_and_left_alone(kept, caplog):
    caplog.set_level(logging.INFO)
    connection = kept.connect(ends_in_s=100)
    kept.portal.revoke(kept.portal_id)

    kept.look(times=5)

    found = kept.now(connection)
    assert found.state == "reconnect_required"
    assert "connect again" in found.state_detail
    assert kept.refreshes() == 1
    body = kept.front.signed_in(kept.workspace).get("/api/hubspot/status").json()
    assert (body["connected"], body["reconnectRequired"]) == (False, True)


def test_a_token_that_somebody_else_has_just_renewed_is_not_taken_for_a_dead_grant(kept):
    connection = kept.connect(ends_in_s=100)
    fresh = kept.portal.issue_tokens(kept.portal_id, kept.app.client_id)
    before = kept.tokens(connection)
    renewed = replace(
        before, access_token=fresh["access_token"], refresh_token=fresh["refresh_token"]
    )
    kept.portal.state.authority.refreshes[before.refresh_token].revoked = True

    async def run():
        async with GrantClient(kept.app) as client:

            async def overtaken(request):
                await kept.front.connections.tokens(connection.id).save(renewed)
                return await client.send(request)

            keeper = TokenKeeper(
                kept.front.grants, kept.front.connections, kept.app, overtaken,
                clock=Clock(now=kept.front.clock),
            )  # fmt: skip
            await keeper.look()

    asyncio.run(run())

    assert kept.now(connection).state == "active"
    assert kept.tokens(connection) == renewed


@pytest.mark.parametrize(
    "fault",
    [
        {"action": "error", "status": 503}, {"action": "reset_before"}, {"action": "reset_after"},
        {"action": "malformed"}, {"action": "rate_limited"}, {"action": "html"},
    ],
    ids=lambda fault: "-".join(str(value) for value in fault.values()),
)  # fmt: skip
def test_a_hubspot_that_is_away_is_asked_later_and_more_rarely(kept, caplog, fault):
    caplog.set_level(logging.INFO)
    connection = kept.connect(ends_in_s=100)
    kept.portal.add_fault(**fault, path="*/token", times=None)

    kept.look(times=20)
    times = kept.refreshes()
    kept.portal.clear_faults()
    kept.look()

    told = [record for record in caplog.records if "could not be renewed" in record.getMessage()]
    assert 3 <= times <= 9
    assert [record.levelno for record in told] == [logging.INFO]
    assert kept.now(connection).state == "active"
    assert kept.tokens(connection).expires_at > kept.front.clock() + timedelta(minutes=20)


def test_an_app_that_hubspot_refuses_costs_no_workspace_its_connection(kept, caplog):
    connection = kept.connect(ends_in_s=100)
    kept.app = OAuthApp(
        "unknown-app", "canary-wrong", api_url=kept.portal.url, now=kept.front.clock
    )

    kept.look(times=3)

    assert kept.now(connection).state == "active"
    [told] = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert "HUBSPOT_CLIENT_ID" in told.getMessage()
    assert "canary" not in told.getMessage()


def test_one_dead_grant_does_not_hold_up_the_others(kept, a_portal_id):
    dead = kept.connect(ends_in_s=50)
    kept.portal.revoke(kept.portal_id)
    kept.portal_id = a_portal_id()
    living = kept.connect(ends_in_s=100, workspace=kept.front.a_workspace())

    kept.look()

    assert kept.now(dead).state == "reconnect_required"
    assert kept.tokens(living).expires_at > kept.front.clock() + timedelta(minutes=20)


def test_tokens_that_no_key_opens_are_told_of_and_left(kept, caplog):
    from cryptography.fernet import Fernet

    from target_hubspot_calls.store.connections import Connections
    from target_hubspot_calls.store.vault import Vault

    connection = kept.connect(ends_in_s=100)
    lost = Connections(kept.front.engine, Vault([Fernet.generate_key().decode()]))
    kept.front.connections = lost

    kept.look(times=2)

    assert kept.refreshes() == 0
    assert kept.now(connection).state == "active"
    assert "do not open with the encryption keys" in caplog.text


def test_it_runs_for_as_long_as_it_is_open(kept):
    connection = kept.connect(ends_in_s=100)

    async def run():
        async with GrantClient(kept.app) as client, kept.keeper(client, look_s=0.05):
            await asked(kept)

    asyncio.run(run())

    assert kept.refreshes() == 1
    assert kept.tokens(connection).expires_at > kept.front.clock() + timedelta(minutes=20)


def test_what_is_under_way_at_the_end_is_let_finish(kept):
    kept.portal.settings.change({"rotate_refresh_tokens": True})
    connection = kept.connect(ends_in_s=100)
    before = kept.tokens(connection)
    kept.portal.add_fault("delay", path="*/token", delay_after_s=0.4, times=None)

    async def run():
        async with GrantClient(kept.app) as client, kept.keeper(client, look_s=0.05):
            await asked(kept)

    asyncio.run(run())

    assert kept.tokens(connection).refresh_token != before.refresh_token


def test_an_odd_failure_does_not_end_the_renewing(kept, caplog):
    connection = kept.connect(ends_in_s=100)
    looks = []

    class Odd:
        def expiring(self, before, *, limit):
            looks.append(before)
            if len(looks) == 1:
                raise ValueError("canary")
            return kept.front.grants.expiring(before, limit=limit)

    async def run():
        async with GrantClient(kept.app) as client:
            keeper = TokenKeeper(
                Odd(), kept.front.connections, kept.app, client.send,
                clock=Clock(now=kept.front.clock), look_s=0.05,
            )  # fmt: skip
            async with keeper:
                await asked(kept)

    asyncio.run(run())

    assert "failed with ValueError" in caplog.text
    assert "canary" not in caplog.text
    assert kept.tokens(connection).expires_at > kept.front.clock() + timedelta(minutes=20)


def test_tokens_are_in_no_log(kept, caplog):
    caplog.set_level(0)
    connection = kept.connect(ends_in_s=100)
    before = kept.tokens(connection)

    kept.look()

    after = kept.tokens(connection)
    logged = "\n".join(record.getMessage() for record in caplog.records)
    for text in (before.access_token, before.refresh_token, after.access_token, "canary-client"):
        assert text not in logged
