"""No workspace sees or touches another's: one case for every route, and no route without one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import select
from starlette.routing import Route

from call_stream.stream import open_reader
from receiver.webhooks import PATH_PREFIX
from target_hubspot_calls.call import Workspace
from target_hubspot_calls.store.database import reading
from target_hubspot_calls.store.schema import metadata
from tests.hubspot_calls.receiver_app.conftest import ADA, GRACE

WEBHOOK = ("POST", PATH_PREFIX + "{webhook_id}")
LOGS = "/api/hubspot/sync-logs"


@dataclass(frozen=True)
class Case:
    """How a route is asked for what is ada's.

    `shows` is what ada herself sees there; `is_open` says that nobody need say who they are;
    `is_page` that people are sent to sign in.
    """

    path: str
    shows: str | None = None
    is_open: bool = False
    is_page: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)


CASES: dict[tuple[str, str], list[Case]] = {
    ("GET", "/"): [
        Case("/", shows="canary.scope", is_page=True),
        Case("/?hubspot=connected", is_open=True),
    ],
    ("GET", "/live-mark"): [Case("/live-mark", shows="mark", is_page=True)],
    ("GET", "/connect"): [Case("/connect", shows="state=", is_page=True)],
    ("POST", "/disconnect"): [Case("/disconnect", shows="notice=disconnected", is_page=True)],
    ("POST", "/webhooks"): [
        Case(
            "/webhooks", is_page=True, options={"data": {"auth": "hmac", "label": "front"}},
            shows="front",
        )
    ],
    ("POST", "/webhooks/{webhook_id}/rotate"): [
        Case("/webhooks/{webhook}/rotate", shows="The old secret works until", is_page=True)
    ],
    ("POST", "/webhooks/{webhook_id}/off"): [
        Case("/webhooks/{webhook}/off", shows="webhook-disabled", is_page=True)
    ],
    ("POST", "/webhooks/{webhook_id}/on"): [
        Case("/webhooks/{webhook}/on", shows="webhook-enabled", is_page=True)
    ],
    ("POST", "/webhooks/{webhook_id}/change"): [
        Case("/webhooks/{webhook}/change", shows="webhook-changed", is_page=True)
    ],
    ("POST", "/webhooks/{webhook_id}/test"): [
        Case("/webhooks/{webhook}/test", shows="/calls/test-", is_page=True)
    ],
    ("GET", "/keys"): [Case("/keys", shows="hck_", is_page=True)],
    ("POST", "/keys"): [Case("/keys", shows="hck_", is_page=True)],
    ("POST", "/keys/{key_id}/revoke"): [
        Case("/keys/{key}/revoke", shows="key-revoked", is_page=True)
    ],
    ("GET", "/static/{name}"): [Case("/static/app.css", is_open=True)],
    ("GET", "/sign-in"): [Case("/sign-in", is_open=True)],
    ("POST", "/sign-in"): [
        Case("/sign-in", is_open=True, options={"data": {"access_key": "hck_nobodys"}})
    ],
    ("POST", "/sign-out"): [Case("/sign-out", is_page=True)],
    ("GET", "/calls/{call_id:path}"): [
        Case("/calls/canary-written", shows="canary summary", is_page=True),
        Case("/calls/canary-missed?just=no", shows="canary summary", is_page=True),
        Case("/calls/test-of-nobody", is_page=True),
    ],
    ("GET", "/call-mark/{call_id:path}"): [
        Case("/call-mark/canary-written", shows="20261120T12", is_page=True)
    ],
    ("POST", "/call-retry/{call_id:path}"): [
        Case("/call-retry/canary-missed", shows="/calls/canary-missed?notice=", is_page=True)
    ],
    ("GET", "/history/rows/{row_id:path}"): [
        Case("/history/rows/{row}", shows="/calls/canary-missed", is_page=True)
    ],
    ("GET", "/history"): [
        Case("/history", shows="canary-missed", is_page=True),
        Case("/history?as_of={row}&status=skipped", shows="canary-missed", is_page=True),
    ],
    ("GET", "/history/mark"): [Case("/history/mark", shows='"mark":"0', is_page=True)],
    ("GET", "/history/chart"): [
        Case("/history/chart?from=2026-11-20&to=2026-11-20", shows="2 calls", is_page=True)
    ],
    ("GET", "/history/retry"): [Case("/history/retry", shows="Retry 1 call", is_page=True)],
    ("POST", "/history/retry"): [
        Case(
            "/history/retry", is_page=True, options={"data": {"status": "skipped"}},
            shows="count=1",
        )
    ],
    ("GET", "/numbers"): [Case("/numbers", shows="+12025550177", is_page=True)],
    ("POST", "/numbers/retry"): [
        Case(
            "/numbers/retry", is_page=True, options={"data": {"number": "+12025550177"}},
            shows="count=1",
        )
    ],
    ("GET", "/healthz"): [Case("/healthz", is_open=True)],
    ("GET", "/readyz"): [Case("/readyz", is_open=True)],
    ("GET", "/metrics"): [Case("/metrics", is_open=True)],
    ("GET", "/openapi.json"): [Case("/openapi.json", is_open=True)],
    WEBHOOK: [Case("/api/webhooks/{webhook}", is_open=True, options={"json": {"message": {}}})],
    ("GET", "/recordings/{call_id:path}"): [
        Case("/recordings/canary-written", shows="recordings.example/canary-written")
    ],
    ("GET", "/api/session"): [Case("/api/session", shows="analytics-canary")],
    ("POST", "/api/session"): [
        Case("/api/session", is_open=True, options={"json": {"access_key": "hck_nobodys"}})
    ],
    ("DELETE", "/api/session"): [Case("/api/session")],
    ("GET", "/api/hubspot/oauth/initiate"): [Case("/api/hubspot/oauth/initiate")],
    ("GET", "/api/hubspot/oauth/callback"): [
        Case("/api/hubspot/oauth/callback?state={state}&error=access_denied", is_open=True)
    ],
    ("GET", "/api/hubspot/status"): [Case("/api/hubspot/status", shows="canary.scope")],
    ("DELETE", "/api/hubspot/disconnect"): [Case("/api/hubspot/disconnect")],
    ("GET", LOGS): [
        Case(LOGS, shows="canary-written"),
        Case(f"{LOGS}?call_id=canary-missed", shows="canary-missed"),
        Case(f"{LOGS}?q=canary", shows="canary message"),
        Case(f"{LOGS}?as_of={{row}}", shows="canary-missed"),
    ],
    ("GET", f"{LOGS}.csv"): [Case(f"{LOGS}.csv", shows="canary-note")],
    ("GET", f"{LOGS}/summary"): [Case(f"{LOGS}/summary?call_id=canary-missed", shows='"total":1')],
    ("GET", f"{LOGS}/days"): [Case(f"{LOGS}/days?call_id=canary-missed", shows='"skipped":1')],
    ("GET", "/api/hubspot/unmatched-numbers"): [
        Case("/api/hubspot/unmatched-numbers", shows="5550177")
    ],
    ("GET", "/api/hubspot/calls/{call_id:path}"): [
        Case("/api/hubspot/calls/canary-missed", shows="canary message")
    ],
    ("POST", f"{LOGS}/{{id}}/retry"): [Case(f"{LOGS}/{{row}}/retry", shows="canary-missed")],
    ("POST", "/api/hubspot/retry"): [
        Case("/api/hubspot/retry"),
        Case(
            "/api/hubspot/retry", options={"json": {"call_id": "canary-missed"}}, shows='"queued":1'
        ),
        Case(
            "/api/hubspot/retry", options={"json": {"q": "5550177", "dryRun": True}},
            shows='"matched":1',
        ),
    ],
}  # fmt: skip
ALL = [(method, case) for (method, _), cases in CASES.items() for case in cases]
BY_KEY = [(method, case) for method, case in ALL if not case.is_open]
SHOWN = [(method, case) for method, case in ALL if case.shows is not None]


def named(value: object) -> str | None:
    return value.path if isinstance(value, Case) else None


def test_every_route_has_a_case(shared_whole: Any) -> None:
    routes = {
        (method, route.path)
        for route in shared_whole.app.routes
        if isinstance(route, Route)
        for method in (route.methods or ()) - {"HEAD"}
    }

    assert len(routes) > 15
    assert [*shared_whole.app.routes] == [
        route for route in shared_whole.app.routes if isinstance(route, Route)
    ]
    assert CASES.keys() == routes | {WEBHOOK}


def things_of_ada(whole: Any) -> dict[str, str]:
    """What names ada's things in the paths of the cases."""
    rows = whole.ask("GET", f"{LOGS}?call_id=canary-missed").json()["logs"]
    webhook, secret = whole.store.webhooks.create(ADA.user_id, ADA.workspace_id)
    url = whole.ask("GET", "/api/hubspot/oauth/initiate").json()["authUrl"]
    state = url.partition("state=")[2].partition("&")[0]
    key, _ = whole.store.keys.create(ADA.user_id, ADA.workspace_id)
    return {
        "row": rows[0]["id"],
        "webhook": webhook.id,
        "secret": secret,
        "state": state,
        "key": key.id,
    }


@pytest.fixture(scope="module")
def adas(shared_whole: Any) -> dict[str, str]:
    return things_of_ada(shared_whole)


def stored_of(whole: Any, owner: Workspace) -> str:
    """Every row of the store that is this workspace's."""
    kept = []
    with reading(whole.engine) as connection:
        for table in metadata.sorted_tables:
            if {"user_id", "workspace_id"} <= set(table.c.keys()):
                query = select(table).where(
                    table.c.user_id == owner.user_id, table.c.workspace_id == owner.workspace_id
                )
                kept += [(table.name, str(row)) for row in connection.execute(query)]
    return json.dumps(sorted(kept))


@pytest.mark.parametrize(("method", "case"), ALL, ids=named)
def test_another_workspace_sees_and_changes_nothing(
    shared_whole: Any, adas: dict[str, str], method: str, case: Case
) -> None:
    before = stored_of(shared_whole, ADA)

    answer = shared_whole.ask(method, case.path.format(**adas), of=GRACE, **case.options)

    told = answer.text + json.dumps(dict(answer.headers))
    assert "canary" not in told.replace(str(answer.request.url), "")
    assert "5550177" not in told
    # Somebody who knows ada's state may use it up; it connects nobody.
    if "{state}" not in case.path:
        assert stored_of(shared_whole, ADA) == before
    assert open_reader(shared_whole.store.settings.stream_url).end() == 0


@pytest.mark.parametrize(("method", "case"), SHOWN, ids=named)
def test_ada_herself_sees_it(whole: Any, method: str, case: Case) -> None:
    path = case.path.format(**things_of_ada(whole))

    answer = whole.ask(method, path, of=ADA, **case.options)

    assert answer.status_code < 400
    assert case.shows in answer.text + answer.headers.get("location", "")


@pytest.mark.parametrize(("method", "case"), BY_KEY, ids=named)
def test_who_shows_no_good_key_gets_nothing(
    shared_whole: Any, adas: dict[str, str], method: str, case: Case
) -> None:
    path = case.path.format(**adas)
    taken_back = revoked(shared_whole)
    before = stored_of(shared_whole, ADA)

    for shown in (None, "Bearer ", f"Bearer hck_{'x' * 43}", f"Bearer {taken_back}"):
        headers = {} if shown is None else {"Authorization": shown}
        answer = shared_whole.ask(method, path, of=None, headers=headers, **case.options)

        if case.is_page:
            assert answer.status_code == 303
            assert answer.headers["location"].startswith("/sign-in")
        else:
            assert answer.status_code == 401
            assert "www-authenticate" in answer.headers
        assert "canary" not in answer.text
    assert stored_of(shared_whole, ADA) == before


def revoked(whole: Any) -> str:
    """A key of ada's that was taken back."""
    key, text = whole.store.keys.create(ADA.user_id, ADA.workspace_id)
    whole.store.keys.revoke(key.id)
    return str(text)


def test_a_webhook_takes_only_its_own_secret(whole: Any) -> None:
    adas = things_of_ada(whole)
    _, hers = whole.store.webhooks.create(GRACE.user_id, GRACE.workspace_id)

    answer = whole.ask(
        "POST",
        f"/api/webhooks/{adas['webhook']}",
        of=None,
        headers={"X-Vapi-Secret": hers},
        json={"message": {"type": "end-of-call-report", "call": {"id": "x"}}},
    )

    assert answer.status_code == 401
    assert open_reader(whole.store.settings.stream_url).end() == 0


@pytest.mark.parametrize("way", ["session", "key"])
def test_a_session_opens_what_its_key_opens_and_nothing_more(whole: Any, way: str) -> None:
    options: dict[str, Any] = {"of": GRACE}
    if way == "session":
        signed_in = whole.ask(
            "POST", "/api/session", of=None, json={"access_key": whole.keys[GRACE]}
        )
        assert signed_in.status_code == 200
        options = {"of": None}

    rows = whole.ask("GET", LOGS, **options).json()["logs"]

    assert {row["call_id"] for row in rows} == {"hers-missed", "hers-written"}
