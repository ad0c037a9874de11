"""A portal with the contacts of the samples, for pages whose commands need one."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from hubspot_simulator.simulator import Simulator
from tests.documents import ROOT

CONTACTS = json.loads((ROOT / "sample_data" / "contacts.json").read_text("utf-8"))


@pytest.fixture
def portal() -> Iterator[Simulator]:
    """A pretend HubSpot over real HTTP."""
    with Simulator() as simulator:
        simulator.seed_contacts(CONTACTS)
        yield simulator
