"""Whether a run still lives."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from target_hubspot_calls.call import Call
from target_hubspot_calls.delivery.presence import FilePresence
from target_hubspot_calls.store.database import open_database
from target_hubspot_calls.store.ledger import Ledger
from tests.target_hubspot_calls.delivery.conftest import Deliveries

ENTER = """
import sys, pathlib
from target_hubspot_calls.delivery.presence import FilePresence
FilePresence(pathlib.Path(sys.argv[1]), "other").enter()
print("in", flush=True)
sys.stdin.read()
"""


def a_run_elsewhere(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", ENTER, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "in\n"
    return process


def test_a_killed_run_is_dead_and_a_living_one_is_not(tmp_path: Path) -> None:
    mine = FilePresence(tmp_path, "mine")
    mine.enter()
    other = a_run_elsewhere(tmp_path)

    alive = mine.is_dead("other")
    other.kill()
    other.communicate()

    assert not alive
    assert mine.is_dead("other")
    assert not mine.is_dead("mine")
    mine.leave()


def test_a_run_that_vanishes_is_as_dead_as_a_killed_one(tmp_path: Path) -> None:
    mine, other = FilePresence(tmp_path, "mine"), FilePresence(tmp_path, "other")
    mine.enter()
    other.enter()

    other.vanish()
    other.leave()

    assert mine.is_dead("other")
    mine.leave()


def test_of_a_run_that_was_never_here_nothing_is_known(tmp_path: Path) -> None:
    mine = FilePresence(tmp_path, "mine")
    mine.enter()

    assert not mine.is_dead("on-another-machine")
    mine.leave()
    assert list((tmp_path / "runs").iterdir()) == []


def test_calls_of_a_killed_run_are_delivered_by_the_next_one(
    deliver: Callable[..., Deliveries], a_call: Callable[..., Call]
) -> None:
    runs = deliver()
    runs()
    ledger = Ledger(open_database(runs.settings.store_url))
    call = a_call()
    ledger.accept([call], now=runs.now())
    other = a_run_elsewhere(runs.settings.data_dir)
    ledger.claim(call.workspace, holder="other", limit=10, for_s=300, now=runs.now())

    while_it_lives = runs()
    other.kill()
    other.communicate()
    after = runs()

    assert while_it_lives == {}
    assert after == {"created": 1}
