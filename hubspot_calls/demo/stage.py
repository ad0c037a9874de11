"""The demo's stage: the pretend portal and the receiver, each a process of its own.

Knows how to start, address and question both; it must not know what the samples must become.
"""

from __future__ import annotations

import json
import re
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from hubspot_calls.processes import ChildProcess, clean_environment
from hubspot_calls.rooms import open_store
from hubspot_calls.settings import Settings, settings_from
from target_hubspot_calls.errors import CallSyncError
from target_hubspot_calls.store.webhooks import WebhookAuth

_START_S = 30.0
_ANSWER_S = 30.0
_ADDRESS = re.compile(r"http://[0-9.]+:[0-9]+")


class StageBroken(CallSyncError):
    """A process of the demo did not start, or ended before its time."""


@dataclass(frozen=True)
class Portal:
    """The pretend portal, as its simulator tells of it."""

    url: str
    portal_id: int
    service_key: str
    contacts: int

    def fetch_records(self, kind: str) -> list[dict[str, Any]]:
        """All `contacts` or `notes` of the portal, as the simulator keeps them."""
        address = f"{self.url}/_simulator/portals/{self.portal_id}/{kind}"
        answer = httpx.get(address, timeout=_ANSWER_S, trust_env=False)
        answer.raise_for_status()
        found: list[dict[str, Any]] = answer.json()["results"]
        return found


@dataclass(frozen=True)
class Door:
    """Where the demo posts its reports, and with which secret."""

    url: str
    secret: str


@dataclass(frozen=True)
class Stage:
    """Everything that runs, and the settings by which it does."""

    settings: Settings
    variables: Mapping[str, str]
    portal: Portal
    receiver_url: str
    door: Door


@contextmanager
def set_stage(folder: Path, contacts: Path) -> Iterator[Stage]:
    """The running stage, with the portal connected and a webhook made. Raises StageBroken."""
    with _simulator(folder, contacts) as portal:
        variables = {
            "HUBSPOT_CALLS_DATA_DIR": str(folder),
            "HUBSPOT_API_URL": portal.url,
            "HUBSPOT_APP_URL": portal.url,
            # The samples' recordings lie beside the pretend portal, on this machine.
            "HUBSPOT_CALLS_RECORDING_HOSTS": "127.0.0.1",
        }
        with _receiver(folder, variables) as receiver_url:
            variables["HUBSPOT_CALLS_PUBLIC_URL"] = receiver_url
            settings = settings_from(variables)
            door = _connect(settings, portal)
            yield Stage(settings, variables, portal, receiver_url, door)


@contextmanager
def _simulator(folder: Path, contacts: Path) -> Iterator[Portal]:
    simulator = ChildProcess(
        "simulator",
        "hubspot_simulator.__main__",
        ["--contacts", str(contacts), "--print-json"],
        environment=clean_environment(),
        directory=folder,
    )
    try:
        # Ends with an empty line if the simulator ends; a thread could wait no better.
        first_line = simulator.stdout.readline()
        if not first_line:
            simulator.wait(_START_S)
            raise _broken(simulator)
        yield Portal(**json.loads(first_line))
    finally:
        simulator.close()


@contextmanager
def _receiver(folder: Path, variables: Mapping[str, str]) -> Iterator[str]:
    listening = threading.Event()
    address = ""

    def hear(line: Mapping[str, Any]) -> None:
        nonlocal address
        found = _ADDRESS.search(str(line["message"]))
        if found and not listening.is_set():
            address = found[0]
            listening.set()

    receiver = ChildProcess(
        "receiver",
        "hubspot_calls.cli",
        ["serve", "--no-sync", "--port", "0"],
        environment=clean_environment(variables),
        directory=folder,
        stdout=subprocess.DEVNULL,
        on_line=hear,
    )
    try:
        for _ in range(int(_START_S * 10)):
            if listening.wait(0.1) or receiver.exit_code is not None:
                break
        if not listening.is_set():
            raise _broken(receiver)
        yield address
    finally:
        receiver.close()


def _connect(settings: Settings, portal: Portal) -> Door:
    """Store the portal's key and make a webhook, as `connections add` and `webhooks create` do."""
    with open_store(settings) as store:
        connection = store.connections.add_service_key("default", "default", portal.service_key)
        store.connections.set_portal(connection.id, portal.portal_id)
        webhook, secret = store.webhooks.create("default", "default", WebhookAuth.SECRET)
    return Door(f"{settings.public_url}/api/webhooks/{webhook.id}", secret)


def _broken(child: ChildProcess) -> StageBroken:
    last = child.last_lines[-1] if child.last_lines else "it said nothing"
    return StageBroken(f"the demo's {child.name} did not start: {last}")
