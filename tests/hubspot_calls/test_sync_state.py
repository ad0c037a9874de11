"""The state file and the lock that says who may move it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine

from hubspot_calls.sync_state import (
    SharedState,
    StateFile,
    SyncRunning,
    UnreadableState,
    is_older,
    sole_sync,
)
from target_hubspot_calls.errors import StoreUnavailable
from target_hubspot_calls.store.database import open_database
from target_hubspot_calls.store.elections import Elections
from target_hubspot_calls.store.sync_states import SyncStates


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


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_database(f"sqlite:///{tmp_path}/store.db")
    yield engine
    engine.dispose()


def elected(engine: Engine, holder: str) -> SharedState:
    """The state as a process sees it that was just elected, whoever was before."""
    Elections(engine).take(
        "reader:CALLS", holder, for_s=10, now=datetime.now(UTC), is_dead=lambda _: True
    )
    return SharedState(SyncStates(engine), "CALLS", office="reader:CALLS", holder=holder)


def a_state(**marks: int) -> str:
    partitions = [
        {"context": {"source": source}, "replication_key_value": mark}
        for source, mark in marks.items()
    ]
    return json.dumps({"bookmarks": {"calls": {"partitions": partitions}}})


def test_the_next_reader_of_a_shared_stream_goes_on_from_the_last_one_s_state(
    engine: Engine,
) -> None:
    first = elected(engine, "a")
    first.save(a_state(stream=5))

    second = elected(engine, "b")

    assert second.load() == a_state(stream=5)


def test_a_former_reader_s_state_is_dropped_without_a_fault(engine: Engine) -> None:
    first = elected(engine, "a")
    second = elected(engine, "b")
    second.save(a_state(stream=7))

    first.save(a_state(stream=9))
    elected(engine, "a")
    first.save(a_state(stream=6))

    assert second.load() == a_state(stream=7)


def test_a_shared_state_can_be_begun_again(engine: Engine) -> None:
    state = elected(engine, "a")
    state.save(a_state(stream=7))

    state.forget()
    state.save(a_state(stream=2))

    assert state.load() == a_state(stream=2)


def test_a_line_that_is_no_state_leaves_the_shared_one(engine: Engine) -> None:
    state = elected(engine, "a")
    state.save(a_state(stream=7))

    with pytest.raises(UnreadableState, match="no Singer state"):
        state.save("oops")

    assert state.load() == a_state(stream=7)


def test_a_shared_state_that_cannot_be_kept_says_why() -> None:
    class Gone:
        def save(self, *_: object, **__: object) -> bool:
            raise StoreUnavailable("The store is away.")

    state = SharedState(Gone(), "CALLS", office="reader:CALLS", holder="a")  # type: ignore[arg-type]

    with pytest.raises(UnreadableState, match="The store is away"):
        state.save("{}")


@pytest.mark.parametrize(
    ("state", "than", "older"),
    [
        (a_state(stream=5), a_state(stream=6), True),
        (a_state(stream=6), a_state(stream=6), False),
        (a_state(stream=7), a_state(stream=6), False),
        (a_state(stream=7, api=1), a_state(stream=6, api=2), True),
        (a_state(stream=7), a_state(stream=6, api=2), False),
        (a_state(stream=7, api=2), a_state(stream=6), False),
        ("{}", a_state(stream=6), False),
    ],
    ids=["behind", "the same", "ahead", "behind at one source", "one less", "one more", "empty"],
)
def test_a_state_is_older_where_it_lies_behind_at_any_source(
    state: str, than: str, older: bool
) -> None:
    assert is_older(state, than) is older
