"""Every route but the webhooks' keeps browsers in bounds, whatever it answers (list W, row 7)."""

from __future__ import annotations

from typing import Any

import pytest

from receiver.pages.rendering import PAGE_POLICY
from receiver.security_headers import CONNECT_PATH, OAUTH_CALLBACK
from tests.hubspot_calls.receiver_app.conftest import ADA, start_receiver
from tests.hubspot_calls.receiver_app.test_isolation import ALL, CASES, WEBHOOK, named

OTHERS = [(method, case) for method, case in ALL if case not in CASES[WEBHOOK]]


@pytest.mark.parametrize("accept", ["text/html", "application/json"])
@pytest.mark.parametrize(("method", "case"), OTHERS, ids=named)
def test_every_answer_keeps_browsers_in_bounds(
    shared_whole: Any, method: str, case: Any, accept: str
) -> None:
    path = case.path.format(row="x", state="x", webhook="x", key="x")
    answers = [
        shared_whole.ask(method, path, of=of, headers={"Accept": accept}, **case.options)
        for of in (ADA, None)
    ]
    answers.append(shared_whole.ask("TRACE", path))

    for answer in answers:
        headers = answer.headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; ")
        assert "frame-ancestors 'none'" in policy
        assert "base-uri 'none'" in policy
        assert "unsafe" not in policy
        assert "*" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        # Forms of a page that may not name itself are taken for another site's.
        referrer = "same-origin" if policy == PAGE_POLICY else "no-referrer"
        assert headers["referrer-policy"] == referrer
        caching = "no-cache" if path.startswith("/static/") and answer.is_success else "no-store"
        assert headers["cache-control"] == caching
        assert "access-control-allow-origin" not in headers
        is_of_popup = path.startswith((OAUTH_CALLBACK, CONNECT_PATH))
        opener = "unsafe-none" if is_of_popup else "same-origin-allow-popups"
        assert headers["cross-origin-opener-policy"] == opener
        assert "x-request-id" in headers
        assert "server" not in headers


def test_by_https_browsers_are_held_to_it_and_cookies_are_of_this_host_alone(
    tmp_path: Any,
) -> None:
    receiver, stop = start_receiver(
        tmp_path / "data", HUBSPOT_CALLS_PUBLIC_URL="https://calls.example.com"
    )

    answer = receiver.ask("POST", "/api/session", of=None, json={"access_key": receiver.keys[ADA]})
    stop()

    assert answer.headers["strict-transport-security"] == "max-age=31536000"
    assert answer.headers["set-cookie"].startswith("__Host-")


def test_the_settings_open_the_api_to_named_sites_alone(tmp_path: Any) -> None:
    receiver, stop = start_receiver(
        tmp_path / "data",
        HUBSPOT_CALLS_ALLOWED_ORIGINS="https://app.example.com/, http://localhost:3000",
        HUBSPOT_CALLS_METRICS_TOKEN="a-token-for-metrics",
    )

    def allowed(origin: str) -> str | None:
        answer = receiver.ask("GET", "/api/hubspot/status", headers={"Origin": origin})
        found: str | None = answer.headers.get("access-control-allow-origin")
        return found

    told = [allowed(o) for o in ("https://app.example.com", "http://localhost:3000", "null")]
    metrics = receiver.ask("GET", "/metrics", of=None)
    stop()

    assert told == ["https://app.example.com", "http://localhost:3000", None]
    assert metrics.status_code == 401
