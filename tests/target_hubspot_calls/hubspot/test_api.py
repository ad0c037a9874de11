from __future__ import annotations

import pytest

from target_hubspot_calls.errors import SettingsError
from target_hubspot_calls.hubspot.api import (
    associations_path,
    checked_base_url,
    object_path,
    properties_path,
)


def test_every_path_carries_the_one_version() -> None:
    assert object_path("notes", "batch/create") == "/crm/objects/2026-09/notes/batch/create"
    assert object_path("contacts") == "/crm/objects/2026-09/contacts"
    assert (
        associations_path("contacts", "notes", "batch/read")
        == "/crm/associations/2026-09/contacts/notes/batch/read"
    )
    assert properties_path("notes", "vapi_call_id") == "/crm/properties/2026-09/notes/vapi_call_id"


@pytest.mark.parametrize(
    "address",
    [
        "https://api.hubapi.com",
        "https://api.hubapi.com/",
        "http://127.0.0.1:8900",
        "http://[::1]:8900",
        "http://localhost:8900",
    ],
)
def test_https_and_loopback_addresses_are_taken(address: str) -> None:
    assert str(checked_base_url(address)) == address


@pytest.mark.parametrize(
    "address",
    [
        "",
        "api.hubapi.com",
        "http://api.hubapi.com",
        "http://127.0.0.1.example",
        "ftp://api.hubapi.com",
        "https://user:canary@api.hubapi.com",
        "https://api.hubapi.com/crm",
        "https://api.hubapi.com?hapikey=canary",
        "https://[half",
    ],
)
def test_other_addresses_are_refused_by_the_settings_name(address: str) -> None:
    with pytest.raises(SettingsError) as refused:
        checked_base_url(address)

    assert "hubspot_api_url" in str(refused.value)
    assert "canary" not in str(refused.value)
