"""What people ask Meltano about the two plugins, with Meltano itself."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hubspot_calls.processes import clean_environment
from hubspot_simulator import Simulator

from .conftest import Project

AppendCalls = Callable[[int], None]
# A machine that does other things needs its time to start Meltano and two plugins.
pytestmark = pytest.mark.timeout(180)


def test_discovery_and_about_come_through_meltano(project: Project) -> None:
    discovered = project.run("invoke", "tap-vapi", "--discover")
    about = project.run("invoke", "target-hubspot-calls", "--about", "--format=json")

    [stream] = json.loads(discovered.stdout)["streams"]
    assert stream["tap_stream_id"] == "calls"
    assert json.loads(about.stdout)["name"] == "target-hubspot-calls"


def test_an_environment_has_its_own_settings_and_no_secret_is_shown(project: Project) -> None:
    printed = project.run(
        "--environment=prod",
        "config",
        "print",
        "target-hubspot-calls",
        TARGET_HUBSPOT_CALLS_SERVICE_KEY="secret-word",
    )

    settings = json.loads(printed.stdout)
    assert settings["public_url"] == "https://calls.example.com"
    assert settings["service_key"] == "*****"
    assert "secret-word" not in printed.stdout + printed.stderr


def test_the_schedule_is_there_for_an_orchestrator(project: Project) -> None:
    listed = json.loads(project.run("schedule", "list", "--format=json").stdout)

    [schedule] = listed["schedules"]["job"]
    assert schedule["name"] == "calls-every-5-minutes"
    assert schedule["cron_interval"] == "*/5 * * * *"
    assert schedule["job"]["tasks"] == ["tap-vapi target-hubspot-calls"]


@pytest.mark.parametrize("count", [1, 3_000], ids=["one call", "many calls"])
def test_the_taps_settings_are_valid_once_a_call_is_there(
    count: int, project: Project, append_calls: AppendCalls
) -> None:
    append_calls(count)

    tested = project.run("config", "test", "tap-vapi")

    assert tested.returncode == 0, tested.stderr
    assert "Plugin configuration is valid" in tested.stdout
    assert "Traceback" not in tested.stderr


def test_without_any_call_meltano_says_that_none_came(project: Project) -> None:
    tested = project.run("config", "test", "tap-vapi")

    assert tested.returncode == 1
    assert "No RECORD or BATCH message received" in tested.stderr
    assert "Traceback" not in tested.stderr


def test_wrong_settings_are_said_in_one_line(project: Project) -> None:
    tested = project.run("config", "test", "tap-vapi", TAP_VAPI_READER_NAME="a/b")

    [line] = [line for line in tested.stderr.splitlines() if "reader_name" in line]
    assert "The settings are wrong. reader_name: breaks the rule pattern" in line
    assert len(line) < 500
    assert tested.returncode == 1


# What `meltano config test` sends a loader (Meltano 4.4.1, core/plugin_test_service.py). It wants
# exit 0 and no line of output with "error" or "exception" in it; afterwards it ends in a traceback
# of its own, because it ends a process that has ended already, so the loader is asked directly.
MELTANOS_TEST = (
    '{"type": "SCHEMA", "stream": "meltano_test_stream", "key_properties": ["id"], "schema":'
    ' {"type": "object", "properties": {"id": {"type": "integer"}, "name": {"type": "string"},'
    ' "created_at": {"type": "string", "format": "date-time"}}}}\n'
    '{"type": "RECORD", "stream": "meltano_test_stream", "record": {"id": 1, "name": "Meltano Test'
    ' Record", "created_at": "2025-09-29T00:00:00Z"}}\n'
    '{"type": "STATE", "value": {"bookmarks": {"meltano_test_stream": {"last_record": 1}}}}\n'
)


def test_meltanos_test_of_a_loader_passes_and_writes_nothing(
    portal: Simulator, into_portal: dict[str, str], tmp_path: Path
) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "target_hubspot_calls.target", "--config", "ENV"],
        env=clean_environment({**into_portal, "TARGET_HUBSPOT_CALLS_DATA_DIR": str(tmp_path)}),
        input=MELTANOS_TEST,
        capture_output=True,
        text=True,
    )

    assert ended.returncode == 0
    assert not re.search("error|exception", ended.stdout + ended.stderr, re.IGNORECASE)
    assert portal.notes() == []
