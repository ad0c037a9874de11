"""The commands of the examples' pages, typed as they stand there; Meltano installs the plugins."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from hubspot_calls.processes import clean_environment
from hubspot_simulator import Simulator
from tests.docs.terminal import says
from tests.documents import steps_of

from .conftest import HOUSE

CHECKOUT = "target-hubspot-calls"
# What no installation and no example needs.
LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "tests", "benchmarks", "hubspot-calls-*")
WRITTEN_KEY = "pat-na1-..."
BETWEEN = "-- and now the next command --"
# Meltano downloads and installs two plugins, and builds the package.
pytestmark = pytest.mark.timeout(400)


@pytest.fixture
def checkout(meltano_scripts: Path, tmp_path: Path) -> Path:
    """A clone of this repository after `make setup`; skips where nothing can be installed from."""
    asked = subprocess.run(
        [meltano_scripts / "uv", "pip", "compile", "--no-deps", "-"],
        input="hatchling",
        capture_output=True,
        text=True,
        timeout=60,
    )
    if asked.returncode != 0:
        pytest.skip(f"No package registry answers, so nothing can be installed: {asked.stderr}")
    made = tmp_path / CHECKOUT
    shutil.copytree(HOUSE, made, ignore=LEFT_OUT)
    shutil.copy(HOUSE / "examples/meltano/.env.example", made / "examples/meltano")
    (made / ".venv").symlink_to(sys.prefix)
    return made


@pytest.fixture
def type_page(meltano_scripts: Path) -> Callable[..., None]:
    """Types the commands of a page one after the other, in one shell."""

    def follow(page: Path, folder: Path, service_key: str, variables: dict[str, str]) -> None:
        steps = steps_of(page.read_text("utf-8").replace(WRITTEN_KEY, service_key))
        commands = f"\necho '{BETWEEN}'\n".join(step.command for step in steps)
        paths = f"{meltano_scripts}{os.pathsep}{os.environ['PATH']}"

        ended = subprocess.run(
            ["bash", "-e", "-c", commands],
            cwd=folder,
            env=clean_environment({**variables, "PATH": paths}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=380,
        )

        assert ended.returncode == 0, ended.stdout
        for step, printed in zip(steps, ended.stdout.split(BETWEEN), strict=True):
            assert says(printed, step.printed), f"`{step.command}` prints\n{printed}"

    return follow


def test_the_csv_examples_page_brings_its_calls_to_their_contacts(
    checkout: Path,
    type_page: Callable[..., None],
    portal: Simulator,
    into_portal: dict[str, str],
) -> None:
    folder = checkout / "examples/csv"
    key = into_portal.pop("TARGET_HUBSPOT_CALLS_SERVICE_KEY")

    type_page(folder / "README.md", folder, key, into_portal)

    assert len(portal.notes()) == 3
    with duckdb.connect(folder / "hubspot-calls-data/sync_log.duckdb", read_only=True) as log:
        assert log.execute("SELECT count(*) FROM call_status").fetchall() == [(5,)]


def test_the_meltano_examples_page_makes_a_project_that_delivers(
    checkout: Path,
    type_page: Callable[..., None],
    portal: Simulator,
    into_portal: dict[str, str],
    append_calls: Callable[[int], None],
    tmp_path: Path,
) -> None:
    append_calls(1)
    data_dir = str(tmp_path / "data")
    variables = {
        **into_portal,
        "TAP_VAPI_DATA_DIR": data_dir,
        "TARGET_HUBSPOT_CALLS_DATA_DIR": data_dir,
    }

    type_page(checkout / "examples/meltano/README.md", tmp_path, "", variables)

    assert len(portal.notes()) == 1


def test_no_plugin_is_installed_by_a_name_that_anybody_may_take() -> None:
    texts = [
        path.read_text("utf-8")
        for path in [HOUSE / "meltano.yml", *HOUSE.glob("examples/**/meltano.yml")]
    ]

    assert len(texts) == 2
    assert [text for text in texts if "pip_url: target-hubspot-calls" in text] == []
