"""The state file and the lock that says who may move it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hubspot_calls.sync_state import StateFile, SyncRunning, UnreadableState, sole_sync


def test_the_last_state_saved_is_the_one_kept(tmp_path: Path) -> None:
    state = StateFile(tmp_path)

    state.save('{"bookmarks": {"calls": 1}}')
    state.save('{"bookmarks": {"calls": 2}}')

    assert json.loads(state.path.read_text()) == {"bookmarks": {"calls": 2}}
    assert [path.name for path in tmp_path.iterdir()] == ["sync_state.json"]
    assert state.path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("line", ["", "oops", "[1]", '{"bookm'])
def test_a_line_that_is_no_state_leaves_the_old_one(tmp_path: Path, line: str) -> None:
    state = StateFile(tmp_path)
    state.save('{"kept": 1}')

    with pytest.raises(UnreadableState):
        state.save(line)

    assert state.path.read_text() == '{"kept": 1}'


def test_a_state_that_cannot_be_written_says_where(tmp_path: Path) -> None:
    state = StateFile(tmp_path / "gone")

    with pytest.raises(UnreadableState, match="gone"):
        state.save("{}")


def test_a_missing_state_means_from_the_beginning(tmp_path: Path) -> None:
    assert StateFile(tmp_path).check() is False


def test_a_damaged_state_is_refused_with_what_to_do(tmp_path: Path) -> None:
    state = StateFile(tmp_path)
    state.path.write_text('{"bookmarks"')

    with pytest.raises(UnreadableState, match="delete it to read all stored calls again"):
        state.check()


def test_a_second_sync_of_the_same_directory_is_refused_by_name(tmp_path: Path) -> None:
    with (
        sole_sync(tmp_path, "hubspot-calls serve"),
        pytest.raises(SyncRunning, match=r"`hubspot-calls serve` \(process \d+\) already syncs"),
        sole_sync(tmp_path, "hubspot-calls sync"),
    ):
        pass


def test_the_right_to_sync_comes_back_when_its_holder_dies(tmp_path: Path) -> None:
    program = (
        "import os, pathlib, sys\n"
        "from hubspot_calls.sync_state import sole_sync\n"
        "with sole_sync(pathlib.Path(sys.argv[1]), 'x'): os._exit(9)\n"
    )
    died = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)

    with sole_sync(tmp_path, "hubspot-calls sync"):
        assert died.returncode == 9
