"""`serve` keeps the bounds that its settings name."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
from collections.abc import Callable

import httpx
import pytest

from hubspot_calls.settings import settings_from
from target_hubspot_calls.errors import SettingsError

Start = Callable[..., subprocess.Popen[str]]


def port_of(process: subprocess.Popen[str]) -> int:
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(r"http://127\.0\.0\.1:(\d+)", line):
            return int(found[1])
    raise AssertionError("it ended without listening")


def test_one_address_has_no_more_connections_than_the_setting_allows(start: Start) -> None:
    process = start(
        "serve", "--no-sync", "--port", "0", HUBSPOT_CALLS_MAX_CONNECTIONS_PER_ADDRESS="2"
    )
    port = port_of(process)

    with (
        socket.create_connection(("127.0.0.1", port)) as first,
        socket.create_connection(("127.0.0.1", port)) as second,
        socket.create_connection(("127.0.0.1", port), timeout=20) as third,
    ):
        refused = third.recv(100)
        for connection in (first, second):
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        served = [connection.recv(65536)[:12] for connection in (first, second)]
    process.send_signal(signal.SIGTERM)

    assert refused == b""
    assert served == [b"HTTP/1.1 200"] * 2


def test_serve_says_how_the_disk_of_its_data_is(start: Start) -> None:
    process = start("serve", "--no-sync", "--port", "0")
    url = f"http://127.0.0.1:{port_of(process)}"

    answer = httpx.get(f"{url}/readyz", trust_env=False)
    process.send_signal(signal.SIGTERM)

    states = answer.json()
    assert answer.status_code == 200
    assert (states["store"], states["stream"]) == ("ok", "ok")
    assert states["disk"] in ("ok", "low")


@pytest.mark.parametrize(
    ("variables", "fault"),
    [
        (
            {
                "HUBSPOT_CALLS_MAX_CONNECTIONS_PER_ADDRESS": "5",
                "HUBSPOT_CALLS_TRUSTED_PROXIES": "127.0.0.1",
            },
            "HUBSPOT_CALLS_MAX_CONNECTIONS_PER_ADDRESS would count the proxy's connections; leave"
            " it to the proxy",
        ),
        (
            {"HUBSPOT_CALLS_MAX_CONNECTIONS": "1"},
            "HUBSPOT_CALLS_MAX_CONNECTIONS must be greater than or equal to 16",
        ),
    ],
    ids=["behind a proxy", "too few"],
)
def test_bounds_that_would_keep_good_senders_out_are_refused(
    variables: dict[str, str], fault: str
) -> None:
    with pytest.raises(SettingsError) as raised:
        settings_from(variables)

    assert raised.value.faults == [fault]
