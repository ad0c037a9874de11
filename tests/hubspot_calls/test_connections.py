"""`connections`: the key comes in by stdin, is checked with HubSpot, and is never seen again."""

from __future__ import annotations

import asyncio
import io
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hubspot_calls.rooms import open_store
from hubspot_calls.settings import Settings
from hubspot_simulator.simulator import Simulator

HubSpotCalls = Callable[..., Any]

KEY = "pat-na1-00000000-aaaa-4bbb-8ccc-000000000001"
ADD = ("connections", "add", "--workspace", "acme", "--service-key-stdin")


def test_a_key_from_stdin_is_checked_and_stored(
    start: Callable[..., Any], portal: Simulator, settings: Settings, data_dir: Path
) -> None:
    portal.add_service_key(key=KEY)

    process = start(*ADD, "--json", HUBSPOT_API_URL=portal.url)
    out, err = process.communicate(f"{KEY}\n", timeout=30)

    made = json.loads(out)
    assert process.returncode == 0
    assert (made["workspace_id"], made["kind"], made["state"]) == ("acme", "service_key", "active")
    assert made["portal_id"] == 48_000_001
    with open_store(settings) as store:
        tokens = asyncio.run(store.connections.tokens(made["id"]).load())
    assert tokens.access_token == KEY
    assert KEY not in out + err
    stored = b"".join(path.read_bytes() for path in data_dir.rglob("*") if path.is_file())
    assert KEY.encode() not in stored


def test_a_key_that_hubspot_refuses_is_not_stored(
    start: Callable[..., Any], portal: Simulator, settings: Settings
) -> None:
    process = start(*ADD, HUBSPOT_API_URL=portal.url)
    out, err = process.communicate(KEY, timeout=30)

    assert process.returncode == 1
    assert err.startswith("hubspot-calls: HubSpot at http://127.0.0.1")
    assert "refuses this service key" in err
    assert KEY not in out + err
    with open_store(settings) as store:
        assert not store.connections.list()


def test_an_unreachable_hubspot_is_said_with_the_way_round(start: Callable[..., Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    process = start(*ADD, HUBSPOT_API_URL=f"http://127.0.0.1:{port}")
    out, err = process.communicate(KEY, timeout=50)

    assert process.returncode == 1
    assert "--no-check" in err.splitlines()[-1]
    assert KEY not in out + err


def test_an_unchecked_key_is_stored_without_asking(
    start: Callable[..., Any], settings: Settings
) -> None:
    process = start(*ADD, "--no-check", HUBSPOT_API_URL="http://127.0.0.1:9")
    _, err = process.communicate(KEY, timeout=30)

    assert process.returncode == 0
    with open_store(settings) as store:
        (connection,) = store.connections.list()
    assert (connection.workspace_id, connection.portal_id) == ("acme", None)
    assert KEY not in err


@pytest.mark.parametrize(
    "text", ["", "\n", "two words", "ключ", "x" * 2000], ids=["none", "blank", "two", "odd", "long"]
)
def test_what_is_no_key_is_refused_without_printing_it(
    text: str, hubspot_calls: HubSpotCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))

    ended = hubspot_calls(*ADD, "--no-check")

    assert ended.code == 1
    assert ended.err.startswith("hubspot-calls: stdin holds ")
    assert not text.strip() or text.strip() not in ended.out + ended.err


def test_the_list_shows_state_and_portal_and_no_key(
    hubspot_calls: HubSpotCalls, settings: Settings
) -> None:
    settings.data_dir.mkdir()
    with open_store(settings) as store:
        connection = store.connections.add_service_key("ana", "acme", KEY)
        store.connections.set_portal(connection.id, 48_000_001)
        store.connections.require_reconnect(connection.id, "HubSpot refuses the key")

    table = hubspot_calls("connections", "list").out
    listed = json.loads(hubspot_calls("connections", "list", "--json").out)

    assert "48000001" in table
    assert "reconnect required: HubSpot refuses the key" in table
    assert listed[0]["state"] == "reconnect_required"
    assert KEY not in table + json.dumps(listed)


def test_a_removed_connection_is_gone(hubspot_calls: HubSpotCalls, settings: Settings) -> None:
    settings.data_dir.mkdir()
    with open_store(settings) as store:
        store.connections.add_service_key("default", "acme", KEY)

    first = hubspot_calls("connections", "remove", "--workspace", "acme", "--json")
    second = hubspot_calls("connections", "remove", "--workspace", "acme")

    assert json.loads(first.out)["removed"] is True
    assert second.code == 1
    assert "user default, workspace acme has no connection" in second.err


def test_a_lost_key_file_is_an_error_and_not_a_new_key(
    hubspot_calls: HubSpotCalls, settings: Settings
) -> None:
    settings.data_dir.mkdir()
    with open_store(settings) as store:
        store.connections.add_service_key("default", "default", KEY)
    settings.key_file.unlink()

    ended = hubspot_calls("connections", "list")

    assert ended.code == 1
    assert "secret.key is missing" in ended.err
    assert not settings.key_file.exists()
