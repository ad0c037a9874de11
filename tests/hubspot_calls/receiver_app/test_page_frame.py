"""What all pages share: the way in and out, errors as pages, style and script."""

from __future__ import annotations

import re
from base64 import b64encode
from typing import Any

import pytest

from target_hubspot_calls.errors import StoreUnavailable
from target_hubspot_calls.store.sessions import Session, Sessions
from tests.hubspot_calls.receiver_app.conftest import ADA

HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
SAME_SITE = {"Sec-Fetch-Site": "same-origin"}


def sign_in(whole: Any, key: str, return_to: str = "/") -> Any:
    fields = {"access_key": key, "return_to": return_to}
    return whole.ask("POST", "/sign-in", of=None, data=fields, headers={**HTML, **SAME_SITE})


def csrf_token(whole: Any) -> str:
    told = whole.ask("GET", "/api/session", of=None).json()
    return str(told["csrfToken"])


def test_a_key_opens_a_session_and_leads_to_the_page_that_was_wanted(whole: Any) -> None:
    answer = sign_in(whole, whole.keys[ADA], "/history?status=error")

    assert answer.status_code == 303
    assert answer.headers["location"] == "/history?status=error"
    assert "HttpOnly" in answer.headers["set-cookie"]
    assert whole.ask("GET", "/api/session", of=None).json()["workspaceId"] == ADA.workspace_id


@pytest.mark.parametrize("to", ["https://evil.example/", "//evil.example", "/\\evil.example"])
def test_signing_in_leads_nowhere_else(whole: Any, to: str) -> None:
    answer = sign_in(whole, whole.keys[ADA], to)

    assert answer.headers["location"] == "/"


def test_a_wrong_key_shows_the_form_again_without_a_browsers_own_question(whole: Any) -> None:
    answer = sign_in(whole, "hck_wrong", "/history")

    assert answer.status_code == 401
    assert "www-authenticate" not in answer.headers
    assert "This access key is not known here." in answer.text
    assert 'name="return_to" value="/history"' in answer.text
    assert "hck_wrong" not in answer.text


def test_guessing_keys_is_slowed_down_and_said(whole: Any) -> None:
    answers = [sign_in(whole, f"hck_guess{number}") for number in range(30)]

    assert answers[-1].status_code == 429
    assert "retry-after" in answers[-1].headers
    assert "<form" in answers[-1].text


def test_another_sites_form_signs_nobody_in(whole: Any) -> None:
    answer = whole.ask(
        "POST",
        "/sign-in",
        of=None,
        data={"access_key": whole.keys[ADA]},
        headers={**HTML, "Sec-Fetch-Site": "cross-site"},
    )

    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers
    assert "<h1" in answer.text


def test_who_is_signed_in_does_not_see_the_form(whole: Any) -> None:
    sign_in(whole, whole.keys[ADA])

    answer = whole.ask("GET", "/sign-in?return_to=/keys", of=None, headers=HTML)

    assert (answer.status_code, answer.headers["location"]) == (303, "/keys")


def test_signing_out_ends_the_session_and_says_so(whole: Any) -> None:
    sign_in(whole, whole.keys[ADA])
    fields = {"csrf_token": csrf_token(whole)}

    out = whole.ask("POST", "/sign-out", of=None, data=fields, headers={**HTML, **SAME_SITE})
    after = whole.ask("GET", out.headers["location"], of=None, headers=HTML)

    assert out.status_code == 303
    assert "You are signed out." in after.text
    assert whole.ask("GET", "/api/session", of=None).status_code == 401


def test_a_form_without_the_pages_token_does_nothing(whole: Any) -> None:
    sign_in(whole, whole.keys[ADA])

    answer = whole.ask("POST", "/sign-out", of=None, headers={**HTML, **SAME_SITE})

    assert answer.status_code == 403
    assert "The page is out of date" in answer.text
    assert whole.ask("GET", "/api/session", of=None).status_code == 200


def test_a_session_that_ended_is_explained(whole: Any) -> None:
    sign_in(whole, whole.keys[ADA])
    key = whole.store.keys.authenticate(whole.keys[ADA])
    whole.store.keys.revoke(key.id)

    sent = whole.ask("POST", "/sign-out", of=None, headers={**HTML, **SAME_SITE})
    page = whole.ask("GET", sent.headers["location"], of=None, headers=HTML)

    assert "Sessions end after 12 hours without use, and after 7 days" in page.text


def test_what_a_page_asks_for_by_itself_does_not_send_anybody_to_sign_in(whole: Any) -> None:
    answer = whole.ask("POST", "/sign-out", of=None, headers={"X-Background": "1", **SAME_SITE})

    assert answer.status_code == 401
    assert answer.json()["code"] == "unauthorized"


@pytest.mark.parametrize("path", ["/nothing", "/static/nothing.css", "/static/..%2Fapp.py"])
def test_people_get_errors_as_pages_and_programs_as_json(whole: Any, path: str) -> None:
    page = whole.ask("GET", path, of=None, headers=HTML)
    document = whole.ask("GET", path, of=None)

    assert page.status_code == document.status_code == 404
    assert "<h1" in page.text
    assert document.json()["code"] == "not_found"


def test_the_api_answers_json_whoever_asks(whole: Any) -> None:
    answer = whole.ask("GET", "/api/hubspot/status", of=None, headers=HTML)

    assert answer.json()["code"] == "unauthorized"


def test_a_store_that_cannot_be_read_is_a_page_that_tries_again(
    whole: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise StoreUnavailable("The database /secret/path is locked.")

    sign_in(whole, whole.keys[ADA])
    monkeypatch.setattr("target_hubspot_calls.store.sessions.Sessions.find", fail)

    answer = whole.ask("GET", "/sign-in", of=None, headers=HTML)

    assert answer.status_code == 503
    assert '<meta http-equiv="refresh" content="10; url=?refresh=1">' in answer.text
    assert "/secret/path" not in answer.text
    assert "The database /secret/path is locked." in caplog.text


def test_style_and_script_are_kept_for_good_under_the_name_of_their_content(whole: Any) -> None:
    page = whole.ask("GET", "/sign-in", of=None, headers=HTML).text
    addresses = re.findall(r'(?:href|src)="(/static/[^"]+)"', page)

    answers = [whole.ask("GET", address, of=None) for address in addresses]
    stale = whole.ask("GET", addresses[0].partition("?")[0] + "?v=older", of=None)
    known = whole.ask(
        "GET", addresses[0], of=None, headers={"If-None-Match": answers[0].headers["etag"]}
    )

    assert len(set(addresses)) == 3
    assert {answer.status_code for answer in answers} == {200}
    assert all("immutable" in answer.headers["cache-control"] for answer in answers)
    assert stale.headers["cache-control"] == "no-cache"
    assert (known.status_code, known.content) == (304, b"")


def test_pages_load_nothing_from_elsewhere_and_hold_no_code_of_their_own(whole: Any) -> None:
    page = whole.ask("GET", "/sign-in", of=None, headers=HTML)

    assert not re.search(r"""\son\w+=|\sstyle=|<style|javascript:|https?://""", page.text)
    assert not re.search(r"<script(?![^>]*\ssrc=)", page.text)
    assert "script-src 'self'" in page.headers["content-security-policy"]


@pytest.mark.parametrize("headers", [HTML, {"X-Background": "1"}], ids=["page", "background"])
def test_why_a_page_failed_is_in_the_log(
    whole: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    headers: dict[str, str],
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise StoreUnavailable("The database /secret/path is locked.")

    monkeypatch.setattr("target_hubspot_calls.store.keys.AccessKeys.list", fail)

    answer = whole.ask("GET", "/keys", headers=headers)

    assert answer.status_code == 503
    assert "/secret/path" not in answer.text
    assert caplog.text.count("The database /secret/path is locked.") == 1


def test_a_revoked_key_that_a_browser_sends_by_itself_leads_round_in_no_circle(whole: Any) -> None:
    sign_in(whole, whole.keys[ADA])
    basic = {**HTML, "Authorization": "Basic " + b64encode(b"x:hck_revoked").decode()}

    first = whole.ask("GET", "/keys", of=None, headers=basic)
    then = whole.ask("GET", first.headers["location"], of=None, headers=basic)

    assert first.headers["location"].startswith("/sign-in")
    assert then.status_code == 200
    assert 'name="access_key"' in then.text


@pytest.mark.parametrize(
    ("path", "used"),
    [("/keys", True), ("/keys?refresh=1", False), ("/sign-in?refresh=1", False)],
)
def test_a_page_that_loads_itself_again_is_shown_and_keeps_nobody_signed_in(
    whole: Any, monkeypatch: pytest.MonkeyPatch, path: str, used: bool
) -> None:
    sign_in(whole, whole.keys[ADA])
    seen: list[bool] = []
    find = Sessions.find

    def watched(self: Sessions, session_id: str, *, is_used: bool = True) -> Session | None:
        seen.append(is_used)
        return find(self, session_id, is_used=is_used)

    monkeypatch.setattr(Sessions, "find", watched)

    answer = whole.ask("GET", path, of=None, headers=HTML)

    assert answer.status_code == (303 if path.startswith("/sign-in") else 200)
    assert set(seen) == {used}


def test_who_is_sent_to_sign_in_by_a_page_that_loads_itself_comes_back_to_the_page(
    whole: Any,
) -> None:
    answer = whole.ask("GET", "/history?q=x&refresh=1", of=None, headers=HTML)

    assert answer.headers["location"] == "/sign-in?return_to=%2Fhistory%3Fq%3Dx"


def test_a_page_that_tries_again_keeps_its_address(
    whole: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise StoreUnavailable("The database is locked.")

    monkeypatch.setattr("target_hubspot_calls.store.keys.AccessKeys.list", fail)

    page = whole.ask("GET", "/keys?a=1%3B&refresh=1&b=%22", headers=HTML).text

    assert 'content="10; url=?a=1%3B&amp;b=%22&amp;refresh=1"' in page
    assert 'href="?a=1%3B&amp;b=%22"' in page
