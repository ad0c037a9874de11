"""A Meltano project of its own for each test, with the real Meltano and real plugins."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from call_stream.record import CallRecord, CallSource, encode_record
from call_stream.stream import EntryKind, open_writer
from hubspot_calls.processes import clean_environment
from hubspot_simulator import DEFAULT_PORTAL, Simulator

HOUSE = Path(__file__).parents[2]
SCRIPTS = Path(sys.executable).parent


@dataclass(frozen=True)
class Project:
    """A folder with a meltano.yml, and Meltano to run in it."""

    folder: Path
    meltano: Path
    variables: dict[str, str] = field(default_factory=dict)

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Meltano with the arguments, ended; `variables` are added to its environment."""
        environment = clean_environment({**self.variables, **variables})
        return subprocess.run(
            [str(self.meltano), "--log-format=plain", *arguments],
            cwd=self.folder,
            env={k: v for k, v in environment.items() if k in variables or k[:8] != "MELTANO_"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=170,
        )


@pytest.fixture(scope="session")
def meltano_scripts() -> Path:
    """Where the programs of .venv-meltano are; CI makes it before the tests."""
    scripts = HOUSE / ".venv-meltano/bin"
    if not (scripts / "meltano").exists():
        if os.environ.get("CI") == "true":
            pytest.fail("Meltano is not there: `make meltano-demo` comes before the tests in CI.")
        pytest.skip("Meltano is not installed here: `make .venv-meltano/ready` installs it.")
    return scripts


@pytest.fixture
def a_project(meltano_scripts: Path, tmp_path: Path) -> Callable[..., Project]:
    """Copies a meltano.yml of this repository; `executables` are used instead of installing."""

    def make(source: str, executables: dict[str, Path], **variables: str) -> Project:
        folder = tmp_path / "project"
        folder.mkdir()
        told: dict[str, Any] = yaml.safe_load((HOUSE / source).read_text())
        for plugin in (plugin for kind in told["plugins"].values() for plugin in kind):
            plugin.pop("pip_url", None)
            plugin["executable"] = str(executables[plugin["name"]])
        (folder / "meltano.yml").write_text(yaml.safe_dump(told, sort_keys=False))
        return Project(folder, meltano_scripts / "meltano", variables)

    return make


@pytest.fixture
def project(a_project: Callable[..., Project], tmp_path: Path) -> Project:
    """The project of this repository: tap-vapi and target-hubspot-calls."""
    names = ("tap-vapi", "target-hubspot-calls")
    return a_project(
        "meltano.yml",
        {name: SCRIPTS / name for name in names},
        TAP_VAPI_DATA_DIR=str(tmp_path / "data"),
        TARGET_HUBSPOT_CALLS_DATA_DIR=str(tmp_path / "data"),
    )


@pytest.fixture
def portal() -> Iterator[Simulator]:
    with Simulator(port=0) as simulator:
        simulator.seed_contacts(
            [
                {"id": "101", "properties": {"firstname": "Dana", "phone": "(415) 555-0123"}},
                {"id": "102", "properties": {"firstname": "Priya", "phone": "+44 20 7946 0123"}},
                {"id": "103", "properties": {"email": "jonas.brandt@example.de"}},
            ]
        )
        yield simulator


@pytest.fixture
def into_portal(portal: Simulator) -> dict[str, str]:
    """Variables by which the target writes to the portal."""
    return {
        "TARGET_HUBSPOT_CALLS_HUBSPOT_API_URL": portal.url,
        "TARGET_HUBSPOT_CALLS_SERVICE_KEY": portal.add_service_key(DEFAULT_PORTAL),
    }


@pytest.fixture
def restore_signals() -> Iterator[None]:
    """The SDK takes over SIGTERM and SIGINT of whoever makes a tap or a target."""
    handlers = {signum: signal.getsignal(signum) for signum in (signal.SIGTERM, signal.SIGINT)}
    yield
    for signum, handler in handlers.items():
        signal.signal(signum, handler)


@pytest.fixture
def append_calls(tmp_path: Path) -> Iterator[Callable[[int], None]]:
    """Stores calls as the receiver does, all with the number of one contact."""
    writer = open_writer(f"file:{tmp_path}/data/stream")

    def append(count: int) -> None:
        waiting = [
            writer.append(EntryKind.CALL, encode_record(a_call(f"call-{number}")))
            for number in range(count)
        ]
        for future in waiting:
            future.result()

    yield append
    writer.close()


def a_call(call_id: str) -> CallRecord:
    return CallRecord(
        id=call_id,
        user_id="default",
        workspace_id="default",
        source=CallSource.WEBHOOK,
        customer_number="+14155550123",
        started_at="2026-11-20T15:04:06.000Z",
        summary="Moved a cleaning to Friday.",
        transcript="AI: Harbor Dental.\n" * 200,
        received_at="2026-11-20T15:05:26.000Z",
        updated_at="2026-11-20T15:05:25.400Z",
    )
