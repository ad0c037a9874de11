"""Settings of the API: which sites may call it, and what the metrics ask for."""

from __future__ import annotations

import pytest

from hubspot_calls.settings import settings_from
from target_hubspot_calls.errors import SettingsError


@pytest.mark.parametrize(
    ("written", "origins"),
    [
        ("https://app.example.com", ("https://app.example.com",)),
        ("https://app.example.com/", ("https://app.example.com",)),
        ("HTTPS://App.Example.com:443", ("https://app.example.com",)),
        ("https://app.example.com:8443", ("https://app.example.com:8443",)),
        ("http://localhost:3000, http://[::1]:80", ("http://localhost:3000", "http://[::1]")),
        ("", None),
    ],
)
def test_sites_are_read_as_browsers_name_them(
    written: str, origins: tuple[str, ...] | None
) -> None:
    assert settings_from({"HUBSPOT_CALLS_ALLOWED_ORIGINS": written}).allowed_origins == origins


@pytest.mark.parametrize(
    "written",
    [
        "*",
        "https://*.example.com",
        "http://app.example.com",
        "https://app.example.com/path",
        "https://app.example.com?x=1",
        "https://user:canary@app.example.com",
        "null",
        "app.example.com",
        "https://app.example.com:99999",
        "https://app.example.com, *",
    ],
)
def test_anything_wider_than_a_site_is_refused(written: str) -> None:
    with pytest.raises(SettingsError, match="HUBSPOT_CALLS_ALLOWED_ORIGINS") as caught:
        settings_from({"HUBSPOT_CALLS_ALLOWED_ORIGINS": written})

    assert "canary" not in str(caught.value)


def test_a_metrics_token_is_no_short_word_and_is_never_shown() -> None:
    with pytest.raises(SettingsError, match="HUBSPOT_CALLS_METRICS_TOKEN"):
        settings_from({"HUBSPOT_CALLS_METRICS_TOKEN": "secret"})

    settings = settings_from({"HUBSPOT_CALLS_METRICS_TOKEN": "a-canary-for-metrics"})

    assert settings.metrics_token is not None
    assert "canary" not in repr(settings)
