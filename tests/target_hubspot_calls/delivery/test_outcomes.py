"""Each row of the outcome table, brought about by HubSpot or by the record, as the sync log has it.

What the row must say comes from docs/outcomes.md, which tests/docs holds equal to the code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from hubspot_simulator import DEFAULT_PORTAL, Simulator
from target_hubspot_calls.call import Call
from target_hubspot_calls.delivery.run import Run
from target_hubspot_calls.store.ledger_rows import RefusedRecord
from tests.documents import ROOT, codes_in, rows_of
from tests.target_hubspot_calls.delivery.conftest import Deliveries

KEY = "pat-na1-canary-of-the-service-key"
OAUTH = {
    "service_key": None,
    "client_id": "client-1",
    "client_secret": "canary-of-the-client-secret",
    "refresh_token": "canary-of-the-refresh-token",
}
SECRETS = (KEY, "canary", "Bearer", "The caller moved", "Friday, please", "4155550123", "555-0123")
SEARCH = "*/contacts/search"
CREATE = "*/notes/batch/create"
UPDATE = "*/notes/batch/update"
LOOK_UPS = "*/batch/read"
ECHOED = (
    'Property values were not valid: [{"isValid":false,"message":"The caller moved a cleaning'
    f' to Friday at ten. {KEY} was not valid","name":"hs_note_body"}}] for (415) 555-0123'
)


@dataclass(frozen=True)
class Scene:
    """What a case may change before its call is delivered."""

    runs: Deliveries
    portal: Simulator
    a_call: Callable[..., Call]


Step = Callable[[Scene], object]


def nothing(scene: Scene) -> None:
    """Leaves all as it is."""


def for_good(scene: Scene) -> None:
    """Nothing mends this by itself."""


@dataclass(frozen=True)
class Case:
    """How a reason comes about: settings, what happens before, and the call itself."""

    how: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    arrange: Step = nothing
    # What a person or HubSpot does so that a call that waits can go on.
    mend: Step = for_good


def fault(how: str, *faults: Mapping[str, Any], before: Step | None = None, **case: Any) -> Case:
    """A case in which HubSpot answers so until somebody mends it."""

    def add_faults(scene: Scene) -> None:
        if before is not None:
            before(scene)
        for details in faults:
            scene.portal.add_fault(**{"times": None, **details})

    case.setdefault("mend", lambda scene: scene.portal.clear_faults())
    return Case(how, arrange=add_faults, **case)


def limit(how: str, **limits: int) -> Case:
    """A case in which the portal's own limits are so low."""

    def lower(scene: Scene) -> None:
        scene.portal.settings.change({"rate_limits": True, **limits})

    def lift(scene: Scene) -> None:
        scene.portal.settings.rate_limits = False

    return Case(how, arrange=lower, mend=lift)


def delivered_before(**fields: Any) -> Step:
    """An earlier report of the call is in HubSpot already."""
    return lambda scene: scene.runs(scene.a_call(**fields))


def second_contact(scene: Scene) -> None:
    scene.portal.seed_contacts([{"phone": "+14155550123"}])


def uninstalled(scene: Scene) -> None:
    scene.portal.revoke()


def installed_again(scene: Scene) -> None:
    scene.portal.add_service_key(DEFAULT_PORTAL, key=KEY)


def key_without_scope(scene: Scene) -> None:
    scene.portal.add_service_key(key=KEY, scopes=("crm.objects.contacts.read",))


def demands_more_of_a_note(scene: Scene) -> None:
    scene.portal.portal().required_properties = {"notes": ("hubspot_owner_id",)}


CASES: dict[str, list[Case]] = {
    "created": [Case("a note")],
    "updated": [Case("a fuller report", arrange=delivered_before(summary=None))],
    "unchanged": [
        Case(
            "a report that shows nothing new",
            fields={"transcript": "AI: Harbor Dental. And more, which is not shown."},
            arrange=delivered_before(),
        )
    ],
    "contact_not_found": [Case("an unknown number", {"customer_number": "+12025550199"})],
    "no_phone_number": [Case("a web call", {"customer_number": None, "direction": "web"})],
    "invalid_phone_number": [Case("a fragment", {"customer_number": "+1"})],
    "ambiguous_contact": [
        Case("two contacts", settings={"ambiguous_contact": "skip"}, arrange=second_contact)
    ],
    "not_connected": [Case("no connection", settings={"service_key": None})],
    "invalid_record": [
        Case(
            "no time of any kind",
            dict.fromkeys(("started_at", "ended_at", "received_at", "updated_at")),
        )
    ],
    "rejected": [
        Case("a property the portal demands", arrange=demands_more_of_a_note),
        fault("one input of a batch", {"action": "partial", "path": CREATE, "message": ECHOED}),
        fault("409", {"action": "error", "status": 409, "path": CREATE, "message": ECHOED}),
    ],
    "rate_limited": [
        limit("no search left in this second", searches_per_s=0),
        limit("no request left in these ten seconds", service_key_requests_per_10_s=0),
        fault(
            "one input of a batch",
            {"action": "partial", "path": CREATE, "category": "RATE_LIMITS"},
        ),
    ],
    "unavailable": [
        fault("500", {"action": "error", "status": 500, "path": SEARCH}),
        fault("a reset search", {"action": "reset_before", "path": SEARCH}),
        fault("an HTML page", {"action": "html", "path": SEARCH}),
        fault("a redirect", {"action": "redirect", "path": CREATE}),
        fault("at the door", {"action": "error", "status": 503, "path": "*/details"}),
        fault(
            "an update",
            {"action": "error", "status": 503, "path": UPDATE},
            before=delivered_before(summary=None),
        ),
    ],
    "answer_lost": [
        fault(
            f"a create, {action}",
            {"action": action, "path": CREATE, "times": 1, **details},
            {"action": "error", "status": 503, "path": LOOK_UPS},
        )
        for action, details in (
            ("reset_after", {}),
            ("reset_before", {}),
            ("html", {"status": 200}),
            ("error", {"status": 504}),
        )
    ],
    "locked": [fault("423", {"action": "locked", "path": CREATE})],
    "daily_limit": [
        limit("the day's requests are used up", requests_per_day=3),
        fault("the policy", {"action": "rate_limited", "policy": "DAILY", "path": CREATE}),
    ],
    "account_migrating": [fault("477", {"action": "migrating", "path": SEARCH})],
    "reconnect_required": [
        Case("the app was taken off", arrange=uninstalled, mend=installed_again),
        Case("a refresh token that is none", settings=OAUTH),
        fault("refused in mid-run", {"action": "invalid_token", "path": CREATE}),
    ],
    "missing_scope": [
        Case("a key without it", arrange=key_without_scope, mend=installed_again),
        fault("refused in mid-run", {"action": "missing_scopes", "path": CREATE}),
    ],
}
TABLE = {
    reason: (row[1], row[2] not in ("-", "no"))
    for row in rows_of((ROOT / "docs" / "outcomes.md").read_text("utf-8"), "Reasons")
    for reason in codes_in(row[0])
}
PARAMETERS = [
    pytest.param(reason, case, id=f"{reason}: {case.how}")
    for reason, cases in CASES.items()
    for case in cases
]


def test_every_row_of_the_outcome_table_has_a_case() -> None:
    assert sorted(CASES) == sorted(TABLE)
    assert all(CASES.values())


@pytest.fixture
def scene(
    deliver: Callable[..., Deliveries],
    portal: Simulator,
    a_call: Callable[..., Call],
    case: Case,
    quick_pace: object,
) -> Scene:
    portal.settings.rate_limits = False
    portal.add_service_key(DEFAULT_PORTAL, key=KEY)
    portal.add_app("client-1", OAUTH["client_secret"] or "")
    return Scene(deliver(**{"service_key": KEY, **case.settings}), portal, a_call)


@pytest.mark.parametrize(("reason", "case"), PARAMETERS)
def test_each_reason_comes_about_and_is_told_as_the_table_says(
    reason: str, case: Case, scene: Scene
) -> None:
    case.arrange(scene)

    counts = scene.runs(scene.a_call(**case.fields))

    *row, message = scene.runs.history("status, reason, retryable, error_message")[-1]
    status, again = TABLE[reason]
    assert counts == {reason: 1}
    assert row == [status, reason, again]
    assert (message is None) == (status == "success")
    assert not [secret for secret in SECRETS if secret in (message or "")]
    assert "\n" not in (message or "")
    if status == "skipped":
        assert scene.portal.notes() == []
    if again and case is CASES[reason][0] and case.mend is not for_good:
        assert_it_ends_as_one_note(case, scene)


def assert_it_ends_as_one_note(case: Case, scene: Scene) -> None:
    """The table says it is tried again by itself, so nobody needs to name the call."""
    case.mend(scene)
    scene.runs.later_s = 90_000

    counts = scene.runs()

    assert sum(counts.values()) == 1
    assert scene.runs.history("status")[-1] == ("success",)
    assert len(scene.portal.notes()) == 1


@pytest.mark.parametrize("case", [Case("refused at the door")], ids=["no id"])
def test_a_record_no_call_can_be_made_of_has_its_row_too(case: Case, scene: Scene) -> None:
    run = Run(scene.runs.settings)
    workspace = scene.runs.settings.default_workspace

    run.accept([], [RefusedRecord("invalid-1", workspace, "The record has no id.")])
    run.finish(until=lambda: False)
    run.close()

    assert scene.runs.history("status, reason, retryable, error_message") == [
        ("error", "invalid_record", False, "The record has no id.")
    ]
