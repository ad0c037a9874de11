"""The `.env` file: what is wrong with it is said with its line, never dropped."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from hubspot_calls.settings import load_settings, settings_from, strangers_in_env_file
from target_hubspot_calls.errors import SettingsError


def faults_in(directory: Path, text: str) -> list[str]:
    (directory / ".env").write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_settings(directory)
    return [fault.removeprefix(f"{directory}/.env ") for fault in caught.value.faults]


def test_every_bad_line_is_named_beside_the_other_faults(tmp_path: Path) -> None:
    faults = faults_in(
        tmp_path,
        "# ours\n\n  HUBSPOT_CALLS_PUBLIC_URL: https://calls.example.test\n"
        "HUBSPOT_CLIENTID=app\nHUBSPOT_DATA_DIR=x\nVAPI_API_KEY\nHUBSPOT_CALLS_LOG_LEVEL=loud\n",
    )

    assert faults == [
        "line 3 cannot be read; write NAME=value, and # before a comment",
        "line 4 sets HUBSPOT_CLIENTID, which is no setting; did you mean HUBSPOT_CLIENT_ID?",
        "line 5 sets HUBSPOT_DATA_DIR, which is no setting; did you mean HUBSPOT_CALLS_DATA_DIR?",
        "line 6 gives VAPI_API_KEY no value; write VAPI_API_KEY=value",
        "HUBSPOT_CALLS_LOG_LEVEL must be 'debug', 'info', 'warning' or 'error'",
    ]


def test_variables_of_other_programs_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("HUBSPOT_PORTAL_ID=1\nVAPI_PUBLIC_KEY=x\nexport OTHER\n")

    assert load_settings(tmp_path).log_level == "info"


def test_names_that_may_be_a_slip_or_another_programs_are_warned_of(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        "VAPI_KEY=canary\nOTHER=1\nHUBSPOT_PORTAL_ID=canary\nVAPI_API_KEY=x\n"
    )

    assert strangers_in_env_file(tmp_path) == [
        f"{tmp_path}/.env line 1 sets VAPI_KEY, which is no setting of hubspot-calls and is not"
        " read; leave it if another program reads it",
        f"{tmp_path}/.env line 3 sets HUBSPOT_PORTAL_ID, which is no setting of hubspot-calls and"
        " is not read; leave it if another program reads it",
    ]


def test_without_a_file_nothing_is_warned_of(tmp_path: Path) -> None:
    assert strangers_in_env_file(tmp_path) == []


def test_serve_and_sync_warn_of_them_at_start(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("VAPI_KEY=canary\n")

    _, said = start("sync").communicate(timeout=50)

    assert "warning: " in said
    assert "line 1 sets VAPI_KEY, which is no setting" in said
    assert "canary" not in said


def test_a_slip_in_the_environment_may_be_another_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUBSPOT_CLIENTID", "app")

    assert load_settings(tmp_path).client_id is None


def test_a_directory_of_that_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()

    with pytest.raises(SettingsError, match="is a directory"):
        load_settings(tmp_path)


def test_a_malformed_encryption_key_is_refused_without_printing_it() -> None:
    with pytest.raises(SettingsError) as caught:
        settings_from({"HUBSPOT_CALLS_ENCRYPTION_KEYS": f"{'n' * 43}=,canary"})

    (fault,) = caught.value.faults
    assert fault.startswith("HUBSPOT_CALLS_ENCRYPTION_KEYS is no comma list of keys: ")
    assert "key 2 of 2" in fault
    assert "canary" not in fault
