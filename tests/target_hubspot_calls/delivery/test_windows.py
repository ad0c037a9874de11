"""The narrow windows in which a call could be written twice, each opened on purpose.

All of them in both ways a portal may work: with a property that refuses a call id twice, and
without, where only the visible call id tells.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hubspot_simulator import DEFAULT_PORTAL, Simulator
from target_hubspot_calls.call import Call
from target_hubspot_calls.clock import Clock
from target_hubspot_calls.delivery import deliver as deliver_module
from target_hubspot_calls.delivery.round import LATE_WRITE_S
from target_hubspot_calls.delivery.run import Run
from target_hubspot_calls.engagement import call_id_of_body
from target_hubspot_calls.store.ledger import Ledger
from tests.target_hubspot_calls.delivery.conftest import Deliveries

CREATE = "/crm/objects/2026-09/notes/batch/create"
UPDATE = "/crm/objects/2026-09/notes/batch/update"


@pytest.fixture(params=[True, False], ids=["unique property", "visible id"], autouse=True)
def unique(request: pytest.FixtureRequest, portal: Simulator) -> bool:
    portal.settings.unique_properties_on_activities = request.param
    return bool(request.param)


def notes_by_call(portal: Simulator) -> Counter[str | None]:
    bodies = [note["properties"]["hs_note_body"] for note in portal.notes()]
    return Counter(call_id_of_body(body) for body in bodies)


def heal(portal: Simulator, runs: Deliveries) -> None:
    """Ends all faults and runs until nothing can be left to do."""
    portal.clear_faults()
    for _ in range(4):
        runs.later_s += 90_000
        runs()


def test_a_split_batch_that_ends_in_a_refusal_keeps_what_was_written(
    deliver: Callable[..., Deliveries], portal: Simulator, a_call: Callable[..., Call]
) -> None:
    runs = deliver()
    portal.add_fault("error", status=400, path=CREATE)
    portal.add_fault("rate_limited", policy="DAILY", path=CREATE, nth=2)

    first = runs(*(a_call(id=f"call-{i}") for i in range(4)))
    heal(portal, runs)

    assert first == {"created": 2, "daily_limit": 2}
    assert notes_by_call(portal) == Counter({f"call-{i}": 1 for i in range(4)})


def test_a_refused_update_leaves_a_create_in_flight_to_be_heard(
    deliver: Callable[..., Deliveries], portal: Simulator, a_call: Callable[..., Call]
) -> None:
    runs = deliver()
    runs(a_call(id="old", summary=None))
    portal.add_fault("rate_limited", policy="DAILY", path=UPDATE)
    portal.add_fault("delay", path=CREATE, delay_after_s=0.5)

    runs(a_call(id="old"), a_call(id="new"))
    heal(portal, runs)

    assert notes_by_call(portal) == Counter({"old": 1, "new": 1})


def test_a_write_announced_before_the_portal_had_the_property_is_found(
    deliver: Callable[..., Deliveries], portal: Simulator, a_call: Callable[..., Call]
) -> None:
    portal.settings.unique_properties_on_activities = False
    runs = deliver()
    portal.add_fault("reset_after", path=CREATE)
    portal.add_fault("error", status=503, path="*/batch/read", times=None)
    runs(a_call(id="c1"))
    portal.settings.unique_properties_on_activities = True

    heal(portal, runs)

    assert notes_by_call(portal) == Counter({"c1": 1})


def test_a_create_hubspot_is_still_working_on_is_not_sent_again(
    deliver: Callable[..., Deliveries],
    portal: Simulator,
    a_call: Callable[..., Call],
    unique: bool,
) -> None:
    runs = deliver()
    portal.add_fault("reset_before", path=CREATE)

    first = runs(a_call(id="c1"))
    runs.later_s = LATE_WRITE_S - 20
    soon = runs()
    runs.later_s = 2 * LATE_WRITE_S + 60
    later = runs()

    assert first == {"answer_lost": 1}
    assert soon == ({"created": 1} if unique else {"answer_lost": 1})
    assert later == ({} if unique else {"created": 1})
    assert notes_by_call(portal) == Counter({"c1": 1})


def test_a_create_on_a_newly_matched_contact_is_announced_there(
    deliver: Callable[..., Deliveries],
    portal: Simulator,
    a_call: Callable[..., Call],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (other,) = portal.seed_contacts([{"phone": "+14155550123"}])
    announced: list[dict[str, str]] = []
    original = Ledger.announce

    def announce(self: Ledger, claims: Any, contact_ids: Any, *args: Any, **options: Any) -> Any:
        announced.append(dict(contact_ids))
        return original(self, claims, contact_ids, *args, **options)

    monkeypatch.setattr(Ledger, "announce", announce)
    state = portal.portal()
    checked = state.checked

    def archive_then_check(*arguments: Any, **options: Any) -> Any:
        portal.archive_contact("101")
        return checked(*arguments, **options)

    state.checked = archive_then_check  # type: ignore[method-assign]

    deliver()(a_call(id="c1"))

    assert announced == [{"c1": "101"}, {"c1": other}]
    assert notes_by_call(portal) == Counter({"c1": 1})


def test_a_run_does_not_claim_again_what_it_is_writing(
    deliver: Callable[..., Deliveries],
    portal: Simulator,
    a_call: Callable[..., Call],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(deliver_module, "CLAIMED_AT_ONCE", 1)
    runs = deliver()
    portal.add_fault("delay", path=CREATE, delay_after_s=1.0)
    clock = Clock(now=runs.now, random=lambda: 0.0)
    run = Run(runs.settings, clock=clock)
    run.accept([a_call(id=f"c{i}") for i in range(3)], [])

    def step() -> bool:
        runs.later_s = 400 if "POST /crm/objects/notes/batch/create" in portal.counts() else 0
        return False

    run.finish(until=step)
    run.close()

    assert notes_by_call(portal) == Counter({"c0": 1, "c1": 1, "c2": 1})


def test_calls_written_as_notes_stay_notes_when_the_setting_changes(
    deliver: Callable[..., Deliveries], portal: Simulator, a_call: Callable[..., Call]
) -> None:
    deliver()(a_call(id="c1", summary=None))

    counts = deliver(activity_type="call")(a_call(id="c1"), a_call(id="c2"))

    assert counts == {"updated": 1, "created": 1}
    assert notes_by_call(portal) == Counter({"c1": 1})
    assert len(portal.calls()) == 1


def test_a_lost_note_is_looked_for_among_notes_when_the_setting_changes(
    deliver: Callable[..., Deliveries], portal: Simulator, a_call: Callable[..., Call]
) -> None:
    runs = deliver()
    portal.add_fault("reset_after", path=CREATE)
    portal.add_fault("error", status=503, path="*/batch/read", times=None)
    runs(a_call(id="c1"))

    heal(portal, deliver(activity_type="call"))

    assert notes_by_call(portal) == Counter({"c1": 1})
    assert portal.calls() == []


def test_a_migrating_portal_is_called_that_by_every_call(
    deliver: Callable[..., Deliveries],
    portal: Simulator,
    a_call: Callable[..., Call],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(deliver_module, "CLAIMED_AT_ONCE", 2)
    portal.add_app("client-1", "client-secret-1")
    tokens = portal.issue_tokens(DEFAULT_PORTAL, "client-1")
    runs = deliver(
        service_key=None,
        refresh_token=tokens["refresh_token"],
        client_id="client-1",
        client_secret="client-secret-1",
    )
    portal.add_fault("migrating", path="*/contacts/search", times=None)

    counts = runs(*(a_call(id=f"c{i}") for i in range(7)))
    heal(portal, runs)

    assert counts == {"account_migrating": 7}
    assert notes_by_call(portal) == Counter({f"c{i}": 1 for i in range(7)})


def test_a_call_hubspot_has_already_is_brought_up_to_date(
    deliver: Callable[..., Deliveries],
    portal: Simulator,
    a_call: Callable[..., Call],
    tmp_path: Path,
) -> None:
    portal.settings.unique_properties_on_activities = True
    deliver(data_dir=tmp_path / "lost store")(a_call(id="c1", summary=None))

    counts = deliver()(a_call(id="c1"))

    assert counts == {"created": 1}
    assert notes_by_call(portal) == Counter({"c1": 1})
    assert "moved a cleaning to Friday" in portal.notes()[0]["properties"]["hs_note_body"]
