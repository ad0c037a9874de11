from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from hubspot_simulator import DEFAULT_PORTAL, Simulator

REDIRECT = "http://127.0.0.1/callback"
TOKEN = "/oauth/2026-09/token"
DETAILS = "/account-info/2026-09/details"
CONSENT = {
    "client_id": "client-1",
    "redirect_uri": REDIRECT,
    "scope": "crm.objects.contacts.read files",
    "state": "s-1",
}
APP = {"client_id": "client-1", "client_secret": "client-secret-1"}


@pytest.fixture(autouse=True)
def app(simulator: Simulator) -> None:
    simulator.add_app()


@pytest.fixture
def web(simulator: Simulator) -> Any:
    with httpx.Client(base_url=simulator.url, trust_env=False, verify=False) as opened:
        yield opened


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def code_of(web: httpx.Client, **more: str) -> str:
    answer = web.get("/oauth/decision", params={**CONSENT, "decision": "approve", **more})
    return parse_qs(urlsplit(answer.headers["location"]).query)["code"][0]


def exchange(web: httpx.Client, **more: str) -> httpx.Response:
    form = {**APP, "grant_type": "authorization_code", "redirect_uri": REDIRECT, **more}
    return web.post(TOKEN, data=form)


def refresh(web: httpx.Client, token: str, **more: str) -> httpx.Response:
    form = {**APP, "grant_type": "refresh_token", "refresh_token": token, **more}
    return web.post(TOKEN, data=form)


def test_the_consent_page_has_a_form_that_leads_back(web: httpx.Client) -> None:
    page = web.get("/oauth/authorize", params=CONSENT)

    hidden = dict(re.findall(r'name="(\w+)" value="([^"]*)">', page.text))
    assert page.status_code == 200
    assert "crm.objects.contacts.read" in page.text
    assert str(DEFAULT_PORTAL) in page.text
    assert hidden["state"] == "s-1"
    assert 'value="approve"' in page.text
    assert 'value="deny"' in page.text


def test_approval_gives_a_code_that_buys_tokens(web: httpx.Client) -> None:
    answer = exchange(web, code=code_of(web))

    tokens = answer.json()
    assert answer.status_code == 200
    assert (tokens["token_type"], tokens["expires_in"]) == ("bearer", 1800)
    assert tokens["hub_id"] == DEFAULT_PORTAL
    assert tokens["scopes"] == ["oauth", "crm.objects.contacts.read", "files"]
    assert web.get(DETAILS, headers=bearer(tokens["access_token"])).json()["portalId"] == (
        DEFAULT_PORTAL
    )


def test_denial_leads_back_with_an_error_and_the_state(web: httpx.Client) -> None:
    answer = web.get("/oauth/decision", params={**CONSENT, "decision": "deny"})

    query = parse_qs(urlsplit(answer.headers["location"]).query)
    assert answer.status_code == 302
    assert query["error"] == ["access_denied"]
    assert query["state"] == ["s-1"]


def test_a_setting_approves_at_once(simulator: Simulator, web: httpx.Client) -> None:
    simulator.settings.auto_approve = True

    answer = web.get(f"/oauth/{DEFAULT_PORTAL}/authorize", params=CONSENT)

    assert answer.headers["location"].startswith(f"{REDIRECT}?code=")


@pytest.mark.parametrize(
    "wrong",
    [
        {"client_id": "other"},
        {"redirect_uri": "http://127.0.0.1/elsewhere"},
        {"scope": "crm.objects.notes.write"},
        {"scope": ""},
    ],
)
def test_a_wrong_link_shows_a_page_and_leads_nowhere(
    web: httpx.Client, wrong: dict[str, str]
) -> None:
    answer = web.get("/oauth/authorize", params={**CONSENT, **wrong})

    assert answer.status_code == 400
    assert "location" not in answer.headers


def test_a_code_works_once(web: httpx.Client) -> None:
    code = code_of(web)
    exchange(web, code=code)

    again = exchange(web, code=code)

    assert again.status_code == 400
    assert again.json()["status"] == "BAD_AUTH_CODE"


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"client_secret": "x"}, "BAD_CLIENT_SECRET"),
        ({"client_id": "x"}, "BAD_CLIENT_ID"),
        ({"redirect_uri": "http://127.0.0.1/x"}, "MISMATCH_REDIRECT_URI_AUTH_CODE"),
        ({"grant_type": "password"}, "UNKNOWN_GRANT_TYPE"),
    ],
)
def test_a_wrong_exchange_says_what_is_wrong(
    web: httpx.Client, wrong: dict[str, str], status: str
) -> None:
    answer = exchange(web, code=code_of(web), **wrong)

    assert (answer.status_code, answer.json()["status"]) == (400, status)


def test_a_json_body_is_no_form(web: httpx.Client) -> None:
    assert web.post(TOKEN, json=APP).status_code == 415


def test_an_access_token_expires_and_a_refresh_brings_another(
    simulator: Simulator, web: httpx.Client, clock: Any
) -> None:
    tokens = simulator.issue_tokens()
    clock.advance(1801)
    expired = web.get(DETAILS, headers=bearer(tokens["access_token"]))

    fresh = refresh(web, tokens["refresh_token"]).json()

    assert expired.status_code == 401
    assert expired.json()["category"] == "EXPIRED_AUTHENTICATION"
    assert "expired 1 second(s) ago" in expired.json()["message"]
    assert fresh["refresh_token"] == tokens["refresh_token"]
    assert web.get(DETAILS, headers=bearer(fresh["access_token"])).status_code == 200


def test_rotation_kills_the_old_refresh_token(simulator: Simulator, web: httpx.Client) -> None:
    simulator.settings.rotate_refresh_tokens = True
    old = simulator.issue_tokens()["refresh_token"]

    new = refresh(web, old).json()["refresh_token"]
    again = refresh(web, old)

    assert new != old
    assert again.status_code == 400
    assert again.json()["status"] == "BAD_REFRESH_TOKEN"
    assert again.json()["error"] == "invalid_grant"
    assert refresh(web, new).status_code == 200


def test_a_revoked_app_has_no_tokens_left(simulator: Simulator, web: httpx.Client) -> None:
    tokens = simulator.issue_tokens()
    simulator.revoke(DEFAULT_PORTAL, "client-1")

    call = web.get(DETAILS, headers=bearer(tokens["access_token"]))

    assert (call.status_code, call.json()["category"]) == (401, "INVALID_AUTHENTICATION")
    assert refresh(web, tokens["refresh_token"]).json()["status"] == "BAD_REFRESH_TOKEN"


def test_the_revoke_endpoint_ends_a_refresh_token(simulator: Simulator, web: httpx.Client) -> None:
    tokens = simulator.issue_tokens()
    form = {**APP, "token": tokens["refresh_token"], "token_type_hint": "refresh_token"}

    answer = web.post(f"{TOKEN}/revoke", data=form)

    assert answer.status_code == 200
    assert refresh(web, tokens["refresh_token"]).status_code == 400


def test_introspection_tells_what_a_token_is_worth(simulator: Simulator, web: httpx.Client) -> None:
    tokens = simulator.issue_tokens()

    access = web.post(f"{TOKEN}/introspect", data={**APP, "token": tokens["access_token"]})
    unknown = web.post(f"{TOKEN}/introspect", data={**APP, "token": "x"})

    assert access.json()["active"] is True
    assert access.json()["hub_id"] == DEFAULT_PORTAL
    assert unknown.json() == {"active": False}


@pytest.mark.parametrize(
    ("header", "category"),
    [
        (None, "INVALID_AUTHENTICATION"),
        ("Basic x", "INVALID_AUTHENTICATION"),
        ("Bearer nonsense", "INVALID_AUTHENTICATION"),
    ],
)
def test_without_a_token_there_is_no_entry(
    web: httpx.Client, header: str | None, category: str
) -> None:
    answer = web.get(DETAILS, headers={"Authorization": header} if header else {})

    assert (answer.status_code, answer.json()["category"]) == (401, category)


def test_a_missing_scope_is_named(simulator: Simulator, web: httpx.Client) -> None:
    key = simulator.add_service_key(scopes=["crm.objects.contacts.read"])

    answer = web.post("/crm/objects/2026-09/notes", json={}, headers=bearer(key))

    assert answer.status_code == 403
    assert answer.json()["category"] == "MISSING_SCOPES"
    assert answer.json()["errors"][0]["context"]["requiredGranularScopes"] == [
        "crm.objects.contacts.write"
    ]


def test_one_portal_does_not_see_another(simulator: Simulator, web: httpx.Client) -> None:
    contact = simulator.add_contact(1, firstname="Ann")
    key = simulator.add_service_key(2)

    answer = web.get(f"/crm/objects/2026-09/contacts/{contact}", headers=bearer(key))

    assert answer.status_code == 404


def test_a_challenge_needs_its_verifier(web: httpx.Client) -> None:
    challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"

    without = exchange(web, code=code_of(web, code_challenge=challenge))
    with_it = exchange(web, code=code_of(web, code_challenge=challenge), code_verifier=verifier)

    assert (without.status_code, with_it.status_code) == (400, 200)
