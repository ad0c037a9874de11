"""Several hosts on one machine: real processes that share PostgreSQL, NATS and pretend portals.

Each process has a data directory of its own, as on a host of its own. Knows how they are joined,
how calls come in and notes come out; what is done to them when is the tests' business.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import psycopg
from cryptography.fernet import Fernet

from hubspot_calls.processes import clean_environment
from hubspot_calls.rooms import open_store
from hubspot_calls.settings import settings_from
from hubspot_simulator import Simulator
from target_hubspot_calls.engagement import call_id_of_body
from tests.call_stream.nats_server import NatsServer, nats_cluster, nats_server
from tests.journeys.database_door import DatabaseDoor
from tests.journeys.host import Host
from tests.target_hubspot_calls.store.postgresql_server import PostgreSQLServer, postgresql_server

SAMPLE = Path(__file__).parents[2] / "sample_data" / "reports" / "02-outbound-talk.json"
FIRST_PORTAL = 7_000_001
_START_S = 60.0


@dataclass
class Sender:
    """VAPI as far as it matters: posts each call to some receiver until one answers 200."""

    hosts: Hosts
    name: str = "call"
    answered: dict[str, float] = field(default_factory=dict)
    """When each call was answered 200, by its id, in seconds since 1970."""
    refusals: Counter[str] = field(default_factory=Counter)
    _sent: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def send(self, calls: int, *, per_second: float, at_once: int = 4) -> None:
        """Sends so many calls, evenly, to all portals in turn."""
        begun = time.monotonic()
        due = iter(range(calls))

        def work() -> None:
            with httpx.Client(trust_env=False, timeout=5) as http:
                while True:
                    with self._lock:
                        number = next(due, None)
                        if number is None:
                            return
                        self._sent += 1
                        index = self._sent
                    time.sleep(max(0.0, begun + number / per_second - time.monotonic()))
                    self._post(http, index)

        threads = [threading.Thread(target=work) for _ in range(at_once)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _post(self, http: httpx.Client, index: int) -> None:
        call_id = f"{self.name}-{index:06d}"
        door = self.hosts.doors[index % len(self.hosts.doors)]
        body = _report(call_id, index)
        headers = {"X-Vapi-Secret": door.secret, "Content-Type": "application/json"}
        while True:
            url = random.choice(self.hosts.receiver_urls)
            try:
                answer = http.post(
                    f"{url}/api/webhooks/{door.webhook_id}", content=body, headers=headers
                )
            except httpx.TransportError as err:
                kind = type(err).__name__
            else:
                if answer.status_code == 200:
                    self.answered[call_id] = time.time()
                    return
                kind = str(answer.status_code)
            with self._lock:
                self.refusals[kind] += 1
            time.sleep(0.1)


@dataclass(frozen=True)
class Door:
    """One portal's workspace and the webhook that reports calls for it."""

    portal_id: int
    webhook_id: str
    secret: str


@dataclass
class Hosts:
    """Everything together: the shared servers, the portals, and the processes."""

    folder: Path
    portals: Simulator
    database: PostgreSQLServer
    nats: Sequence[NatsServer]
    variables: dict[str, str]
    doors: list[Door] = field(default_factory=list)
    receivers: list[Host] = field(default_factory=list)
    workers: list[Host] = field(default_factory=list)
    receiver_urls: list[str] = field(default_factory=list)
    _restarted: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def add_receiver(self) -> Host:
        """A receiver that has been started and is not waited for."""
        port = _free_port()
        name = f"receiver-{len(self.receivers) + 1}"
        command = ["serve", "--no-sync", "--port", str(port)]
        host = Host(name, self.folder, command, self.variables)
        host.start()
        self.receivers.append(host)
        self.receiver_urls.append(f"http://127.0.0.1:{port}")
        return host

    def add_worker(self, *, database_url: str | None = None, **variables: str) -> Host:
        """A worker that has been started and is not waited for."""
        name = f"worker-{len(self.workers) + 1}"
        own = {"HUBSPOT_CALLS_DATABASE_URL": database_url} if database_url else {}
        host = Host(name, self.folder, ["work"], {**self.variables, **own, **variables})
        host.start()
        self.workers.append(host)
        return host

    def run(
        self, *command: str, data_dir: str = "operator", **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """A command of ours that has ended, run on a host of its own."""
        own = {"HUBSPOT_CALLS_DATA_DIR": str(self.folder / data_dir), **variables}
        ours = {**self.variables, **own}
        return subprocess.run(
            [sys.executable, "-m", "hubspot_calls", *command],
            cwd=self.folder,
            env=clean_environment(ours),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def metrics(self) -> str:
        """What the first receiver tells Prometheus."""
        return httpx.get(f"{self.receiver_urls[0]}/metrics", trust_env=False, timeout=20).text

    def reader(self) -> Host | None:
        """The worker that reads the stream now, by what the store says."""
        rows = self.query(
            "select holder from elections where office like 'reader:%'"
            " and expires_at > timezone('utc', clock_timestamp())"
        )
        pid = re.search(r"process (\d+)", str(rows[0][0])) if rows else None
        alive = {worker.pid: worker for worker in self.workers if worker.is_up}
        return alive.get(int(pid[1])) if pid else None

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """What the shared store answers."""
        url = self.variables["HUBSPOT_CALLS_DATABASE_URL"]
        with psycopg.connect(url, autocommit=True) as connection:
            return connection.execute(statement.encode()).fetchall()

    def notes(self) -> Counter[str]:
        """How many notes each call has, over all portals."""
        return Counter(call_id for call_id, _ in self.made_notes())

    def count_notes(self) -> int:
        """How many notes there are, over all portals; cheaper than looking at them."""
        state = self.portals.state
        with state.lock:
            return sum(len(state.portal(door.portal_id).records["notes"]) for door in self.doors)

    def latencies_s(self, sender: Sender) -> list[float]:
        """From the 200 to the note in the portal, of each call, the shortest first."""
        made = {
            call_id: datetime.fromisoformat(at).timestamp() for call_id, at in self.made_notes()
        }
        return sorted(made[call_id] - at for call_id, at in sender.answered.items())

    def made_notes(self) -> Iterator[tuple[str, str]]:
        """The call of each note and when it was made, over all portals."""
        for door in self.doors:
            for note in self.portals.notes(door.portal_id):
                body = note["properties"]["hs_note_body"]
                yield str(call_id_of_body(body)), note["created_at"]

    def refused_by_portals(self) -> int:
        """How often a portal said 429, in any of its windows."""
        return sum(request.status == 429 for request in self.portals.requests())

    def highest_windows(self) -> dict[str, int]:
        """The most requests in any window of any portal, by policy."""
        highest: dict[str, int] = {}
        for window in self.portals.state.rates.report():
            policy, peak = str(window["policy"]), int(str(window["offered_peak"]))
            highest[policy] = max(highest.get(policy, 0), peak)
        return highest

    def history(self) -> Counter[str]:
        """How many rows of success each call has in the shared history."""
        rows = self.query(
            "select call_id, count(*) from hubspot_sync_logs"
            " where status = 'success' group by call_id"
        )
        return Counter(dict(rows))

    def wait_for(self, check: Callable[[], object], within_s: float, what: str) -> float:
        """Seconds until it is so; fails with the processes' logs."""
        begun = time.monotonic()
        while not check():
            assert time.monotonic() < begun + within_s, f"{what}\n{self.logs()}"
            time.sleep(0.1)
        return time.monotonic() - begun

    def wait_until_delivered(self, sender: Sender, within_s: float) -> float:
        """Seconds until each call that was answered 200 has a note."""
        return self.wait_for(
            lambda: not (sender.answered.keys() - self.notes().keys()), within_s, "not delivered"
        )

    def logs(self) -> str:
        """The end of what each process said."""
        hosts = (*self.receivers, *self.workers)
        return "\n".join(f"--- {host.name}\n{host.log()[-2500:]}" for host in hosts)

    def restart_database(self) -> float:
        """Seconds without a database: it is ended as `pg_ctl -m immediate` does, and started."""
        folder = Path(self.variables["HUBSPOT_CALLS_DATABASE_URL"].partition("?host=")[2])
        pid = int((folder / "data" / "postmaster.pid").read_text().split()[0])
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:-1]
        owner = Path(f"/proc/{pid}").stat()
        as_owner = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}
        begun = time.monotonic()
        os.kill(pid, signal.SIGQUIT)
        os.waitpid(pid, 0)
        while True:
            with (folder / "log").open("ab") as log:
                process = subprocess.Popen(
                    command,
                    stdout=log,
                    stderr=log,
                    cwd="/",
                    **(as_owner if os.geteuid() == 0 else {}),
                )
            while process.poll() is None:
                with suppress(psycopg.OperationalError):
                    self.query("select 1")
                    self._restarted.append(process)
                    return time.monotonic() - begun
                time.sleep(0.05)
            # Its children may not all be gone yet.
            assert time.monotonic() < begun + _START_S, (folder / "log").read_text()[-2000:]

    def end(self) -> None:
        """Ends all processes of ours, and a database that was restarted."""
        for host in (*self.receivers, *self.workers):
            host.end()
        for process in self._restarted:
            process.send_signal(signal.SIGINT)
            process.wait(_START_S)

    def door_to_database(self, name: str) -> tuple[DatabaseDoor, str]:
        """A way to the database of one host's own, and the URL that goes by it."""
        url = self.variables["HUBSPOT_CALLS_DATABASE_URL"]
        before, _, folder = url.partition("?host=")
        door = DatabaseDoor(Path(folder) / name, Path(folder))
        return door, f"{before}?host={door.folder}"


@contextmanager
def several_hosts(folder: Path, *, portals: int, cluster: bool = False) -> Iterator[Hosts]:
    """The shared servers and connected portals, with no process of ours yet."""
    with ExitStack() as stack:
        portal = stack.enter_context(Simulator(port=0))
        # What was committed must be there after the server is killed; only this machine's end
        # may cost it.
        database = stack.enter_context(postgresql_server(synchronous_commit="on"))
        servers: Sequence[NatsServer] = (
            stack.enter_context(nats_cluster()) if cluster else [stack.enter_context(nats_server())]
        )
        addresses = ",".join(server.address for server in servers)
        variables = {
            "HUBSPOT_CALLS_STREAM_URL": f"nats://{addresses}/CALLS?replicas={len(servers)}",
            "HUBSPOT_CALLS_DATABASE_URL": database.new_database(),
            "HUBSPOT_CALLS_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
            "HUBSPOT_CALLS_UPLOAD_RECORDINGS": "false",
            "HUBSPOT_CALLS_BATCH_WAIT_S": "0.1",
            "HUBSPOT_API_URL": portal.url,
        }
        hosts = Hosts(folder, portal, database, servers, variables)
        hosts.doors += _connect(hosts, portals)
        try:
            yield hosts
        finally:
            hosts.end()


def _connect(hosts: Hosts, portals: int) -> Iterator[Door]:
    settings = settings_from(
        hosts.variables | {"HUBSPOT_CALLS_DATA_DIR": str(hosts.folder / "operator")}
    )
    with open_store(settings) as store:
        for number in range(portals):
            portal_id, owner = FIRST_PORTAL + number, ("user", f"workspace-{number}")
            key = hosts.portals.add_service_key(portal_id)
            contacts = [{"phone": _number(index)} for index in range(50)]
            hosts.portals.seed_contacts(contacts, portal_id)
            store.connections.add_service_key(*owner, key)
            webhook, secret = store.webhooks.create(*owner)
            yield Door(portal_id, webhook.id, secret)


def _report(call_id: str, index: int) -> bytes:
    message: dict[str, Any] = json.loads(SAMPLE.read_text())["message"]
    message["call"]["id"] = call_id
    for holder in (message, message["call"]):
        if "customer" in holder:
            holder["customer"]["number"] = _number(index)
    return json.dumps({"message": message}).encode()


def _number(index: int) -> str:
    return f"+1415555{100 + index % 50:04d}"


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
