"""Access keys, made and revoked by people who are signed in."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import jwt

from tests.hubspot_calls.receiver_app.conftest import ADA, GRACE, PUBLIC_URL, start_receiver

OURS = {"Sec-Fetch-Site": "same-origin", "Origin": PUBLIC_URL}


def keys_of(whole: Any) -> Any:
    return whole.store.keys.list(GRACE.user_id, GRACE.workspace_id)


def test_a_new_key_is_shown_once_and_opens_the_workspace(whole: Any) -> None:
    answer = whole.ask("POST", "/keys", of=GRACE)

    (text,) = re.findall(r'value="(hck_[A-Za-z0-9_-]{43})"', answer.text)
    found = whole.store.keys.authenticate(text)
    assert (found.user_id, found.workspace_id) == (GRACE.user_id, GRACE.workspace_id)
    assert '<body data-address="/keys">' in answer.text
    assert text not in whole.ask("GET", "/keys", of=GRACE).text


def test_keys_are_listed_by_their_end_without_those_of_others(whole: Any) -> None:
    revoked, _ = whole.store.keys.create(GRACE.user_id, GRACE.workspace_id)
    whole.store.keys.revoke(revoked.id)
    (adas,) = whole.store.keys.list(ADA.user_id, ADA.workspace_id)

    page = whole.ask("GET", "/keys", of=GRACE).text

    in_use, _, ended = page.partition("Revoked keys")
    assert f"hck_…{keys_of(whole)[0].hint}" in in_use
    assert f"hck_…{revoked.hint}" in ended
    assert adas.id not in page


def test_a_revoked_key_opens_nothing_any_more(whole: Any) -> None:
    key, text = whole.store.keys.create(GRACE.user_id, GRACE.workspace_id)

    answer = whole.ask("POST", f"/keys/{key.id}/revoke", of=GRACE)

    assert answer.headers["location"] == "/keys?notice=key-revoked"
    assert whole.store.keys.authenticate(text) is None


def test_nobody_revokes_the_key_of_another_workspace(whole: Any) -> None:
    (adas,) = whole.store.keys.list(ADA.user_id, ADA.workspace_id)

    answer = whole.ask("POST", f"/keys/{adas.id}/revoke", of=GRACE)

    assert answer.status_code == 404
    assert whole.store.keys.authenticate(whole.keys[ADA]) is not None


def test_revoking_the_key_one_is_signed_in_with_is_said_before_and_ends_the_session(
    whole: Any,
) -> None:
    signed_in = whole.ask(
        "POST", "/api/session", of=None, json={"access_key": whole.keys[GRACE]}
    ).json()
    (own,) = keys_of(whole)
    page = whole.ask("GET", "/keys", of=None).text

    answer = whole.ask(
        "POST",
        f"/keys/{own.id}/revoke",
        of=None,
        headers=OURS,
        data={"csrf_token": signed_in["csrfToken"]},
    )
    afterwards = whole.ask("GET", "/keys", of=None)
    why = whole.ask("GET", answer.headers["location"], of=None).text

    assert "You are signed in with it" in page
    assert "your session ends" in page
    assert answer.headers["location"] == "/sign-in?why=key-revoked"
    assert afterwards.headers["location"].startswith("/sign-in")
    assert "You have revoked the key that you were signed in with" in why


def test_a_short_lived_token_makes_and_revokes_no_lasting_key(tmp_path: Path) -> None:
    secret = "a-secret-for-tokens-of-32-characters"
    receiver, stop = start_receiver(tmp_path / "data", HUBSPOT_CALLS_JWT_SECRET=secret)
    claims = {"sub": GRACE.user_id, "workspace_id": GRACE.workspace_id, "exp": time.time() + 60}
    headers = {"Authorization": f"Bearer {jwt.encode(claims, secret)}", "Accept": "text/html"}
    (own,) = keys_of(receiver)

    shown = receiver.ask("GET", "/keys", of=None, headers=headers)
    answers = [
        receiver.ask("POST", path, of=None, headers=headers)
        for path in ("/keys", f"/keys/{own.id}/revoke")
    ]
    left = keys_of(receiver)
    stop()

    assert shown.status_code == 200
    assert [answer.status_code for answer in answers] == [403, 403]
    assert "Sign in with an access key to make or revoke keys." in answers[0].text
    assert left == (own,)
