"""Connecting a portal in the browser: to HubSpot, back again, and each way it can fail."""

from __future__ import annotations

import html
import json
import re
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx
import pytest

from receiver.oauth import CALLBACK_PATH, INITIATE_PATH
from target_hubspot_calls.call import Workspace
from target_hubspot_calls.hubspot.oauth import REQUIRED_SCOPES

TOKEN = "POST /oauth/token"


def said(answer):
    """What the page is told by the address people are sent to."""
    assert answer.status_code == 302, answer.text
    return dict(parse_qsl(urlsplit(answer.headers["location"]).query))


def token_requests(front):
    return [one for one in front.portal.requests() if one.path.endswith("/token")]


def code_of(answer):
    told = said(answer)
    assert told["hubspot"] == "error"
    assert told["message"].endswith(".")
    return told["code"]


def test_the_link_asks_for_what_we_need_and_comes_back_to_us(front):
    browser = front.signed_in()

    answer = browser.get(INITIATE_PATH)

    body = answer.json()
    assert set(body) == {"success", "authUrl"}
    assert body["success"] is True
    asked = dict(parse_qsl(urlsplit(body["authUrl"]).query))
    assert body["authUrl"].startswith(f"{front.portal.url}/oauth/authorize?")
    assert asked["client_id"] == front.client_id
    assert asked["redirect_uri"] == front.url + CALLBACK_PATH
    assert asked["scope"].split() == list(REQUIRED_SCOPES)
    assert asked["optional_scope"] == "crm.schemas.contacts.write"
    assert len(asked["state"]) >= 43
    assert answer.headers["cache-control"] == "no-store"


def test_states_are_random_and_only_their_digests_are_stored(front):
    browser = front.signed_in()

    states = {parse_qs(urlsplit(browser.consent_url()).query)["state"][0] for _ in range(20)}

    assert len(states) == 20
    with front.engine.connect() as connection:
        stored = repr(connection.exec_driver_sql("SELECT * FROM oauth_states").fetchall())
    assert not any(state in stored for state in states)


def test_a_person_who_grants_access_is_connected(front, a_portal_id):
    workspace, portal_id = front.a_workspace(), a_portal_id()
    browser = front.signed_in(workspace)

    answer = browser.connect(portal_id)

    assert answer.headers["location"] == f"{front.public_url}/?hubspot=connected"
    connection = front.connection(workspace)
    assert (connection.kind, connection.portal_id) == ("oauth", portal_id)
    assert set(REQUIRED_SCOPES) <= set(connection.scopes)
    assert connection.state == "active"


def test_what_was_granted_works_at_hubspot(front, a_portal_id):
    import asyncio

    workspace, portal_id = front.a_workspace(), a_portal_id()
    front.signed_in(workspace).connect(portal_id)

    tokens = asyncio.run(front.connections.tokens(front.connection(workspace).id).load())

    known = httpx.get(
        f"{front.portal.url}/account-info/2026-09/details",
        headers={"Authorization": tokens.bearer()},
        trust_env=False,
    )
    assert known.json()["portalId"] == portal_id


def test_a_program_may_ask_for_the_link_that_a_person_follows(front, a_portal_id):
    workspace, portal_id = front.a_workspace(), a_portal_id()
    url = front.program(front.a_key(workspace)).get(INITIATE_PATH).json()["authUrl"]
    browser = front.browser()

    answer = browser.come_back(browser.decide(url, portal_id))

    assert said(answer) == {"hubspot": "connected"}
    assert front.connection(workspace).portal_id == portal_id


def test_a_page_without_a_session_is_known_again_by_a_short_lived_cookie(front, a_portal_id):
    workspace = front.a_workspace()
    browser, other = front.browser(), front.browser()
    bearer = {"Authorization": f"Bearer {front.a_key(workspace)}"}
    answer = browser.get(INITIATE_PATH, headers=bearer)
    url = answer.json()["authUrl"]
    address = browser.decide(url, a_portal_id())

    [written] = answer.headers.get_list("set-cookie")
    elsewhere = other.come_back(address)

    attributes = {one.strip().lower() for one in written.split(";")[1:]}
    assert attributes == {"httponly", "samesite=lax", "path=/", "max-age=600"}
    assert code_of(elsewhere) == "oauth_other_browser"
    again = browser.get(INITIATE_PATH, headers=bearer).json()["authUrl"]
    assert said(browser.come_back(browser.decide(again, a_portal_id()))) == {"hubspot": "connected"}


def test_two_consents_at_once_in_one_browser_both_come_back(front, a_portal_id):
    browser = front.browser()
    bearers = [{"Authorization": f"Bearer {front.a_key(front.a_workspace())}"} for _ in range(2)]
    urls = [browser.get(INITIATE_PATH, headers=one).json()["authUrl"] for one in bearers]

    answers = [browser.come_back(browser.decide(url, a_portal_id())) for url in urls]

    assert [said(one)["hubspot"] for one in answers] == ["connected", "connected"]


def test_pages_elsewhere_are_not_given_a_cookie_they_would_not_keep(front, a_portal_id):
    workspace = front.a_workspace()
    bearer = {"Authorization": f"Bearer {front.a_key(workspace)}", "Sec-Fetch-Site": "cross-site"}
    browser = front.browser()

    answer = browser.get(INITIATE_PATH, headers=bearer)

    assert "set-cookie" not in answer.headers
    back = browser.come_back(browser.decide(answer.json()["authUrl"], a_portal_id()))
    assert said(back) == {"hubspot": "connected"}


def state_of(url):
    return parse_qs(urlsplit(url).query)["state"][0]


@pytest.mark.parametrize(
    "state", ["", "x", "a" * 43, "a" * 5000, "%00", "' OR 1=1 --", "é" * 43], ids=lambda s: s[:8]
)
def test_a_state_nobody_gave_out_leads_nowhere(front, state):
    browser = front.signed_in()
    before = len(token_requests(front))

    answer = browser.client.get(
        CALLBACK_PATH, params={"state": state, "code": "c"}, headers={"Accept": "text/html"}
    )

    assert code_of(answer) == "oauth_state_unknown"
    assert len(token_requests(front)) == before


def test_without_any_parameter_nothing_is_asked_of_hubspot(front):
    before = len(token_requests(front))

    answer = front.browser().come_back(CALLBACK_PATH)

    assert code_of(answer) == "oauth_state_unknown"
    assert len(token_requests(front)) == before


def test_the_way_back_works_once(front, a_portal_id):
    workspace, portal_id = front.a_workspace(), a_portal_id()
    browser = front.signed_in(workspace)
    address = browser.decide(browser.consent_url(), portal_id)
    browser.come_back(address)
    before, connected = len(token_requests(front)), front.connection(workspace)

    again = browser.come_back(address)

    assert code_of(again) == "oauth_state_used"
    assert len(token_requests(front)) == before
    assert front.connection(workspace) == connected


def test_of_many_at_once_one_comes_through(front, a_portal_id):
    from concurrent.futures import ThreadPoolExecutor

    browser = front.signed_in()
    address = browser.decide(browser.consent_url(), a_portal_id())

    with ThreadPoolExecutor(8) as pool:
        told = [said(one)["hubspot"] for one in pool.map(browser.come_back, [address] * 8)]

    assert sorted(told) == ["connected"] + ["error"] * 7


def test_a_person_has_ten_minutes(front, a_portal_id):
    workspace = front.a_workspace()
    browser = front.signed_in(workspace)
    in_time = browser.decide(browser.consent_url(), a_portal_id())
    too_late = browser.decide(browser.consent_url(), a_portal_id())
    before = len(token_requests(front))

    front.clock.pass_s(601)
    late = browser.come_back(too_late)

    assert code_of(late) == "oauth_state_expired"
    assert len(token_requests(front)) == before
    front.clock.pass_s(-5)
    assert said(browser.come_back(in_time)) == {"hubspot": "connected"}


def test_a_state_of_a_session_comes_back_in_that_session_only(front, a_portal_id):
    workspace = front.a_workspace()
    browser = front.signed_in(workspace)
    before = len(token_requests(front))

    elsewhere = front.browser().come_back(browser.decide(browser.consent_url(), a_portal_id()))
    same_person_elsewhere = front.signed_in(workspace).come_back(
        browser.decide(browser.consent_url(), a_portal_id())
    )

    assert code_of(elsewhere) == "oauth_other_browser"
    assert code_of(same_person_elsewhere) == "oauth_other_browser"
    assert len(token_requests(front)) == before
    assert front.connection(workspace) is None


def test_a_state_of_somebody_else_does_not_connect_the_one_who_is_signed_in(front, a_portal_id):
    attacker, victim = front.a_workspace(), front.a_workspace()
    browser = front.signed_in(victim)
    unbound = front.program(front.a_key(attacker)).get(INITIATE_PATH).json()["authUrl"]

    answer = browser.come_back(browser.decide(unbound, a_portal_id()))

    assert code_of(answer) == "oauth_other_account"
    assert (front.connection(attacker), front.connection(victim)) == (None, None)


def test_signing_in_as_somebody_else_meanwhile_ends_the_consent(front, a_portal_id):
    first, second = front.a_workspace(), front.a_workspace()
    browser = front.signed_in(first)
    address = browser.decide(browser.consent_url(), a_portal_id())
    browser.sign_in(front.a_key(second))

    answer = browser.come_back(address)

    assert code_of(answer) == "oauth_other_account"
    assert (front.connection(first), front.connection(second)) == (None, None)


def test_a_person_who_denies_changes_nothing(front, a_portal_id):
    workspace, portal_id = front.a_workspace(), a_portal_id()
    browser = front.signed_in(workspace)
    browser.connect(portal_id)
    connected = front.connection(workspace)

    answer = browser.come_back(browser.decide(browser.consent_url(), portal_id, "deny"))

    assert code_of(answer) == "oauth_denied"
    assert front.connection(workspace) == connected


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"error": "access_denied"}, "oauth_denied"),
        (
            {"error": "server_error", "error_description": "<script>canary</script>"},
            "oauth_refused",
        ),
        ({"error": "access_denied", "code": "x"}, "oauth_denied"),
        ({}, "oauth_code_missing"),
        ({"code": ""}, "oauth_code_missing"),
        ({"code": "two words"}, "oauth_code_missing"),
        ({"code": "x" * 2000}, "oauth_code_missing"),
        ({"code": "no-such-code"}, "oauth_code_refused"),
    ],
    ids=repr,
)
def test_each_way_hubspot_says_no_has_its_own_words(front, parameters, code):
    workspace = front.a_workspace()
    browser = front.signed_in(workspace)
    state = state_of(browser.consent_url())

    answer = browser.client.get(
        CALLBACK_PATH, params={"state": state, **parameters}, headers={"Accept": "text/html"}
    )

    assert code_of(answer) == code
    assert "canary" not in answer.headers["location"]
    assert front.connection(workspace) is None


def test_a_code_that_was_used_already_stores_nothing(front, a_portal_id):
    first, second = front.a_workspace(), front.a_workspace()
    one, two = front.signed_in(first), front.signed_in(second)
    address = one.decide(one.consent_url(), a_portal_id())
    one.come_back(address)
    stolen = parse_qs(urlsplit(address).query)["code"][0]

    answer = two.client.get(
        CALLBACK_PATH,
        params={"state": state_of(two.consent_url()), "code": stolen},
        headers={"Accept": "text/html"},
    )

    assert code_of(answer) == "oauth_code_refused"
    assert front.connection(second) is None


@pytest.mark.parametrize(
    "fault",
    [
        {"action": "error", "status": 500}, {"action": "error", "status": 503},
        {"action": "reset_before"}, {"action": "reset_after"}, {"action": "malformed"},
        {"action": "empty"}, {"action": "html"}, {"action": "rate_limited"}, {"action": "redirect"},
        {"action": "huge"}, {"action": "gzip_bomb"},
    ],
    ids=lambda fault: "-".join(str(value) for value in fault.values()),
)  # fmt: skip
def test_a_hubspot_that_does_not_answer_leaves_what_was_there(front, a_portal_id, fault):
    workspace, portal_id = front.a_workspace(), a_portal_id()
    browser = front.signed_in(workspace)
    browser.connect(portal_id)
    connected = front.connection(workspace)
    address = browser.decide(browser.consent_url(), portal_id)
    front.portal.add_fault(**fault, path="*/token", times=None)

    answer = browser.come_back(address)

    front.portal.clear_faults()
    assert code_of(answer) == "hubspot_unavailable"
    assert front.connection(workspace) == connected


def test_a_hubspot_that_is_not_there_at_all_has_its_own_words(a_front, a_portal_id):
    front = a_front(api_url="http://127.0.0.1:9")
    browser = front.signed_in(Workspace("ada", "sales"))
    answer = browser.client.get(
        CALLBACK_PATH,
        params={"state": state_of(browser.consent_url()), "code": "c"},
        headers={"Accept": "text/html"},
    )

    assert code_of(answer) == "hubspot_unavailable"


def test_an_app_that_hubspot_does_not_take_is_the_operators_business(a_front, a_portal_id):
    front = a_front(client_secret="wrong-canary-secret")
    workspace = Workspace("ada", "sales")
    browser = front.signed_in(workspace)

    answer = browser.connect(a_portal_id())

    assert code_of(answer) == "oauth_app_refused"
    assert "canary" not in answer.headers["location"]
    assert front.connection(workspace) is None


def test_a_grant_without_a_scope_we_need_names_it_and_is_not_stored(front, a_portal_id):
    workspace = front.a_workspace()
    browser = front.signed_in(workspace)
    asked = browser.consent_url().replace("+files", "")

    answer = browser.come_back(browser.decide(asked, a_portal_id()))

    assert code_of(answer) == "missing_scope"
    assert "without files;" in said(answer)["message"]
    assert front.connection(workspace) is None


def test_another_portal_does_not_take_the_place_of_the_first_by_accident(front, a_portal_id):
    workspace, first, second = front.a_workspace(), a_portal_id(), a_portal_id()
    browser = front.signed_in(workspace)
    browser.connect(first)
    connected = front.connection(workspace)

    answer = browser.connect(second)

    assert code_of(answer) == "other_portal"
    assert str(first) in said(answer)["message"]
    assert str(second) in said(answer)["message"]
    assert front.connection(workspace) == connected
    assert living_refreshes(front, second) == 0
    assert living_refreshes(front, first) == 1


def living_refreshes(front, portal_id):
    refreshes = front.portal.state.authority.refreshes.values()
    return sum(not one.revoked for one in refreshes if one.portal_id == portal_id)


def test_another_portal_takes_its_place_once_that_was_said(front, a_portal_id):
    workspace, first, second = front.a_workspace(), a_portal_id(), a_portal_id()
    browser = front.signed_in(workspace)
    browser.connect(first)

    answer = browser.connect(second, replace="1")

    assert said(answer) == {"hubspot": "connected"}
    assert front.connection(workspace).portal_id == second
    assert (living_refreshes(front, first), living_refreshes(front, second)) == (0, 1)


def test_the_same_portal_may_be_connected_again_at_any_time(front, a_portal_id):
    workspace, portal_id = front.a_workspace(), a_portal_id()
    browser = front.signed_in(workspace)
    browser.connect(portal_id)
    before = front.connection(workspace)
    front.connections.require_reconnect(before.id, "The grant is dead.")

    answer = browser.connect(portal_id)

    assert said(answer) == {"hubspot": "connected"}
    after = front.connection(workspace)
    assert (after.id != before.id, after.state, after.state_detail) == (True, "active", None)


def test_a_service_key_gives_way_to_a_grant_for_the_same_portal(front, a_portal_id):
    workspace, portal_id = front.a_workspace(), a_portal_id()
    added = front.connections.add_service_key(workspace.user_id, workspace.workspace_id, "key")
    front.connections.set_portal(added.id, portal_id)

    answer = front.signed_in(workspace).connect(portal_id)

    assert said(answer) == {"hubspot": "connected"}
    assert front.connection(workspace).kind == "oauth"


def test_calls_that_waited_for_a_person_come_due_when_one_connects(
    front, a_portal_id, a_call_record, noon
):
    from target_hubspot_calls.call import parse_call
    from target_hubspot_calls.errors import Reason, Status
    from target_hubspot_calls.outcome import Outcome

    mine, other = front.a_workspace(), front.a_workspace()
    reasons = [Reason.NOT_CONNECTED, Reason.RECONNECT_REQUIRED, Reason.MISSING_SCOPE]
    for workspace in (mine, other):
        names = {"user_id": workspace.user_id, "workspace_id": workspace.workspace_id}
        calls = [parse_call(a_call_record(id=f"call-{r}", **names), workspace) for r in reasons]
        front.ledger.accept(calls, now=noon)
        claims = front.ledger.claim(workspace, holder="run/1", limit=9, for_s=60, now=noon)
        waiting = [
            (claim, Outcome(Status.ERROR, reason, retryable=True))
            for claim, reason in zip(claims, reasons, strict=True)
        ]
        front.ledger.settle(waiting, holder="run/1", kind="note", run_id="run", now=noon)
    browser = front.signed_in(mine)
    assert browser.get("/api/hubspot/status").json()["backlog"]["waiting"] == 3

    browser.connect(a_portal_id())

    backlog = browser.get("/api/hubspot/status").json()["backlog"]
    assert (backlog["due"], backlog["waiting"]) == (3, 0)
    assert front.signed_in(other).get("/api/hubspot/status").json()["backlog"]["waiting"] == 3


def data_of(page, name):
    return html.unescape(re.search(rf'data-{name}="([^"]*)"', page.text)[1])


@pytest.mark.parametrize("decision", ["approve", "deny"])
def test_in_a_popup_the_last_page_tells_its_opener_and_goes(front, a_portal_id, decision):
    browser = front.signed_in()

    page = browser.come_back(
        browser.decide(browser.consent_url(popup="1"), a_portal_id(), decision)
    )

    assert page.status_code == 200
    told = json.loads(data_of(page, "said"))
    assert told["type"] == "hubspot-calls"
    assert told["hubspot"] == ("connected" if decision == "approve" else "error")
    assert data_of(page, "origin") == front.public_url
    assert f'href="{front.public_url}/?hubspot=' in page.text
    assert "postMessage(m,d.origin)" in page.text
    assert "window.close()" in page.text


def test_the_popups_script_is_the_only_one_its_policy_allows(front, a_portal_id):
    import base64
    import hashlib

    browser = front.signed_in()
    page = browser.come_back(browser.decide(browser.consent_url(popup="1"), a_portal_id()))
    [script] = re.findall(r"<script>(.*?)</script>", page.text)
    [style] = re.findall(r"<style>(.*?)</style>", page.text)

    policy = page.headers["content-security-policy"]

    def allowed(text):
        return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

    assert f"script-src 'sha256-{allowed(script)}'" in policy
    assert f"style-src 'sha256-{allowed(style)}'" in policy
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert page.headers["cross-origin-opener-policy"] == "unsafe-none"
    assert page.headers["referrer-policy"] == "no-referrer"


def test_a_popup_that_failed_is_still_known_as_one(front, a_portal_id):
    browser = front.signed_in()
    address = browser.decide(browser.consent_url(popup="1"), a_portal_id())
    browser.come_back(address)

    again = browser.come_back(address)
    front.clock.pass_s(601)
    stranger = front.browser().come_back(address)

    assert json.loads(data_of(again, "said"))["code"] == "oauth_state_used"
    assert json.loads(data_of(stranger, "said"))["code"] == "oauth_other_browser"


def test_people_land_where_the_settings_say(a_front, a_portal_id):
    front = a_front(page_url="https://app.example.com/settings?tab=hubspot#top")
    browser = front.signed_in(Workspace("ada", "sales"))

    answer = browser.connect(a_portal_id())
    popup = browser.connect(front.connection(Workspace("ada", "sales")).portal_id, popup="1")

    assert answer.headers["location"] == (
        "https://app.example.com/settings?tab=hubspot&hubspot=connected"
    )
    assert data_of(popup, "origin") == "https://app.example.com"


def test_people_may_be_led_back_to_the_page_they_came_from(front, a_portal_id):
    browser = front.signed_in()

    answer = browser.connect(a_portal_id(), return_to="/integration?tab=2")

    assert answer.headers["location"] == f"{front.public_url}/integration?tab=2&hubspot=connected"


@pytest.mark.parametrize(
    "path", ["//evil.example", "https:evil.example", "/\\evil.example", "javascript:alert(1)", "x"]
)
def test_people_are_led_to_no_other_site(front, path):
    answer = front.signed_in().get(INITIATE_PATH, params={"return_to": path})

    assert (answer.status_code, answer.json()["code"]) == (400, "bad_return_to")


def test_who_would_rather_have_json_gets_it(front, a_portal_id):
    browser = front.signed_in()
    address = browser.decide(browser.consent_url(), a_portal_id())

    done = browser.come_back(address, Accept="application/json")
    again = browser.come_back(address, Accept="application/json")

    assert (done.status_code, done.json()) == (200, {"success": True})
    assert (again.status_code, again.json()["code"]) == (400, "oauth_state_used")


def test_only_looking_where_a_link_leads_does_not_use_it_up(front, a_portal_id):
    browser = front.signed_in()
    address = browser.decide(browser.consent_url(), a_portal_id())

    looked = browser.client.head(address)

    assert looked.status_code == 405
    assert said(browser.come_back(address)) == {"hubspot": "connected"}


def test_nobody_gets_a_link_without_showing_who_they_are(front):
    answer = front.browser().get(INITIATE_PATH)

    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")


def test_without_an_app_the_operator_is_told_what_to_set(a_front):
    front = a_front(without_app=True)
    browser = front.signed_in(Workspace("ada", "sales"))

    answer = browser.get(INITIATE_PATH)
    back = browser.come_back(f"{CALLBACK_PATH}?state=x")

    assert (answer.status_code, answer.json()["code"]) == (503, "oauth_not_configured")
    assert "HUBSPOT_CLIENT_ID" in answer.json()["error"]
    assert code_of(back) == "oauth_state_unknown"


def test_where_the_settings_name_the_portal_nobody_connects_another(a_front):
    front = a_front(service_key=True)
    browser = front.signed_in(Workspace("ada", "sales"))

    answer = browser.get(INITIATE_PATH)

    assert (answer.status_code, answer.json()["code"]) == (409, "service_key_configured")
    assert code_of(browser.come_back(f"{CALLBACK_PATH}?state=x")) == "service_key_configured"


def test_neither_code_nor_tokens_nor_secret_are_in_an_answer_or_a_log(front, a_portal_id, caplog):
    caplog.set_level(0)
    workspace, portal_id = front.a_workspace(), a_portal_id()
    browser = front.signed_in(workspace)
    address = browser.decide(browser.consent_url(), portal_id)
    query = parse_qs(urlsplit(address).query)

    answers = [browser.come_back(address), browser.come_back(address)]
    answers.append(browser.get("/api/hubspot/status"))
    front.portal.add_fault("error", status=500, path="*/token", times=None)
    answers.append(browser.connect(portal_id))
    front.portal.clear_faults()

    authority = front.portal.state.authority
    secrets = [
        query["code"][0],
        query["state"][0],
        "canary-client-secret",
        *(text for text, one in authority.grants.items() if one.portal_id == portal_id),
        *(text for text, one in authority.refreshes.items() if one.portal_id == portal_id),
    ]
    shown = [answer.text + repr(answer.headers) for answer in answers]
    # pytest listens to loggers that are shut, such as uvicorn's of each request.
    logged = [
        record.getMessage() + str(record.exc_info)
        for record in caplog.records
        if record.name != "uvicorn.access"
    ]
    assert len(secrets) >= 5
    assert [one for one in secrets if any(one in text for text in shown + logged)] == []
