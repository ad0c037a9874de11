"""Whose request it is: keys, sessions and what a page of another site may not do with them."""

from __future__ import annotations

import base64

import pytest

DISCONNECT = "/api/hubspot/disconnect"


def basic(password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"x:{password}".encode()).decode()}


def test_a_change_by_session_needs_the_token_of_that_session(front):
    workspace = front.a_workspace()
    front.connections.add_service_key(workspace.user_id, workspace.workspace_id, "key")
    browser, other = front.signed_in(workspace), front.signed_in(workspace)

    refused = {
        word: browser.ask("DELETE", DISCONNECT, headers={"X-CSRF-Token": token}).status_code
        for word, token in {
            "none": "",
            "of another session": other.csrf,
            "cut": browser.csrf[:-1],
            "salt changed": "A" + browser.csrf[1:],
            "two": browser.csrf + browser.csrf,
            "long": "a." * 5000,
        }.items()
    }

    assert set(refused.values()) == {403}
    assert front.connection(workspace) is not None
    assert browser.ask("DELETE", DISCONNECT).status_code == 200
    assert front.connection(workspace) is None


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"}, 200),
        ({"Origin": "{own}"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "{own}"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "none"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "{own}.evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({}, 403),
        ({"Referer": "{own}/"}, 403),
    ],
    ids=repr,
)
def test_a_change_by_session_must_come_from_a_page_of_ours(front, headers, status):
    browser = front.signed_in()
    sent = {name: value.replace("{own}", front.public_url) for name, value in headers.items()}

    answer = browser.client.delete(DISCONNECT, headers={"X-CSRF-Token": browser.csrf, **sent})

    assert answer.status_code == status
    if status == 403:
        assert answer.json()["code"] == "cross_site"


def test_a_form_without_script_carries_the_token_in_a_field(front):
    browser = front.signed_in()
    token, browser.csrf = browser.csrf, None

    with_token = browser.ask("POST", "/form", data={"csrf_token": token, "name": "Ada"})
    without = browser.ask("POST", "/form", data={"name": "Ada"})
    wrong = browser.ask("POST", "/form", data={"csrf_token": token + "x"})
    as_json = browser.ask("POST", "/form", json={"csrf_token": token})

    assert with_token.json() == {"csrf_token": token, "name": "Ada"}
    assert [one.status_code for one in (without, wrong, as_json)] == [403, 403, 403]
    assert without.json()["code"] == "csrf_token"


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_browser_that_knows_a_key_as_password_is_not_used_by_other_sites(front, site):
    key = front.a_key(front.a_workspace())
    client = front.browser().client

    foreign = client.delete(DISCONNECT, headers={**basic(key), "Sec-Fetch-Site": site})
    program = client.delete(DISCONNECT, headers=basic(key))

    assert (foreign.status_code, foreign.json()["code"]) == (403, "cross_site")
    assert program.status_code == 200


def test_a_bearer_key_needs_no_token_wherever_it_comes_from(front):
    key = front.a_key(front.a_workspace())

    answer = front.program(key).delete(DISCONNECT, headers={"Origin": "https://app.example"})

    assert answer.status_code == 200


def test_what_is_shown_on_purpose_wins_over_the_cookie(front):
    mine, other = front.a_workspace(), front.a_workspace()
    browser = front.signed_in(mine)

    by_key = browser.get(
        "/api/session", headers={"Authorization": f"Bearer {front.a_key(other)}"}
    ).json()
    wrong = browser.get("/api/session", headers={"Authorization": "Bearer hck_wrong"})

    assert by_key["workspaceId"] == other.workspace_id
    assert wrong.status_code == 401


def test_a_password_of_a_proxy_in_front_does_not_hide_the_session(front):
    workspace = front.a_workspace()
    browser = front.signed_in(workspace)

    answer = browser.get("/api/session", headers=basic("the proxy's own"))

    assert answer.json()["workspaceId"] == workspace.workspace_id


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"},
        {"Forwarded": "host=evil.example;proto=https"},
    ],
    ids=lambda headers: next(iter(headers)),
)
def test_no_header_of_a_stranger_changes_where_people_are_sent(front, headers):
    browser = front.signed_in()

    url = browser.get("/api/hubspot/oauth/initiate", headers=headers).json()["authUrl"]
    back = browser.come_back("/api/hubspot/oauth/callback?state=x", **headers)

    assert "evil" not in url
    assert "evil" not in back.headers["location"]


def test_an_address_in_a_header_of_a_stranger_gives_nobody_new_tries(a_front):
    from receiver.sign_in_limits import SignInLimits

    front = a_front(limits=SignInLimits(per_address=2))
    client = front.browser().client

    statuses = [
        client.post(
            "/api/session",
            json={"access_key": "hck_no"},
            headers={"X-Forwarded-For": f"192.0.2.{n}"},
        ).status_code
        for n in range(4)
    ]

    assert statuses == [401, 401, 429, 429]
