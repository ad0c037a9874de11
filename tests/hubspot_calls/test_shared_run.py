"""One of several hosts: a target that delivers, and a tap only while this process is the reader.

Both halves, the election and the shared state are stand-ins here, so that each can fail on purpose.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hubspot_calls import halves, other_readers, reader_office, shared_run
from hubspot_calls.halves import RunEnd
from hubspot_calls.settings import Settings, settings_from
from hubspot_calls.shared_run import SharedRun
from hubspot_calls.shared_stream import SharedStream, is_shared, name_of, place_of
from target_hubspot_calls.errors import StoreUnavailable
from tests.hubspot_calls.test_reader_office import StandInElections

Install = Callable[..., None]

# Says what it was given, then follows until it is told to end.
FOLLOWING_TAP = """
import json, signal, sys, threading
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
arguments = sys.argv[1:]
state = json.load(open(arguments[arguments.index("--state") + 1])) if "--state" in arguments else {}
print(json.dumps({"n": state.get("n", 0) + 1}), flush=True)
stop.wait(30)
"""

# Hands each line on as a STATE.
COPYING_TARGET = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
for line in sys.stdin:
    print(line, end="", flush=True)
"""


class StandInState:
    """States in memory, and a store that may be gone."""

    def __init__(self) -> None:
        self.saved: list[str] = []
        self.is_gone = False

    def save(self, line: str) -> None:
        json.loads(line)
        self.saved.append(line)

    def load(self) -> str | None:
        if self.is_gone:
            raise StoreUnavailable("The store is away.")
        return self.saved[-1] if self.saved else None

    def forget(self) -> None:
        self.saved.append("{}")


class Host:
    """One host with a shared stream, whose election and state are in the test's hands."""

    def __init__(self) -> None:
        self.elections = StandInElections()
        self.state = StandInState()

    @contextmanager
    def open(self, settings: Settings) -> Iterator[SharedStream]:
        yield SharedStream(
            name="CALLS",
            holder="us/here",
            elections=self.elections,
            state=self.state,  # type: ignore[arg-type]
            is_dead=lambda _: False,
        )


class Running:
    """A run in a thread of its own."""

    def __init__(self, run: SharedRun) -> None:
        self._run = run
        self._end: RunEnd | None = None
        self._thread = threading.Thread(target=self._go)
        self._thread.start()

    def _go(self) -> None:
        self._end = self._run.run()

    def stop(self) -> RunEnd:
        self._run.stop()
        return self.end()

    def end(self) -> RunEnd:
        self._thread.join(40)
        assert self._end is not None
        return self._end


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_from(
        {
            "HUBSPOT_CALLS_DATA_DIR": str(tmp_path / "data"),
            "HUBSPOT_CALLS_STREAM_URL": "nats://127.0.0.1:1/CALLS",
        }
    )


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    host = Host()
    monkeypatch.setattr(shared_run, "open_shared_stream", host.open)
    monkeypatch.setattr(reader_office, "LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(reader_office, "RENEW_EVERY_S", 0.02)
    monkeypatch.setattr(shared_run, "FIRST_WAIT_S", 0.05)
    return host


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Installs programs in place of the tap and the target."""
    place = tmp_path / "stand_ins"
    place.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(place))

    def install(tap: str = FOLLOWING_TAP, target: str = COPYING_TARGET) -> None:
        for name, text in (("stand_in_tap", tap), ("stand_in_target", target)):
            body = "".join(f"    {line}\n" for line in text.strip().splitlines())
            (place / f"{name}.py").write_text(f"def main():\n{body}")
        monkeypatch.setattr(halves, "TAP", ("tap-vapi", "stand_in_tap"))
        monkeypatch.setattr(halves, "TARGET", ("target-hubspot-calls", "stand_in_target"))

    return install


def test_the_elected_reader_reads_and_the_next_one_goes_on_from_its_state(
    settings: Settings, host: Host, stand_in: Install
) -> None:
    stand_in()

    running = Running(SharedRun(settings, follow=True))
    wait_for(lambda: len(host.state.saved) == 1)
    end = running.stop()
    again = Running(SharedRun(settings, follow=True))
    wait_for(lambda: len(host.state.saved) == 2)
    again.stop()

    assert (end.fault, end.stopped) == (None, True)
    assert host.state.saved == ['{"n": 1}', '{"n": 2}']
    assert host.elections.holder is None


def test_one_that_is_not_elected_runs_its_target_and_reads_nothing(
    settings: Settings, host: Host, stand_in: Install, tmp_path: Path
) -> None:
    mark = tmp_path / "target-runs"
    stand_in(target=f"import pathlib, sys\npathlib.Path({str(mark)!r}).touch()\nsys.stdin.read()")
    host.elections.holder = "them/there"

    running = Running(SharedRun(settings, follow=True))
    wait_for(mark.exists)
    wait_for(lambda: host.elections.asked > 3)
    end = running.stop()

    assert (end.fault, end.stopped) == (None, True)
    assert host.state.saved == []
    assert host.elections.holder == "them/there"


def test_reading_ends_when_another_is_elected_and_begins_again_after_it(
    settings: Settings, host: Host, stand_in: Install, caplog: pytest.LogCaptureFixture
) -> None:
    stand_in()

    with caplog.at_level(logging.INFO):
        running = Running(SharedRun(settings, follow=True))
        wait_for(lambda: len(host.state.saved) == 1)
        host.elections.holder = "them/there"
        wait_for(lambda: "reading ends here" in caplog.text)
        host.elections.holder = None
        wait_for(lambda: len(host.state.saved) == 2)
        running.stop()

    assert host.state.saved == ['{"n": 1}', '{"n": 2}']


def test_a_tap_that_is_killed_ends_the_run_and_its_torn_line_is_not_read(
    settings: Settings, host: Host, stand_in: Install
) -> None:
    stand_in(
        tap="""
import os, signal, sys
sys.stdout.write('{"n": 1')
sys.stdout.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""
    )

    end = Running(SharedRun(settings, follow=True)).end()

    assert end.fault == "tap-vapi was ended by signal 9; it said nothing"
    assert host.state.saved == []


def test_a_tap_that_does_not_end_when_the_office_is_lost_is_killed_and_ends_the_run(
    settings: Settings, host: Host, stand_in: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_run, "TAP_GRACE_S", 0.2)
    stand_in(
        tap="""
import signal, threading
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print('{"n": 1}', flush=True)
threading.Event().wait(30)
"""
    )

    running = Running(SharedRun(settings, follow=True))
    wait_for(lambda: host.state.saved)
    host.elections.holder = "them/there"
    end = running.end()

    assert end.fault == "the tap did not end in time"


def test_a_tap_that_fails_lets_another_host_try_and_the_target_goes_on(
    settings: Settings,
    host: Host,
    stand_in: Install,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    targets = tmp_path / "targets"
    stand_in(
        tap="""
import sys
print("No server answers.", file=sys.stderr)
sys.exit(1)
""",
        target=f"""
import sys
open({str(targets)!r}, "a").write("x")
sys.stdin.read()
""",
    )

    with caplog.at_level(logging.WARNING):
        running = Running(SharedRun(settings, follow=True))
        wait_for(lambda: caplog.text.count("the stream is not read") >= 2)
        end = running.stop()

    told = [r.getMessage() for r in caplog.records if r.name == "hubspot_calls.shared_run"]
    assert told[:2] == [
        "the stream is not read: tap-vapi ended with exit code 1: No server answers.;"
        f" it is tried again in {wait_s:g} s"
        for wait_s in (0.05, 0.1)
    ]
    assert host.elections.given_back >= 2
    assert (end.stopped, targets.read_text()) == (True, "x")


def test_a_state_that_cannot_be_loaded_is_asked_for_again(
    settings: Settings, host: Host, stand_in: Install, caplog: pytest.LogCaptureFixture
) -> None:
    stand_in()
    host.state.is_gone = True

    running = Running(SharedRun(settings, follow=True))
    wait_for(lambda: "how far the stream was read cannot be had" in caplog.text)
    host.state.is_gone = False
    wait_for(lambda: host.state.saved)
    end = running.stop()

    assert end.stopped


def test_a_target_that_dies_ends_the_run_with_its_last_error(
    settings: Settings, host: Host, stand_in: Install
) -> None:
    stand_in(
        target="""
import json, sys
sys.stdin.readline()
print(json.dumps({"level": "error", "message": "the store is gone"}), file=sys.stderr)
sys.exit(1)
"""
    )

    end = Running(SharedRun(settings, follow=True)).end()

    assert end.fault == "target-hubspot-calls ended with exit code 1: the store is gone"
    assert host.elections.holder is None


def test_stopping_takes_less_than_ten_seconds_even_where_nothing_ends_by_itself(
    settings: Settings, host: Host, stand_in: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed_s = shared_run.TAP_GRACE_S + shared_run.TARGET_HEAD_START_S + shared_run.DRAIN_S
    for name in ("TAP_GRACE_S", "TARGET_HEAD_START_S", "DRAIN_S"):
        monkeypatch.setattr(shared_run, name, 0.2)
    stubborn = """
import signal, threading
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print('{"n": 1}', flush=True)
threading.Event().wait(60)
"""
    stand_in(tap=stubborn, target=stubborn)

    running = Running(SharedRun(settings, follow=True))
    wait_for(lambda: host.state.saved)
    started = time.monotonic()
    end = running.stop()

    assert end.stopped
    assert time.monotonic() - started < 5
    assert allowed_s < 9.6


def test_one_pass_ends_when_its_tap_has_read_all(
    settings: Settings, host: Host, stand_in: Install
) -> None:
    stand_in(tap="""print('{"n": 1}')""")

    end = Running(SharedRun(settings)).end()

    assert (end.fault, end.stopped, end.read_elsewhere) == (None, False, None)
    assert host.state.saved == ['{"n": 1}']


def test_one_pass_can_begin_at_the_start_again(
    settings: Settings, host: Host, stand_in: Install
) -> None:
    stand_in(tap=FOLLOWING_TAP.replace("stop.wait(30)", "pass"))
    host.state.saved.append('{"n": 7}')

    Running(SharedRun(settings, from_start=True)).end()

    assert host.state.saved == ['{"n": 7}', "{}", '{"n": 1}']


def test_one_pass_whose_tap_fails_is_a_fault(
    settings: Settings, host: Host, stand_in: Install
) -> None:
    stand_in(tap="import sys\nsys.exit('The stream is damaged.')")

    end = Running(SharedRun(settings)).end()

    assert end.fault == "tap-vapi ended with exit code 1: The stream is damaged."


def test_one_pass_beside_another_reader_waits_for_it_and_then_delivers(
    settings: Settings, host: Host, stand_in: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    class StandInReader:
        def end(self) -> int:
            return 7

    monkeypatch.setattr(other_readers, "open_reader", lambda _: StandInReader())
    stand_in()
    host.elections.holder = "them/harbor-2 (process 12)"
    host.state.saved.append(a_state(5))

    running = Running(SharedRun(settings))
    wait_for(lambda: host.elections.asked > 3)
    host.state.saved.append(a_state(7))
    end = running.end()

    assert (end.fault, end.stopped) == (None, False)
    assert end.read_elsewhere == "harbor-2 (process 12)"


def test_one_pass_does_not_wait_for_a_reader_that_comes_no_further(
    settings: Settings, host: Host, stand_in: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    class StandInReader:
        def end(self) -> int:
            return 7

    monkeypatch.setattr(other_readers, "open_reader", lambda _: StandInReader())
    monkeypatch.setattr(other_readers, "STALLED_AFTER_S", 0.1)
    stand_in()
    host.elections.holder = "them/there"

    end = Running(SharedRun(settings)).end()

    assert (end.fault, end.read_elsewhere) == (None, "there")


@pytest.mark.parametrize(
    ("url", "shared"),
    [("file:/data/stream", False), ("nats://host/CALLS", True), ("TLS://host/CALLS", True)],
)
def test_a_stream_on_servers_is_a_shared_one(url: str, shared: bool) -> None:
    assert is_shared(url) is shared


def test_hosts_that_name_other_servers_of_a_stream_mean_the_same_one() -> None:
    assert name_of("nats://one:4222/CALLS") == name_of("nats://key@two:1,three/CALLS?replicas=3")


def test_a_holder_is_told_as_the_place_it_runs_at() -> None:
    assert place_of("01a1/harbor-2 (process 12)") == "harbor-2 (process 12)"
    assert place_of("01a1") == "another process"


def a_state(position: int) -> str:
    mark = {"context": {"source": "stream"}, "replication_key_value": position}
    return json.dumps({"bookmarks": {"calls": {"partitions": [mark]}}})


def wait_for(check: Callable[[], object], timeout_s: float = 20) -> None:
    give_up_at = time.monotonic() + timeout_s
    while not check():
        assert time.monotonic() < give_up_at, "it did not happen in time"
        time.sleep(0.01)
