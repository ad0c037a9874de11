"""What the integration page says of the connection, in every state that it can be in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from target_hubspot_calls.errors import StoreUnavailable
from target_hubspot_calls.hubspot.oauth import OPTIONAL_SCOPES, REQUIRED_SCOPES
from target_hubspot_calls.tokens import TokenSet
from tests.hubspot_calls.receiver_app.conftest import ADA, GRACE, start_receiver

HTML = {"Accept": "text/html"}


def connect(whole: Any, **fields: Any) -> Any:
    """Connects grace with all that is asked for."""
    tokens = {
        "access_token": "an-access-token",
        "refresh_token": "a-refresh-token",
        "expires_at": datetime.now(UTC) + timedelta(minutes=30),
        "scopes": (*REQUIRED_SCOPES, *OPTIONAL_SCOPES),
        "portal_id": 4_000_000_000,
        **fields,
    }
    return whole.store.connections.add_oauth(GRACE.user_id, GRACE.workspace_id, TokenSet(**tokens))


def page_of(whole: Any, path: str = "/", **options: Any) -> str:
    answer = whole.ask("GET", path, of=GRACE, **options)
    assert answer.status_code == 200, answer.text
    return " ".join(answer.text.split())


def test_who_is_not_connected_is_offered_to_connect(whole: Any) -> None:
    page = page_of(whole)

    assert "Not connected" in page
    assert 'href="/connect" data-popup>Connect HubSpot' in page
    assert "Disconnect" not in page
    assert "No webhook yet" in page


def test_a_connection_is_shown_with_account_health_and_permissions(whole: Any) -> None:
    connect(whole)

    page = page_of(whole)

    assert "Connected</span>" in page
    assert "4000000000" in page
    assert "by grace" in page
    assert "and renewed by itself" in page
    assert "Find the contact of a call by its number" in page
    assert "not granted" not in page
    assert "Disconnect HubSpot" in page


def test_calls_that_were_written_and_that_wait_are_counted(whole: Any) -> None:
    page = page_of(whole)

    assert "Last sync" in page
    assert "No call yet" not in page


@pytest.mark.parametrize(
    ("state", "label", "sentence", "button"),
    [
        ("reconnect", "Reconnect needed", "no longer accepts this connection", "Reconnect HubSpot"),
        ("scope", "Permission missing", "grant all that is asked for", "Reconnect HubSpot"),
        ("lacking", "Permission missing", "<strong>not granted</strong>", "Reconnect HubSpot"),
        ("blocked", "On hold", "used up its requests of the day", "Reconnect"),
        ("expired", "Connected", "Renewed by itself with the next call", "Reconnect"),
        ("unknown", "Connected", "known with the first call", "Reconnect"),
    ],
)
def test_each_state_says_what_is_wrong_and_what_to_do(
    whole: Any, state: str, label: str, sentence: str, button: str
) -> None:
    past = datetime.now(UTC) - timedelta(minutes=1)
    fields = {
        "lacking": {"scopes": REQUIRED_SCOPES[:-1]},
        "expired": {"expires_at": past},
        "unknown": {"portal_id": None},
    }
    connection = connect(whole, **fields.get(state, {}))
    connections = whole.store.connections
    if state == "reconnect":
        connections.require_reconnect(connection.id, "canary detail")
    if state == "scope":
        connections.lack_scope(connection.id, "canary detail")
    if state == "blocked":
        later = datetime.now(UTC) + timedelta(hours=3)
        connections.block_until(connection.id, later, "daily_limit", "canary detail")

    page = page_of(whole)

    assert f"{label}</span>" in page
    assert sentence in page
    assert f"data-popup>{button}</a>" in page
    assert "canary" not in page


def test_where_the_settings_name_a_key_nobody_is_asked_to_connect(tmp_path: Path) -> None:
    whole, stop = start_receiver(tmp_path / "data", HUBSPOT_SERVICE_KEY="pat-na1-not-a-real-one")

    page = page_of(whole)
    refused = whole.ask("GET", "/connect", of=GRACE)
    stop()

    assert "Connected by the settings" in page
    assert "/connect" not in page
    assert "Disconnect" not in page
    assert "pat-na1" not in page
    assert refused.status_code == 409
    assert "The settings name one HubSpot portal" in refused.text


def test_where_no_app_is_set_it_is_said_who_must_do_what(tmp_path: Path) -> None:
    whole, stop = start_receiver(tmp_path / "data", HUBSPOT_CLIENT_ID="", HUBSPOT_CLIENT_SECRET="")

    page = page_of(whole)
    adas = whole.ask("GET", "/", of=ADA).text
    stop()

    assert "Nobody can connect HubSpot here yet" in page
    assert 'href="/connect"' not in page + adas
    assert "Disconnect" in adas


def test_a_stored_service_key_is_shown_as_one(whole: Any) -> None:
    connection = whole.store.connections.add_service_key(
        GRACE.user_id, GRACE.workspace_id, "pat-na1-not-a-real-one"
    )
    page = page_of(whole)
    whole.store.connections.require_reconnect(connection.id, "x")
    refused = page_of(whole)

    answer = whole.ask("POST", "/disconnect", of=GRACE)

    assert "with a service key" in page
    assert "HubSpot no longer accepts the service key" in refused
    assert answer.headers["location"] == "/?notice=disconnected-key"


def test_disconnecting_says_when_hubspot_did_not_confirm_it(whole: Any) -> None:
    connect(whole)

    answer = whole.ask("POST", "/disconnect", of=GRACE)
    page = page_of(whole, answer.headers["location"])

    # The HubSpot of these tests is out of reach.
    assert answer.headers["location"] == "/?notice=disconnected-here"
    assert "did not confirm it on its side" in page
    assert "Not connected" in page
    assert whole.store.connections.get(ADA.user_id, ADA.workspace_id) is not None


def test_another_account_is_offered_only_after_hubspot_sent_us_one(whole: Any) -> None:
    offer = "Connect the other account instead"
    refused = "/?hubspot=error&code=other_portal"
    without_connection = page_of(whole, refused)
    connect(whole)

    page = page_of(whole, refused)

    assert offer in page
    assert 'href="/connect?replace=1" data-popup' in page
    assert "That was another HubSpot account" in page
    assert offer not in without_connection + page_of(whole)


def test_connecting_leads_to_hubspot_and_may_replace_the_account(whole: Any) -> None:
    answer = whole.ask("GET", "/connect?popup=1&replace=1", of=GRACE)

    assert answer.status_code == 302
    assert answer.headers["location"].startswith("https://app.hubspot.com/oauth/authorize?")
    assert answer.headers["cross-origin-opener-policy"] == "unsafe-none"


def test_who_began_here_comes_back_here_and_others_to_the_page_of_the_settings(
    tmp_path: Path,
) -> None:
    whole, stop = start_receiver(
        tmp_path / "data", HUBSPOT_CALLS_PAGE_URL="https://app.example.com/calls"
    )
    ours = whole.ask("GET", "/connect", of=GRACE).headers["location"]
    theirs = whole.ask("GET", "/api/hubspot/oauth/initiate", of=GRACE).json()["authUrl"]

    def back_from(url: str) -> str:
        state = parse_qs(urlsplit(url).query)["state"][0]
        path = f"/api/hubspot/oauth/callback?state={state}&error=access_denied"
        return str(whole.ask("GET", path, of=None, headers=HTML).headers["location"])

    told = [back_from(ours), back_from(theirs)]
    stop()

    assert told[0].startswith("http://127.0.0.1:8000/?hubspot=error&")
    assert told[1].startswith("https://app.example.com/calls?hubspot=error&")


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_link_on_another_site_begins_no_consent(whole: Any, site: str) -> None:
    answer = whole.ask("GET", "/connect", of=GRACE, headers={"Sec-Fetch-Site": site})

    assert (answer.status_code, answer.headers["location"]) == (303, "/")


@pytest.mark.parametrize("site", ["same-origin", "none", None])
def test_our_own_page_and_the_address_bar_may_begin_one(whole: Any, site: str | None) -> None:
    headers = {} if site is None else {"Sec-Fetch-Site": site}

    answer = whole.ask("GET", "/connect", of=GRACE, headers=headers)

    assert answer.status_code == 302


def test_who_is_not_signed_in_reads_one_sentence_or_is_sent_to_sign_in(whole: Any) -> None:
    back = whole.ask("GET", "/?hubspot=error&code=oauth_denied", of=None, headers=HTML)
    plain = whole.ask("GET", "/", of=None, headers=HTML)

    assert back.status_code == 200
    assert "Access was not granted in HubSpot" in back.text
    assert (plain.status_code, plain.headers["location"]) == (303, "/sign-in")


def test_the_page_says_what_came_of_connecting_in_words_of_ours(whole: Any) -> None:
    page = page_of(whole, "/?hubspot=error&code=oauth_denied&message=canary")

    assert "Access was not granted in HubSpot; nothing has changed." in page
    assert "canary" not in page


def test_the_mark_changes_when_something_on_the_page_does_and_not_else(whole: Any) -> None:
    def mark() -> str:
        return str(whole.ask("GET", "/live-mark", of=GRACE).json()["mark"])

    first, again = mark(), mark()
    connect(whole)
    connected = mark()
    webhook, _ = whole.store.webhooks.create(GRACE.user_id, GRACE.workspace_id)
    made = mark()
    whole.store.webhook_counts.add({(webhook.id, "stored"): (1, datetime.now(UTC))})

    assert first == again
    assert len({first, connected, made, mark()}) == 4


def test_a_page_that_waits_in_the_background_hears_that_nobody_is_signed_in(whole: Any) -> None:
    answer = whole.ask("GET", "/live-mark", of=None, headers={"X-Background": "1"})

    assert answer.status_code == 401


def test_reports_that_nobody_reads_are_told_of(whole: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    webhook, secret = whole.store.webhooks.create(GRACE.user_id, GRACE.workspace_id)
    report = {"message": {"type": "end-of-call-report", "call": {"id": "waits"}}}
    taken = whole.client.post(
        f"/api/webhooks/{webhook.id}", json=report, headers={"X-Vapi-Secret": secret}
    )
    before = page_of(whole)
    monkeypatch.setattr("receiver.pages.connection_card.LATE_AFTER_S", 0)

    page = page_of(whole)

    assert taken.status_code == 200
    assert "nobody has read" not in before
    assert "Reports have arrived that nobody has read" in page


def test_names_are_text_and_no_markup(whole: Any) -> None:
    hostile = "<script>alert(1)</script>"
    connect(whole, scopes=(*REQUIRED_SCOPES, hostile))
    whole.store.webhooks.create(
        GRACE.user_id, GRACE.workspace_id, label=hostile, assistant_ids=[hostile, '"><b>']
    )

    page = page_of(whole)

    assert hostile not in page
    assert '"><b>' not in page
    assert page.count("&lt;script&gt;") >= 3


def test_a_store_that_is_away_is_told_and_the_page_tries_again_by_itself(
    whole: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*args: Any, **options: Any) -> Any:
        raise StoreUnavailable("canary: the disk is gone")

    monkeypatch.setattr("receiver.pages.home.load_webhook_cards", away)

    answer = whole.ask("GET", "/", of=GRACE)

    assert answer.status_code == 503
    assert '<meta http-equiv="refresh" content="10; url=?refresh=1">' in answer.text
    assert "This page tries again by itself" in answer.text
    assert "canary" not in answer.text
