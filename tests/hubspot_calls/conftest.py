"""The command run in this process or in one of its own, with a data directory of its own."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hubspot_calls.cli import run
from hubspot_calls.processes import clean_environment
from hubspot_calls.settings import Settings, settings_from
from hubspot_simulator.simulator import Simulator
from tests.hubspot_calls.terminal import seen_on_terminal


@dataclass(frozen=True)
class Ended:
    """How a run of the command ended, and what it printed."""

    code: int
    out: str
    err: str


HubSpotCalls = Callable[..., Ended]
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def environment(data_dir: Path, tmp_path: Path) -> dict[str, str]:
    """Variables for a process of its own; nothing of the developer's reaches it."""
    return clean_environment(
        {"HUBSPOT_CALLS_DATA_DIR": str(data_dir), "HOME": str(tmp_path), "COLUMNS": "80"}
    )


@pytest.fixture
def settings(data_dir: Path) -> Settings:
    return settings_from({"HUBSPOT_CALLS_DATA_DIR": str(data_dir)})


@pytest.fixture
def hubspot_calls(
    data_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> HubSpotCalls:
    """Runs the command in this process."""
    for name in list(os.environ):
        if name.startswith(("HUBSPOT_", "VAPI_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HUBSPOT_CALLS_DATA_DIR", str(data_dir))
    monkeypatch.chdir(tmp_path)
    # Receivers of other tests may run in this process, and tell of themselves.
    monkeypatch.setattr(logging.getLogger("receiver.connections"), "disabled", True)

    def call(*arguments: str) -> Ended:
        capsys.readouterr()
        code = run(arguments)
        said = capsys.readouterr()
        return Ended(code, said.out, said.err)

    return call


@pytest.fixture
def start(
    environment: dict[str, str], tmp_path: Path
) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts the command in a process of its own, which ends with the test."""
    started: list[subprocess.Popen[str]] = []

    def begin(*arguments: str, **variables: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "hubspot_calls", *arguments],
            env=environment | variables,
            cwd=tmp_path,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def portal() -> Iterator[Simulator]:
    """A pretend HubSpot over real HTTP."""
    with Simulator() as simulator:
        yield simulator


@pytest.fixture
def on_a_terminal() -> Callable[..., str]:
    """What the command shows on a terminal of 80 columns, or as many as COLUMNS says."""

    def shown_by(environment: dict[str, str], *arguments: str) -> str:
        of_80 = {"TERM": "xterm", "COLUMNS": "80"} | environment
        return seen_on_terminal(of_80, *arguments, stderr=subprocess.DEVNULL)[0]

    return shown_by
