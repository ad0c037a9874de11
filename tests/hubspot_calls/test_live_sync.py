"""The live sync: what died is started again, with growing waits."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hubspot_calls import live_sync
from hubspot_calls.halves import RunEnd
from hubspot_calls.live_sync import LiveSync
from hubspot_calls.settings import Settings, settings_from
from hubspot_calls.sync_state import sole_sync


class DyingRun:
    """A run that dies at once until it has done so `deaths` times, then holds."""

    def __init__(self, deaths: list[int], holds: threading.Event) -> None:
        self._deaths = deaths
        self._holds = holds
        self._stop = threading.Event()

    def run(self) -> RunEnd:
        if self._deaths[0] > 0:
            self._deaths[0] -= 1
            return RunEnd(fault="target-hubspot-calls was ended by signal 9", stopped=False)
        self._holds.set()
        self._stop.wait(40)
        return RunEnd(fault=None, stopped=True)

    def stop(self) -> None:
        self._stop.set()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_from({"HUBSPOT_CALLS_DATA_DIR": str(tmp_path)})


def test_a_run_that_dies_is_started_again_and_the_reason_is_logged(
    settings: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_sync, "FIRST_WAIT_S", 0.01)
    deaths, holds = [3], threading.Event()
    live = LiveSync(settings, make_run=lambda: DyingRun(deaths, holds))

    with caplog.at_level(logging.WARNING):
        live.start()
        held = holds.wait(20)
        live.stop()

    assert held
    assert [record.getMessage() for record in caplog.records] == [
        "live sync ended: target-hubspot-calls was ended by signal 9;"
        f" it starts again in {wait_s:g} s"
        for wait_s in (0.01, 0.02, 0.04)
    ]


def test_stopping_ends_a_run_that_holds(settings: Settings) -> None:
    holds = threading.Event()
    live = LiveSync(settings, make_run=lambda: DyingRun([0], holds))
    live.start()
    assert holds.wait(20)

    live.stop()

    with sole_sync(settings.data_dir, "the next"):
        pass


def test_stopping_one_that_never_started_is_fine(settings: Settings) -> None:
    LiveSync(settings).stop()


def test_it_waits_for_a_sync_that_holds_the_data_directory(
    settings: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_sync, "FIRST_WAIT_S", 0.01)
    holds = threading.Event()
    live = LiveSync(settings, make_run=lambda: DyingRun([0], holds))

    with caplog.at_level(logging.WARNING), sole_sync(settings.data_dir, "hubspot-calls sync"):
        live.start()
        wait_for(lambda: caplog.text.count("`hubspot-calls sync` (process") >= 3)
        started_beside_it = holds.is_set()
    started_after_it = holds.wait(20)
    live.stop()

    assert (started_beside_it, started_after_it) == (False, True)


def test_a_mistake_of_ours_is_logged_with_its_place_and_the_run_started_again(
    settings: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_sync, "FIRST_WAIT_S", 0.01)
    holds = threading.Event()
    mistakes = iter([TypeError("a mistake")])

    def make_run() -> DyingRun:
        for mistake in mistakes:
            raise mistake
        return DyingRun([0], holds)

    live = LiveSync(settings, make_run=make_run)
    live.start()
    held = holds.wait(20)
    was_running = live.is_running
    live.stop()

    assert (held, was_running, live.is_running) == (True, True, False)
    assert "Traceback" in caplog.text
    assert "TypeError, which is a mistake in this program" in caplog.text


def wait_for(check: Callable[[], bool], timeout_s: float = 20) -> None:
    give_up_at = time.monotonic() + timeout_s
    while not check():
        assert time.monotonic() < give_up_at, "it did not happen in time"
        time.sleep(0.01)
