"""What the program says once it listens, and where."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import httpx
import pytest

import hubspot_simulator

APP = ("--client-id", "try", "--client-secret", "try-secret")
BACK = ("--redirect-uri", "http://127.0.0.1:8000/api/hubspot/oauth/callback")
Run = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def run() -> Iterator[Run]:
    """Starts the program; it is ended with the test."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, stdout: int | IO[str] = subprocess.PIPE) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "hubspot_simulator", "--port", "0", *arguments],
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(hubspot_simulator.__file__).parents[1],
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.terminate()
        process.communicate(timeout=10)


def first_line(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline().strip()


def test_the_program_says_where_its_contacts_can_be_seen(run: Run) -> None:
    process = run("--portal", "48000007")

    listens, see = first_line(process.stdout), first_line(process.stderr)

    url = re.findall(r"listens on (\S+) ", listens)[0]
    assert see == f"See its contacts at {url}/contacts/48000007/objects/0-1"
    assert httpx.get(see.split()[-1], trust_env=False).status_code == 200


@pytest.mark.parametrize("arguments", [(), (*APP, *BACK)], ids=["service key", "app"])
def test_the_env_in_a_file_is_nothing_but_settings(
    run: Run, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    env = tmp_path / ".env"
    with env.open("w") as file:
        process = run("--print-env", *arguments, stdout=file)

        see = first_line(process.stderr)

    lines = env.read_text().splitlines()
    settings = dict(line.split("=", 1) for line in lines)
    url = settings["HUBSPOT_API_URL"]
    assert see == (
        f"HubSpot simulator listens on {url}; see its contacts at "
        f"{url}/contacts/48000001/objects/0-1"
    )
    assert all(re.fullmatch(r"HUBSPOT_[A-Z_]+=\S+", line) for line in lines)
    assert settings["HUBSPOT_APP_URL"] == url
    assert ("HUBSPOT_SERVICE_KEY" in settings) == (not arguments)
