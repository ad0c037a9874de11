"""How a workspace stands with HubSpot, ending that, and that nobody sees another's."""

from __future__ import annotations

from datetime import timedelta

import httpx
import pytest

from target_hubspot_calls.call import Workspace, parse_call
from target_hubspot_calls.errors import Reason, Status
from target_hubspot_calls.outcome import Outcome

STATUS, DISCONNECT = "/api/hubspot/status", "/api/hubspot/disconnect"
ADA = Workspace("ada", "sales")


def living_refreshes(front, portal_id):
    refreshes = front.portal.state.authority.refreshes.values()
    return sum(not one.revoked for one in refreshes if one.portal_id == portal_id)


def test_a_workspace_without_a_connection_says_so(front):
    body = front.signed_in().get(STATUS).json()

    assert body == {
        "success": True,
        "connected": False,
        "tokenExpiresAt": None,
        "kind": None,
        "portalId": None,
        "scopes": [],
        "missingScopes": [],
        "reconnectRequired": False,
        "state": None,
        "stateDetail": None,
        "connectedBy": None,
        "connectedAt": None,
        "blockedUntil": None,
        "blockedReason": None,
        "lastSync": None,
        "backlog": {"due": 0, "waiting": 0, "oldestAt": None, "streamBehindS": None},
        "canConnect": True,
    }


def test_a_connected_workspace_shows_portal_scopes_and_health(front, a_portal_id):
    workspace, portal_id = front.a_workspace(), a_portal_id()
    browser = front.signed_in(workspace)
    browser.connect(portal_id)

    body = browser.get(STATUS).json()

    now_ms = front.clock().timestamp() * 1000
    assert (body["connected"], body["kind"], body["portalId"]) == (True, "oauth", portal_id)
    assert body["tokenExpiresAt"] - now_ms == pytest.approx(1_800_000, abs=10_000)
    assert body["connectedAt"] == pytest.approx(now_ms, abs=10_000)
    assert body["connectedBy"] == workspace.user_id
    assert "crm.objects.contacts.write" in body["scopes"]
    assert (body["missingScopes"], body["reconnectRequired"]) == ([], False)


def test_a_dead_grant_is_not_called_connected_and_says_what_to_do(front, a_portal_id):
    workspace = front.a_workspace()
    browser = front.signed_in(workspace)
    browser.connect(a_portal_id())
    front.connections.require_reconnect(front.connection(workspace).id, "Connect again.")

    body = browser.get(STATUS).json()

    assert (body["connected"], body["reconnectRequired"]) == (False, True)
    assert (body["state"], body["stateDetail"]) == ("reconnect_required", "Connect again.")


def test_a_missing_scope_is_named_and_wants_a_person(front, tokens):
    workspace = front.a_workspace()
    front.connections.add_oauth(
        workspace.user_id,
        workspace.workspace_id,
        tokens(scopes=("oauth", "crm.objects.contacts.read", "crm.objects.contacts.write")),
    )

    body = front.signed_in(workspace).get(STATUS).json()

    assert (body["connected"], body["reconnectRequired"]) == (True, True)
    assert body["missingScopes"] == ["files"]


def test_a_scope_that_hubspot_missed_wants_a_person_too(front, tokens):
    workspace = front.a_workspace()
    added = front.connections.add_oauth(workspace.user_id, workspace.workspace_id, tokens())
    front.connections.lack_scope(added.id, "The connection lacks the scope files.")

    body = front.signed_in(workspace).get(STATUS).json()

    assert (body["connected"], body["reconnectRequired"]) == (True, True)
    assert body["state"] == "missing_scope"


def test_a_portal_that_takes_nothing_for_a_while_says_until_when(front, tokens):
    workspace = front.a_workspace()
    added = front.connections.add_oauth(workspace.user_id, workspace.workspace_id, tokens())
    until = front.clock() + timedelta(hours=1)
    front.connections.block_until(added.id, until, "daily_limit", "Used up for today.")
    browser = front.signed_in(workspace)

    blocked = browser.get(STATUS).json()
    front.clock.pass_s(3601)
    later = browser.get(STATUS).json()

    assert blocked["blockedUntil"] == int(until.timestamp() * 1000)
    assert blocked["blockedReason"] == "daily_limit"
    assert (later["blockedUntil"], later["blockedReason"]) == (None, None)


def test_the_last_sync_and_what_is_open_are_the_workspaces_own(front, a_call_record, noon):
    mine, other = front.a_workspace(), front.a_workspace()
    for workspace, moment in ((mine, noon), (other, noon + timedelta(hours=1))):
        names = {"user_id": workspace.user_id, "workspace_id": workspace.workspace_id}
        calls = [parse_call(a_call_record(id=f"c{n}", **names), workspace) for n in range(3)]
        front.ledger.accept(calls, now=moment)
        [claim] = front.ledger.claim(workspace, holder="r/1", limit=1, for_s=9, now=moment)
        front.ledger.settle(
            [(claim, Outcome(Status.SUCCESS, Reason.CREATED))],
            holder="r/1", kind="note", run_id="r", now=moment + timedelta(seconds=5),
        )  # fmt: skip

    body = front.signed_in(mine).get(STATUS).json()

    noon_ms = int(noon.timestamp() * 1000)
    assert body["lastSync"] == noon_ms + 5000
    assert (body["backlog"]["due"], body["backlog"]["oldestAt"]) == (2, noon_ms)


@pytest.mark.parametrize(("age_s", "behind_s"), [(None, 0), (90, 90), (-5, 0)])
def test_how_far_the_stream_was_read_is_an_age_and_no_more(a_front, age_s, behind_s):
    class Read:
        end = position = 1
        oldest_at = None

    front = a_front(load_backlog=Read)
    if age_s is not None:
        Read.oldest_at = front.clock() - timedelta(seconds=age_s)

    backlog = front.signed_in(ADA).get(STATUS).json()["backlog"]

    assert backlog["streamBehindS"] == pytest.approx(behind_s, abs=3)


def test_a_stream_that_cannot_be_looked_at_keeps_nobody_from_the_status(a_front):
    def fail():
        raise OSError("no such directory /secret/path")

    answer = a_front(load_backlog=fail).signed_in(ADA).get(STATUS)

    assert answer.json()["backlog"]["streamBehindS"] is None
    assert "/secret" not in answer.text


def test_where_the_settings_name_the_portal_every_workspace_is_connected(a_front):
    front = a_front(service_key=True, without_app=True)

    body = front.signed_in(ADA).get(STATUS).json()

    assert (body["connected"], body["kind"], body["canConnect"]) == (True, "service_key", False)


def test_disconnecting_removes_the_tokens_here_and_ends_the_grant_there(front, a_portal_id):
    workspace, portal_id = front.a_workspace(), a_portal_id()
    browser = front.signed_in(workspace)
    browser.connect(portal_id)
    before = living_refreshes(front, portal_id)

    answer = browser.ask("DELETE", DISCONNECT)

    assert answer.status_code == 200
    assert answer.json() == {
        "success": True,
        "message": (
            "HubSpot is disconnected; the tokens were removed here and revoked at HubSpot."
        ),
        "revoked": True,
    }
    assert (before, living_refreshes(front, portal_id)) == (1, 0)
    assert front.connection(workspace) is None
    assert browser.get(STATUS).json()["connected"] is False
    grants = front.portal.state.authority.grants.values()
    assert all(one.revoked for one in grants if one.portal_id == portal_id)


@pytest.mark.parametrize(
    "fault",
    [
        {"action": "error", "status": 503}, {"action": "reset_before"}, {"action": "reset_after"},
        {"action": "rate_limited"}, {"action": "error", "status": 400},
    ],
    ids=lambda fault: "-".join(str(value) for value in fault.values()),
)  # fmt: skip
def test_disconnecting_works_while_hubspot_is_away_and_says_so(front, a_portal_id, fault):
    workspace, portal_id = front.a_workspace(), a_portal_id()
    browser = front.signed_in(workspace)
    browser.connect(portal_id)
    front.portal.add_fault(**fault, path="*/revoke", times=None)

    answer = browser.ask("DELETE", DISCONNECT)

    body = answer.json()
    assert (answer.status_code, body["success"], body["revoked"]) == (200, True, False)
    assert "not revoked" in body["message"]
    assert front.connection(workspace) is None


def test_a_grant_that_is_dead_already_counts_as_ended(front, a_portal_id):
    workspace, portal_id = front.a_workspace(), a_portal_id()
    browser = front.signed_in(workspace)
    browser.connect(portal_id)
    front.portal.revoke(portal_id)

    assert browser.ask("DELETE", DISCONNECT).json()["revoked"] is True


def test_disconnecting_twice_is_no_fault(front):
    browser = front.signed_in()

    answer = browser.ask("DELETE", DISCONNECT)

    assert answer.status_code == 200
    assert answer.json()["message"] == "HubSpot was not connected."


def test_a_service_key_is_removed_and_people_hear_that_it_lives_on(front):
    workspace = front.a_workspace()
    front.connections.add_service_key(workspace.user_id, workspace.workspace_id, "key")

    body = front.signed_in(workspace).ask("DELETE", DISCONNECT).json()

    assert "until it is deleted in HubSpot" in body["message"]
    assert front.connection(workspace) is None


def test_tokens_that_no_key_opens_can_be_removed_all_the_same(front, tokens):
    from cryptography.fernet import Fernet

    from target_hubspot_calls.store.connections import Connections
    from target_hubspot_calls.store.vault import Vault

    workspace = front.a_workspace()
    lost = Connections(front.engine, Vault([Fernet.generate_key().decode()]))
    lost.add_oauth(workspace.user_id, workspace.workspace_id, tokens())

    body = front.signed_in(workspace).ask("DELETE", DISCONNECT).json()

    assert (body["success"], body["revoked"]) == (True, False)
    assert front.connection(workspace) is None


def test_a_grant_that_another_workspace_lives_on_is_not_ended(front, a_portal_id):
    import asyncio

    first, second, portal_id = front.a_workspace(), front.a_workspace(), a_portal_id()
    browser = front.signed_in(first)
    browser.connect(portal_id)
    shared = asyncio.run(front.connections.tokens(front.connection(first).id).load())
    front.connections.add_oauth(second.user_id, second.workspace_id, shared)

    one = browser.ask("DELETE", DISCONNECT).json()
    still_living = living_refreshes(front, portal_id)
    two = front.signed_in(second).ask("DELETE", DISCONNECT).json()

    assert (one["revoked"], still_living) == (False, 1)
    assert (two["revoked"], living_refreshes(front, portal_id)) == (True, 0)


def test_without_an_app_a_workspace_can_still_be_disconnected(a_front, tokens):
    front = a_front(without_app=True)
    front.connections.add_oauth(ADA.user_id, ADA.workspace_id, tokens())

    body = front.signed_in(ADA).ask("DELETE", DISCONNECT).json()

    assert (body["success"], body["revoked"]) == (True, False)
    assert front.connection(ADA) is None


ENDPOINTS = [
    ("GET", "/api/session"),
    ("DELETE", "/api/session"),
    ("GET", "/api/hubspot/oauth/initiate"),
    ("GET", STATUS),
    ("DELETE", DISCONNECT),
    ("GET", "/recordings/call-1"),
]


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
@pytest.mark.parametrize(
    "shown",
    [
        {}, {"Authorization": "Bearer hck_unknown"}, {"Authorization": "Bearer"},
        {"Authorization": "Bearer a.b.c"}, {"Authorization": "Basic eDp5"},
        {"Cookie": "hubspot_calls_session=x.y"}, {"Cookie": "hubspot_calls_session="},
        {"X-User-Id": "ada", "X-Workspace-Id": "sales"},
    ],
    ids=repr,
)  # fmt: skip
def test_who_shows_nothing_that_opens_gets_nothing(front, method, path, shown):
    headers = {"Accept": "application/json", **shown}

    answer = front.browser().client.request(method, path, headers=headers)

    assert answer.status_code == 401
    assert set(answer.json()) == {"success", "error", "code"}
    assert answer.headers["www-authenticate"]


@pytest.mark.parametrize("how", ["session", "key"])
def test_no_workspace_reads_or_ends_anothers_connection(front, a_portal_id, tokens, how):
    owner, portal_id = front.a_workspace(), a_portal_id()
    front.signed_in(owner).connect(portal_id)
    connected = front.connection(owner)
    strangers = [
        Workspace(owner.user_id, front.a_workspace().workspace_id),
        Workspace(front.a_workspace().user_id, owner.workspace_id),
        Workspace(owner.workspace_id, owner.user_id),
    ]

    for stranger in strangers:
        if how == "session":
            browser = front.signed_in(stranger)
            status, ended = browser.get(STATUS), browser.ask("DELETE", DISCONNECT)
        else:
            program = front.program(front.a_key(stranger))
            status, ended = program.get(STATUS), program.delete(DISCONNECT)
        assert status.json()["connected"] is False
        assert str(portal_id) not in status.text + ended.text
        assert ended.json()["message"] == "HubSpot was not connected."

    assert front.connection(owner) == connected
    assert living_refreshes(front, portal_id) == 1


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
def test_parameters_and_bodies_name_no_other_workspace(front, tokens, method, path):
    mine, other = front.a_workspace(), front.a_workspace()
    front.connections.add_oauth(other.user_id, other.workspace_id, tokens(portal_id=48_999_999))
    names = {
        "user_id": other.user_id, "userId": other.user_id,
        "workspace_id": other.workspace_id, "workspaceId": other.workspace_id,
    }  # fmt: skip

    answer = front.program(front.a_key(mine)).request(method, path, params=names)

    assert "48999999" not in answer.text
    assert other.workspace_id not in answer.text
    assert front.connection(other) is not None


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
def test_a_store_that_cannot_be_read_is_a_503_without_a_path(a_front, monkeypatch, method, path):
    from target_hubspot_calls.errors import StoreUnavailable

    front = a_front()
    key = front.a_key(ADA)

    def fail(text: str) -> None:
        raise StoreUnavailable("The operational store /secret/path is damaged.")

    monkeypatch.setattr(front.access_keys, "authenticate", fail)
    answer = front.program(key).request(method, path)

    assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
    assert answer.headers["retry-after"]
    assert "/secret/path" not in answer.text


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", STATUS), ("GET", DISCONNECT), ("POST", DISCONNECT), ("PUT", "/api/session"),
        ("POST", "/api/hubspot/oauth/initiate"), ("POST", "/api/hubspot/oauth/callback"),
        ("HEAD", "/api/hubspot/oauth/initiate"),
    ],
)  # fmt: skip
def test_other_methods_are_not_taken(front, method, path):
    answer = front.program(front.a_key(front.a_workspace())).request(method, path)

    assert answer.status_code == 405


def test_answers_about_people_are_kept_by_nobody(front):
    browser = front.signed_in()

    answers: list[httpx.Response] = [
        browser.get(path) for method, path in ENDPOINTS if method == "GET"
    ]

    assert {answer.headers["cache-control"] for answer in answers} == {"no-store"}
    assert all("access-control-allow-origin" not in answer.headers for answer in answers)
