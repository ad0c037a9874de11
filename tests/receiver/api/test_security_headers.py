"""Headers that keep browsers in bounds, and headers of strangers that change nothing (W7, W8)."""

from __future__ import annotations

import asyncio

import pytest

from receiver.security_headers import SecurityHeaders
from receiver.settings import ReceiverSettings

FRONT_END = "https://app.example.com"
LOGS = "/api/hubspot/sync-logs"


def test_every_answer_keeps_browsers_in_bounds(api, a_row):
    api.log(a_row())
    answers = [
        api.get(LOGS),
        api.get(f"{LOGS}.csv"),
        api.client.get(LOGS),
        api.get(f"{LOGS}?limit=no"),
        api.post("/api/hubspot/retry"),
        api.client.get("/healthz"),
        api.client.get("/metrics"),
        api.client.get("/nowhere"),
        api.client.delete("/healthz"),
        api.client.options(LOGS),
        api.client.head("/healthz"),
    ]

    for answer in answers:
        headers = answer.headers
        assert headers["content-security-policy"].startswith("default-src 'none'; ")
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"
        assert headers["cross-origin-opener-policy"] == "same-origin-allow-popups"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["x-frame-options"] == "DENY"
        assert "strict-transport-security" not in headers
        assert not [name for name in headers if name.startswith("access-control-")]


def test_a_failure_of_ours_is_guarded_too(api, monkeypatch):
    monkeypatch.setattr(api.sync_log, "page", lambda *a, **k: 1 / 0)

    answer = api.get(LOGS)

    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; ")
    assert "ZeroDivision" not in answer.text


def test_where_people_come_by_https_browsers_are_held_to_it(serve_api):
    api = serve_api(settings=ReceiverSettings(public_url="https://calls.example.com"))

    assert api.client.get("/healthz").headers["strict-transport-security"] == "max-age=31536000"


def test_the_callback_keeps_the_tie_to_its_opener(api):
    callback = api.client.get("/api/hubspot/oauth/callback")

    assert callback.headers["cross-origin-opener-policy"] == "unsafe-none"


@pytest.fixture
def embedded(serve_api):
    return serve_api(settings=ReceiverSettings(allowed_origins=(FRONT_END,)))


def test_an_allowed_site_may_read_answers(embedded):
    answer = embedded.get(LOGS, headers={"Origin": FRONT_END})

    assert answer.headers["access-control-allow-origin"] == FRONT_END
    assert answer.headers["vary"] == "Origin"
    assert "access-control-allow-credentials" not in answer.headers
    assert "Retry-After" in answer.headers["access-control-expose-headers"]


def test_an_allowed_site_reads_errors_too(embedded):
    answer = embedded.client.get(LOGS, headers={"Origin": FRONT_END})

    assert answer.status_code == 401
    assert answer.headers["access-control-allow-origin"] == FRONT_END


def test_an_allowed_site_is_told_what_it_may_send(embedded):
    asked = {
        "Origin": FRONT_END,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }

    answer = embedded.client.options("/api/hubspot/retry", headers=asked)

    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == FRONT_END
    assert answer.headers["access-control-allow-methods"] == "GET, POST, DELETE"
    assert answer.headers["access-control-allow-headers"] == "Authorization, Content-Type"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; ")


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example.com",
        "http://app.example.com",
        "https://app.example.com:444",
        "https://app.example.com.evil.example",
        "https://APP.example.com",
        "null",
        "*",
        "",
    ],
)
def test_other_sites_are_told_nothing(embedded, origin):
    read = embedded.get(LOGS, headers={"Origin": origin})
    asked = embedded.client.options(
        LOGS, headers={"Origin": origin, "Access-Control-Request-Method": "GET"}
    )

    assert read.headers["vary"] == "Origin"
    for answer in (read, asked):
        assert "access-control-allow-origin" not in answer.headers
    assert asked.status_code == 405


def test_only_the_api_is_opened_to_other_sites(embedded):
    for path in ("/healthz", "/metrics", "/nowhere"):
        answer = embedded.client.get(path, headers={"Origin": FRONT_END})
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:99999"},
        {"X-Forwarded-Host": "evil.example"},
        {"X-Forwarded-Proto": "https"},
        {"X-Forwarded-For": "127.0.0.1"},
        {"Forwarded": "host=evil.example;proto=https"},
        {"X-Original-URL": "/metrics"},
        {"X-HTTP-Method-Override": "DELETE"},
    ],
    ids=lambda headers: str(next(iter(headers.items()))),
)
@pytest.mark.parametrize("path", [LOGS, "/healthz", "/nowhere/"])
def test_what_a_stranger_says_of_hosts_and_proxies_changes_nothing(api, headers, path):
    plain, told = api.get(path), api.get(path, headers=headers)

    def lasting(answer):
        named = {k: v for k, v in answer.headers.items() if k != "x-request-id"}
        return answer.status_code, answer.text, named

    assert lasting(told) == lasting(plain)
    assert "evil" not in str(told.headers)


def test_what_a_route_says_itself_is_kept():
    sent = []

    async def page(scope, receive, send):
        headers = [(b"content-security-policy", b"default-src 'self'"), (b"cache-control", b"x")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "path": "/", "method": "GET", "headers": []}
    asyncio.run(SecurityHeaders(page, https=False)(scope, None, send))

    headers = dict(sent[0]["headers"])
    assert headers[b"content-security-policy"] == b"default-src 'self'"
    assert headers[b"cache-control"] == b"x"
    assert headers[b"x-content-type-options"] == b"nosniff"
