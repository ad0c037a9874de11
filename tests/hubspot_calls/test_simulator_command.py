"""`hubspot-calls simulator`: what it prints to go on with, and what it refuses."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from hubspot_calls.settings import load_settings

HubSpotCalls = Callable[..., Any]
Start = Callable[..., subprocess.Popen[str]]
APP = ("--client-id", "try", "--client-secret", "try-secret")
BACK = ("--redirect-uri", "http://127.0.0.1:8000/api/hubspot/oauth/callback")


def printed(process: subprocess.Popen[str], lines: int) -> str:
    assert process.stdout is not None
    return "".join(process.stdout.readline() for _ in range(lines))


def test_the_printed_env_is_ready_to_use(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HUBSPOT_API_URL", "HUBSPOT_SERVICE_KEY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / ".env").write_text(printed(start("simulator", "--port", "0", "--print-env"), 2))

    settings = load_settings(tmp_path)

    assert settings.service_key is not None
    answer = httpx.get(
        f"{settings.hubspot_api_url}/account-info/2026-09/details",
        headers={"Authorization": f"Bearer {settings.service_key.get_secret_value()}"},
        trust_env=False,
    )
    assert answer.status_code == 200


def test_with_an_app_the_printed_env_connects_in_the_browser(start: Start, tmp_path: Path) -> None:
    process = start("simulator", "--port", "0", "--print-env", *APP, *BACK)
    (tmp_path / ".env").write_text(printed(process, 5))

    settings = load_settings(tmp_path)

    assert settings.service_key is None
    assert settings.client_id == "try"
    assert settings.client_secret is not None
    assert settings.client_secret.get_secret_value() == "try-secret"
    assert settings.hubspot_app_url == settings.hubspot_api_url
    assert settings.redirect_uri == BACK[1]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (APP[:2], "missing: --client-secret, --redirect-uri"),
        (APP, "missing: --redirect-uri"),
        (BACK, "missing: --client-id, --client-secret"),
        (("--print-json", "--print-env"), "exclude each other"),
    ],
    ids=["id alone", "no way back", "no app", "two ways to print"],
)
def test_half_an_app_is_refused(
    hubspot_calls: HubSpotCalls, given: tuple[str, ...], says: str
) -> None:
    ended = hubspot_calls("simulator", *given)

    assert ended.code == 2
    assert says in ended.err
    assert "try-secret" not in ended.err
