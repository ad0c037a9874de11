from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from hubspot_simulator import DEFAULT_PORTAL, Simulator

DETAILS = "/account-info/2026-09/details"
SEARCH = "/crm/objects/2026-09/contacts/search"


@pytest.fixture
def limited(clock: Any) -> Iterator[Simulator]:
    with Simulator(
        clock=clock, app_requests_per_10_s=5, service_key_requests_per_10_s=4
    ) as running:
        running.add_app()
        yield running


def caller(simulator: Simulator, token: str) -> httpx.Client:
    return httpx.Client(
        base_url=simulator.url,
        headers={"Authorization": f"Bearer {token}"},
        trust_env=False,
        verify=False,
    )


def test_the_window_rolls(limited: Simulator, clock: Any) -> None:
    with caller(limited, limited.issue_tokens()["access_token"]) as client:
        first = [client.get(DETAILS).status_code for _ in range(3)]
        clock.advance(9)
        second = [client.get(DETAILS).status_code for _ in range(3)]
        clock.advance(1)
        third = [client.get(DETAILS).status_code for _ in range(4)]

    assert first == [200, 200, 200]
    assert second == [200, 200, 429]
    assert third == [200, 200, 200, 429]
    assert limited.state.rates.peak("TEN_SECONDLY_ROLLING") == 5
    assert limited.state.rates.offered_peak("TEN_SECONDLY_ROLLING") == 7
    assert limited.state.rates.refused("TEN_SECONDLY_ROLLING") == 2


def test_a_refusal_says_which_policy(limited: Simulator) -> None:
    with caller(limited, limited.issue_tokens()["access_token"]) as client:
        answers = [client.get(DETAILS) for _ in range(6)]

    refused = answers[-1]
    assert refused.status_code == 429
    assert refused.json()["policyName"] == "TEN_SECONDLY_ROLLING"
    assert refused.json()["errorType"] == "RATE_LIMIT"
    assert refused.json()["message"] == "You have reached your ten_secondly_rolling limit."
    assert "retry-after" not in refused.headers


def test_headers_tell_what_is_left(limited: Simulator) -> None:
    with caller(limited, limited.issue_tokens()["access_token"]) as client:
        by_app = client.get(DETAILS).headers
    with caller(limited, limited.add_service_key()) as client:
        by_key = client.get(DETAILS).headers

    assert by_app["x-hubspot-ratelimit-max"] == "5"
    assert by_app["x-hubspot-ratelimit-remaining"] == "4"
    assert by_app["x-hubspot-ratelimit-interval-milliseconds"] == "10000"
    assert "x-hubspot-ratelimit-daily" not in by_app
    assert by_key["x-hubspot-ratelimit-max"] == "4"
    assert by_key["x-hubspot-ratelimit-daily-remaining"] == "249999"


def test_searches_have_their_own_window_shared_by_the_portal(limited: Simulator) -> None:
    with caller(limited, limited.issue_tokens()["access_token"]) as by_app:
        answers = [by_app.post(SEARCH, json={}) for _ in range(5)]
        with caller(limited, limited.add_service_key()) as by_key:
            refused = by_key.post(SEARCH, json={})
        other = by_app.get(DETAILS)

    assert {answer.status_code for answer in answers} == {200}
    assert "x-hubspot-ratelimit-max" not in answers[0].headers
    assert (refused.status_code, refused.json()["policyName"]) == (429, "SECONDLY")
    assert other.headers["x-hubspot-ratelimit-remaining"] == "4"


def test_portals_do_not_share_a_window(limited: Simulator) -> None:
    with caller(limited, limited.issue_tokens(1)["access_token"]) as client:
        for _ in range(5):
            client.get(DETAILS)
    with caller(limited, limited.issue_tokens(2)["access_token"]) as client:
        other = client.get(DETAILS)

    assert other.status_code == 200


def test_the_daily_limit_is_shared_by_keys_and_spares_apps(limited: Simulator, clock: Any) -> None:
    limited.settings.requests_per_day = 2
    with caller(limited, limited.add_service_key()) as one:
        one.get(DETAILS)
        one.get(DETAILS)
    with caller(limited, limited.add_service_key()) as two:
        refused = two.get(DETAILS)
        clock.advance(86_400)
        tomorrow = two.get(DETAILS)
    with caller(limited, limited.issue_tokens()["access_token"]) as app:
        by_app = app.get(DETAILS)

    assert (refused.status_code, refused.json()["policyName"]) == (429, "DAILY")
    assert (tomorrow.status_code, by_app.status_code) == (200, 200)


def test_association_batches_are_counted_apart(limited: Simulator) -> None:
    contact, path = limited.add_contact(), "/crm/associations/2026-09/contacts/notes/batch/read"
    with caller(limited, limited.issue_tokens()["access_token"]) as client:
        answers = [client.post(path, json={"inputs": [{"id": contact}]}) for _ in range(8)]

    assert {answer.status_code for answer in answers} == {207}


def test_without_limits_peaks_are_still_counted(simulator: Simulator, client: httpx.Client) -> None:
    for _ in range(120):
        client.get(DETAILS)

    assert simulator.state.rates.peak("TEN_SECONDLY_ROLLING", DEFAULT_PORTAL) == 120
