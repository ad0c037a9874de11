"""Signing in, staying in and being out: /api/session over HTTP."""

from __future__ import annotations

import re

import pytest

from receiver.sign_in_limits import SignInLimits
from target_hubspot_calls.call import Workspace

ADA = Workspace("ada", "sales")
HOUR, DAY = 3600, 86_400


def cookie_of(answer):
    """Name, value and attributes of the one cookie that was set."""
    [written] = answer.headers.get_list("set-cookie")
    first, *attributes = [part.strip() for part in written.split(";")]
    name, _, value = first.partition("=")
    return name, value, {one.lower() for one in attributes}


def test_an_access_key_signs_its_workspace_in(front):
    workspace = front.a_workspace()
    browser = front.browser()

    answer = browser.sign_in(front.a_key(workspace))

    assert answer.status_code == 200
    body = answer.json()
    assert (body["userId"], body["workspaceId"]) == (workspace.user_id, workspace.workspace_id)
    assert body["signedInBy"] == "session"
    assert browser.get("/api/session").json()["workspaceId"] == workspace.workspace_id


def test_a_session_says_when_it_ends(front):
    browser = front.browser()

    body = browser.sign_in(front.a_key(front.a_workspace())).json()

    now_ms = front.clock().timestamp() * 1000
    assert body["expiresAt"] - now_ms == pytest.approx(7 * DAY * 1000, abs=5000)
    assert body["idleExpiresAt"] - now_ms == pytest.approx(12 * HOUR * 1000, abs=5000)


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(front):
    answer = front.browser().sign_in(front.a_key(front.a_workspace()))

    name, _, attributes = cookie_of(answer)
    assert name == "hubspot_calls_session"
    assert attributes == {"httponly", "samesite=lax", "path=/", f"max-age={7 * DAY}"}


def test_where_people_come_by_https_the_cookie_is_of_that_host_alone(a_front):
    front = a_front(public_url="https://calls.example.com")
    key = front.a_key(ADA)

    answer = front.browser().ask(
        "POST",
        "/api/session",
        json={"access_key": key},
        headers={"Origin": "https://calls.example.com"},
    )

    name, _, attributes = cookie_of(answer)
    assert name == "__Host-hubspot_calls_session"
    assert {"secure", "httponly", "samesite=lax", "path=/"} <= attributes
    assert not any(one.startswith("domain") for one in attributes)


def test_nothing_that_is_stored_or_signed_lets_anybody_in(front):
    workspace = front.a_workspace()
    browser = front.browser()
    browser.sign_in(front.a_key(workspace))
    value = browser.client.cookies["hubspot_calls_session"]
    session_id, _, signature = value.rpartition(".")

    with front.engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT * FROM sessions").fetchall()

    assert all(session_id not in repr(row) for row in rows)
    digest = front.sessions.find(session_id).digest.hex()
    for forged in [
        session_id,
        f"{session_id}.",
        f"{digest}.{signature}",
        f"x.{signature}",
        "",
        ".",
    ]:
        answer = front.browser().get(
            "/api/session", headers={"Cookie": f"hubspot_calls_session={forged}"}
        )
        assert (answer.status_code, answer.json()["code"]) == (401, "session_expired")


@pytest.mark.parametrize("position", range(0, 80, 7))
def test_a_cookie_with_one_character_changed_opens_nothing(front, position):
    browser = front.signed_in()
    value = browser.client.cookies["hubspot_calls_session"]
    spot = position % len(value)
    changed = value[:spot] + ("A" if value[spot] != "A" else "B") + value[spot + 1 :]

    answer = front.browser().get(
        "/api/session", headers={"Cookie": f"hubspot_calls_session={changed}"}
    )

    assert answer.status_code == 401


def test_each_sign_in_makes_a_new_session_and_ends_the_one_before(front):
    workspace = front.a_workspace()
    key = front.a_key(workspace)
    browser = front.browser()
    browser.sign_in(key)
    before = browser.client.cookies["hubspot_calls_session"]

    browser.sign_in(key)

    after = browser.client.cookies["hubspot_calls_session"]
    assert after != before
    old = front.browser().get("/api/session", headers={"Cookie": f"hubspot_calls_session={before}"})
    assert old.status_code == 401


def test_a_cookie_planted_before_sign_in_is_not_the_session_after(front):
    browser = front.browser()
    browser.client.cookies.set("hubspot_calls_session", "planted", domain="127.0.0.1")

    answer = browser.sign_in(front.a_key(front.a_workspace()))

    assert cookie_of(answer)[1] != "planted"


def test_a_session_nobody_uses_ends_after_twelve_hours(front):
    browser = front.signed_in()
    front.clock.pass_s(12 * HOUR + 1)

    answer = browser.get("/api/session")

    assert (answer.status_code, answer.json()["code"]) == (401, "session_expired")


def test_a_session_in_use_lives_on_until_its_last_day(front):
    browser = front.signed_in()

    for _ in range(16):
        front.clock.pass_s(10 * HOUR)
        assert browser.get("/api/session").status_code == 200
    front.clock.pass_s(9 * HOUR)

    assert browser.get("/api/session").status_code == 401


def test_a_session_dies_with_its_access_key(front):
    workspace = front.a_workspace()
    key, text = front.access_keys.create(workspace.user_id, workspace.workspace_id)
    browser = front.browser()
    browser.sign_in(text)
    assert browser.get("/api/session").status_code == 200

    front.access_keys.revoke(key.id)

    assert browser.get("/api/session").status_code == 401
    assert browser.sign_in(text).status_code == 401


def test_signing_out_ends_the_session_and_takes_the_cookie(front):
    browser = front.signed_in()
    value = browser.client.cookies["hubspot_calls_session"]

    answer = browser.ask("DELETE", "/api/session")

    assert answer.json() == {"success": True}
    assert "max-age=0" in cookie_of(answer)[2]
    again = front.browser().get(
        "/api/session", headers={"Cookie": f"hubspot_calls_session={value}"}
    )
    assert again.status_code == 401


def test_who_shows_an_access_key_hears_whose_it_is(front):
    workspace = front.a_workspace()

    body = front.program(front.a_key(workspace)).get("/api/session").json()

    assert body == {
        "success": True,
        "userId": workspace.user_id,
        "workspaceId": workspace.workspace_id,
        "signedInBy": "access_key",
        "expiresAt": None,
        "idleExpiresAt": None,
        "csrfToken": None,
    }


def test_who_shows_nothing_is_told_what_to_show(front):
    answer = front.browser().get("/api/session")

    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
    assert answer.headers["www-authenticate"] == 'Bearer realm="hubspot-calls"'


@pytest.mark.parametrize(
    "body",
    [
        {"json": {"access_key": "hck_unknown"}},
        {"json": {"access_key": "{revoked}"}},
        {"json": {"access_key": ""}},
        {"json": {"access_key": "x" * 5000}},
        {"json": {"access_key": "schlüssel"}},
        {"json": {}},
        {"json": {"access_key": 7}},
        {"data": {"access_key": "hck_unknown"}, "headers": {"Accept": "application/json"}},
    ],
    ids=["unknown", "revoked", "empty", "long", "umlaut", "none", "number", "form"],
)
def test_wrong_keys_are_all_answered_alike(front, body):
    key, text = front.access_keys.create("ada", "sales")
    front.access_keys.revoke(key.id)
    if body.get("json", {}).get("access_key") == "{revoked}":
        body = {"json": {"access_key": text}}

    answer = front.browser().ask("POST", "/api/session", **body)

    assert answer.status_code == 401
    assert answer.json() == {
        "success": False,
        "error": "This access key is not known here.",
        "code": "invalid_access_key",
    }
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    ("content", "content_type", "status", "code"),
    [
        (b"{", "application/json", 400, "not_json"),
        (b"[1]", "application/json", 400, "not_an_object"),
        (b"[" * 100_000, "application/json", 413, "body_too_large"),
        (b"[" * 60_000, "application/json", 400, "not_json"),
        (b"\xff\xfe{", "application/json", 400, "not_json"),
        (b"access_key=%ff", "application/x-www-form-urlencoded", 400, "not_a_form"),
        (b"&".join([b"a=1"] * 500), "application/x-www-form-urlencoded", 400, "not_a_form"),
        (b"x", "text/plain", 415, "unsupported_media_type"),
        (b"x", "multipart/form-data; boundary=x", 415, "unsupported_media_type"),
        (b"", "application/json", 401, "invalid_access_key"),
    ],
    ids=["cut", "list", "huge", "deep", "utf-16", "odd form", "many fields", "text", "multi", "no"],
)
def test_odd_bodies_are_refused_in_good_order(front, content, content_type, status, code):
    answer = front.browser().ask(
        "POST",
        "/api/session",
        content=content,
        headers={"Content-Type": content_type, "Accept": "application/json"},
    )

    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_a_body_without_a_length_is_refused(front):
    answer = front.browser().ask(
        "POST",
        "/api/session",
        content=iter([b"{}"]),
        headers={"Content-Type": "application/json"},
    )

    assert (answer.status_code, answer.json()["code"]) == (411, "length_required")


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "", "Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
    ids=repr,
)
def test_no_other_site_can_sign_a_browser_in(front, headers):
    client = front.browser().client

    answer = client.post(
        "/api/session", json={"access_key": front.a_key(front.a_workspace())}, headers=headers
    )

    assert (answer.status_code, answer.json()["code"]) == (403, "cross_site")
    assert "set-cookie" not in answer.headers


def test_a_program_that_is_no_browser_may_sign_in(front):
    answer = front.browser().client.post(
        "/api/session", json={"access_key": front.a_key(front.a_workspace())}
    )

    assert answer.status_code == 200


def test_a_form_without_script_leads_back_to_a_page(front):
    browser = front.browser()
    form = {"access_key": front.a_key(front.a_workspace()), "return_to": "/integration?tab=1"}

    answer = browser.ask("POST", "/api/session", data=form, headers={"Accept": "text/html"})

    assert (answer.status_code, answer.headers["location"]) == (
        303,
        "/integration?tab=1",
    )
    assert browser.get("/api/session").status_code == 200


def test_a_form_without_script_is_told_in_a_page_that_the_key_is_wrong(front):
    answer = front.browser().ask(
        "POST", "/api/session", data={"access_key": "hck_no"}, headers={"Accept": "text/html"}
    )

    assert answer.status_code == 401
    assert answer.headers["content-type"].startswith("text/html")
    assert "This access key is not known here" in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "//evil.example", "https:evil.example", "https://evil.example", "/\\evil.example",
        "\\\\evil.example", "javascript:alert(1)", "evil", "", "/a\nb", "/\t/evil.example",
        "/ü", "/" + "a" * 600, "///evil.example",
    ],
)  # fmt: skip
def test_a_form_leads_back_to_our_own_pages_only(front, path):
    form = {"access_key": front.a_key(front.a_workspace()), "return_to": path}

    answer = front.browser().ask("POST", "/api/session", data=form, headers={"Accept": "text/html"})

    assert answer.headers["location"] == "/"


def test_guessing_is_slowed_down_and_says_for_how_long(a_front):
    front = a_front(limits=SignInLimits(per_address=3))
    key = front.a_key(ADA)
    browser = front.browser()

    wrong = [browser.sign_in(f"hck_{n}").status_code for n in range(4)]
    right = browser.sign_in(key)

    assert wrong == [401, 401, 401, 429]
    assert (right.status_code, right.json()["code"]) == (429, "too_many_sign_ins")
    assert int(right.headers["retry-after"]) >= 1


def test_keys_and_cookies_are_in_no_log(front, caplog):
    caplog.set_level(0)
    workspace = front.a_workspace()
    key = front.a_key(workspace)
    browser = front.browser()

    browser.sign_in(key)
    browser.sign_in("hck_canary-wrong-key")
    value = browser.client.cookies["hubspot_calls_session"]

    said = "\n".join(record.getMessage() for record in caplog.records)
    assert key not in said
    assert "canary-wrong-key" not in said
    assert value not in said


def test_a_new_key_in_front_keeps_sessions_and_dropping_the_old_one_ends_them(a_front, tmp_path):
    from cryptography.fernet import Fernet

    from receiver.session_cookies import SessionCookies
    from target_hubspot_calls.store.vault import Vault

    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()

    def cookies(*keys):
        return SessionCookies(Vault(keys).derive("cookies"), https=False)

    class Shown:
        def __init__(self, value):
            self.cookies = {"hubspot_calls_session": value}

    from starlette.responses import Response

    answer = Response()
    cookies(old).set_session(answer, "session-id", max_age_s=60)
    value = re.match(r"[^=]+=([^;]+)", answer.headers["set-cookie"])[1]

    assert cookies(new, old).session_id(Shown(value)) == "session-id"
    assert cookies(new).session_id(Shown(value)) is None
