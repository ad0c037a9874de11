"""From the ledger to HubSpot: one note a call, whatever happens in between."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from hubspot_simulator import DEFAULT_PORTAL, Simulator
from target_hubspot_calls.call import Call, Workspace
from target_hubspot_calls.delivery.run import Run
from target_hubspot_calls.store.connections import Connections
from target_hubspot_calls.store.database import open_database
from target_hubspot_calls.store.ledger import Ledger
from target_hubspot_calls.store.vault import load_vault
from target_hubspot_calls.tokens import TokenSet
from tests.target_hubspot_calls.delivery.conftest import Deliveries

CALL_ID = "01a1f97c-7300-7aa2-9c10-5f3a2b6d8e01"
CREATE = "/crm/objects/2026-09/notes/batch/create"


def body_of_only_note(portal: Simulator) -> str:
    (note,) = portal.notes()
    return str(note["properties"]["hs_note_body"])


def test_a_call_becomes_one_note_on_its_contact(
    deliver: Callable[..., Deliveries], portal: Simulator, a_call: Callable[..., Call]
) -> None:
    runs = deliver()

    counts = runs(a_call())

    assert counts == {"created": 1}
    (note,) = portal.notes()
    assert note["associations"] == {"contacts": ["101"]}
    assert note["properties"]["hs_note_body"].endswith(f"<p>Call ID: {CALL_ID}</p>")
    assert runs.history("call_id, status, reason, contact_id, engagement_id, contact_match") == [
        (
            CALL_ID,
            "success",
            "created",
            "101",
            note["id"],
            "phone number, the only contact with it",
        )
    ]


def test_the_same_report_again_asks_hubspot_nothing(
    deliver: Callable[..., Deliveries], portal: Simulator, a_call: Callable[..., Call]
) -> None:
    runs = deliver()
    runs(a_call())
    portal.clear_requests()

    counts = runs(a_call())

    assert counts == {}
    assert portal.requests() == []
    assert len(portal.notes()) == 1


def test_a_later_fuller_report_fills_in_the_same_note(
    deliver: Callable[..., Deliveries], portal: Simulator, a_call: Callable[..., Call]
) -> None:
    runs = deliver()
    runs(a_call(summary=None))

    counts = runs(a_call(transcript=None))

    assert counts == {"updated": 1}
    assert "moved a cleaning to Friday" in body_of_only_note(portal)


def test_a_later_report_that_shows_nothing_new_is_unchanged(
    deliver: Callable[..., Deliveries], portal: Simulator, a_call: Callable[..., Call]
) -> None:
    runs = deliver()
    runs(a_call(transcript=None))
    portal.clear_requests()

    counts = runs(a_call())

    assert counts == {"unchanged": 1}
    assert "notes/batch" not in " ".join(portal.counts())


def test_three_hundred_numbers_take_a_handful_of_requests(
    deliver: Callable[..., Deliveries], portal: Simulator, a_call: Callable[..., Call]
) -> None:
    numbers = [f"+1415555{i:04d}" for i in range(300)]
    portal.seed_contacts([{"phone": number} for number in numbers])
    runs = deliver(service_key=portal.add_service_key(), requests_per_10_seconds=100)

    counts = runs(*(a_call(id=f"call-{i}", customer_number=n) for i, n in enumerate(numbers)))

    assert counts == {"created": 300}
    assert len(portal.notes()) == 300
    assert len({note["associations"]["contacts"][0] for note in portal.notes()}) == 300
    assert sum(portal.counts().values()) <= 14


@pytest.mark.parametrize("unique", [True, False], ids=["unique property", "visible id"])
def test_a_create_whose_answer_was_lost_is_found_and_not_written_again(
    unique: bool,
    deliver: Callable[..., Deliveries],
    portal: Simulator,
    a_call: Callable[..., Call],
) -> None:
    portal.settings.unique_properties_on_activities = unique
    runs = deliver()
    portal.add_fault("reset_after", path=CREATE)

    counts = runs(a_call())

    assert counts == {"created": 1}
    assert len(portal.notes()) == 1


@pytest.mark.parametrize("unique", [True, False], ids=["unique property", "visible id"])
def test_a_lost_create_that_cannot_be_looked_up_now_is_looked_up_next_time(
    unique: bool,
    deliver: Callable[..., Deliveries],
    portal: Simulator,
    a_call: Callable[..., Call],
) -> None:
    portal.settings.unique_properties_on_activities = unique
    runs = deliver()
    portal.add_fault("reset_after", path=CREATE)
    portal.add_fault("error", status=503, path="*/batch/read", times=None)

    first = runs(a_call())
    portal.clear_faults()
    runs.later_s = 3600
    second = runs()

    assert first == {"answer_lost": 1}
    assert second == {"unchanged": 1} or second == {"updated": 1}
    assert len(portal.notes()) == 1


def test_a_create_that_never_arrived_is_written_next_time(
    deliver: Callable[..., Deliveries], portal: Simulator, a_call: Callable[..., Call]
) -> None:
    runs = deliver()
    portal.add_fault("reset_before", path=CREATE)

    first = runs(a_call())
    runs.later_s = 3600
    second = runs()

    assert first == {"answer_lost": 1}
    assert second == {"created": 1}
    assert len(portal.notes()) == 1


def test_one_bad_call_of_a_batch_leaves_the_others_alone(
    deliver: Callable[..., Deliveries], portal: Simulator, a_call: Callable[..., Call]
) -> None:
    runs = deliver()
    portal.add_fault("partial", path=CREATE, fail_count=1, status=400)

    counts = runs(*(a_call(id=f"call-{i}") for i in range(10)))

    assert counts == {"created": 9, "rejected": 1}
    assert len(portal.notes()) == 9


def test_a_batch_refused_whole_is_split_until_the_bad_call_stands_alone(
    deliver: Callable[..., Deliveries], portal: Simulator, a_call: Callable[..., Call]
) -> None:
    runs = deliver()
    portal.add_fault("error", status=400, path=CREATE, times=3)

    counts = runs(*(a_call(id=f"call-{i}") for i in range(4)))

    assert counts == {"created": 3, "rejected": 1}
    assert len(portal.notes()) == 3


def test_an_unconnected_workspace_waits_until_it_connects(
    deliver: Callable[..., Deliveries],
    portal: Simulator,
    a_call: Callable[..., Call],
    tmp_path: Path,
) -> None:
    runs = deliver(service_key=None)

    first = runs(a_call())
    engine = open_database(runs.settings.store_url)
    vault = load_vault(None, runs.settings.key_file, create=False)
    Connections(engine, vault).add_service_key(
        "dana", "harbor-dental", portal.add_service_key(DEFAULT_PORTAL)
    )
    second = runs()

    assert first == {"not_connected": 1}
    assert second == {"created": 1}


def test_the_history_tells_a_number_in_e164_by_the_region_of_the_settings(
    deliver: Callable[..., Deliveries], a_call: Callable[..., Call]
) -> None:
    runs = deliver(default_region="US")

    runs(a_call(customer_number="(415) 555-0123"))

    assert runs.history("phone_number, reason") == [("+14155550123", "created")]


def test_a_call_put_aside_for_want_of_a_key_is_taken_up_by_a_running_one_that_has_it(
    deliver: Callable[..., Deliveries],
    portal: Simulator,
    a_call: Callable[..., Call],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("target_hubspot_calls.delivery.deliver.WAKE_GIVEN_S", 0.2)
    monkeypatch.setattr("target_hubspot_calls.delivery.worker.IDLE_LOOK_S", 0.1)
    served = deliver(batch_wait_s=0.1)
    serving = Run(served.settings)
    try:
        serving.accept([a_call(id="first")], [])
        wait_until(lambda: serving.tally.by_reason["created"] == 1)

        another = Deliveries.of(portal, served.settings.data_dir.parent)
        # Due by its own clock alone, so that it is the one that puts the call aside.
        another.later_s = 3600
        without = another(a_call(id="second"))
        wait_until(lambda: serving.tally.by_reason["created"] == 2)
    finally:
        serving.stop(5)
        serving.close()

    assert without == {"not_connected": 1}


def test_a_dead_key_is_not_asked_with_again_and_again(
    deliver: Callable[..., Deliveries],
    portal: Simulator,
    a_call: Callable[..., Call],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("target_hubspot_calls.delivery.deliver.WAKE_GIVEN_S", 0.05)
    monkeypatch.setattr("target_hubspot_calls.delivery.worker.IDLE_LOOK_S", 0.05)
    serving = Run(deliver(service_key="pat-na1-dead-key", batch_wait_s=0.1).settings)
    try:
        serving.accept([a_call()], [])
        wait_until(lambda: serving.tally.by_reason["reconnect_required"] == 1)
        time.sleep(0.5)
    finally:
        serving.stop(5)
        serving.close()

    assert dict(serving.tally.by_reason) == {"reconnect_required": 1}


def wait_until(is_so: Callable[[], bool], within_s: float = 20.0) -> None:
    give_up_at = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < give_up_at
        time.sleep(0.02)


def test_workspaces_write_to_their_own_portals(
    deliver: Callable[..., Deliveries], portal: Simulator, a_call: Callable[..., Call]
) -> None:
    other = DEFAULT_PORTAL + 1
    portal.seed_contacts([{"id": "201", "properties": {"phone": "+14155550123"}}], other)
    runs = deliver(service_key=None)
    runs()
    engine = open_database(runs.settings.store_url)
    connections = Connections(engine, load_vault(None, runs.settings.key_file, create=False))
    connections.add_service_key("dana", "harbor-dental", portal.add_service_key(DEFAULT_PORTAL))
    connections.add_service_key("kim", "north", portal.add_service_key(other))

    counts = runs(a_call(), a_call(user_id="kim", workspace_id="north"))

    assert counts == {"created": 2}
    assert [n["associations"]["contacts"] for n in portal.notes(DEFAULT_PORTAL)] == [["101"]]
    assert [n["associations"]["contacts"] for n in portal.notes(other)] == [["201"]]


def test_a_broken_portal_does_not_hold_up_another_ones_calls(
    deliver: Callable[..., Deliveries], portal: Simulator, a_call: Callable[..., Call]
) -> None:
    other = DEFAULT_PORTAL + 1
    portal.seed_contacts([{"phone": "+14155550123"}], other)
    runs = deliver(service_key=None)
    runs()
    engine = open_database(runs.settings.store_url)
    connections = Connections(engine, load_vault(None, runs.settings.key_file, create=False))
    connections.add_service_key("dana", "harbor-dental", "pat-na1-unknown-key")
    connections.add_service_key("kim", "north", portal.add_service_key(other))

    counts = runs(a_call(), a_call(user_id="kim", workspace_id="north"))

    assert counts == {"created": 1, "reconnect_required": 1}


def test_an_operators_wrong_client_secret_ends_nobodys_connection(
    deliver: Callable[..., Deliveries], portal: Simulator, a_call: Callable[..., Call]
) -> None:
    portal.add_app("client-1", "client-secret-1")
    tokens = portal.issue_tokens(DEFAULT_PORTAL, "client-1")
    runs = deliver(service_key=None, client_id="client-1", client_secret="mistyped")
    runs()
    engine = open_database(runs.settings.store_url)
    connections = Connections(engine, load_vault(None, runs.settings.key_file, create=False))
    connections.add_oauth(
        "dana",
        "harbor-dental",
        TokenSet("stale", tokens["refresh_token"], expires_at=datetime(2026, 1, 1, tzinfo=UTC)),
    )

    first = runs(a_call())
    found = connections.get("dana", "harbor-dental")
    mended = deliver(service_key=None, client_id="client-1", client_secret="client-secret-1")

    assert first == {"reconnect_required": 1}
    assert found is not None
    assert found.state == "active"
    assert mended() == {"created": 1}


def test_a_refresh_token_of_the_settings_is_enough(
    deliver: Callable[..., Deliveries], portal: Simulator, a_call: Callable[..., Call]
) -> None:
    portal.settings.rotate_refresh_tokens = True
    portal.add_app("client-1", "client-secret-1")
    tokens = portal.issue_tokens(DEFAULT_PORTAL, "client-1")
    runs = deliver(
        service_key=None,
        refresh_token=tokens["refresh_token"],
        client_id="client-1",
        client_secret="client-secret-1",
    )

    first = runs(a_call(id="one"))
    portal.expire_tokens()
    runs.later_s = 1900
    second = runs(a_call(id="two"))

    assert (first, second) == ({"created": 1}, {"created": 1})


def test_call_engagements_are_written_when_asked_for(
    deliver: Callable[..., Deliveries], portal: Simulator, a_call: Callable[..., Call]
) -> None:
    runs = deliver(activity_type="call")

    counts = runs(a_call())

    assert counts == {"created": 1}
    (call,) = portal.calls()
    assert call["properties"]["hs_call_duration"] == "75600"
    assert call["associations"] == {"contacts": ["101"]}


@pytest.mark.parametrize("unique", [True, False], ids=["unique property", "visible id"])
def test_call_ids_of_any_kind_are_written_once_and_found_again(
    unique: bool,
    deliver: Callable[..., Deliveries],
    portal: Simulator,
    a_call: Callable[..., Call],
) -> None:
    portal.settings.unique_properties_on_activities = unique
    ids = [
        "'; drop table calls;--",
        '"quoted" <b>bold</b> &amp; {0.__class__} {{7*7}} %s',
        "Anrufe/2026?x=1#y",
        "تماس-2 📞",
        "x" * 200,
    ]
    runs = deliver()
    portal.add_fault("reset_after", path=CREATE)

    counts = runs(*(a_call(id=call_id) for call_id in ids))
    again = runs(*(a_call(id=call_id) for call_id in ids))

    assert (counts, again) == ({"created": len(ids)}, {})
    assert len(portal.notes()) == len(ids)
    assert sorted(runs.history("call_id")) == sorted((call_id,) for call_id in ids)


def test_a_sync_log_that_cannot_be_written_delays_history_and_no_delivery(
    deliver: Callable[..., Deliveries],
    portal: Simulator,
    a_call: Callable[..., Call],
    tmp_path: Path,
) -> None:
    blocked = tmp_path / "blocked.duckdb"
    blocked.mkdir()
    runs = deliver(sync_log=blocked)

    counts = runs(a_call())
    blocked.rmdir()
    runs()

    assert counts == {"created": 1}
    assert runs.history() == [(CALL_ID, "success", "created")]


def test_a_look_that_costs_much_is_seldom_taken_while_there_is_work(
    deliver: Callable[..., Deliveries],
    portal: Simulator,
    a_call: Callable[..., Call],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    portal.add_fault("delay", path=CREATE, delay_s=1.5)
    looked_at: list[float] = []
    look = Ledger.due_workspaces

    def slow_look(ledger: Ledger, **options: Any) -> list[Workspace]:
        looked_at.append(time.monotonic())
        time.sleep(0.1)
        return look(ledger, **options)

    monkeypatch.setattr(Ledger, "due_workspaces", slow_look)

    counts = deliver()(a_call(recording_url=None))

    # One that finds the call, and then none for ten times what it took; one in 0.2 s otherwise. The
    # last comes when there is no work any more.
    assert counts == {"created": 1}
    assert len(looked_at) > 1
    assert all(later - at >= 0.9 for at, later in pairwise(looked_at[:-1]))


def test_what_a_look_has_found_is_begun_as_soon_as_there_is_room(
    deliver: Callable[..., Deliveries],
    portal: Simulator,
    a_call: Callable[..., Call],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # While the slow one goes on, the others have one place among them, and nobody looks again.
    monkeypatch.setattr("target_hubspot_calls.delivery.deliver.JOBS_AT_ONCE", 2)
    monkeypatch.setattr("target_hubspot_calls.delivery.deliver.LOOK_PAUSES", 1e9)
    began = time.monotonic()
    deliveries = deliver(service_key=None)
    deliveries()
    engine = open_database(deliveries.settings.store_url)
    connections = Connections(engine, load_vault(None, deliveries.settings.key_file, create=True))
    calls = []
    for number in range(6):
        portal_id = DEFAULT_PORTAL + number
        portal.seed_contacts([{"phone": "(415) 555-0123"}], portal_id)
        connections.add_service_key("dana", f"w{number}", portal.add_service_key(portal_id))
        calls.append(a_call(id=f"c{number}", workspace_id=f"w{number}", recording_url=None))
    engine.dispose()
    portal.add_fault("delay", path=CREATE, portal_id=DEFAULT_PORTAL, delay_s=3.0)
    run = Run(deliveries.settings)
    run.accept(calls, [])

    run.finish(until=lambda: len(notes_of_all(portal)) == 5 or time.monotonic() > began + 20)
    is_slow_one_written = bool(portal.notes(DEFAULT_PORTAL))
    run.finish(until=lambda: False)
    run.close()

    assert not is_slow_one_written
    assert len(notes_of_all(portal)) == 6


def notes_of_all(portal: Simulator) -> list[Any]:
    return [note for number in range(6) for note in portal.notes(DEFAULT_PORTAL + number)]
