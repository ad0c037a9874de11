"""The two processes of a sync: states kept, ends understood, nobody left behind.

Here both halves are stand-ins, so that each can fail on purpose; test_sync.py has the real ones.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hubspot_calls import halves, pipeline
from hubspot_calls.halves import SyncFailed
from hubspot_calls.pipeline import Pipeline, run_once
from hubspot_calls.settings import Settings, settings_from
from hubspot_calls.sync_state import SyncRunning, sole_sync

Install = Callable[[str, str], None]

ECHO_TAP = """
import json, sys
arguments = sys.argv[1:]
config = json.load(open(arguments[arguments.index("--config") + 1]))
state = open(arguments[arguments.index("--state") + 1]).read() if "--state" in arguments else "-"
print(json.dumps({"config": config, "state": state, "argv": arguments}), flush=True)
"""

COPYING_TARGET = """
import json, sys
for n, line in enumerate(sys.stdin, 1):
    print(json.dumps({"n": n, "heard": json.loads(line)}), flush=True)
"""

FOLLOWING_TAP = """
import signal, sys, threading
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
print('{"n": 1}', flush=True)
stop.wait(30)
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_from(
        {
            "HUBSPOT_CALLS_DATA_DIR": str(tmp_path / "data"),
            "HUBSPOT_SERVICE_KEY": "pat-na1-invented-key",
        }
    )


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Installs programs in place of the tap and the target."""
    place = tmp_path / "stand_ins"
    place.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(place))

    def install(tap: str, target: str) -> None:
        for name, text in (("stand_in_tap", tap), ("stand_in_target", target)):
            body = "".join(f"    {line}\n" for line in text.strip().splitlines())
            (place / f"{name}.py").write_text(f"def main():\n{body}")
        monkeypatch.setattr(halves, "TAP", ("tap-vapi", "stand_in_tap"))
        monkeypatch.setattr(halves, "TARGET", ("target-hubspot-calls", "stand_in_target"))

    return install


def saved_state(settings: Settings) -> dict[str, object]:
    state: dict[str, object] = json.loads((settings.data_dir / "sync_state.json").read_text())
    return state


def test_the_target_s_last_state_is_kept_and_given_to_the_next_run(
    settings: Settings, stand_in: Install
) -> None:
    stand_in(ECHO_TAP, COPYING_TARGET)

    run_once(settings)
    first = saved_state(settings)
    run_once(settings)
    second = saved_state(settings)

    assert first["heard"]["state"] == "-"  # type: ignore[index]
    assert json.loads(second["heard"]["state"]) == first  # type: ignore[index]


def test_no_setting_is_in_the_arguments_and_no_config_is_left_behind(
    settings: Settings, stand_in: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    target = """
import json, sys
arguments = sys.argv[1:]
config = json.load(open(arguments[arguments.index("--config") + 1]))
sys.stdin.read()
print(json.dumps({"key": config["service_key"], "argv": arguments}), flush=True)
"""
    stand_in(ECHO_TAP, target)

    run_once(settings)

    assert saved_state(settings)["key"] == "pat-na1-invented-key"
    assert "invented" not in json.dumps(saved_state(settings)["argv"])
    assert list(scratch.iterdir()) == []


def test_variables_of_ours_do_not_reach_the_children(
    settings: Settings, stand_in: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUBSPOT_SERVICE_KEY", "pat-stray")
    monkeypatch.setenv("TARGET_HUBSPOT_CALLS_USER_ID", "stray")
    target = """
import json, os, sys
sys.stdin.read()
print(json.dumps({"stray": [v for v in os.environ.values() if "stray" in v]}), flush=True)
"""
    stand_in(ECHO_TAP, target)

    run_once(settings)

    assert saved_state(settings) == {"stray": []}


def test_a_target_that_fails_is_reported_with_its_last_error(
    settings: Settings, stand_in: Install
) -> None:
    target = """
import json, sys
print(json.dumps({"level": "error", "message": "the store is gone"}), file=sys.stderr)
print(json.dumps({"level": "info", "message": "good bye"}), file=sys.stderr)
sys.exit(1)
"""
    stand_in(FOLLOWING_TAP, target)

    with pytest.raises(SyncFailed) as caught:
        run_once(settings)

    assert str(caught.value) == "target-hubspot-calls ended with exit code 1: the store is gone"


def test_a_killed_target_keeps_the_state_it_had_reached(
    settings: Settings, stand_in: Install
) -> None:
    target = """
import os, signal, sys
print('{"reached": 7}', flush=True)
sys.stdin.readline()
os.kill(os.getpid(), signal.SIGKILL)
"""
    stand_in(FOLLOWING_TAP, target)

    with pytest.raises(SyncFailed, match="target-hubspot-calls was ended by signal 9"):
        run_once(settings)

    assert saved_state(settings) == {"reached": 7}


def test_a_tap_that_fails_is_reported_once_the_target_has_finished(
    settings: Settings, stand_in: Install
) -> None:
    tap = """
import sys
print('{"n": 1}', flush=True)
print("The call stream is damaged", file=sys.stderr)
sys.exit(1)
"""
    stand_in(tap, COPYING_TARGET)

    with pytest.raises(SyncFailed, match="tap-vapi ended with exit code 1: The call stream"):
        run_once(settings)

    assert saved_state(settings)["n"] == 1


def test_stopping_ends_the_tap_first_and_lets_the_target_drain(
    settings: Settings, stand_in: Install
) -> None:
    target = """
import signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for line in sys.stdin:
    print('{"drained": false}', flush=True)
print('{"drained": true}', flush=True)
"""
    stand_in(FOLLOWING_TAP, target)
    settings.data_dir.mkdir()
    run = Pipeline(settings, follow=True)
    threading.Thread(target=_stop_when, args=(run, settings)).start()

    end = run.run()

    assert (end.fault, end.stopped) == (None, True)
    assert saved_state(settings) == {"drained": True}


def test_a_target_that_does_not_drain_is_killed(
    settings: Settings, stand_in: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "DRAIN_S", 0.2)
    monkeypatch.setattr(pipeline, "_TARGET_HEAD_START_S", 0.1)
    target = """
import signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print('{"stuck": true}', flush=True)
time.sleep(60)
"""
    stand_in(FOLLOWING_TAP, target)
    settings.data_dir.mkdir()
    run = Pipeline(settings, follow=True)
    threading.Thread(target=_stop_when, args=(run, settings)).start()
    started = time.monotonic()

    end = run.run()

    assert end.stopped
    assert time.monotonic() - started < 20


def test_log_lines_of_both_are_relayed_under_their_names(
    settings: Settings, stand_in: Install, caplog: pytest.LogCaptureFixture
) -> None:
    tap = """
import sys
print("a bare line", file=sys.stderr)
"""
    target = """
import json, sys
print(json.dumps({"level": "warning", "message": "a structured one"}), file=sys.stderr)
"""
    stand_in(tap, target)

    with caplog.at_level(logging.INFO):
        run_once(settings)

    heard = [(r.name, r.levelname, r.getMessage()) for r in caplog.records]
    assert ("tap-vapi", "INFO", "a bare line") in heard
    assert ("target-hubspot-calls", "WARNING", "a structured one") in heard


def test_a_tap_that_takes_its_time_to_leave_is_no_fault(
    settings: Settings, stand_in: Install
) -> None:
    stand_in(
        "import os, time\nos.close(1)\ntime.sleep(0.5)",
        "import sys\nsys.stdin.read()",
    )

    assert run_once(settings).fault is None


def test_a_second_run_on_the_same_data_is_refused(settings: Settings, stand_in: Install) -> None:
    stand_in(ECHO_TAP, COPYING_TARGET)

    with sole_sync(settings.data_dir, "hubspot-calls serve"), pytest.raises(SyncRunning):
        run_once(settings)


def test_children_end_when_their_parent_is_killed(
    settings: Settings, stand_in: Install, tmp_path: Path
) -> None:
    tap = f"""
import os, pathlib
pathlib.Path({str(tmp_path / "tap.pid")!r}).write_text(str(os.getpid()))
import signal, threading
threading.Event().wait(60)
"""
    stand_in(tap, COPYING_TARGET)
    program = f"""
from hubspot_calls import halves, pipeline
from hubspot_calls.settings import settings_from
halves.TAP = ("tap-vapi", "stand_in_tap")
halves.TARGET = ("target-hubspot-calls", "stand_in_target")
pipeline.run_once(settings_from({{"HUBSPOT_CALLS_DATA_DIR": {str(settings.data_dir)!r}}}))
"""
    parent = subprocess.Popen([sys.executable, "-c", program])
    pid = int(_wait_for(lambda: (tmp_path / "tap.pid").read_text()))

    parent.kill()
    parent.wait()

    _wait_for(lambda: not _is_alive(pid))


def _stop_when(run: Pipeline, settings: Settings) -> None:
    _wait_for(lambda: (settings.data_dir / "sync_state.json").exists())
    run.stop()


def _wait_for(check: Callable[[], object], timeout_s: float = 20) -> str:
    give_up_at = time.monotonic() + timeout_s
    while True:
        try:
            if found := check():
                return str(found)
        except OSError:
            pass
        assert time.monotonic() < give_up_at, "it did not happen in time"
        time.sleep(0.02)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A zombie waits for its new parent, which in a container may never ask.
    state = Path(f"/proc/{pid}/stat")
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"


def test_what_duckdb_s_bindings_say_as_a_child_ends_is_not_passed_on(
    settings: Settings, stand_in: Install, caplog: pytest.LogCaptureFixture
) -> None:
    said = [
        "nanobind: leaked 28 instances!",
        ' - leaked instance 0x55c5b2887d40 of type "_duckdb._sqltypes.DuckDBPyType"',
        "nanobind: leaked 1 keep_alive records!",
        "nanobind: leaked 6 types!",
        ' - leaked type "_duckdb.DuckDBPyConnection"',
        "nanobind: leaked 84 functions!",
        ' - leaked function "cursor"',
        " - ... skipped remainder",
        "nanobind: this is likely caused by a reference counting issue in the binding code.",
        "See https://nanobind.readthedocs.io/en/latest/refleaks.html",
    ]
    lines = "\\n".join([*said, "nanobind: something else", "See the log."])
    stand_in(ECHO_TAP, f"{COPYING_TARGET}\nsys.stderr.write('''{lines}''')")
    caplog.set_level(logging.INFO, "target-hubspot-calls")

    run_once(settings)

    messages = [each.getMessage() for each in caplog.records]
    assert messages == ["nanobind: something else", "See the log."]
