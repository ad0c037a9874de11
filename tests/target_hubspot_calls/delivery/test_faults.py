"""HubSpot at its worst, seen from whole runs: waits are kept, no call is lost, no other waits."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from hubspot_simulator import DEFAULT_PORTAL, Simulator
from target_hubspot_calls.call import Call
from target_hubspot_calls.store.connections import Connections
from target_hubspot_calls.store.database import open_database
from target_hubspot_calls.store.vault import load_vault
from target_hubspot_calls.tokens import TokenSet
from tests.target_hubspot_calls.delivery.conftest import ClockThatSleepsMove, Deliveries

OTHER = DEFAULT_PORTAL + 1
CREATE = "*/notes/batch/create"
SEARCH = "*/contacts/search"


def connections_of(runs: Deliveries) -> Connections:
    engine = open_database(runs.settings.store_url)
    return Connections(engine, load_vault(None, runs.settings.key_file, create=False))


@pytest.mark.parametrize(
    ("fault", "retry_after_s", "wait_s"),
    [
        ({"action": "rate_limited", "policy": "DAILY"}, None, 3600),
        ({"action": "rate_limited", "policy": "DAILY"}, 7200, 7200),
        ({"action": "migrating"}, 7200, 7200),
    ],
    ids=["DAILY", "DAILY with Retry-After", "477"],
)
def test_a_parked_portal_is_asked_nothing_before_its_time(
    fault: dict[str, Any],
    retry_after_s: float | None,
    wait_s: float,
    deliver: Callable[..., Deliveries],
    portal: Simulator,
    a_call: Callable[..., Call],
    quick_pace: object,
) -> None:
    runs = deliver()
    portal.add_fault(path=SEARCH, times=None, retry_after_s=retry_after_s, **fault)
    runs(a_call(id="one"))
    portal.clear_faults()
    portal.clear_requests()

    runs.later_s = wait_s - 60
    early = runs()
    asked_early = portal.requests()
    runs.later_s = wait_s + 60
    later = runs()

    assert (early, asked_early) == ({}, [])
    assert later == {"created": 1}


@pytest.mark.parametrize("path", [SEARCH, CREATE], ids=["search", "create"])
@pytest.mark.parametrize("retry_after_s", [None, 7], ids=["blind", "Retry-After"])
def test_a_full_window_is_waited_out_in_place_as_long_as_hubspot_asks(
    path: str,
    retry_after_s: float | None,
    deliver: Callable[..., Deliveries],
    portal: Simulator,
    a_call: Callable[..., Call],
    quick_pace: object,
) -> None:
    runs = deliver()
    policy = "SECONDLY" if path == SEARCH else "TEN_SECONDLY_ROLLING"
    portal.add_fault("rate_limited", policy=policy, path=path, retry_after_s=retry_after_s)
    wait_s = retry_after_s or (1 if path == SEARCH else 10)

    counts = runs(a_call())

    assert counts == {"created": 1}
    assert [wait for wait in runs.waits if wait_s <= wait <= wait_s * 1.1]
    assert len(portal.notes()) == 1


def test_a_backlog_passes_no_window_and_is_never_refused(
    tmp_path: Path, a_call: Callable[..., Call], quick_pace: ClockThatSleepsMove
) -> None:
    numbers = [f"+1415555{i:04d}" for i in range(900)]
    with Simulator(
        clock=lambda: 1_800_000_000 + quick_pace.seconds, service_key_requests_per_10_s=8
    ) as portal:
        portal.seed_contacts([{"phone": number} for number in numbers])
        runs = Deliveries.of(
            portal,
            tmp_path,
            requests_per_10_seconds=8,
            searches_per_second=2,
            service_key=portal.add_service_key(),
        )

        counts = runs(*(a_call(id=f"call-{i}", customer_number=n) for i, n in enumerate(numbers)))

        rates = portal.state.rates
        assert counts == {"created": 900}
        assert portal.requests(status=429) == []
        assert rates.offered_peak("TEN_SECONDLY_ROLLING") <= 8
        # Few enough that they meet their own limit before the other one stops them.
        assert rates.offered_peak("SECONDLY") == 2
        assert quick_pace.seconds >= 10, "the backlog never met a limit"


def test_a_portal_that_is_down_is_not_asked_once_for_every_call(
    deliver: Callable[..., Deliveries], portal: Simulator, a_call: Callable[..., Call]
) -> None:
    runs = deliver()
    portal.add_fault("error", status=503, times=None)

    counts = runs(*(a_call(id=f"call-{i}") for i in range(1000)))

    assert counts == {"unavailable": 1000}
    assert sum(portal.counts().values()) <= 12


@pytest.mark.parametrize(
    "fault",
    [
        {"action": "error", "status": 503},
        {"action": "rate_limited", "policy": "DAILY"},
        {"action": "migrating"},
        {"action": "missing_scopes"},
        {"action": "invalid_token"},
    ],
    ids=lambda fault: fault["action"],
)
def test_whatever_one_portal_answers_another_ones_calls_go_on(
    fault: dict[str, Any],
    deliver: Callable[..., Deliveries],
    portal: Simulator,
    a_call: Callable[..., Call],
    quick_pace: object,
) -> None:
    portal.seed_contacts([{"phone": "+14155550123"}], OTHER)
    runs = deliver(service_key=None)
    runs()
    connections = connections_of(runs)
    connections.add_service_key("dana", "harbor-dental", portal.add_service_key(DEFAULT_PORTAL))
    connections.add_service_key("kim", "north", portal.add_service_key(OTHER))
    portal.add_fault(portal_id=DEFAULT_PORTAL, times=None, **fault)

    runs(
        *(a_call(id=f"here-{i}") for i in range(3)),
        *(a_call(id=f"there-{i}", user_id="kim", workspace_id="north") for i in range(3)),
    )

    assert len(portal.notes(OTHER)) == 3
    assert portal.notes(DEFAULT_PORTAL) == []
    assert {row[0] for row in runs.history("call_id") if row[0].startswith("here")} == {
        "here-0",
        "here-1",
        "here-2",
    }


def test_a_rotated_refresh_token_whose_answer_was_lost_takes_a_person_and_no_call(
    deliver: Callable[..., Deliveries], portal: Simulator, a_call: Callable[..., Call]
) -> None:
    portal.settings.rotate_refresh_tokens = True
    portal.add_app("client-1", "client-secret-1")
    runs = deliver(service_key=None, client_id="client-1", client_secret="client-secret-1")
    runs()
    connections = connections_of(runs)

    def connect(expires_in_s: int) -> None:
        issued = portal.issue_tokens(DEFAULT_PORTAL, "client-1")
        expires_at = runs.now() + timedelta(seconds=expires_in_s)
        connections.add_oauth(
            "dana",
            "harbor-dental",
            TokenSet(
                issued["access_token"],
                refresh_token=issued["refresh_token"],
                expires_at=expires_at,
            ),
        )

    connect(expires_in_s=10)
    portal.add_fault("reset_after", path="/oauth/*")

    lost = runs(a_call())
    connect(expires_in_s=1800)
    reconnected = runs()

    assert lost in ({"reconnect_required": 1}, {"unavailable": 1})
    assert reconnected == {"created": 1}
    assert len(portal.notes()) == 1


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        (CREATE, {"action": "huge", "size_bytes": 21_000_000}),
        (SEARCH, {"action": "gzip_bomb", "size_bytes": 21_000_000}),
        (CREATE, {"action": "html", "status": 200}),
        (SEARCH, {"action": "redirect", "status": 302}),
        (CREATE, {"action": "redirect", "status": 307}),
        ("*/details", {"action": "redirect", "status": 308}),
    ],
    ids=str,
)
def test_an_answer_that_is_none_costs_no_call_and_no_token(
    fault: dict[str, Any],
    path: str,
    deliver: Callable[..., Deliveries],
    portal: Simulator,
    a_call: Callable[..., Call],
    quick_pace: object,
) -> None:
    runs = deliver()
    with Simulator() as elsewhere:
        location = f"{elsewhere.url}/crm/objects/2026-09/contacts/search"
        portal.add_fault(path=path, location=location, **fault)

        runs(a_call())
        portal.clear_faults()
        runs.later_s = 3600
        runs()

        assert elsewhere.requests() == []
    assert len(portal.notes()) == 1
    assert runs.history("status")[-1] == ("success",)


@pytest.mark.parametrize("unique", [True, False], ids=["unique property", "visible id"])
def test_a_lost_note_is_found_although_the_search_does_not_show_it_yet(
    unique: bool,
    deliver: Callable[..., Deliveries],
    portal: Simulator,
    a_call: Callable[..., Call],
) -> None:
    portal.settings.unique_properties_on_activities = unique
    runs = deliver()
    portal.settings.index_lag_s = 3600
    portal.add_fault("reset_after", path=CREATE)

    counts = runs(a_call())

    assert counts == {"created": 1}
    assert len(portal.notes()) == 1
    assert "POST /crm/objects/notes/search" not in portal.counts()


@pytest.mark.parametrize("contacts", [0, 2, 201])
def test_any_number_of_contacts_with_one_number_makes_one_note_or_says_why(
    contacts: int, tmp_path: Path, a_call: Callable[..., Call]
) -> None:
    with Simulator() as portal:
        ids = portal.seed_contacts(
            [
                {"phone": "+14155550123", "createdate": f"2026-01-01T00:{i // 60:02}:{i % 60:02}Z"}
                for i in range(contacts)
            ]
        )
        runs = Deliveries.of(portal, tmp_path, service_key=portal.add_service_key())

        runs(a_call())

        written = [note["associations"]["contacts"] for note in portal.notes()]
        assert written == ([[ids[0]]] if contacts else [])
        ((reason, rule),) = runs.history("reason, contact_match")
        assert reason == ("created" if contacts else "contact_not_found")
        assert contacts < 2 or f"oldest of {contacts}" in rule


@pytest.mark.parametrize("path", [CREATE, SEARCH], ids=["create", "search"])
def test_a_workspace_disconnected_in_the_middle_of_its_calls_has_them_wait(
    path: str, deliver: Callable[..., Deliveries], portal: Simulator, a_call: Callable[..., Call]
) -> None:
    runs = deliver(service_key=None)
    runs()
    connections = connections_of(runs)
    key = portal.add_service_key(DEFAULT_PORTAL)
    connections.add_service_key("dana", "harbor-dental", key)
    # Before the same request is sent again, somebody disconnects.
    portal.add_fault("locked", path=path)

    async def disconnect(seconds: float) -> None:
        connections.remove("dana", "harbor-dental")

    runs._sleep = disconnect  # type: ignore[method-assign]
    meanwhile = runs(a_call())
    del runs._sleep  # type: ignore[method-assign]
    connections.add_service_key("dana", "harbor-dental", key)
    runs.later_s = 3600
    reconnected = runs()

    assert meanwhile == {"not_connected": 1}
    assert reconnected == {"created": 1}
    assert len(portal.notes()) == 1


def test_a_create_that_was_held_back_and_lost_is_waited_for_from_its_loss_on(
    deliver: Callable[..., Deliveries], portal: Simulator, a_call: Callable[..., Call]
) -> None:
    portal.settings.unique_properties_on_activities = False
    runs = deliver()
    portal.add_fault("locked", path=CREATE)
    portal.add_fault("reset_before", path=CREATE)

    async def hold_back(seconds: float) -> None:
        runs.later_s = 100

    runs._sleep = hold_back  # type: ignore[method-assign]
    lost = runs(a_call(recording_url=None))
    runs.later_s = 150
    early = runs()
    runs.later_s = 300
    later = runs()

    assert (lost, early) == ({"answer_lost": 1}, {"answer_lost": 1})
    assert later == {"created": 1}
