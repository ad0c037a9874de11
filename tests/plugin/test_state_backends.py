"""Where a run goes on: Meltano keeps the tap's bookmark, whichever backend it keeps it in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from call_stream.stream import open_reader
from hubspot_simulator import Simulator

from .conftest import Project

AppendCalls = Callable[[int], None]
JOB = ("run", "tap-vapi", "target-hubspot-calls")
STATE_ID = "dev:tap-vapi-to-target-hubspot-calls"
# A machine that does other things needs its time to start Meltano and two plugins, several times.
pytestmark = pytest.mark.timeout(240)


@pytest.fixture(params=["database", "files"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """Variables that choose where Meltano keeps state."""
    if request.param == "database":
        return {}
    return {"MELTANO_STATE_BACKEND_URI": f"file://{tmp_path}/state"}


def test_the_second_run_reads_nothing_anew(
    project: Project,
    backend: dict[str, str],
    append_calls: AppendCalls,
    portal: Simulator,
    into_portal: dict[str, str],
) -> None:
    append_calls(2)

    first, second = (project.run(*JOB, **into_portal, **backend) for _ in range(2))

    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert "Read 2 reports" in first.stderr
    assert "Read 0 reports" in second.stderr
    assert len(portal.notes()) == 2
    kept = json.loads(project.run("state", "get", STATE_ID, **backend).stdout)
    [partition] = kept["singer_state"]["bookmarks"]["calls"]["partitions"]
    assert partition["context"] == {"source": "stream"}
    assert partition["replication_key_value"] > 0


def at_the_end(tmp_path: Path) -> str:
    """A state by which everything in the stream has been read."""
    end = open_reader(f"file:{tmp_path}/data/stream").end()
    partition = {
        "context": {"source": "stream"},
        "replication_key": "sequence",
        "replication_key_value": end,
    }
    return json.dumps({"singer_state": {"bookmarks": {"calls": {"partitions": [partition]}}}})


def test_a_full_refresh_reads_all_again_and_writes_nothing_twice(
    project: Project,
    append_calls: AppendCalls,
    portal: Simulator,
    into_portal: dict[str, str],
    tmp_path: Path,
) -> None:
    append_calls(2)
    project.run("state", "set", "--force", STATE_ID, at_the_end(tmp_path))

    refreshed = project.run("run", "--full-refresh", *JOB[1:], **into_portal)

    assert refreshed.returncode == 0, refreshed.stderr
    assert "Read 2 reports" in refreshed.stderr
    assert len(portal.notes()) == 2


def test_el_goes_on_from_the_state_of_its_own_id(
    project: Project, append_calls: AppendCalls, into_portal: dict[str, str], tmp_path: Path
) -> None:
    append_calls(2)
    project.run("state", "set", "--force", "by-hand", at_the_end(tmp_path))

    ended = project.run("el", "--state-id=by-hand", *JOB[1:], **into_portal)

    assert ended.returncode == 0, ended.stderr
    assert "Read 0 reports" in ended.stderr


def test_state_can_be_listed_and_cleared(
    project: Project, backend: dict[str, str], append_calls: AppendCalls, tmp_path: Path
) -> None:
    append_calls(1)
    project.run("state", "set", "--force", STATE_ID, at_the_end(tmp_path), **backend)

    before = project.run("state", "list", **backend)
    cleared = project.run("state", "clear", "--force", STATE_ID, **backend)
    after = project.run("state", "get", STATE_ID, **backend)

    assert STATE_ID in before.stdout
    assert cleared.returncode == 0
    assert "replication_key_value" not in after.stdout
