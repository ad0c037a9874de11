"""`work` as a process: it delivers, tells how it is, and ends in order; it receives nothing."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from call_stream.record import CallRecord, CallSource, encode_record
from call_stream.stream import EntryKind, open_writer
from hubspot_calls.rooms import open_store
from hubspot_calls.settings import Settings
from hubspot_simulator.simulator import Simulator

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def stored(settings: Settings, portal: Simulator) -> None:
    """One call in the stream, of a workspace that is connected."""
    portal.add_service_key(key="pat-na1-invented")
    portal.seed_contacts([{"phone": "+14155550123"}])
    with open_store(settings) as store:
        store.connections.add_service_key("default", "default", "pat-na1-invented")
    writer = open_writer(settings.stream_url)
    record = CallRecord(
        id="call-1",
        user_id="default",
        workspace_id="default",
        source=CallSource.WEBHOOK,
        customer_number="+14155550123",
        ended_at="2026-11-20T15:05:21.000Z",
        received_at="2026-11-20T15:05:26.000Z",
        updated_at="2026-11-20T15:05:25.400Z",
    )
    writer.append(EntryKind.CALL, encode_record(record)).result(20)
    writer.close()


def wait_for(check: Callable[[], object], timeout_s: float = 40) -> None:
    give_up_at = time.monotonic() + timeout_s
    while not check():
        assert time.monotonic() < give_up_at, "it did not happen in time"
        time.sleep(0.05)


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_worker_delivers_what_a_receiver_has_stored_and_ends_when_told(
    start: Start, stored: None, portal: Simulator, signum: int, code: int
) -> None:
    process = start("work", HUBSPOT_API_URL=portal.url, HUBSPOT_CALLS_BATCH_WAIT_S="0.1")

    wait_for(lambda: portal.notes())
    begun = time.monotonic()
    process.send_signal(signum)
    _, err = process.communicate(timeout=30)

    assert process.returncode == code
    assert time.monotonic() - begun < 10
    assert len(portal.notes()) == 1
    assert "Worker     delivers what is due in sqlite:" in err
    assert "of this host" in err
    assert "Traceback" not in err


def test_a_worker_tells_on_a_port_how_it_is(start: Start, stored: None, portal: Simulator) -> None:
    process = start("work", "--health-port", "0", HUBSPOT_API_URL=portal.url)
    assert process.stderr is not None
    url = next(
        found[1] for line in process.stderr if (found := re.search(r"(http://\S+)/readyz", line))
    )

    wait_for(lambda: httpx.get(f"{url}/readyz").status_code == 200)
    ready = httpx.get(f"{url}/readyz").json()
    alive = httpx.get(f"{url}/healthz").json()
    wait_for(lambda: portal.notes())
    metrics = httpx.get(f"{url}/metrics").text
    nothing_else = httpx.post(f"{url}/api/webhooks/any")
    process.send_signal(signal.SIGTERM)
    process.stderr.read()
    process.wait(30)

    assert alive == {"status": "ok"}
    assert ready == {"store": "ok", "stream": "ok", "delivery": "ok"}
    assert "hubspot_calls_calls{" in metrics
    assert "hubspot_calls_stream_backlog_bytes" in metrics
    assert nothing_else.status_code == 404
    assert process.returncode == 0


def test_a_taken_health_port_is_one_line(start: Start) -> None:
    first = start("work", "--health-port", "0")
    assert first.stderr is not None
    port = next(found[1] for line in first.stderr if (found := re.search(r":(\d+)/readyz", line)))

    second = start("work", "--health-port", port)
    _, err = second.communicate(timeout=40)

    assert second.returncode == 1
    assert f"The health page cannot listen on 127.0.0.1:{port}" in err
    assert "Traceback" not in err


def test_a_second_worker_on_the_same_data_waits_and_says_for_whom(
    start: Start, stored: None, portal: Simulator
) -> None:
    first = start("work", HUBSPOT_API_URL=portal.url)
    wait_for(lambda: portal.notes())

    second = start("work", HUBSPOT_API_URL=portal.url)
    assert second.stderr is not None
    said = next(line for line in second.stderr if "already syncs" in line)
    second.send_signal(signal.SIGTERM)
    second.stderr.read()
    second.wait(20)

    assert f"`hubspot-calls work` (process {first.pid})" in said
    assert second.returncode == 0


def test_a_killed_worker_leaves_no_process_behind(
    start: Start, stored: None, portal: Simulator
) -> None:
    process = start("work", HUBSPOT_API_URL=portal.url)
    wait_for(lambda: portal.notes())
    children = [pid for pid, parent in parents() if parent == process.pid]

    process.kill()

    assert len(children) == 2
    wait_for(lambda: not {pid for pid, _ in parents()} & set(children))


def parents() -> list[tuple[int, int]]:
    """Each living process with its parent; one that only waits to be looked at has ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if words[0] != "Z":
            found.append((int(path.parent.name), int(words[1])))
    return found
