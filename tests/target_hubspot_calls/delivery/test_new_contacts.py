"""Contacts that are missing, and contacts that go away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hubspot_simulator import Simulator
from target_hubspot_calls.call import Call
from tests.target_hubspot_calls.delivery.conftest import Deliveries

UNKNOWN = "+12025550199"
CREATE_CONTACT = "/crm/objects/2026-09/contacts"


def contacts_with(portal: Simulator, number: str) -> list[str]:
    return [c["id"] for c in portal.contacts() if c["properties"].get("phone") == number]


def archive_before_the_first_write(portal: Simulator, contact_id: str) -> None:
    """Deletes the contact when the first note arrives, after the search has found it."""
    state = portal.portal()
    original = state.checked

    def archive_then_check(*arguments: Any, **options: Any) -> Any:
        portal.archive_contact(contact_id)
        return original(*arguments, **options)

    state.checked = archive_then_check  # type: ignore[method-assign]


def test_a_missing_contact_is_created_once_for_all_its_calls(
    deliver: Callable[..., Deliveries], portal: Simulator, a_call: Callable[..., Call]
) -> None:
    portal.settings.index_lag_s = 3600
    runs = deliver(missing_contact="create")

    counts = runs(*(a_call(id=f"call-{i}", customer_number=UNKNOWN) for i in range(3)))

    (contact_id,) = contacts_with(portal, UNKNOWN)
    assert counts == {"created": 3}
    assert {tuple(n["associations"]["contacts"]) for n in portal.notes()} == {(contact_id,)}
    assert {row[0] for row in runs.history("contact_match")} == {"contact created for this number"}


def test_a_contact_the_index_does_not_show_yet_is_not_created_again_by_the_next_run(
    deliver: Callable[..., Deliveries], portal: Simulator, a_call: Callable[..., Call]
) -> None:
    portal.settings.index_lag_s = 3600
    runs = deliver(missing_contact="create")
    runs(a_call(id="one", customer_number=UNKNOWN))

    counts = runs(a_call(id="two", customer_number=UNKNOWN))

    assert counts == {"created": 1}
    assert len(contacts_with(portal, UNKNOWN)) == 1


def test_a_contact_whose_creation_was_not_answered_is_searched_for_later(
    deliver: Callable[..., Deliveries], portal: Simulator, a_call: Callable[..., Call]
) -> None:
    runs = deliver(missing_contact="create")
    portal.add_fault("reset_after", method="POST", path=CREATE_CONTACT)

    first = runs(a_call(customer_number=UNKNOWN))
    at_once = runs()
    runs.later_s = 3600
    later = runs()

    assert (first, at_once, later) == ({"answer_lost": 1}, {}, {"created": 1})
    assert len(contacts_with(portal, UNKNOWN)) == 1


def test_a_contact_whose_creation_never_arrived_is_created_later(
    deliver: Callable[..., Deliveries], portal: Simulator, a_call: Callable[..., Call]
) -> None:
    runs = deliver(missing_contact="create")
    portal.add_fault("reset_before", method="POST", path=CREATE_CONTACT)

    first = runs(a_call(customer_number=UNKNOWN))
    runs.later_s = 3600
    later = runs()

    assert (first, later) == ({"answer_lost": 1}, {"created": 1})
    assert len(contacts_with(portal, UNKNOWN)) == 1


def test_a_contact_hubspot_refuses_is_the_calls_outcome(
    deliver: Callable[..., Deliveries], portal: Simulator, a_call: Callable[..., Call]
) -> None:
    runs = deliver(missing_contact="create")
    portal.add_fault("error", status=400, method="POST", path=CREATE_CONTACT)

    counts = runs(a_call(customer_number=UNKNOWN))

    assert counts == {"rejected": 1}


def test_no_contact_is_created_unless_asked_for(
    deliver: Callable[..., Deliveries], portal: Simulator, a_call: Callable[..., Call]
) -> None:
    counts = deliver()(a_call(customer_number=UNKNOWN))

    assert counts == {"contact_not_found": 1}
    assert contacts_with(portal, UNKNOWN) == []


def test_a_contact_deleted_between_match_and_write_is_matched_again(
    deliver: Callable[..., Deliveries], portal: Simulator, a_call: Callable[..., Call]
) -> None:
    (other,) = portal.seed_contacts([{"phone": "+14155550123"}])
    runs = deliver()
    archive_before_the_first_write(portal, "101")

    counts = runs(a_call())

    assert counts == {"created": 1}
    (note,) = portal.notes()
    assert note["associations"] == {"contacts": [other]}


def test_a_call_whose_contact_has_gone_without_another_one_says_so(
    deliver: Callable[..., Deliveries], portal: Simulator, a_call: Callable[..., Call]
) -> None:
    runs = deliver()
    archive_before_the_first_write(portal, "101")

    counts = runs(a_call())

    assert counts == {"contact_not_found": 1}
    assert portal.notes() == []
