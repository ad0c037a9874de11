"""Against the simulated portal, which knows nothing of us and refuses what HubSpot would."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from hubspot_simulator.simulator import DEFAULT_PORTAL, Simulator
from target_hubspot_calls.errors import (
    AccountMigrating,
    AnswerLost,
    DailyLimit,
    HubSpotError,
    Locked,
    MissingScope,
    RateLimited,
    ReconnectRequired,
    Rejected,
    Unavailable,
)
from target_hubspot_calls.hubspot import api
from target_hubspot_calls.hubspot.auth import MemoryTokens, PortalAuth, StaticTokens
from target_hubspot_calls.hubspot.client import HubSpotClient, open_client
from target_hubspot_calls.hubspot.contacts import pack_numbers
from target_hubspot_calls.hubspot.engagements import (
    CALL_ID_PROPERTY,
    ChangedEngagement,
    EngagementKind,
    NewEngagement,
)
from target_hubspot_calls.hubspot.failures import is_taken
from target_hubspot_calls.hubspot.files import FileUpload
from target_hubspot_calls.hubspot.oauth import OAuthApp
from target_hubspot_calls.hubspot.pace import Pace
from target_hubspot_calls.hubspot.retry import RetryPolicy
from target_hubspot_calls.tokens import TokenSet

NOTE, CALL = EngagementKind.NOTE, EngagementKind.CALL
CREATE = "POST /crm/objects/notes/batch/create"


@pytest.fixture
def sim(clock: Any) -> Iterator[Simulator]:
    with Simulator(clock=lambda: 1_800_000_000.0 + clock.seconds) as running:
        yield running


@pytest.fixture
def service_client(sim: Simulator, clock: Any) -> Callable[..., HubSpotClient]:
    def build(tries: int = 1, key: str | None = None) -> HubSpotClient:
        return open_client(
            sim.url,
            PortalAuth(StaticTokens(key or sim.add_service_key()), now=clock.now),
            Pace(clock=clock.monotonic, sleep=clock.sleep),
            retry=RetryPolicy(tries=tries),
            sleep=clock.sleep,
            rng=random.Random(7),
        )

    return build


def run(client: HubSpotClient, action: Callable[[HubSpotClient], Awaitable[Any]]) -> Any:
    async def scenario() -> Any:
        async with client:
            return await action(client)

    return asyncio.run(scenario())


def a_note(call_id: str, contact_id: str, **properties: str) -> NewEngagement:
    return NewEngagement(
        call_id,
        contact_id,
        {"hs_timestamp": "2026-11-20T15:04:06Z", "hs_note_body": "<p>Call</p>", **properties},
    )


@pytest.mark.parametrize("kind", [NOTE, CALL])
def test_a_call_travels_there_and_back(
    kind: EngagementKind, sim: Simulator, service_client: Callable[..., HubSpotClient]
) -> None:
    contact_id = sim.add_contact(firstname="Viola", phone="+1 (202) 555-0123")

    async def journey(client: HubSpotClient) -> None:
        assert (await client.fetch_account()).portal_id == DEFAULT_PORTAL
        assert await client.fetch_property(kind, CALL_ID_PROPERTY) is None
        made = await client.create_call_id_property(kind)
        assert made["hasUniqueValue"] is True
        assert (await client.create_call_id_property(kind))["name"] == CALL_ID_PROPERTY

        (contact,) = await client.search_contacts(["2025550123"])
        assert (contact.id, contact.calculated_phone) == (contact_id, "+12025550123")
        (read,) = await client.read_contacts(ids=[contact_id, "999999"])
        assert (read.id, read.firstname) == (contact_id, "Viola")

        new = NewEngagement(
            "call-1",
            contact_id,
            {
                "hs_timestamp": "2026-11-20T15:04:06Z",
                kind.body_property: "<p>One</p>",
                CALL_ID_PROPERTY: "call-1",
            },
        )
        created = await client.create_engagements(kind, [new])
        (engagement,) = created.engagements
        assert await client.read_contact_engagement_ids(kind, [contact_id]) == {
            contact_id: [engagement.id]
        }
        (found,) = await client.read_engagements_by_call_id(kind, ["call-1", "call-2"])
        assert (found.id, found.properties[CALL_ID_PROPERTY]) == (engagement.id, "call-1")

        again = await refused(client.create_engagements(kind, [new]))
        assert is_taken(again)

        upload = FileUpload("call-1.wav", "/vapi-calls", Wav(), "audio/wav")
        file = await client.upload_file(upload)
        assert (await client.upload_file(upload)).id == file.id

        change = {kind.body_property: "<p>Two</p>", "hs_attachment_ids": file.id}
        await client.update_engagements(kind, [ChangedEngagement("call-1", engagement.id, change)])
        (changed,) = await client.read_engagements(kind, [engagement.id], [kind.body_property])
        assert changed.properties[kind.body_property] == "<p>Two</p>"

    run(service_client(), journey)


async def refused(writing: Awaitable[Any]) -> HubSpotError:
    """The one error of a batch, whether it came as a 400 or inside a 207."""
    try:
        result = await writing
    except HubSpotError as err:
        return err
    errors: list[HubSpotError] = [*result.errors.values(), *result.unnamed_errors]
    return errors[0]


class Wav:
    async def __aiter__(self) -> Any:
        yield b"RIFF\x24\x00\x00\x00WAVEfmt "
        yield b"\x10\x00\x00\x00\x01\x00\x01\x00@\x1f\x00\x00\x80>\x00\x00\x02\x00\x10\x00data"
        yield b"\x00\x00\x00\x00"


def test_many_numbers_are_found_with_few_searches(
    sim: Simulator, service_client: Callable[..., HubSpotClient]
) -> None:
    numbers = [f"202555{n:04d}" for n in range(100, 500)]
    sim.seed_contacts([{"properties": {"mobilephone": f"+1{number}"}} for number in numbers])

    async def search(client: HubSpotClient) -> set[str]:
        packs = pack_numbers(numbers)
        pages = await asyncio.gather(*[client.search_contacts(pack) for pack in packs])
        return {str(contact.calculated_mobile) for page in pages for contact in page}

    found = run(service_client(), search)

    assert found == {f"+1{number}" for number in numbers}
    assert sim.counts()["POST /crm/objects/contacts/search"] == 5


def test_more_than_a_page_of_contacts_with_one_number_are_all_found(
    sim: Simulator, service_client: Callable[..., HubSpotClient]
) -> None:
    sim.seed_contacts([{"properties": {"phone": "+12025550123"}} for _ in range(450)])

    found = run(service_client(), lambda client: client.search_contacts(["2025550123"]))

    assert len({contact.id for contact in found}) == 450
    assert sim.counts()["POST /crm/objects/contacts/search"] == 3


def test_a_hurried_crowd_stays_inside_every_limit(
    sim: Simulator, service_client: Callable[..., HubSpotClient]
) -> None:
    async def crowd(client: HubSpotClient) -> None:
        await asyncio.gather(
            *[client.fetch_account() for _ in range(130)],
            *[client.search_contacts(["2025550123"]) for _ in range(13)],
        )

    run(service_client(), crowd)

    assert len(sim.requests(status=200)) == 143
    assert sim.requests(status=429) == []


def test_many_contacts_notes_come_page_by_page(
    sim: Simulator, service_client: Callable[..., HubSpotClient]
) -> None:
    sim.settings.association_page_size = 2
    sim.settings.association_ids_as_numbers = True
    ids = [sim.add_contact(phone="+12025550123"), sim.add_contact(phone="+12025550124")]

    async def journey(client: HubSpotClient) -> dict[str, list[str]]:
        await client.create_engagements(NOTE, [a_note(f"call-{n}", ids[0]) for n in range(5)])
        return await client.read_contact_engagement_ids(NOTE, ids)

    found = run(service_client(), journey)

    assert sorted(found[ids[0]]) == sorted(note["id"] for note in sim.notes())
    assert found[ids[1]] == []


@pytest.mark.parametrize("echo", [True, False], ids=["trace ids echoed", "not echoed"])
def test_bad_inputs_of_a_batch_are_named_and_the_others_written(
    echo: bool, sim: Simulator, service_client: Callable[..., HubSpotClient]
) -> None:
    sim.settings.echo_trace_ids = echo
    contact_id = sim.add_contact(phone="+12025550123")
    notes = [a_note(f"call-{n}", contact_id) for n in range(4)]
    notes[2] = a_note("call-2", contact_id, no_such_property="canary")

    result = run(service_client(), lambda client: client.create_engagements(NOTE, notes))

    assert list(result.errors) == ["call-2"]
    assert "no_such_property" in str(result.errors["call-2"])
    assert "canary" not in str(result.errors["call-2"])
    assert len(result.engagements) == len(sim.notes()) == 3


@pytest.mark.parametrize(
    ("action", "details", "error", "notes"),
    [
        ("reset_before", {}, AnswerLost, 0),
        ("reset_after", {}, AnswerLost, 1),
        ("reset_during", {}, AnswerLost, 1),
        ("malformed", {}, AnswerLost, 1),
        ("empty", {}, AnswerLost, 1),
        ("html", {"status": 200}, AnswerLost, None),
        ("error", {"status": 502}, AnswerLost, None),
        ("error", {"status": 524}, AnswerLost, None),
        ("error", {"status": 400}, Rejected, 0),
        ("locked", {}, Locked, 0),
        ("migrating", {}, AccountMigrating, 0),
        ("rate_limited", {}, RateLimited, 0),
        ("rate_limited", {"policy": "DAILY"}, DailyLimit, 0),
        ("missing_scopes", {}, MissingScope, 0),
        ("redirect", {}, Unavailable, 0),
        ("invalid_token", {}, ReconnectRequired, 0),
    ],
    ids=str,
)
def test_each_fault_becomes_the_error_that_says_what_comes_next(
    action: str,
    details: dict[str, Any],
    error: type[HubSpotError],
    notes: int | None,
    sim: Simulator,
    service_client: Callable[..., HubSpotClient],
) -> None:
    contact_id = sim.add_contact(phone="+12025550123")
    sim.add_fault(action, times=None, **details)

    with pytest.raises(HubSpotError) as failed:
        run(
            service_client(),
            lambda client: client.create_engagements(NOTE, [a_note("call-1", contact_id)]),
        )

    assert type(failed.value) is error
    assert sim.counts()[CREATE] == 1
    if notes is not None:
        assert len(sim.notes()) == notes


@pytest.mark.parametrize("action", ["drip", "huge", "gzip_bomb", "delay"])
def test_a_slow_or_endless_answer_is_cut_off(
    action: str,
    sim: Simulator,
    service_client: Callable[..., HubSpotClient],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(api, "READ", api.RequestKind(api.Effect.REPEATABLE, 0.2))
    sim.add_fault(action, times=None, delay_s=0.5 if action == "delay" else 0.0)

    with pytest.raises(Unavailable):
        run(service_client(), lambda client: client.fetch_account())


def test_a_burst_of_refusals_is_waited_out(
    sim: Simulator, service_client: Callable[..., HubSpotClient], clock: Any
) -> None:
    contact_id = sim.add_contact(phone="+12025550123")
    sim.add_fault("rate_limited", times=2)
    sim.add_fault("locked", times=1, nth=3)

    run(
        service_client(tries=5),
        lambda client: client.create_engagements(NOTE, [a_note("call-1", contact_id)]),
    )

    assert len(sim.notes()) == 1


@pytest.fixture
def oauth_store(sim: Simulator, clock: Any) -> Callable[..., MemoryTokens]:
    sim.add_app("app-1", "canary-client-secret")
    issued = sim.issue_tokens(client_id="app-1")

    def build(expires_in_s: float = 1800) -> MemoryTokens:
        return MemoryTokens(
            TokenSet(
                issued["access_token"],
                refresh_token=issued["refresh_token"],
                expires_at=clock.now() + timedelta(seconds=expires_in_s),
            )
        )

    return build


def oauth_client(
    sim: Simulator, store: MemoryTokens, an_app: Callable[..., OAuthApp], clock: Any, **options: Any
) -> HubSpotClient:
    async def short_sleep(seconds: float) -> None:
        await asyncio.sleep(0.002)

    auth = PortalAuth(store, an_app(sim.url), now=clock.now, sleep=short_sleep)
    pace = Pace(clock=clock.monotonic, sleep=clock.sleep)
    return open_client(sim.url, auth, pace, retry=RetryPolicy(tries=2), sleep=clock.sleep)


@pytest.mark.parametrize("rotate", [True, False], ids=["rotated", "kept"])
def test_two_processes_that_find_a_stale_token_refresh_it_once(
    rotate: bool,
    sim: Simulator,
    oauth_store: Callable[..., MemoryTokens],
    an_app: Callable[..., OAuthApp],
    clock: Any,
) -> None:
    sim.settings.rotate_refresh_tokens = rotate
    sim.add_fault("delay", path="/oauth/*", delay_s=0.05)
    store = oauth_store(expires_in_s=60)
    old = asyncio.run(store.load())

    async def scenario() -> None:
        async with (
            oauth_client(sim, store, an_app, clock) as first,
            oauth_client(sim, store, an_app, clock) as second,
        ):
            await asyncio.gather(*[c.fetch_account() for c in (first, second) for _ in range(8)])

    asyncio.run(scenario())

    new = asyncio.run(store.load())
    assert sim.counts()["POST /oauth/token"] == 1
    assert sim.requests(status=401) == []
    assert new.access_token != old.access_token
    assert (new.refresh_token != old.refresh_token) == rotate
    assert new.portal_id == DEFAULT_PORTAL


def test_tokens_that_die_early_are_refreshed_once_for_everybody(
    sim: Simulator,
    oauth_store: Callable[..., MemoryTokens],
    an_app: Callable[..., OAuthApp],
    clock: Any,
) -> None:
    sim.settings.rotate_refresh_tokens = True
    store = oauth_store()
    sim.expire_tokens()

    async def scenario() -> None:
        async with oauth_client(sim, store, an_app, clock) as client:
            await asyncio.gather(*[client.fetch_account() for _ in range(8)])

    asyncio.run(scenario())

    assert sim.counts()["POST /oauth/token"] == 1


def test_an_uninstalled_app_asks_for_a_person(
    sim: Simulator,
    oauth_store: Callable[..., MemoryTokens],
    an_app: Callable[..., OAuthApp],
    clock: Any,
) -> None:
    store = oauth_store()
    sim.revoke()

    with pytest.raises(ReconnectRequired) as failed:
        run(oauth_client(sim, store, an_app, clock), lambda client: client.fetch_account())

    assert "canary" not in str(failed.value)


def test_a_key_without_the_scope_is_told_which(
    sim: Simulator, service_client: Callable[..., HubSpotClient]
) -> None:
    key = sim.add_service_key(scopes=("crm.objects.contacts.read",))
    contact_id = sim.add_contact(phone="+12025550123")

    with pytest.raises(MissingScope, match=r"crm\.objects\.contacts\.write"):
        run(
            service_client(key=key),
            lambda client: client.create_engagements(NOTE, [a_note("call-1", contact_id)]),
        )
