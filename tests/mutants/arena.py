"""Temporary copies of the project in which a mutant lives while its tests run.

The copy is the working directory and comes first on the import path, so that tests and what they
start see it and not the project itself.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from tests.mutants.mutant import Mutant, MutantDoesNotFit

ROOT = Path(__file__).parents[2]
PACKAGES = (
    "call_stream",
    "hubspot_calls",
    "hubspot_simulator",
    "receiver",
    "tap_vapi",
    "target_hubspot_calls",
)
COPIED = (*PACKAGES, "tests", "sample_data", "README.md", "meltano.yml", "pyproject.toml")
# Only what the tests need: to load every plugin there is takes longer than most tests.
PLUGINS = ("no:cacheprovider", "pytest_timeout", "respx.plugin", "_hypothesis_pytestplugin")
LONGEST_RUN_S = 120.0
_TESTS_FAILED = 1
_WHERE = "import importlib.util as u, sys\nfor n in sys.argv[1:]: print(u.find_spec(n).origin)"


class Fate(Enum):
    """What became of a mutant."""

    CAUGHT = "caught"
    SURVIVED = "SURVIVED"
    DOES_NOT_FIT = "DOES NOT FIT"
    BROKEN = "BROKEN"


@dataclass(frozen=True)
class Verdict:
    """A mutant's fate, and what pytest or the patch had to say of it."""

    mutant: Mutant
    fate: Fate
    said: str = ""
    seconds: float = 0.0


@contextmanager
def copy_of_the_project(root: Path = ROOT) -> Iterator[Path]:
    """A directory with all that tests need."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as directory:
        copy = Path(directory)
        for name in COPIED:
            source = root / name
            if source.is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "campaign", ".*")
                shutil.copytree(source, copy / name, ignore=ignored)
            elif source.exists():
                shutil.copy(source, copy / name)
        yield copy


def judge(mutant: Mutant, root: Path = ROOT) -> Verdict:
    """Runs the mutant's tests against a copy with its mistake in it."""
    began = time.monotonic()
    fate, said = _fate(mutant, root)
    return Verdict(mutant, fate, said, time.monotonic() - began)


def _fate(mutant: Mutant, root: Path) -> tuple[Fate, str]:
    with copy_of_the_project(root) as copy:
        try:
            mutant.apply(copy)
        except (MutantDoesNotFit, SyntaxError) as err:
            return Fate.DOES_NOT_FIT, str(err)
        try:
            done = run_tests(copy, mutant.tests)
        except subprocess.TimeoutExpired:
            return Fate.BROKEN, "its tests do not come to an end"
    if done.returncode == 0:
        return Fate.SURVIVED, done.stdout
    if done.returncode == _TESTS_FAILED:
        return Fate.CAUGHT, ""
    return Fate.BROKEN, done.stdout + done.stderr


def run_tests(copy: Path, tests: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Runs these tests in the copy, up to the first that fails."""
    plugins = [word for plugin in PLUGINS for word in ("-p", plugin)]
    return _python(copy, "-m", "pytest", "-x", "-q", *plugins, *tests)


def foreign_packages(copy: Path) -> list[str]:
    """The packages of ours that Python, started in the copy, would take from elsewhere."""
    found = _python(copy, "-c", _WHERE, *PACKAGES).stdout.splitlines()
    return [origin for origin in found if not Path(origin).is_relative_to(copy)]


def _python(copy: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=copy,
        env={
            **os.environ,
            "PYTHONPATH": str(copy),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        },
        capture_output=True,
        text=True,
        timeout=LONGEST_RUN_S,
        check=False,
    )
