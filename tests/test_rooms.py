"""The walls of the house: which room may import which (pyproject.toml, tool.importlinter)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def lint_imports(cwd: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = Path(sys.executable).with_name("lint-imports")
    return subprocess.run(
        [command, "--no-cache", *options], cwd=cwd, capture_output=True, text=True, check=False
    )


def test_no_room_imports_what_it_must_not_know() -> None:
    linted = lint_imports(ROOT)

    assert linted.returncode == 0, linted.stdout


def test_a_broken_wall_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "receiver").mkdir()
    (tmp_path / "receiver" / "__init__.py").touch()
    (tmp_path / "receiver" / "webhooks.py").write_text("import duckdb\n")
    (tmp_path / ".importlinter").write_text(
        "[importlinter]\nroot_package = receiver\ninclude_external_packages = True\n"
        "[importlinter:contract:1]\nname = walls\ntype = forbidden\n"
        "source_modules = receiver.webhooks\nforbidden_modules = duckdb\n"
    )

    linted = lint_imports(tmp_path)

    assert linted.returncode == 1
    assert "receiver.webhooks -> duckdb" in linted.stdout
