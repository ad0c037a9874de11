"""Calls that VAPI reported, lost on the way, or had before we came: each is one note."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hubspot_simulator import DEFAULT_PORTAL, Simulator
from target_hubspot_calls.hubspot.oauth import REQUIRED_SCOPES
from tests.journeys.test_report_to_note import SAMPLES, STORED, Machine, post, wait_for
from tests.tap_vapi.stand_in import KEY, VapiStandIn, a_call

REPORT = next(r for r in STORED if r["report"].startswith("01-"))
OF_DANA = {"number": "+14155550123"}


class MachineWithKey(Machine):
    """An installation that may ask VAPI."""

    vapi: VapiStandIn

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, "VAPI_API_KEY": KEY, "VAPI_API_URL": self.vapi.url}


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[MachineWithKey]:
    with Simulator(port=0) as portal, VapiStandIn() as vapi:
        portal.seed_contacts(json.loads((SAMPLES / "contacts.json").read_text()))
        machine = MachineWithKey(tmp_path, portal)
        machine.vapi = vapi
        for owner in ((), ("--user", "kim", "--workspace", "north")):
            # Without the scope for the property by which HubSpot itself refuses a second note.
            key = portal.add_service_key(DEFAULT_PORTAL, REQUIRED_SCOPES)
            machine.run("connections", "add", "--service-key-stdin", *owner, given=key)
        yield machine


def calls_of_vapi(machine: MachineWithKey) -> str:
    """The call of the first sample report, and one whose report got lost; returns the latter's id.

    VAPI's API does not say whose they are, so both are the default's where it tells of them first.
    Both workspaces write to the same portal.
    """
    yesterday = datetime.now(UTC) - timedelta(days=1)
    lost = a_call(7, yesterday, customer=OF_DANA)
    machine.vapi.put(a_call(1, yesterday, id=REPORT["call_id"], customer=OF_DANA), lost)
    return str(lost["id"])


@pytest.mark.timeout(120)
@pytest.mark.parametrize("first", ["webhook", pytest.param("api", marks=pytest.mark.long)])
def test_a_call_of_both_doors_is_one_note_and_a_lost_one_is_found(
    machine: MachineWithKey, first: str
) -> None:
    lost = calls_of_vapi(machine)
    made = machine.run("webhooks", "create", "--user", "kim", "--workspace", "north", "--json")
    if first == "api":
        machine.run("sync")

    with machine.receiver() as (_, address):
        assert post(address, json.loads(made), REPORT) == 200
        machine.run("sync")
    machine.run("connections", "add", "--service-key-stdin", given=machine.portal.add_service_key())
    machine.run("sync")

    outcomes = machine.outcomes()
    assert {call_id: len(on) for call_id, on in machine.notes_by_call().items()} == {
        REPORT["call_id"]: 1,
        lost: 1,
    }
    assert outcomes[lost]["workspace_id"] == "default"
    assert outcomes[REPORT["call_id"]]["status"] == "success"


@pytest.mark.timeout(120)
def test_the_live_sync_asks_vapi_too(machine: MachineWithKey) -> None:
    machine.run("connections", "add", "--service-key-stdin", given=machine.portal.add_service_key())
    lost = calls_of_vapi(machine)
    live = machine.start("serve", "--port", "0")
    assert live.stderr is not None
    try:
        for line in live.stderr:
            if re.search(r"http://127[0-9.:]+", line):
                break
        wait_for(lambda: lost in machine.notes_by_call())
    finally:
        live.send_signal(signal.SIGTERM)
        _, errors = live.communicate(timeout=30)

    assert live.returncode in (0, 128 + signal.SIGTERM), errors
    assert KEY not in errors
