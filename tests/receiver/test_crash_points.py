"""The receiver killed at each step of storing a call, and again while it makes good for that."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from call_stream.stream import open_writer
from tests.receiver.test_durability import Process, Sender, stored_ids

KILLED = 137
# Serves in a process of its own for each line it reads; the line names the step that ends it.
_RECEIVERS = f"""
import json, os, sys
from call_stream import disk, file_writer, settling
from call_stream.stream import open_writer
from receiver.app import create_app
from receiver.server import build_server
from receiver.settings import ReceiverSettings
from target_hubspot_calls.store.webhooks import Webhooks
from target_hubspot_calls.store.database import open_database

directory = sys.argv[1]
OWNERS = {{"_enqueue": file_writer.FileStreamWriter, "_settle_in_loop": settling}}

def plant(step, when, nth):
    owner = OWNERS.get(step, disk.Disk)
    original, count = getattr(owner, step), 0

    def ending(*args, **options):
        nonlocal count
        count += 1
        if count != nth:
            return original(*args, **options)
        if when == "after":
            original(*args, **options)
        if when == "halfway":
            # One byte more: half of two entries of one size would be a whole one, and no torn tail.
            original(*args[:-1], args[-1][: len(args[-1]) // 2 + 1])
        os._exit({KILLED})

    setattr(owner, step, ending)

def serve(step, when, nth):
    plant(step, when, int(nth))
    stream = open_writer(f"file:{{directory}}/stream", segment_bytes=6_000)
    webhooks = Webhooks(open_database(f"sqlite:///{{directory}}/store.db"))
    if not webhooks.list():
        webhook, secret = webhooks.create("ada", "analytics")
        with open(f"{{directory}}/secret.json", "w") as file:
            json.dump([webhook.id, secret], file)
    app = create_app(ReceiverSettings(), stream=stream, webhooks=webhooks)
    say = lambda url: print(url, os.getpid(), flush=True)
    build_server(app, "127.0.0.1", 0, on_listening=say).run()

for line in sys.stdin:
    child = os.fork()
    if not child:
        serve(*line.split())
        os._exit(0)
    _, status = os.waitpid(child, 0)
    print("ended", os.waitstatus_to_exitcode(status), flush=True)
"""
# What a kill leaves at one step is what the next receiver finds: a torn tail is made by "halfway",
# and cut (or half cut) at the start after it.
STEPS = (
    "_enqueue before 1",
    "_enqueue after 2",
    "write before 1",
    "write before 3",
    "write halfway 2",
    "ftruncate before 1",
    "ftruncate after 1",
    "write halfway 3",
    "fdatasync before 1",
    "write halfway 4",
    "fdatasync after 1",
    "write after 1",
    "write after 2",
    "fdatasync before 2",
    "fdatasync after 3",
    "rename before 1",
    "rename after 1",
    "rename before 2",
    "rename after 3",
    "fsync_directory before 1",
    "fsync_directory after 2",
    "_settle_in_loop before 1",
    "_settle_in_loop after 3",
)


@pytest.fixture
def receivers(tmp_path: Path) -> Iterator[Process]:
    process = Process(tmp_path, program=_RECEIVERS)
    yield process
    if process.popen.poll() is None:
        process.close()


def run_until_killed(process: Process, step: str, report: Any) -> list[str]:
    """The calls that were answered 200 before the receiver died at the step."""
    process.tell(step)
    said = process.line()
    if said.startswith("ended"):
        assert said == f"ended {KILLED}", said
        return []
    process.note_listening(said)
    senders = [Sender(process, report, f"{step}-{lane}", 500) for lane in range(3)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join(20)
    assert process.line() == f"ended {KILLED}"
    process.pid = 0
    return [call_id for sender in senders for call_id in sender.acknowledged]


def test_a_kill_at_any_step_costs_no_answered_call(
    receivers: Process, tmp_path: Path, report: Any
) -> None:
    acknowledged: list[str] = []

    for step in STEPS:
        acknowledged += run_until_killed(receivers, step, report)
        kept = stored_ids(tmp_path) if (tmp_path / "stream").exists() else []
        assert set(acknowledged) <= set(kept), step
        assert len(kept) == len(set(kept)), step
    receivers.close()
    open_writer(f"file:{tmp_path}/stream").close()
    after_recovery = stored_ids(tmp_path)

    # Most steps let some be answered; how many depends on how they fall into batches.
    assert len(acknowledged) > len(STEPS) // 2
    assert set(acknowledged) <= set(after_recovery)
    assert len(list((tmp_path / "stream").glob("*.calls"))) > 5
    assert list((tmp_path / "stream").glob("*.tmp")) == []
