"""The demo's sync by another command, such as `meltano run`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from hubspot_calls.demo.other_sync import run_command
from hubspot_calls.settings import Settings


def test_the_command_has_the_demos_settings_and_no_others_but_meltanos_own(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MELTANO_DATABASE_URI", "sqlite:///elsewhere.db")
    monkeypatch.setenv("TARGET_HUBSPOT_CALLS_SERVICE_KEY", "somebody's own")
    seen = tmp_path / "seen.json"
    program = tmp_path / "show.py"
    program.write_text(
        "import json, os, sys; open(sys.argv[1], 'w').write(json.dumps(dict(os.environ)))"
    )

    run_command(f"{sys.executable} {program} {seen}", settings)

    variables = json.loads(seen.read_text())
    assert variables["MELTANO_DATABASE_URI"] == "sqlite:///elsewhere.db"
    assert variables["TAP_VAPI_STREAM_URL"] == settings.stream_url
    assert "somebody's own" not in variables.values()
