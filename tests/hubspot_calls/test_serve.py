"""`serve` and `sync` as processes: start, take a report, sync it, stop."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from call_stream.excerpt import record_from_excerpt
from call_stream.stream import open_reader
from hubspot_calls.rooms import open_store
from hubspot_calls.settings import Settings
from hubspot_simulator.simulator import Simulator

HubSpotCalls = Callable[..., Any]
Start = Callable[..., subprocess.Popen[str]]

REPORT = Path(__file__).parents[2] / "sample_data" / "reports" / "01-inbound-with-recording.json"
CALL_ID = "01a1f97c-7301-7aa2-9c10-5f3a2b6d8e01"


@pytest.fixture
def door(settings: Settings, portal: Simulator) -> dict[str, str]:
    """A webhook's id and secret, in a workspace connected to a portal with one contact."""
    portal.add_service_key(key="pat-na1-invented")
    portal.seed_contacts([{"email": "dana.ruiz@example.com", "phone": "(415) 555-0123"}])
    with open_store(settings) as store:
        store.connections.add_service_key("default", "default", "pat-na1-invented")
        webhook, secret = store.webhooks.create("default", "default")
    return {"id": webhook.id, "secret": secret}


def listening_at(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(r"http://127\.0\.0\.1:\d+", line):
            return found[0]
    raise AssertionError("it ended without listening")


def rest_of(process: subprocess.Popen[str]) -> str:
    """What it still said, once it has ended; communicate() would skip what was read ahead."""
    assert process.stderr is not None
    rest = process.stderr.read()
    process.wait(30)
    return rest


def post(url: str, door: dict[str, str], body: bytes) -> httpx.Response:
    return httpx.post(
        f"{url}/api/webhooks/{door['id']}",
        content=body,
        headers={"Content-Type": "application/json", "X-Vapi-Secret": door["secret"]},
    )


def target_of(process: subprocess.Popen[str]) -> int:
    """The process id of its target; 0 while there is none."""
    return child_of(process, b"target_hubspot_calls.target")


def child_of(process: subprocess.Popen[str], words_of_it: bytes) -> int:
    """The process id of its child that is run with these words; 0 while there is none."""
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((directory / "stat").read_text().rpartition(")")[2].split()[1])
            words = (directory / "cmdline").read_bytes()
        except OSError:
            continue
        if parent == process.pid and words_of_it in words:
            return int(directory.name)
    return 0


def wait_for(check: Callable[[], object], timeout_s: float = 30) -> None:
    give_up_at = time.monotonic() + timeout_s
    while not check():
        assert time.monotonic() < give_up_at, "it did not happen in time"
        time.sleep(0.05)


def test_a_report_posted_to_serve_becomes_a_note_and_the_rest_ends_in_order(
    start: Start, door: dict[str, str], portal: Simulator, settings: Settings
) -> None:
    process = start(
        "serve", "--port", "0", HUBSPOT_API_URL=portal.url, HUBSPOT_CALLS_BATCH_WAIT_S="0.1"
    )
    url = listening_at(process)

    answer = post(url, door, REPORT.read_bytes())
    wait_for(lambda: portal.notes())
    wait_for(lambda: (settings.data_dir / "sync_state.json").exists())
    process.send_signal(signal.SIGTERM)
    err = rest_of(process)

    assert (answer.status_code, answer.json()) == (200, {})
    assert process.returncode == 0
    assert len(portal.notes()) == 1
    assert "Traceback" not in err
    with open_store(settings) as store:
        assert store.ledger.counts() == {("settled", "created"): 1}


def test_what_writes_the_stream_may_be_killed_under_load_and_no_report_is_lost_or_refused(
    start: Start, door: dict[str, str], settings: Settings
) -> None:
    process = start("serve", "--port", "0", "--no-sync")
    url = listening_at(process)
    body, posted = REPORT.read_bytes(), [f"killed-{number}" for number in range(120)]
    killed: set[int] = set()
    statuses: Counter[int] = Counter()

    for number, call_id in enumerate(posted):
        if number % 40 == 20:
            writing = child_of(process, b"call_stream.writing_process")
            os.kill(writing, signal.SIGKILL)
            killed.add(writing)
        statuses[post(url, door, body.replace(CALL_ID.encode(), call_id.encode())).status_code] += 1
    stored = {
        record_from_excerpt(entry.payload).id for entry in open_reader(settings.stream_url).read()
    }
    process.send_signal(signal.SIGTERM)
    err = rest_of(process)

    assert statuses == {200: 120}
    assert stored == set(posted)
    assert len(killed) == 3
    assert err.count("Another one takes over.") == 3
    assert process.returncode == 0


def test_serve_killed_under_load_leaves_a_stream_the_next_one_writes_at_once(
    start: Start, door: dict[str, str], settings: Settings
) -> None:
    answered: set[str] = set()

    for number in range(3):
        post_until_killed(start, door, f"round-{number}", answered)

    stored = {
        record_from_excerpt(entry.payload).id for entry in open_reader(settings.stream_url).read()
    }
    assert len(answered) >= 120
    assert answered <= stored


def post_until_killed(start: Start, door: dict[str, str], name: str, answered: set[str]) -> None:
    """Starts a receiver and kills it once four senders have been answered 40 times."""
    process = start("serve", "--port", "0", "--no-sync")
    url = listening_at(process)
    writing = child_of(process, b"call_stream.writing_process")
    body, before = REPORT.read_bytes(), len(answered)

    def post_many(lane: int) -> None:
        for number in range(1000):
            call_id = f"{name}-{lane}-{number}"
            try:
                answer = post(url, door, body.replace(CALL_ID.encode(), call_id.encode()))
            except httpx.TransportError:
                return
            if answer.status_code == 200:
                answered.add(call_id)

    threads = [threading.Thread(target=post_many, args=(lane,)) for lane in range(4)]
    for thread in threads:
        thread.start()
    wait_for(lambda: len(answered) >= before + 40)
    process.kill()
    for thread in threads:
        thread.join()
    wait_for(lambda: not Path(f"/proc/{writing}").exists())


def test_serve_tells_in_its_metrics_of_connections_that_it_turned_away(start: Start) -> None:
    process = start("serve", "--port", "0", "--no-sync")
    url = listening_at(process)
    host, port = url.removeprefix("http://").split(":")

    with socket.create_connection((host, int(port)), timeout=20) as stranger:
        stranger.sendall(b"This is no HTTP\r\n\r\n")
        answer = stranger.recv(1000)
    metrics = httpx.get(f"{url}/metrics").text
    process.send_signal(signal.SIGTERM)
    rest_of(process)

    assert answer.startswith(b"HTTP/1.1 400")
    assert 'hubspot_calls_connections_turned_away_total{reason="malformed"} 1.0' in metrics


def test_a_call_stored_by_serve_is_sent_by_a_later_sync(
    start: Start, door: dict[str, str], portal: Simulator
) -> None:
    receiver = start("serve", "--port", "0", "--no-sync")
    post(listening_at(receiver), door, REPORT.read_bytes())
    receiver.send_signal(signal.SIGINT)
    receiver.communicate(timeout=30)

    first = start("sync", "--json", HUBSPOT_API_URL=portal.url, HUBSPOT_CALLS_LOG_LEVEL="warning")
    out, err = first.communicate(timeout=40)
    second = start("sync", HUBSPOT_API_URL=portal.url)
    again, said = second.communicate(timeout=40)

    assert receiver.returncode == 130
    assert (first.returncode, second.returncode) == (0, 0), err
    assert err == ""
    assert json.loads(out) == {
        "outcomes": [{"status": "success", "reason": "created", "count": 1}],
        "waiting": 0,
        "stopped": False,
        "read_elsewhere": None,
    }
    assert (again, said.splitlines()[-1]) == (
        "",
        "Nothing new: every call has its outcome already.",
    )
    assert len(portal.notes()) == 1


def test_a_killed_target_is_started_again_and_goes_on(
    start: Start, door: dict[str, str], portal: Simulator
) -> None:
    process = start(
        "serve", "--port", "0", HUBSPOT_API_URL=portal.url, HUBSPOT_CALLS_BATCH_WAIT_S="0.1"
    )
    url = listening_at(process)
    wait_for(lambda: target_of(process))

    os.kill(target_of(process), signal.SIGKILL)
    post(url, door, REPORT.read_bytes())
    wait_for(lambda: portal.notes())
    process.send_signal(signal.SIGTERM)
    err = rest_of(process)

    assert "live sync ended: target-hubspot-calls was ended by signal 9" in err
    assert len(portal.notes()) == 1
    assert process.returncode == 0


def test_ctrl_c_ends_a_sync_in_order(start: Start, door: dict[str, str], portal: Simulator) -> None:
    process = start("sync", HUBSPOT_API_URL=portal.url)
    wait_for(lambda: target_of(process))

    process.send_signal(signal.SIGINT)
    err = rest_of(process)

    assert process.returncode == 130
    assert "Traceback" not in err


def test_serve_says_what_is_still_to_be_done(start: Start) -> None:
    process = start("serve", "--port", "0", "--no-sync")
    listening_at(process)
    process.send_signal(signal.SIGTERM)

    err = rest_of(process)

    assert "make a webhook: hubspot-calls webhooks create" in err
    assert "connect HubSpot: hubspot-calls connections add" in err


def test_a_taken_port_is_one_line(hubspot_calls: HubSpotCalls) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])

        ended = hubspot_calls("serve", "--no-sync", "--port", port)

    assert ended.code == 1
    assert f"cannot listen on 127.0.0.1:{port}" in ended.err
    assert ended.err.count("\n") == 1


def test_a_second_receiver_on_the_same_data_is_refused(
    start: Start, hubspot_calls: HubSpotCalls
) -> None:
    listening_at(start("serve", "--port", "0", "--no-sync"))

    ended = hubspot_calls("serve", "--port", "0", "--no-sync")

    assert ended.code == 1
    assert ended.err.startswith("hubspot-calls: ")
    assert ended.err.count("\n") == 1


def test_sync_beside_a_live_sync_is_refused_by_name(
    start: Start, door: dict[str, str], portal: Simulator, hubspot_calls: HubSpotCalls
) -> None:
    serving = start("serve", "--port", "0", HUBSPOT_API_URL=portal.url)
    listening_at(serving)
    wait_for(lambda: hubspot_calls("sync").code == 1)

    ended = hubspot_calls("sync")

    assert f"`hubspot-calls serve` (process {serving.pid}) already syncs" in ended.err
    assert ended.err.count("\n") == 1


def test_json_log_lines_are_json(start: Start) -> None:
    process = start("serve", "--port", "0", "--no-sync", HUBSPOT_CALLS_LOG_FORMAT="json")
    listening_at(process)
    process.send_signal(signal.SIGTERM)

    err = rest_of(process)

    assert [json.loads(line)["logger"] for line in err.splitlines()][-1] == "hubspot-calls"
