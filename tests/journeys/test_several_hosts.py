"""Two receivers and two workers on one stream and one store, and what becomes of those that end."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from call_stream.record import CallRecord, CallSource, encode_record
from call_stream.stream import EntryKind, open_reader, open_writer
from hubspot_calls.confirmed_position import stream_bookmark
from hubspot_calls.processes import clean_environment
from hubspot_calls.reader_office import LEASE_S
from hubspot_calls.settings import READER_NAME
from tests.journeys.host import Host
from tests.journeys.hosts import Hosts, Sender, several_hosts
from tests.needed_servers import or_skip

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    with or_skip(), several_hosts(tmp_path_factory.mktemp("hosts"), portals=3) as hosts:
        hosts.add_receiver()
        hosts.add_receiver()
        hosts.add_worker()
        hosts.add_worker()
        for receiver in hosts.receivers:
            receiver.wait_until_it_says(r"Receiver +(http://\S+?)/")
        yield hosts


@pytest.fixture
def hosts(started: Hosts) -> Hosts:
    """All of them up, whatever the test before has done."""
    for worker in started.workers:
        if not worker.is_up:
            worker.start()
    started.wait_for(started.reader, 40, "no reader")
    return started


@pytest.fixture
def sender(hosts: Hosts, request: pytest.FixtureRequest) -> Sender:
    return Sender(hosts, name=str(request.node.name)[5:25])


def reader_and_other(hosts: Hosts) -> tuple[Host, Host]:
    reader = hosts.reader()
    assert reader is not None
    return reader, next(worker for worker in hosts.workers if worker is not reader)


def notes_of(hosts: Hosts, sender: Sender) -> Counter[str]:
    return Counter({call: n for call, n in hosts.notes().items() if call in sender.answered})


def test_calls_of_both_receivers_are_notes_a_moment_later_and_their_history_is_shared(
    hosts: Hosts, sender: Sender
) -> None:
    sender.send(60, per_second=20)
    hosts.wait_until_delivered(sender, 30)
    hosts.wait_for(lambda: hosts.history().keys() >= sender.answered.keys(), 10, "history")

    latencies = hosts.latencies_s(sender)

    assert set(notes_of(hosts, sender).values()) == {1}
    assert {hosts.history()[call] for call in sender.answered} == {1}
    # About half a second where nothing else runs.
    assert latencies[len(latencies) // 2] < 3


def test_a_worker_may_stand_still_and_the_other_be_killed_and_each_call_has_one_note(
    hosts: Hosts, sender: Sender
) -> None:
    reader, other = reader_and_other(hosts)

    reader.pause()
    sender.send(20, per_second=60)
    hosts.wait_for(lambda: hosts.reader() is other, LEASE_S + 15, "nobody follows")
    reader.resume()
    sender.send(20, per_second=60)
    other.kill()
    sender.send(20, per_second=60)
    hosts.wait_until_delivered(sender, 60)
    hosts.wait_for(lambda: hosts.history().keys() >= sender.answered.keys(), 10, "history")

    assert len(sender.answered) == 60
    assert set(notes_of(hosts, sender).values()) == {1}
    assert {hosts.history()[call] for call in sender.answered} == {1}
    assert hosts.refused_by_portals() == 0


def test_a_worker_that_is_told_to_stop_hands_over_at_once(hosts: Hosts, sender: Sender) -> None:
    reader, other = reader_and_other(hosts)

    sender.send(30, per_second=200)
    took_s = reader.stop()
    told_at = time.monotonic()
    sender.send(10, per_second=200)
    hosts.wait_until_delivered(sender, 20)
    handed_over_s = time.monotonic() - told_at

    assert took_s < 10
    # Nobody has to wait for a lease to run out.
    assert handed_over_s < LEASE_S
    assert hosts.reader() is other
    assert set(notes_of(hosts, sender).values()) == {1}
    assert "Traceback" not in reader.log()


def test_the_next_reader_goes_on_where_the_last_one_was(hosts: Hosts, sender: Sender) -> None:
    reader, other = reader_and_other(hosts)
    sender.send(10, per_second=60)
    hosts.wait_until_delivered(sender, 30)

    reader.stop()
    hosts.wait_for(lambda: hosts.reader() is other, 20, "nobody follows")
    sender.send(3, per_second=60)
    hosts.wait_until_delivered(sender, 30)
    other.stop()
    read = re.findall(r"Read (\d+) reports from the call stream", other.log())

    assert "Traceback" not in other.log()
    assert int(read[-1]) == 3


def test_one_pass_beside_a_reader_waits_for_it_and_says_so(hosts: Hosts, sender: Sender) -> None:
    sender.send(5, per_second=60)

    done = hosts.run("sync", "--json")

    assert done.returncode == 0, done.stderr
    assert re.search(r"\(process \d+\)", json.loads(done.stdout)["read_elsewhere"])
    assert "comes no further" not in done.stderr
    assert hosts.notes().keys() >= sender.answered.keys()


def test_doctor_and_metrics_tell_who_works(hosts: Hosts, sender: Sender) -> None:
    sender.send(5, per_second=60)
    hosts.wait_until_delivered(sender, 30)
    url = hosts.variables["HUBSPOT_CALLS_STREAM_URL"]
    hosts.wait_for(
        lambda: open_reader(url).load_backlog(READER_NAME).oldest_at is None, 20, "backlog"
    )
    # A worker that another test has killed counts until it was silent for ten seconds.
    hosts.wait_for(lambda: "hubspot_calls_workers 2.0" in hosts.metrics(), 20, "workers")

    found = json.loads(hosts.run("doctor", "--offline", "--json").stdout)["findings"]
    said = {finding["check"]: finding["said"] for finding in found}
    workers = [finding["said"] for finding in found if finding["check"] == "workers"]
    metrics = hosts.metrics()

    assert re.search(r"^2 workers of all hosts", workers[0])
    assert re.search(r"\(process \d+\) reads the shared stream", workers[1])
    assert said["call stream"].startswith("Read to its end")
    assert "hubspot_calls_workers 2.0" in metrics
    assert "hubspot_calls_stream_readers 1.0" in metrics


def test_one_pass_on_its_own_reads_and_the_state_is_kept_for_all_hosts(
    hosts: Hosts, sender: Sender
) -> None:
    for worker in hosts.workers:
        worker.stop()
    sender.send(10, per_second=60)

    first = hosts.run("sync", "--json", data_dir="host-a")
    (state,) = hosts.query("select state from sync_states where stream = 'CALLS'")
    again = hosts.run("sync", "--json", "--from-start", data_dir="host-b")

    read = [int(re.findall(r"Read (\d+) reports", run.stderr)[-1]) for run in (first, again)]
    assert json.loads(first.stdout)["outcomes"] == [
        {"status": "success", "reason": "created", "count": 10}
    ]
    assert json.loads(again.stdout)["outcomes"] == []
    assert (read[0], read[1]) == (10, stream_bookmark(state[0]))
    assert hosts.query("select state from sync_states where stream = 'CALLS'") == [state]
    assert set(notes_of(hosts, sender).values()) == {1}


def test_tap_and_target_work_by_hand_and_two_of_them_at_once_do_no_harm(
    hosts: Hosts, tmp_path: Path
) -> None:
    # What the one has accepted is known to the other: accepting merges what reports say of a call,
    # in whatever order and however often they come, and delivery claims each call once.
    url = fill_stream(hosts, "HAND", 40)

    pairs = [start_pair(hosts, url, tmp_path / name, {}) for name in ("one", "two")]
    one, two = (end_pair(pair) for pair in pairs)
    fill_stream(hosts, "HAND", 3, first=41)
    last = end_pair(start_pair(hosts, url, tmp_path / "one", one))

    made = {call: n for call, n in hosts.notes().items() if call.startswith("HAND")}
    assert one == two
    stored = [entry.position for entry in open_reader(url).read()]
    assert [stream_bookmark(json.dumps(state)) for state in (one, last)] == [stored[39], stored[42]]
    assert len(stored) == 43
    assert (len(made), set(made.values())) == (43, {1})


def test_hosts_with_a_file_stream_each_share_the_store(hosts: Hosts, tmp_path: Path) -> None:
    for name in ("file-a", "file-b"):
        fill_stream(hosts, name, 6, url=f"file:{tmp_path}/{name}")
    # The same call was reported to both.
    for name in ("file-a", "file-b"):
        fill_stream(hosts, "both", 1, url=f"file:{tmp_path}/{name}")

    runs = [
        hosts.run(
            "sync", "--json", data_dir=name, HUBSPOT_CALLS_STREAM_URL=f"file:{tmp_path}/{name}"
        )
        for name in ("file-a", "file-b")
    ]

    made = {c: n for c, n in hosts.notes().items() if c.startswith(("file-", "both"))}
    assert [run.returncode for run in runs] == [0, 0], runs[0].stderr + runs[1].stderr
    assert (len(made), set(made.values())) == (13, {1})
    assert (hosts.folder / "file-a" / "sync_state.json").exists()


def test_who_hands_over_in_the_midst_of_a_window_and_who_goes_on_keep_to_one_pace(
    tmp_path: Path,
) -> None:
    # HubSpot lets everything pass and says nothing of what is left: the limits are ours to keep.
    slow = {"HUBSPOT_CALLS_REQUESTS_PER_10_SECONDS": "8", "HUBSPOT_CALLS_SEARCHES_PER_SECOND": "2"}
    with several_hosts(tmp_path, portals=2) as hosts:
        hosts.portals.settings.rate_limits = False
        receiver, first = hosts.add_receiver(), hosts.add_worker(**slow)
        receiver.wait_until_it_says(r"Receiver +(http://\S+?)/")
        opening, sender = Sender(hosts, name="opening"), Sender(hosts)
        opening.send(2, per_second=60)
        # Only who has opened a portal once knows whose it is before asking it.
        hosts.wait_until_delivered(opening, 30)
        second = hosts.add_worker(**slow)
        # Each time more than there is left of a window.
        sender.send(80, per_second=20)
        hosts.wait_for(lambda: hosts.query("select id from runs")[1:], 30, "no second worker")
        first.stop()
        sender.send(60, per_second=20)
        hosts.wait_until_delivered(sender, 30)

        assert second.is_up
        assert set(notes_of(hosts, sender).values()) == {1}
        highest = hosts.highest_windows()
        assert highest["TEN_SECONDLY_ROLLING"] == 8
        assert highest["SECONDLY"] <= 2


def fill_stream(
    hosts: Hosts, name: str, calls: int, *, first: int = 1, url: str | None = None
) -> str:
    """The URL of a stream that now holds so many more calls."""
    shared = hosts.variables["HUBSPOT_CALLS_STREAM_URL"]
    url = url or shared.replace("/CALLS", f"/{name}")
    writer = open_writer(url)
    try:
        for number in range(first, first + calls):
            record = CallRecord(
                id=f"{name}-{number}",
                user_id="user",
                workspace_id=f"workspace-{number % 3}",
                source=CallSource.WEBHOOK,
                customer_number=f"+1415555{100 + number:04d}",
                ended_at="2026-11-20T15:05:21.000Z",
                received_at="2026-11-20T15:05:26.000Z",
                updated_at="2026-11-20T15:05:25.400Z",
            )
            writer.append(EntryKind.CALL, encode_record(record)).result(20)
    finally:
        writer.close()
    return url


def start_pair(
    hosts: Hosts, stream_url: str, folder: Path, state: dict[str, Any]
) -> tuple[subprocess.Popen[str], subprocess.Popen[str]]:
    """`tap-vapi | target-hubspot-calls`, as a shell or Meltano runs them."""
    folder.mkdir(exist_ok=True)
    shared = {"data_dir": str(folder / "data")}
    configs: dict[str, dict[str, Any]] = {
        "tap": {**shared, "stream_url": stream_url},
        "target": {
            **shared,
            "database_url": hosts.variables["HUBSPOT_CALLS_DATABASE_URL"],
            "encryption_keys": hosts.variables["HUBSPOT_CALLS_ENCRYPTION_KEYS"],
            "hubspot_api_url": hosts.portals.url,
            "upload_recordings": False,
        },
        "state": state,
    }
    for name, config in configs.items():
        (folder / f"{name}.json").write_text(json.dumps(config))
    command = [sys.executable, "-m"]
    tap = subprocess.Popen(
        [
            *(*command, "tap_vapi.tap", "--config", str(folder / "tap.json")),
            *("--state", str(folder / "state.json")),
        ],
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    target = subprocess.Popen(
        [*command, "target_hubspot_calls.target", "--config", str(folder / "target.json")],
        env=clean_environment(),
        stdin=tap.stdout,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert tap.stdout is not None
    tap.stdout.close()
    return tap, target


def end_pair(pair: tuple[subprocess.Popen[str], subprocess.Popen[str]]) -> dict[str, Any]:
    """The last STATE that came out."""
    tap, target = pair
    out, errors = target.communicate(timeout=60)
    assert (tap.wait(20), target.returncode) == (0, 0), errors
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    return found
