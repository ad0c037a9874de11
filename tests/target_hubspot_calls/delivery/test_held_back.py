"""Creates that the pace holds back for minutes, and processes that die right after sending them.

What HubSpot may still be working on is reckoned from the sending, not from the announcement.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from hubspot_simulator import Simulator
from target_hubspot_calls.call import Call
from target_hubspot_calls.delivery import portals
from target_hubspot_calls.delivery.round import LATE_WRITE_S
from target_hubspot_calls.hubspot.pace import Pace
from target_hubspot_calls.hubspot.transport import BoundedTransport
from target_hubspot_calls.store.ledger import Ledger
from tests.target_hubspot_calls.delivery.conftest import Deliveries

CREATE_NOTES = "/crm/objects/2026-09/notes/batch/create"
CREATE_CONTACT = "/crm/objects/2026-09/contacts"
HELD_S = 250.0
UNKNOWN = "+12025550199"


@dataclass
class KilledAtSending:
    """Copies what is on the disk whenever a request to `path` leaves: what a kill there leaves."""

    runs: Deliveries
    folder: Path
    path: str
    copies: list[Deliveries] = field(default_factory=list)

    def copy(self) -> None:
        data_dir = self.folder / f"killed {len(self.copies)}"
        shutil.copytree(self.runs.settings.data_dir / "runs", data_dir / "runs")
        with (
            sqlite3.connect(self.runs.settings.data_dir / "store.db") as store,
            sqlite3.connect(data_dir / "store.db") as copied,
        ):
            store.backup(copied)
        settings = self.runs.settings.model_copy(update={"data_dir": data_dir})
        self.copies.append(Deliveries(settings, later_s=self.runs.later_s))


@pytest.fixture
def hold(monkeypatch: pytest.MonkeyPatch) -> Callable[[Deliveries, str], None]:
    """Makes the pace hold one request to a path back for minutes of the run's clock."""

    def begin(runs: Deliveries, path: str) -> None:
        async def sleep(_: float) -> None:
            runs.later_s += HELD_S
            await asyncio.sleep(0)

        class HoldingPace(Pace):
            def __init__(self, *limits: int) -> None:
                super().__init__(*limits, clock=lambda: runs.later_s, sleep=sleep)
                self.held = False

            def slot(self, request: httpx.Request) -> Any:
                if request.url.path == path and not self.held:
                    self.held = True
                    self.requests.close_for(HELD_S)
                return super().slot(request)

        monkeypatch.setattr(portals, "Pace", HoldingPace)

    return begin


@pytest.fixture
def killed_at_sending(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[[Deliveries, str], KilledAtSending]:
    def watch(runs: Deliveries, path: str) -> KilledAtSending:
        killed = KilledAtSending(runs, tmp_path, path)
        send = BoundedTransport.handle_async_request

        async def copy_and_send(
            transport: BoundedTransport, request: httpx.Request
        ) -> httpx.Response:
            if request.url.path == path and not killed.copies:
                await asyncio.to_thread(killed.copy)
            return await send(transport, request)

        monkeypatch.setattr(BoundedTransport, "handle_async_request", copy_and_send)
        return killed

    return watch


@pytest.mark.parametrize("unique", [True, False], ids=["unique property", "visible id"])
def test_a_create_held_back_for_minutes_is_waited_for_from_its_sending(
    deliver: Callable[..., Deliveries],
    portal: Simulator,
    a_call: Callable[..., Call],
    hold: Callable[[Deliveries, str], None],
    killed_at_sending: Callable[[Deliveries, str], KilledAtSending],
    unique: bool,
) -> None:
    portal.settings.unique_properties_on_activities = unique
    runs = deliver()
    killed = killed_at_sending(runs, CREATE_NOTES)
    hold(runs, CREATE_NOTES)
    portal.add_fault("reset_before", path=CREATE_NOTES)
    runs(a_call(id="c1"))
    (after_kill,) = killed.copies

    after_kill.later_s += LATE_WRITE_S - 20
    soon = after_kill()
    after_kill.later_s += LATE_WRITE_S
    later = after_kill()

    assert after_kill.later_s > HELD_S + LATE_WRITE_S
    assert soon == ({"created": 1} if unique else {"answer_lost": 1})
    assert later == ({} if unique else {"created": 1})


def test_a_contact_held_back_for_minutes_is_waited_for_from_its_sending(
    deliver: Callable[..., Deliveries],
    portal: Simulator,
    a_call: Callable[..., Call],
    hold: Callable[[Deliveries, str], None],
    killed_at_sending: Callable[[Deliveries, str], KilledAtSending],
) -> None:
    runs = deliver(missing_contact="create")
    killed = killed_at_sending(runs, CREATE_CONTACT)
    hold(runs, CREATE_CONTACT)
    portal.add_fault("reset_before", method="POST", path=CREATE_CONTACT)
    runs(a_call(id="c1", customer_number=UNKNOWN))
    (after_kill,) = killed.copies

    after_kill.later_s += 100
    soon = after_kill()
    after_kill.later_s += 400
    later = after_kill()

    assert soon == {"answer_lost": 1}
    assert later == {"created": 1}


def test_a_create_whose_calls_somebody_else_took_meanwhile_never_leaves(
    deliver: Callable[..., Deliveries],
    portal: Simulator,
    a_call: Callable[..., Call],
    hold: Callable[[Deliveries, str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    announced: list[set[str]] = []
    original = Ledger.announce

    def announce(self: Ledger, *args: Any, **options: Any) -> set[str]:
        held = original(self, *args, **options)
        announced.append(held)
        return held - {"taken"} if len(announced) > 1 else held

    monkeypatch.setattr(Ledger, "announce", announce)
    runs = deliver()
    hold(runs, CREATE_NOTES)

    counts = runs(a_call(id="taken"), a_call(id="ours"))

    assert announced[:2] == [{"taken", "ours"}, {"taken", "ours"}]
    assert counts["created"] == 1
    assert [n["properties"]["hs_note_body"].count("ours") for n in portal.notes()] == [1]


def test_a_create_that_leaves_at_once_is_announced_once(
    deliver: Callable[..., Deliveries],
    a_call: Callable[..., Call],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    announced: list[str] = []
    original = Ledger.announce

    def announce(self: Ledger, claims: Any, contacts: Any, intent: str, **options: Any) -> set[str]:
        announced.append(intent)
        return original(self, claims, contacts, intent, **options)

    monkeypatch.setattr(Ledger, "announce", announce)

    deliver()(a_call(id="c1"))

    assert len(announced) == 1
