"""A sync log nobody can write: calls are delivered, rows wait in the outbox, people hear once."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from hubspot_simulator import Simulator
from target_hubspot_calls.call import Call
from target_hubspot_calls.delivery import run as run_module
from target_hubspot_calls.delivery.run import Run
from target_hubspot_calls.delivery.worker import DeliveryWorker
from target_hubspot_calls.store.database import open_database
from target_hubspot_calls.store.outbox import Outbox
from target_hubspot_calls.sync_log.log import SyncLog
from tests.target_hubspot_calls.delivery.conftest import Deliveries

HOLDER = """
import sys, time
import duckdb
with duckdb.connect(sys.argv[1]):
    print("open", flush=True)
    time.sleep(60)
"""


@contextmanager
def held_by_another_process(log: Path) -> Iterator[None]:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(log)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        yield
    finally:
        holder.kill()
        holder.communicate()


@contextmanager
def damaged(log: Path) -> Iterator[None]:
    whole = log.read_bytes()
    log.write_bytes(b"\x00" * 4096 + whole[4096:20_000])
    yield
    log.write_bytes(whole)


@contextmanager
def no_database(log: Path) -> Iterator[None]:
    whole = log.read_bytes()
    log.write_bytes(b"not a database\n" * 400)
    yield
    log.write_bytes(whole)


@contextmanager
def read_only(log: Path) -> Iterator[None]:
    """The log's directory as a read-only file system; for root, rights alone forbid nothing."""
    if os.geteuid() != 0:
        log.chmod(0o400)
        log.parent.chmod(0o500)
        yield
        log.parent.chmod(0o700)
        log.chmod(0o600)
        return
    mount("--bind", str(log.parent), str(log.parent))
    try:
        mount("-o", "remount,ro,bind", str(log.parent))
        yield
    finally:
        subprocess.run(["umount", str(log.parent)], check=True)


@contextmanager
def on_a_full_disk(log: Path) -> Iterator[None]:
    """A small disk of its own, full to the last byte; needs the right to mount."""
    whole = log.read_bytes()
    mount("-t", "tmpfs", "-o", f"size={len(whole) + 8192}", "tmpfs", str(log.parent))
    try:
        log.write_bytes(whole)
        with suppress(OSError), (log.parent / "filler").open("wb", buffering=0) as filler:
            while True:
                filler.write(bytes(1024))
        yield
    finally:
        subprocess.run(["umount", str(log.parent)], check=True)


def mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip("nothing can be mounted here")


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """History is tried many times within one short run, and nobody waits long for the file."""
    monkeypatch.setattr(run_module, "DeliveryWorker", partial(DeliveryWorker, history_every_s=0.05))
    monkeypatch.setattr(run_module, "SyncLog", partial(SyncLog, wait_s=0.3))


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (held_by_another_process, "open in another program (PID"),
        (damaged, "cannot be used"),
        (no_database, "put it aside"),
        (read_only, "cannot be used"),
        (on_a_full_disk, "free space"),
    ],
    ids=["held elsewhere", "damaged", "no database", "read only", "full disk"],
)
@pytest.mark.usefixtures("hurried")
def test_calls_are_delivered_though_history_has_to_wait(
    trouble: Callable[[Path], AbstractContextManager[None]],
    said: str,
    deliver: Callable[..., Deliveries],
    portal: Simulator,
    a_call: Callable[..., Call],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "log").mkdir()
    log = tmp_path / "log" / "sync_log.duckdb"
    runs = deliver(sync_log=log)
    runs(a_call(id="before"))
    portal.add_fault("delay", path="*/notes/batch/create", delay_s=0.6)
    caplog.clear()

    with trouble(log):
        # The first has its row at once, and history is tried as long as the others take.
        first = a_call(id="call-0", customer_number=None)
        counts = runs(first, *(a_call(id=f"call-{i}") for i in range(1, 5)))
        warnings = [r.getMessage() for r in caplog.records if "sync log" in r.getMessage()]
    runs()

    assert counts == {"no_phone_number": 1, "created": 4}
    assert len(portal.notes()) == 5
    assert len(warnings) == 1
    assert said in warnings[0]
    assert "Calls are delivered all the same." in warnings[0]
    assert sorted(runs.history("call_id, reason")) == [
        ("before", "created"),
        ("call-0", "no_phone_number"),
        *((f"call-{i}", "created") for i in range(1, 5)),
    ]
    assert waiting_rows(runs) == 0


def waiting_rows(runs: Deliveries) -> int:
    engine = open_database(runs.settings.store_url)
    try:
        return Outbox(engine).count()
    finally:
        engine.dispose()


def test_a_log_held_elsewhere_does_not_hold_up_the_end_of_a_run(
    deliver: Callable[..., Deliveries],
    a_call: Callable[..., Call],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run_module, "DeliveryWorker", partial(DeliveryWorker, history_every_s=0.05))
    log = tmp_path / "sync_log.duckdb"
    runs = deliver(sync_log=log, batch_wait_s=0)
    runs(a_call(id="before"))
    run = Run(runs.settings)

    with held_by_another_process(log):
        run.accept([a_call()], [])
        while not run.tally.by_reason:
            time.sleep(0.05)
        time.sleep(0.3)
        began = time.monotonic()
        stopped = run.stop(within_s=30)
        took_s = time.monotonic() - began
    run.close()

    assert stopped
    assert took_s < 4


def test_a_trouble_that_comes_back_is_told_again(
    deliver: Callable[..., Deliveries],
    a_call: Callable[..., Call],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    blocked = tmp_path / "blocked.duckdb"
    runs = deliver(sync_log=blocked)
    counts: list[Any] = []

    for call_id in ("one", "two"):
        blocked.mkdir()
        counts.append(runs(a_call(id=call_id)))
        blocked.rmdir()
        runs()
        blocked.unlink()

    warnings = [r.getMessage() for r in caplog.records if "sync log" in r.getMessage()]
    assert counts == [{"created": 1}, {"created": 1}]
    assert len(warnings) == 2
