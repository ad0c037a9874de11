"""The command that `webhooks create` prints to try a webhook, run as it is printed."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

HubSpotCalls = Callable[..., Any]
Start = Callable[..., subprocess.Popen[str]]

WAYS: dict[str, tuple[str, ...]] = {
    "secret": (),
    "bearer": ("--auth", "bearer"),
    "bare token": ("--auth", "bearer", "--header", "X-Token", "--no-bearer-prefix"),
    "header": ("--auth", "header", "--header", "X-Acme-Secret"),
    "none": ("--auth", "none"),
    "hmac": ("--auth", "hmac"),
    "standard webhooks": ("--auth", "hmac", "--standard-webhooks"),
    "sha512 in base64": ("--auth", "hmac", "--algorithm", "sha512", "--encoding", "base64"),
    "sha1 with a prefix": ("--auth", "hmac", "--algorithm", "sha1", "--prefix", "sha1="),
    "bytes for a key": ("--auth", "hmac", "--secret-base64"),
    "no timestamp": ("--auth", "hmac", "--no-timestamp"),
    "all that can be signed": (
        *("--auth", "hmac", "--payload-format"),
        'v0:{method}:{url}:it\'s "$HOME":{svix-id}.{timestamp}.{body}',
    ),
    "one assistant": ("--assistant", "a-1", "--assistant", "a-2"),
}


@pytest.fixture(scope="module", autouse=True)
def shell_programs() -> None:
    missing = [name for name in ("curl", "openssl") if shutil.which(name) is None]
    if missing:
        told = f"{' and '.join(missing)} must be installed to run the printed command"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(told)


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def receiver(start: Start, port: int, monkeypatch: pytest.MonkeyPatch) -> subprocess.Popen[str]:
    """`serve` where the printed commands lead, which know the public address alone."""
    address = f"http://127.0.0.1:{port}"
    monkeypatch.setenv("HUBSPOT_CALLS_PUBLIC_URL", address)
    process = start(*("serve", "--no-sync", "--port", str(port)), HUBSPOT_CALLS_PUBLIC_URL=address)
    assert process.stderr is not None
    while address not in (line := process.stderr.readline()):
        assert line
    return process


def test_the_printed_command_sends_a_call_that_is_taken(
    hubspot_calls: HubSpotCalls, receiver: subprocess.Popen[str]
) -> None:
    answers = {}
    environment = os.environ | {"NO_PROXY": "*"}
    for name, options in WAYS.items():
        out = hubspot_calls("webhooks", "create", *options).out
        (command,) = re.findall(r"^(?:b=|curl ).*$", out, re.MULTILINE)
        done = subprocess.run(
            ["sh", "-c", command], capture_output=True, text=True, env=environment, timeout=20
        )
        answers[name] = (done.stdout, done.stderr)
    receiver.terminate()
    _, said = receiver.communicate(timeout=30)

    listed = json.loads(hubspot_calls("webhooks", "list", "--json").out)

    assert answers == dict.fromkeys(WAYS, ("{}", ""))
    assert [webhook["counts"] for webhook in listed] == [{"stored": 1}] * len(WAYS), said


def test_json_holds_no_command(hubspot_calls: HubSpotCalls) -> None:
    ended = hubspot_calls("webhooks", "create", "--json")

    assert "curl" not in ended.out + ended.err
