"""HubSpot down for a while, and `serve` killed in the middle: what it costs, and what comes of it.

Real processes against a portal that refuses. By hand, with figures:
`python -m tests.journeys.outage --minutes 10 --per-second 8`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from hubspot_simulator import DEFAULT_PORTAL, Simulator
from target_hubspot_calls.engagement import call_id_of_body

SAMPLE = Path(__file__).parents[2] / "sample_data" / "reports" / "02-outbound-talk.json"
KEY = "pat-na1-outage-key-000000000000000000"
_TICKS_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Used:
    """What `serve` and its children have used so far; each part of them by its name."""

    cpu_s: float
    memory_mb: dict[str, float]

    @property
    def all_mb(self) -> float:
        """Resident memory of all of them together."""
        return sum(self.memory_mb.values())


class Serve:
    """`hubspot-calls serve` on one port, to be killed and started again."""

    def __init__(self, folder: Path, portal_url: str) -> None:
        ours = ("HUBSPOT_", "VAPI_", "TAP_", "TARGET_")
        self._environment = {k: v for k, v in os.environ.items() if not k.startswith(ours)} | {
            "HUBSPOT_CALLS_DATA_DIR": str(folder / "data"),
            "HUBSPOT_API_URL": portal_url,
            "HUBSPOT_SERVICE_KEY": KEY,
            "HUBSPOT_CALLS_UPLOAD_RECORDINGS": "false",
        }
        self._folder = folder
        self._port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        webhook = json.loads(self.run("webhooks", "create", "--json"))
        self.url = f"http://127.0.0.1:{self._port}"
        self.webhook_url = f"{self.url}/api/webhooks/{webhook['webhook_id']}"
        self.secret = str(webhook["secret"])

    def run(self, *command: str) -> str:
        """The standard output of a command that must end well."""
        done = subprocess.run(
            [sys.executable, "-m", "hubspot_calls", *command],
            cwd=self._folder,
            env=self._environment,
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout

    def start(self) -> None:
        """Starts it, and returns once it answers."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "hubspot_calls", "serve", "--port", str(self._port)],
                cwd=self._folder,
                env=self._environment,
                stdout=log,
                stderr=log,
            )
        give_up_at = time.monotonic() + 40
        while not self._answers():
            assert time.monotonic() < give_up_at, self.log()
            time.sleep(0.05)

    def kill(self) -> None:
        """Kills it as the kernel would; its children are left to notice that themselves."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None

    def stop(self) -> None:
        """Ends it in order, if it runs."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(40)
            self._process = None

    def used(self) -> Used:
        """Processor time and memory of it and its children, as far as they live."""
        assert self._process is not None
        cpu_s, memory_mb = 0.0, {}
        for pid in (self._process.pid, *_children(self._process.pid)):
            with _vanishing():
                words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                status = Path(f"/proc/{pid}/status").read_text()
                cpu_s += (int(words[11]) + int(words[12])) / _TICKS_S
                resident = re.search(r"VmRSS:\s+(\d+) kB", status)
                memory_mb[_name_of(pid)] = int(resident[1]) / 1024 if resident else 0.0
        return Used(cpu_s, memory_mb)

    def waiting_calls(self) -> int:
        """How many calls the store on disk has that are not in HubSpot yet."""
        with sqlite3.connect(f"file:{self._folder}/data/store.db?mode=ro", uri=True) as store:
            (count,) = store.execute("select count(*) from calls where state = 'due'").fetchone()
        return int(count)

    def log(self) -> str:
        """All that it said."""
        return (self._folder / "log").read_text()

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthz", trust_env=False).status_code == 200
        except httpx.TransportError:
            return False


@dataclass
class Sender:
    """VAPI as far as it matters here: sends calls evenly, and again what was not answered 200."""

    serve: Serve
    per_second: float
    answered_s: dict[str, float] = field(default_factory=dict)
    refusals: Counter[str] = field(default_factory=Counter)

    def send_for(self, seconds: float) -> None:
        """Sends for so long, each call at its time."""
        begun = time.perf_counter()
        with self._client() as http:
            for number in range(round(seconds * self.per_second)):
                time.sleep(max(0.0, begun + number / self.per_second - time.perf_counter()))
                self._send(http, f"call-{len(self.answered_s):06d}")

    def latency_ms(self, share: float) -> float:
        """How long the answer to a call took, at this share of all."""
        ordered = sorted(self.answered_s.values())
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000

    def _send(self, http: httpx.Client, call_id: str) -> None:
        body = _report(call_id, len(self.answered_s))
        while True:
            begun = time.perf_counter()
            try:
                answer = http.post(self.serve.webhook_url, content=body)
            except httpx.TransportError as err:
                self.refusals[type(err).__name__] += 1
            else:
                if answer.status_code == 200:
                    self.answered_s[call_id] = time.perf_counter() - begun
                    return
                self.refusals[str(answer.status_code)] += 1
            time.sleep(0.1)

    def _client(self) -> httpx.Client:
        headers = {"X-Vapi-Secret": self.serve.secret, "Content-Type": "application/json"}
        return httpx.Client(headers=headers, trust_env=False, timeout=20)


@dataclass
class Outage:
    """One installation and its portal, and what is seen of both."""

    serve: Serve
    portal: Simulator
    sender: Sender
    waited_most: int = 0

    def send_for(self, seconds: float) -> None:
        """Sends calls for so long, and looks how many wait."""
        self.sender.send_for(seconds)
        self.waited_most = max(self.waited_most, self.serve.waiting_calls())

    def refuse_everything(self) -> None:
        """HubSpot answers 503 from now on, whatever it is asked."""
        self.portal.add_fault("error", status=503, times=None)

    @contextmanager
    def refusing_connections(self) -> Iterator[None]:
        """Nothing listens at HubSpot's address meanwhile."""
        self.portal.stop()
        yield
        self.portal.start()

    def notes(self) -> Counter[str]:
        """How many notes each call has."""
        bodies = (note["properties"]["hs_note_body"] for note in self.portal.notes())
        return Counter(str(call_id_of_body(body)) for body in bodies)

    def wait_until_waiting(self, calls: int) -> None:
        """Returns when so many calls are in the store, and none of them in HubSpot."""
        give_up_at = time.monotonic() + 40
        while self.serve.waiting_calls() != calls:
            assert time.monotonic() < give_up_at, self.serve.log()[-4000:]
            time.sleep(0.1)

    def wait_until_drained(self, within_s: float) -> float:
        """Seconds until each call that was answered 200 has a note."""
        begun = time.monotonic()
        while self.sender.answered_s.keys() - self.notes().keys():
            assert time.monotonic() < begun + within_s, self.serve.log()[-4000:]
            time.sleep(0.2)
        return time.monotonic() - begun


@contextmanager
def an_outage(folder: Path, *, per_second: float, contacts: int = 50) -> Iterator[Outage]:
    """An installation that is up and running, with a portal that is still well."""
    with Simulator(port=0) as portal:
        portal.add_service_key(DEFAULT_PORTAL, key=KEY)
        portal.seed_contacts([{"phone": _number(i)} for i in range(contacts)])
        serve = Serve(folder, portal.url)
        serve.start()
        try:
            yield Outage(serve, portal, Sender(serve, per_second))
        finally:
            serve.stop()


def main() -> None:
    """Prints the figures of one long outage."""
    options = argparse.ArgumentParser(prog="python -m tests.journeys.outage", description=__doc__)
    options.add_argument("--minutes", type=float, default=10.0, help="how long HubSpot is down")
    options.add_argument("--per-second", type=float, default=8.0, help="calls sent meanwhile")
    asked = options.parse_args()
    part_s = asked.minutes * 60 / 5
    with (
        tempfile.TemporaryDirectory() as folder,
        an_outage(Path(folder), per_second=asked.per_second) as outage,
    ):
        _soak(outage, part_s)


def _soak(outage: Outage, part_s: float) -> None:
    outage.send_for(10)
    outage.wait_until_drained(60)
    _tell(outage, "all is well")
    outage.refuse_everything()
    with _watched(outage, "503 to everything, calls come in"):
        outage.send_for(part_s)
    with outage.refusing_connections():
        with _watched(outage, "connections refused, calls come in"):
            outage.send_for(part_s)
        killer = threading.Timer(part_s / 2, lambda: (outage.serve.kill(), outage.serve.start()))
        killer.start()
        outage.send_for(part_s)
        killer.join()
        _tell(outage, "serve was killed and started again")
        with _watched(outage, "connections refused, no calls"):
            time.sleep(part_s)
    with _watched(outage, "503 to everything, no calls"):
        time.sleep(part_s)
    outage.portal.clear_faults()
    outage.portal.clear_requests()
    outage.send_for(5)
    drained_s = outage.wait_until_drained(7200)
    notes = outage.notes()
    _tell(outage, f"drained {drained_s:.0f} s after the last of {len(notes)} calls was sent")
    refused = sum(request.status == 429 for request in outage.portal.requests())
    _say(
        f"notes a call: {Counter(notes.values())}; most calls that waited: {outage.waited_most};"
        f" 429s while draining: {refused}"
    )
    sender = outage.sender
    _say(
        f"webhooks: {len(sender.answered_s)} answered 200, median"
        f" {statistics.median(sender.answered_s.values()) * 1000:.1f} ms,"
        f" p99 {sender.latency_ms(0.99):.1f} ms, most {sender.latency_ms(1):.0f} ms;"
        f" not answered 200 and sent again: {dict(sender.refusals)}"
    )


@contextmanager
def _watched(outage: Outage, what: str) -> Iterator[None]:
    before, begun = outage.serve.used(), time.monotonic()
    yield
    cpu = (outage.serve.used().cpu_s - before.cpu_s) / (time.monotonic() - begun)
    _tell(outage, f"{what}: {cpu:.1%} of a processor")


def _tell(outage: Outage, what: str) -> None:
    used = outage.serve.used()
    parts = ", ".join(f"{name} {mb:.0f}" for name, mb in used.memory_mb.items())
    _say(f"{what}; {outage.serve.waiting_calls()} calls wait; {used.all_mb:.0f} MB ({parts})")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


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


def _children(pid: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with _vanishing():
            if int(path.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(path.parent.name))
    return found


def _name_of(pid: int) -> str:
    words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    return next((w for w in ("tap-vapi", "target-hubspot-calls") if w in words), "serve")


@contextmanager
def _vanishing() -> Iterator[None]:
    """A process may end while it is looked at."""
    try:
        yield
    except (FileNotFoundError, ProcessLookupError):
        return


if __name__ == "__main__":
    main()
