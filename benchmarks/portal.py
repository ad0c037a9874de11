"""What the benchmarks share: a simulated portal in its own process, runs of the real commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

KEY = "pat-na1-benchmark-key-0000000000000000"
CALL = {
    "user_id": "default",
    "workspace_id": "default",
    "source": "webhook",
    "type": "inboundPhoneCall",
    "direction": "inbound",
    "customer_name": "Dana Ruiz",
    "phone_number": "+12025550110",
    "started_at": "2026-11-20T15:04:06.000Z",
    "ended_at": "2026-11-20T15:05:21.600Z",
    "duration_ms": 75600,
    "ended_reason": "customer-ended-call",
    "outcome": "completed",
    "summary": "The caller moved a cleaning to Friday at ten. The change was confirmed. " * 3,
    "transcript": "AI: Harbor Dental, how can I help?\nUser: I would like to move my cleaning.\n"
    * 16,
    "structured_data": {"intent": "reschedule", "day": "Friday"},
    "cost_usd": 0.104,
}


def a_call(index: int) -> dict[str, Any]:
    """The index-th call, from a number of its own."""
    return {"id": f"01a1f97c-7300-7aa2-9c10-{index:012d}", "customer_number": number(index)} | CALL


def number(index: int) -> str:
    """A number nobody else in the benchmark has: area codes 201-999, exchange 555."""
    return f"+1{201 + index // 10_000 % 799}555{index % 10_000:04d}"


@dataclass
class Portal:
    """The simulator's address and what it counted."""

    url: str
    portal_id: int

    def notes(self) -> int:
        """How many notes there are."""
        return len(self.get(f"portals/{self.portal_id}/notes")["results"])

    def get(self, path: str) -> Any:
        """JSON of a control page."""
        return httpx.get(f"{self.url}/_simulator/{path}", timeout=60, trust_env=False).json()


@contextmanager
def portal(calls: int, *, rate_limits: bool) -> Iterator[Portal]:
    """A simulator in its own process with a contact for each of so many calls."""
    with tempfile.TemporaryDirectory() as folder:
        contacts = Path(folder) / "contacts.json"
        contacts.write_text(json.dumps([{"phone": number(i)} for i in range(calls)]))
        command = [sys.executable, "-m", "hubspot_simulator", "--port", "0", "--print-json"]
        command += ["--contacts", str(contacts), "--service-key", KEY]
        process = subprocess.Popen(
            command + ([] if rate_limits else ["--no-rate-limits"]),
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout is not None
            said = json.loads(process.stdout.readline())
            yield Portal(said["url"], said["portal_id"])
        finally:
            process.terminate()
            process.wait(20)


def target_config(portal: Portal, folder: str, **settings: Any) -> Path:
    """A config file of the target against the portal, in a data directory of its own."""
    path = Path(folder) / "target.json"
    values = {"data_dir": f"{folder}/data", "hubspot_api_url": portal.url, "service_key": KEY}
    path.write_text(json.dumps(values | settings))
    return path


def singer_lines(calls: int, path: Path, *, recordings: str | None = None) -> None:
    """Writes so many calls as a tap would; with an address, each with a recording there."""
    names = [*a_call(0), "recording_url"]
    schema = {"type": "object", "properties": {name: {} for name in names}}
    with path.open("w") as lines:
        first = {"type": "SCHEMA", "stream": "calls", "key_properties": ["id"], "schema": schema}
        lines.write(json.dumps(first) + "\n")
        for i in range(calls):
            call = a_call(i)
            if recordings is not None:
                call["recording_url"] = f"{recordings}/{call['id']}.wav"
            record = {"type": "RECORD", "stream": "calls", "record": call}
            lines.write(json.dumps(record) + "\n")
            if i % 100 == 99:
                lines.write(json.dumps({"type": "STATE", "value": {"position": i}}) + "\n")


@dataclass
class Taken:
    """What a command took: seconds, and its own peak of memory."""

    seconds: float
    peak_mb: float


def timed(command: list[str], **options: Any) -> Taken:
    """What a command took that must end well."""
    before = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options
    )
    # The usage of this one child; that of all children would count the simulators too.
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"{command[0]} ended with {process.returncode}"
    return Taken(time.perf_counter() - before, usage.ru_maxrss / 1024)


def script(name: str) -> str:
    """The path of one of our commands, beside this Python."""
    return str(Path(sys.executable).with_name(name))
