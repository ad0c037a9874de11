"""Backup, restore and new keys as docs/running.md shows them: no call is lost or written twice."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from hubspot_simulator.simulator import Simulator
from target_hubspot_calls.engagement import call_id_of_body
from tests.docs.terminal import Terminal
from tests.documents import DOCS, ROOT, section_of, steps_of

PAGE = (DOCS / "running.md").read_text("utf-8")
REPORT = json.loads(
    (ROOT / "sample_data/reports/01-inbound-with-recording.json").read_text("utf-8")
)
KEY_FILE = Path("hubspot-calls-data/secret.key")


@pytest.fixture
def terminal(tmp_path: Path, portal: Simulator) -> Iterator[Terminal]:
    """One with a connected portal."""
    (tmp_path / "key.txt").write_text(portal.add_service_key())
    with Terminal(tmp_path, {"HUBSPOT_API_URL": portal.url}) as terminal:
        terminal.run("hubspot-calls connections add --service-key-stdin < key.txt")
        yield terminal


@pytest.fixture
def webhook(terminal: Terminal) -> Mapping[str, str]:
    """What VAPI was given."""
    made: dict[str, str] = json.loads(terminal.run("hubspot-calls webhooks create --json"))
    return made


def follow(terminal: Terminal, heading: str) -> None:
    for step in steps_of(section_of(PAGE, heading)):
        terminal.follow(step)


def post(webhook: Mapping[str, str], call_id: str) -> None:
    """Reports a call of Dana Ruiz, whose recording is not to be fetched here."""
    report: dict[str, Any] = json.loads(json.dumps(REPORT))
    report["message"]["call"]["id"] = call_id
    for place in (report["message"], report["message"]["artifact"]):
        for name in [name for name in place if "ecording" in name or "presigned" in name]:
            del place[name]
    headers = {"X-Vapi-Secret": webhook["secret"]}
    answer = httpx.post(webhook["url"], json=report, headers=headers, timeout=30)
    assert (answer.status_code, answer.json()) == (200, {})


def noted(portal: Simulator) -> Counter[str | None]:
    """How many notes there are of each call."""
    bodies = [note["properties"].get("hs_note_body") for note in portal.notes()]
    return Counter(call_id_of_body(body) for body in bodies)


def wait_until(holds: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + 90
    while not holds():
        assert time.monotonic() < give_up_at
        time.sleep(0.05)


@pytest.mark.timeout(240)
def test_after_a_restore_every_call_has_one_note(
    terminal: Terminal, webhook: Mapping[str, str], portal: Simulator
) -> None:
    terminal.run("hubspot-calls serve --no-sync")
    post(webhook, "stored-before")

    follow(terminal, "Backup")
    post(webhook, "delivered-after")
    terminal.run("hubspot-calls sync")
    assert noted(portal) == {"stored-before": 1, "delivered-after": 1}
    post(webhook, "answered-and-not-delivered")
    terminal.stop(hard=True)
    follow(terminal, "Restore")
    terminal.run("hubspot-calls serve")
    post(webhook, "of-today")

    wait_until(lambda: len(noted(portal)) == 4 and len(standing(terminal)) == 4)
    assert set(standing(terminal).values()) == {"success"}
    assert noted(portal) == dict.fromkeys(standing(terminal), 1)


def standing(terminal: Terminal) -> dict[str, str]:
    """The status of each call by what the history says last of it."""
    rows = json.loads(terminal.run("hubspot-calls history --json"))["logs"]
    return {row["call_id"]: row["status"] for row in reversed(rows)}


@pytest.mark.timeout(240)
def test_after_the_keys_were_changed_only_the_new_ones_open(
    terminal: Terminal, webhook: Mapping[str, str], portal: Simulator
) -> None:
    old_key = (terminal.directory / KEY_FILE).read_text().strip()
    terminal.run("hubspot-calls keys create")
    terminal.run("hubspot-calls webhooks create")

    follow(terminal, "New keys and secrets")

    assert not (terminal.directory / KEY_FILE).exists()
    assert old_key not in (terminal.directory / ".env").read_text()
    post(webhook, "call-1")
    wait_until(lambda: noted(portal) == {"call-1": 1})
