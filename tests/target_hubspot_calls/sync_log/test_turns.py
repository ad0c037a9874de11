"""Readers of one process take turns with writers elsewhere."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from target_hubspot_calls.sync_log.log import SyncLog
from target_hubspot_calls.sync_log.turns import PAUSE_S, TURN_S, ReaderTurns, turns_of


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def test_readers_come_in_together_until_their_turn_is_over():
    clock = Clock()
    turns = ReaderTurns(clock)

    with turns.turn(1) as first:
        clock.now += TURN_S - 0.01
        with turns.turn(1) as second:
            clock.now += 0.02
            with turns.turn(0) as late:
                assert (first, second, late) == (True, True, False)


def test_after_a_turn_the_file_is_left_alone_for_a_moment():
    clock = Clock()
    turns = ReaderTurns(clock)
    with turns.turn(1):
        clock.now += TURN_S + 0.01

    with turns.turn(0) as at_once:
        pass
    clock.now += PAUSE_S + 0.001
    with turns.turn(0) as later:
        pass

    assert (at_once, later) == (False, True)


def test_short_reads_one_after_another_are_one_turn():
    clock = Clock()
    turns = ReaderTurns(clock)
    entered = []

    for _ in range(40):
        with turns.turn(0) as may:
            entered.append(may)
            clock.now += 0.01

    assert 20 < entered.count(True) < 40


def test_who_waits_is_let_in_again():
    turns = ReaderTurns()
    entered = []

    def read():
        for _ in range(20):
            with turns.turn(5) as may:
                entered.append(may)
                time.sleep(0.02)

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()

    assert entered == [True] * 80


def test_readers_of_one_file_share_their_turns(tmp_path: Path):
    first, second = turns_of(tmp_path / "a"), turns_of(tmp_path / "a")

    assert first is second
    assert turns_of(tmp_path / "b") is not first


WRITER = """
import sys, time
from target_hubspot_calls.sync_log.log import SyncLog
log = SyncLog(sys.argv[1], wait_s=20)
for number in range(4):
    log.append([{"id": f"new-{number}", "created_at": "2026-03-01T12:00:00Z"}])
print("done", flush=True)
"""


def test_a_writer_elsewhere_gets_its_turn_among_readers_that_never_rest(path, a_row, start_python):
    log = SyncLog(path, wait_s=20)
    log.append([a_row() for _ in range(2000)])
    over = threading.Event()

    def read():
        while not over.is_set():
            log.history(limit=1000)

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    writer = start_python(WRITER, path)
    said = writer.stdout.readline()
    over.set()
    for reader in readers:
        reader.join()

    assert said == "done\n"
    assert log.history().total == 2004
