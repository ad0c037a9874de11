"""`serve` as people meet it: keys at its start, signing in, connecting a portal, proxies."""

from __future__ import annotations

import socket
import stat
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import jwt
import pytest
from cryptography.fernet import Fernet

from hubspot_calls.front import page_url
from hubspot_calls.rooms import open_store
from hubspot_calls.settings import Settings, settings_from
from hubspot_simulator.simulator import Simulator
from target_hubspot_calls.errors import SettingsError
from target_hubspot_calls.tokens import TokenSet

HubSpotCalls = Callable[..., Any]
Start = Callable[..., subprocess.Popen[str]]

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()
TOKENS = TokenSet(
    "canary-access-token",
    "canary-refresh-token",
    datetime.now(UTC) + timedelta(minutes=30),
    ("oauth", "files"),
    48_000_001,
)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def listening(process: subprocess.Popen[str]) -> list[str]:
    """What it said until it listened."""
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if line.startswith("Live sync"):
            return said
    raise AssertionError("it ended without listening: " + "".join(said))


def connect_a_workspace(settings: Settings) -> None:
    with open_store(settings) as store:
        store.connections.add_oauth("ada", "sales", TOKENS)


def test_a_portal_is_connected_and_disconnected_in_the_browser(
    start: Start, portal: Simulator, settings: Settings
) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    portal.add_app("app-1", "canary-client-secret", [f"{url}/api/hubspot/oauth/callback"])
    portal.add_portal()
    with open_store(settings) as store:
        _, key = store.keys.create("ada", "sales")
    process = start(
        "serve", "--no-sync", "--port", url.rpartition(":")[2],
        HUBSPOT_CALLS_PUBLIC_URL=url, HUBSPOT_API_URL=portal.url, HUBSPOT_APP_URL=portal.url,
        HUBSPOT_CLIENT_ID="app-1", HUBSPOT_CLIENT_SECRET="canary-client-secret",
    )  # fmt: skip
    listening(process)

    same = {"Sec-Fetch-Site": "same-origin"}
    with httpx.Client(base_url=url, trust_env=False, timeout=20) as browser:
        signed_in = browser.post("/api/session", json={"access_key": key}, headers=same).json()
        asked = browser.get("/api/hubspot/oauth/initiate", headers=same).json()["authUrl"]
        back = httpx.get(
            f"{portal.url}/oauth/decision",
            params={**dict(parse_qsl(urlsplit(asked).query)), "decision": "approve"},
            trust_env=False,
        ).headers["location"]
        landed = browser.get(back, headers={"Accept": "text/html"})
        status = browser.get("/api/hubspot/status").json()
        ended = browser.delete(
            "/api/hubspot/disconnect", headers={**same, "X-CSRF-Token": signed_in["csrfToken"]}
        ).json()
        after = browser.get("/api/hubspot/status").json()

    assert landed.headers["location"] == f"{url}/?hubspot=connected"
    assert (status["connected"], status["portalId"]) == (True, 48_000_001)
    assert (ended["success"], ended["revoked"]) == (True, True)
    assert after["connected"] is False


def test_tokens_are_renewed_while_serve_runs(
    start: Start, portal: Simulator, settings: Settings
) -> None:
    portal.add_app("app-1", "canary-client-secret")
    issued = portal.issue_tokens(client_id="app-1", lifetime_s=1)
    ended = datetime.now(UTC) - timedelta(minutes=5)
    with open_store(settings) as store:
        tokens = TokenSet(issued["access_token"], issued["refresh_token"], ended, ("oauth",), 7)
        store.connections.add_oauth("ada", "sales", tokens)

    process = start(
        "serve", "--no-sync", "--port", "0", HUBSPOT_API_URL=portal.url,
        HUBSPOT_CLIENT_ID="app-1", HUBSPOT_CLIENT_SECRET="canary-client-secret",
    )  # fmt: skip
    listening(process)
    with open_store(settings) as store:
        for _ in range(200):
            [found] = store.connections.list()
            if found.expires_at != ended:
                break
            httpx.get(f"{portal.url}/_simulator/health", trust_env=False)

    assert found.expires_at is not None
    assert found.expires_at > datetime.now(UTC) + timedelta(minutes=25)


def test_a_missing_key_file_is_one_line_and_never_made_anew(
    hubspot_calls: HubSpotCalls, settings: Settings
) -> None:
    connect_a_workspace(settings)
    settings.key_file.unlink()

    ended = hubspot_calls("serve", "--port", "0")

    assert ended.code == 1
    assert f"The key file {settings.key_file} is missing" in " ".join(ended.err.split())
    assert "Traceback" not in ended.err
    assert not settings.key_file.exists()


def test_a_wrong_key_is_one_line_and_changes_nothing(
    hubspot_calls: HubSpotCalls, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect_a_workspace(settings)
    monkeypatch.setenv("HUBSPOT_CALLS_ENCRYPTION_KEYS", NEW)

    ended = hubspot_calls("serve", "--port", "0")

    assert ended.code == 1
    assert "do not open with the encryption keys" in " ".join(ended.err.split())
    assert NEW not in ended.err
    with open_store(settings) as store:
        store.connections.check_keys()


def test_serve_puts_everything_under_the_newest_key_so_that_the_old_can_go(
    start: Start, data_dir: Path
) -> None:
    def with_keys(*keys: str) -> Settings:
        return settings_from(
            {
                "HUBSPOT_CALLS_DATA_DIR": str(data_dir),
                "HUBSPOT_CALLS_ENCRYPTION_KEYS": ",".join(keys),
            }
        )

    connect_a_workspace(with_keys(OLD))

    process = start(
        "serve", "--no-sync", "--port", "0", HUBSPOT_CALLS_ENCRYPTION_KEYS=f"{NEW},{OLD}"
    )
    said = "".join(listening(process))

    assert "now protects all that is in the store (1 moved)" in said
    assert NEW not in said
    with open_store(with_keys(NEW)) as store:
        store.connections.check_keys()


def test_a_key_file_that_others_can_read_is_told_of(start: Start, settings: Settings) -> None:
    connect_a_workspace(settings)
    assert stat.S_IMODE(settings.key_file.stat().st_mode) == 0o600
    settings.key_file.chmod(0o644)

    said = "".join(listening(start("serve", "--no-sync", "--port", "0")))

    assert "chmod 600" in said


def test_connections_are_listed_without_their_tokens(
    hubspot_calls: HubSpotCalls, settings: Settings
) -> None:
    connect_a_workspace(settings)
    with open_store(settings) as store:
        store.connections.add_service_key("ada", "support", "canary-service-key")
        dead = store.connections.add_oauth("ada", "dead", TOKENS)
        store.connections.require_reconnect(dead.id, "Connect again.")

    ended = [
        hubspot_calls("connections", "list"),
        hubspot_calls("connections", "list", "--json"),
        hubspot_calls("connections", "remove", "--user", "ada", "--workspace", "sales", "--json"),
    ]

    assert [one.code for one in ended] == [0, 0, 0]
    assert "canary" not in "".join(one.out + one.err for one in ended)


@pytest.mark.parametrize(
    ("trusted", "statuses"),
    [("", [401, 401, 429]), ("127.0.0.1", [401] * 3), ("192.0.2.0/24", [401, 401, 429])],
)
def test_only_proxies_that_the_settings_name_say_who_somebody_is(
    start: Start, trusted: str, statuses: list[int]
) -> None:
    process = start("serve", "--no-sync", "--port", "0", HUBSPOT_CALLS_TRUSTED_PROXIES=trusted)
    url = "".join(listening(process)).split()[1].partition("/api")[0]

    with httpx.Client(base_url=url, trust_env=False, timeout=20) as client:
        answers = [
            client.post(
                "/api/session",
                json={"access_key": "hck_no"},
                headers={"X-Forwarded-For": f"198.51.100.{n}"},
            ).status_code
            for n in range(11)
        ]

    assert [answers[0], answers[9], answers[10]] == statuses


def test_a_front_end_shows_its_own_tokens(start: Start) -> None:
    secret = "canary-secret-of-the-embedding-product"
    process = start("serve", "--no-sync", "--port", "0", HUBSPOT_CALLS_JWT_SECRET=secret)
    url = "".join(listening(process)).split()[1].partition("/api")[0]
    ends = datetime.now(UTC) + timedelta(minutes=5)
    token = jwt.encode({"sub": "ada", "workspace_id": "sales", "exp": ends}, secret)

    answer = httpx.get(
        f"{url}/api/hubspot/status", headers={"Authorization": f"Bearer {token}"}, trust_env=False
    )

    assert (answer.status_code, answer.json()["connected"]) == (200, False)


@pytest.mark.parametrize(
    ("variables", "fault"),
    [
        (
            {
                "HUBSPOT_CALLS_JWT_SECRET": "x" * 32,
                "HUBSPOT_CALLS_JWT_JWKS_URL": "https://id.example/keys",
                "HUBSPOT_CALLS_JWT_AUDIENCE": "calls",
            },
            "set HUBSPOT_CALLS_JWT_JWKS_URL or HUBSPOT_CALLS_JWT_SECRET, not both",
        ),
        (
            {
                "HUBSPOT_CALLS_JWT_JWKS_URL": "https://id.example/keys",
                "HUBSPOT_CALLS_JWT_ISSUER": " ",
            },
            "HUBSPOT_CALLS_JWT_JWKS_URL alone would open for every token of that key set, also"
            " those made for other programs: set HUBSPOT_CALLS_JWT_AUDIENCE to what `aud` of"
            " tokens made for this one says, or at least HUBSPOT_CALLS_JWT_ISSUER to what `iss`"
            " says",
        ),
        (
            {"HUBSPOT_CALLS_JWT_SECRET": "canary"},
            "HUBSPOT_CALLS_JWT_SECRET must have 32 bytes or more",
        ),
        (
            {
                "HUBSPOT_CALLS_JWT_JWKS_URL": "http://id.example/keys",
                "HUBSPOT_CALLS_JWT_ISSUER": "https://id.example",
            },
            "HUBSPOT_CALLS_JWT_JWKS_URL must be https, as secrets travel there, unless it is on"
            " this machine (loopback)",
        ),
        (
            {"HUBSPOT_CALLS_TRUSTED_PROXIES": "10.0.0.0/8, *"},
            "HUBSPOT_CALLS_TRUSTED_PROXIES must be a comma list of addresses or networks",
        ),
        (
            {"HUBSPOT_CALLS_SESSION_IDLE_HOURS": "0"},
            "HUBSPOT_CALLS_SESSION_IDLE_HOURS must be greater than 0",
        ),
    ],
    ids=["both", "any token", "short", "http", "anybody", "no time"],
)
def test_settings_that_would_let_anybody_in_are_refused(
    variables: dict[str, str], fault: str
) -> None:
    with pytest.raises(SettingsError) as raised:
        settings_from(variables)

    assert raised.value.faults == [fault]


@pytest.mark.parametrize(
    "variables",
    [
        {
            "HUBSPOT_CALLS_JWT_JWKS_URL": "https://id.example/keys",
            "HUBSPOT_CALLS_JWT_ISSUER": "https://id.example",
        },
        {
            "HUBSPOT_CALLS_JWT_JWKS_URL": "https://id.example/keys",
            "HUBSPOT_CALLS_JWT_AUDIENCE": "calls",
        },
        # Whoever has the secret was given it for this: there is nobody else's token to keep out.
        {"HUBSPOT_CALLS_JWT_SECRET": "x" * 32},
    ],
    ids=["issuer", "audience", "shared secret"],
)
def test_tokens_that_are_surely_meant_for_us_are_let_in(variables: dict[str, str]) -> None:
    settings = settings_from(variables)

    assert settings.jwt_jwks_url or settings.jwt_secret


@pytest.mark.parametrize(
    ("variables", "page"),
    [
        ({}, "http://127.0.0.1:8000/"),
        ({"HUBSPOT_CALLS_PUBLIC_URL": "https://a.example/calls"}, "https://a.example/calls/"),
        ({"HUBSPOT_CALLS_PAGE_URL": "https://app.example"}, "https://app.example/"),
        ({"HUBSPOT_CALLS_PAGE_URL": "https://app.example/hub"}, "https://app.example/hub"),
    ],
)
def test_people_land_on_a_page_of_ours_or_the_one_that_is_set(
    variables: dict[str, str], page: str
) -> None:
    assert page_url(settings_from(variables)) == page
