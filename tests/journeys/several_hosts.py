"""Receivers, workers and servers that fall over one after the other under steady load.

Real processes, a three-node JetStream, PostgreSQL and 20 pretend portals with HubSpot's limits on.
By hand, with figures: `python -m tests.journeys.several_hosts --seconds 180 --per-second 20`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.journeys.database_door import DatabaseDoor
from tests.journeys.host import Host
from tests.journeys.hosts import Hosts, Sender, several_hosts


@dataclass
class Diary:
    """What was done when, in seconds since the beginning."""

    begun: float = field(default_factory=time.monotonic)

    def note(self, what: str) -> None:
        """Prints a line with its time."""
        sys.stdout.write(f"{time.monotonic() - self.begun:7.1f} s  {what}\n")
        sys.stdout.flush()


@dataclass
class Mishaps:
    """What is done to the hosts, each thing once and one after the other."""

    hosts: Hosts
    door: DatabaseDoor
    cut_off: Host
    diary: Diary

    def all(self, every_s: float, cut_s: float) -> None:
        """Everything, with so many seconds from one to the next."""
        steps: tuple[Callable[[], None], ...] = (
            self.kill_a_receiver,
            self.kill_the_reader,
            self.kill_a_stream_server,
            self.restart_the_database,
            lambda: self.cut_a_worker_off(cut_s),
        )
        for step in steps:
            time.sleep(every_s)
            step()

    def kill_a_receiver(self) -> None:
        """A receiver dies with requests under way, and comes back after a while."""
        receiver = self.hosts.receivers[0]
        receiver.kill()
        self.diary.note(f"{receiver.name} killed")
        time.sleep(3)
        receiver.start()
        self.diary.note(f"{receiver.name} started again")

    def kill_the_reader(self) -> None:
        """The worker that reads dies with calls in flight; another follows."""
        self.hosts.wait_for(self._another_reader, 60, "no reader but the one to be cut off")
        reader = self._another_reader()
        assert reader is not None
        reader.kill()
        self.diary.note(f"{reader.name} killed, which was the reader")
        took_s = self.hosts.wait_for(self._somebody_else(reader), 60, "nobody follows")
        follower = self.hosts.reader()
        name = follower.name if follower else "nobody"
        self.diary.note(f"{name} reads, {took_s:.1f} s later")
        reader.start()
        self.diary.note(f"{reader.name} started again")

    def kill_a_stream_server(self) -> None:
        """One of three JetStream servers dies and comes back."""
        server = self.hosts.nats[0]
        server.kill()
        self.diary.note(f"JetStream server {server.name} killed")
        time.sleep(8)
        server.start()
        self.diary.note(f"JetStream server {server.name} started again")

    def restart_the_database(self) -> None:
        """PostgreSQL is restarted as if it had crashed."""
        took_s = self.hosts.restart_database()
        self.diary.note(f"PostgreSQL restarted at once, away for {took_s:.1f} s")

    def cut_a_worker_off(self, seconds: float) -> None:
        """A worker reaches HubSpot but no database, for longer than all of its leases."""
        self.door.shut()
        self.diary.note(f"{self.cut_off.name} cut off from PostgreSQL")
        time.sleep(seconds)
        self.door.open()
        self.diary.note(f"{self.cut_off.name} back, {seconds:g} s later")

    def _another_reader(self) -> Host | None:
        reader = self.hosts.reader()
        return reader if reader is not self.cut_off else None

    def _somebody_else(self, former: Host) -> Callable[[], bool]:
        return lambda: self.hosts.reader() not in (None, former)


def main() -> None:
    """Prints what happened, and fails where a promise was broken."""
    options = argparse.ArgumentParser(
        prog="python -m tests.journeys.several_hosts", description=__doc__
    )
    options.add_argument("--seconds", type=float, default=180.0, help="how long calls come in")
    options.add_argument("--per-second", type=float, default=20.0, help="calls sent meanwhile")
    options.add_argument("--portals", type=int, default=20, help="to which calls go in turn")
    options.add_argument("--cut-s", type=float, default=40.0, help="how long a worker is cut off")
    asked = options.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        several_hosts(Path(folder), portals=asked.portals, cluster=True) as hosts,
    ):
        _run(hosts, asked.seconds, asked.per_second, asked.cut_s)


def _run(hosts: Hosts, seconds: float, per_second: float, cut_s: float) -> None:
    diary, sender = Diary(), Sender(hosts)
    door, url = hosts.door_to_database("door")
    for _ in range(3):
        hosts.add_receiver()
    hosts.add_worker()
    hosts.add_worker()
    cut_off = hosts.add_worker(database_url=url)
    for receiver in hosts.receivers:
        receiver.wait_until_it_says(r"Receiver +(http://\S+?)/")
    hosts.wait_for(hosts.reader, 60, "no reader")
    diary.note(f"3 receivers and 3 workers are up, {len(hosts.doors)} portals connected")
    sending = threading.Thread(
        target=sender.send,
        args=(round(seconds * per_second),),
        kwargs={"per_second": per_second, "at_once": 8},
    )
    sending.start()
    every_s = max(2.0, (seconds - cut_s - 25) / 6)
    Mishaps(hosts, door, cut_off, diary).all(every_s, cut_s)
    sending.join()
    diary.note(f"the last of {len(sender.answered)} calls is answered 200")
    took_s = hosts.wait_until_delivered(sender, 600)
    diary.note(f"each has a note, {took_s:.1f} s later")
    hosts.wait_for(lambda: hosts.history().keys() >= sender.answered.keys(), 60, "history")
    stops = {host.name: host.stop() for host in (*hosts.workers, *hosts.receivers)}
    diary.note("all stopped: " + ", ".join(f"{name} {s:.1f} s" for name, s in stops.items()))
    door.close()
    _judge(hosts, sender, diary)


def _judge(hosts: Hosts, sender: Sender, diary: Diary) -> None:
    notes, rows, latencies = hosts.notes(), hosts.history(), hosts.latencies_s(sender)
    median, p99 = (latencies[int((len(latencies) - 1) * share)] for share in (0.5, 0.99))
    diary.note(f"notes a call: {dict(Counter(notes.values()))}")
    diary.note(f"history rows of success a call: {dict(Counter(rows.values()))}")
    diary.note(f"from 200 to note: median {median:.2f} s, p99 {p99:.1f} s, {latencies[-1]:.1f} s")
    diary.note(f"most requests in a window: {hosts.highest_windows()}")
    diary.note(f"429s: {hosts.refused_by_portals()}; sent again: {dict(sender.refusals)}")
    assert notes.keys() == sender.answered.keys(), "a call has no note, or a note no call"
    assert set(notes.values()) == {1}, "a call has two notes"
    assert rows.keys() == sender.answered.keys(), "the history lacks calls"
    assert hosts.refused_by_portals() == 0, "a portal's pace was passed"
    assert "Traceback" not in hosts.logs(), hosts.logs()


if __name__ == "__main__":
    main()
