"""A running simulator and a client that has a key for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from hubspot_simulator import DEFAULT_PORTAL, Simulator

NOTE_TO_CONTACT = 202


class FakeClock:
    """A clock that moves only when told."""

    def __init__(self) -> None:
        self.now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def simulator(clock: FakeClock) -> Iterator[Simulator]:
    with Simulator(rate_limits=False, clock=clock) as running:
        running.add_portal()
        yield running


@pytest.fixture
def key(simulator: Simulator) -> str:
    return simulator.add_service_key()


@pytest.fixture
def client(simulator: Simulator, key: str) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(
        base_url=simulator.url, headers=headers, trust_env=False, verify=False
    ) as opened:
        yield opened


@pytest.fixture
def contact_id(simulator: Simulator) -> str:
    return simulator.add_contact(DEFAULT_PORTAL, phone="(202) 555-0123", firstname="Ann")


@pytest.fixture
def a_note(contact_id: str) -> Callable[..., dict[str, Any]]:
    """Builds a create input; properties by keyword, `trace` and `contact` apart."""

    def build(
        *, trace: str | None = None, contact: str | None = contact_id, **properties: str
    ) -> dict[str, Any]:
        written: dict[str, Any] = {
            "properties": {
                "hs_timestamp": "2026-11-20T10:15:00Z",
                "hs_note_body": "<p>Summary</p>",
                **properties,
            },
            "associations": [],
        }
        if contact is not None:
            kind = {
                "associationCategory": "HUBSPOT_DEFINED",
                "associationTypeId": NOTE_TO_CONTACT,
            }
            written["associations"] = [{"to": {"id": contact}, "types": [kind]}]
        if trace is not None:
            written["objectWriteTraceId"] = trace
        return written

    return build


@pytest.fixture
def call_id_property(client: httpx.Client) -> str:
    """A unique property on notes."""
    body = {
        "name": "vapi_call_id",
        "label": "VAPI call id",
        "type": "string",
        "fieldType": "text",
        "groupName": "notesinformation",
        "hasUniqueValue": True,
    }
    client.post("/crm/properties/2026-09/notes", json=body).raise_for_status()
    return "vapi_call_id"
