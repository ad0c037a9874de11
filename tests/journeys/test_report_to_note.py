"""From VAPI's POST to the note and the history, with real processes that are killed on the way."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pytest

from hubspot_simulator import DEFAULT_PORTAL, Simulator
from target_hubspot_calls.engagement import call_id_of_body

SAMPLES = Path(__file__).parents[2] / "sample_data"
EXPECTED = json.loads((SAMPLES / "expected_outcomes.json").read_text())
STORED = [report for report in EXPECTED if report["stored"]]


@dataclass
class Machine:
    """One installation: its data directory, and our commands run against it."""

    folder: Path
    portal: Simulator

    @property
    def environment(self) -> dict[str, str]:
        ours = ("HUBSPOT_", "VAPI_", "TAP_", "TARGET_")
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
        return inherited | {
            "HUBSPOT_CALLS_DATA_DIR": str(self.folder / "data"),
            "HUBSPOT_API_URL": self.portal.url,
            # Nothing outside this machine is asked for the samples' recordings.
            "HUBSPOT_CALLS_RECORDING_HOSTS": "127.0.0.1",
        }

    def start(self, *command: str) -> subprocess.Popen[str]:
        """A command of `hubspot-calls`, running."""
        return subprocess.Popen(
            [sys.executable, "-m", "hubspot_calls", *command],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *command: str, given: str = "") -> str:
        """The standard output of a command that must end well."""
        process = self.start(*command)
        out, errors = process.communicate(given, timeout=90)
        assert process.returncode == 0, errors
        return out

    @contextmanager
    def receiver(self) -> Iterator[tuple[subprocess.Popen[str], str]]:
        """The receiver and its address; killed at the end, if it was not before."""
        process = self.start("serve", "--no-sync", "--port", "0")
        assert process.stderr is not None
        try:
            for line in process.stderr:
                if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                    yield process, found[0]
                    break
            else:
                pytest.fail("the receiver did not start")
        finally:
            process.kill()
            process.communicate()

    def outcomes(self) -> dict[str, Mapping[str, Any]]:
        """The latest sync log row of each call."""
        with duckdb.connect(self.folder / "data" / "sync_log.duckdb", read_only=True) as log:
            rows = log.execute("select * from call_status")
            columns = [column[0] for column in rows.description or ()]
            return {
                row["call_id"]: row
                for row in (dict(zip(columns, r, strict=True)) for r in rows.fetchall())
            }

    def history_length(self) -> int:
        with duckdb.connect(self.folder / "data" / "sync_log.duckdb", read_only=True) as log:
            ((count,),) = log.execute("select count(*) from hubspot_sync_logs").fetchall()
            return int(count)

    def notes_by_call(self) -> dict[str, list[str]]:
        """For each call id, the contacts its notes are on: one e-mail address for each note."""
        emails = {c["id"]: c["properties"].get("email") for c in self.portal.contacts()}
        found: dict[str, list[str]] = {}
        for note in self.portal.notes():
            call_id = call_id_of_body(note["properties"]["hs_note_body"])
            (contact_id,) = note["associations"]["contacts"]
            found.setdefault(str(call_id), []).append(str(emails[contact_id]))
        return found


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with Simulator(port=0) as portal:
        portal.seed_contacts(json.loads((SAMPLES / "contacts.json").read_text()))
        machine = Machine(tmp_path, portal)
        key = portal.add_service_key(DEFAULT_PORTAL)
        machine.run("connections", "add", "--service-key-stdin", given=key)
        yield machine


def post(address: str, webhook: Mapping[str, str], report: Mapping[str, Any]) -> int:
    path = re.sub(r"^https?://[^/]+", "", webhook["url"])
    body = (SAMPLES / "reports" / report["report"]).read_bytes()
    headers = {"X-Vapi-Secret": webhook["secret"], "Content-Type": "application/json"}
    answer = httpx.post(f"{address}{path}", content=body, headers=headers, trust_env=False)
    return answer.status_code


def kill_with_children(process: subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def wait_for(condition: Callable[[], bool], timeout_s: float = 40) -> None:
    give_up_at = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < give_up_at, "it did not happen"
        time.sleep(0.01)


@pytest.mark.timeout(240)
def test_every_report_becomes_one_note_although_everything_is_killed_on_the_way(
    machine: Machine,
) -> None:
    webhook = json.loads(machine.run("webhooks", "create", "--json"))
    first, second = STORED[: len(STORED) // 2], STORED[len(STORED) // 2 :]

    with machine.receiver() as (process, address):
        assert [post(address, webhook, report) for report in first] == [200] * len(first)
        process.kill()
    with machine.receiver() as (process, address):
        assert [post(address, webhook, report) for report in second] == [200] * len(second)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) in (0, 128 + signal.SIGTERM)

    killed = machine.start("sync")
    wait_for(lambda: "POST /crm/objects/contacts/search" in machine.portal.counts())
    kill_with_children(killed)
    killed = machine.start("sync")
    wait_for(lambda: len(machine.portal.notes()) > 0 or killed.poll() is not None)
    kill_with_children(killed)
    machine.run("sync")

    notes = machine.notes_by_call()
    outcomes = machine.outcomes()
    expected = {report["call_id"]: report["expect"] for report in STORED}
    assert outcomes.keys() == expected.keys()
    for call_id, wanted in expected.items():
        assert outcomes[call_id]["status"] == wanted["status"], call_id
        contacts = [wanted["contact"]] if wanted["status"] == "success" else []
        assert notes.get(call_id, []) == contacts, call_id
    assert Counter(row["status"] for row in outcomes.values()) == Counter(
        wanted["status"] for wanted in expected.values()
    )


@pytest.mark.long
@pytest.mark.timeout(240)
def test_running_everything_again_changes_nothing(machine: Machine) -> None:
    webhook = json.loads(machine.run("webhooks", "create", "--json"))
    with machine.receiver() as (_, address):
        for report in STORED:
            assert post(address, webhook, report) == 200
        machine.run("sync")
        notes, rows = machine.portal.notes(), machine.history_length()
        machine.portal.clear_requests()

        for report in STORED:
            assert post(address, webhook, report) == 200
    machine.run("sync")
    (machine.folder / "data" / "sync_state.json").unlink()
    machine.run("sync")

    assert machine.portal.notes() == notes
    assert machine.history_length() == rows
    writes = {op for op in machine.portal.counts() if "notes/batch" in op}
    assert writes == set()


@pytest.mark.timeout(240)
def test_the_live_sync_of_serve_does_the_same_work(machine: Machine) -> None:
    webhook = json.loads(machine.run("webhooks", "create", "--json"))
    live = machine.start("serve", "--port", "0")
    assert live.stderr is not None
    try:
        address = next(
            found[0] for line in live.stderr if (found := re.search(r"http://127[0-9.:]+", line))
        )
        for report in STORED:
            assert post(address, webhook, report) == 200

        wanted = {r["call_id"] for r in STORED if r["expect"]["status"] == "success"}
        wait_for(lambda: machine.notes_by_call().keys() == wanted)
    finally:
        live.send_signal(signal.SIGTERM)
        _, errors = live.communicate(timeout=30)

    assert live.returncode in (0, 128 + signal.SIGTERM), errors
    assert all(len(contacts) == 1 for contacts in machine.notes_by_call().values())


@pytest.mark.long
@pytest.mark.timeout(240)
def test_a_report_that_names_no_call_is_in_the_history_of_its_workspace_once(
    machine: Machine,
) -> None:
    created = machine.run("webhooks", "create", "--user", "kim", "--workspace", "north", "--json")
    webhook = json.loads(created)
    path = re.sub(r"^https?://[^/]+", "", webhook["url"])
    report = {"type": "end-of-call-report", "call": {}, "transcript": "AI: CANARY"}

    with machine.receiver() as (_, address):
        answer = httpx.post(
            f"{address}{path}",
            json={"message": report},
            headers={"X-Vapi-Secret": webhook["secret"]},
            trust_env=False,
        )
        machine.run("sync")
    (machine.folder / "data" / "sync_state.json").unlink()
    machine.run("sync")
    told = machine.run("history", "--json")

    (row,) = json.loads(told)["logs"]
    assert answer.status_code == 200
    assert (row["status"], row["reason"], row["retryable"]) == ("error", "invalid_record", False)
    assert (row["user_id"], row["workspace_id"]) == ("kim", "north")
    assert (
        f"no call id of at most 200 characters (webhook {webhook['webhook_id']}, received"
        in row["error_message"]
    )
    assert "CANARY" not in told
    assert machine.portal.notes() == []
