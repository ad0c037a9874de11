"""Every command that a page shows works, in order, and prints what the page says."""

from __future__ import annotations

from pathlib import Path

import pytest

from hubspot_simulator.simulator import Simulator
from tests.docs.sample_sync_log import write_sync_log
from tests.docs.terminal import Terminal
from tests.documents import PAGES, steps_of

# What the commands of these leave behind is looked at too, in tests of their own.
TESTED_ELSEWHERE = {"running.md"}
WITH_COMMANDS = [
    page
    for page in PAGES
    if page.name not in TESTED_ELSEWHERE and steps_of(page.read_text("utf-8"))
]


def page_name(page: Path) -> str:
    return page.name


@pytest.mark.timeout(240)
@pytest.mark.parametrize("page", WITH_COMMANDS, ids=page_name)
def test_the_commands_of_a_page_work(page: Path, tmp_path: Path, portal: Simulator) -> None:
    steps = steps_of(page.read_text("utf-8"))
    starts_its_own = any("hubspot-calls simulator" in step.command for step in steps)
    (tmp_path / "key.txt").write_text(portal.add_service_key())
    if page.name == "sync-log.md":
        write_sync_log(tmp_path / "hubspot-calls-data" / "sync_log.duckdb")

    with Terminal(tmp_path, {} if starts_its_own else {"HUBSPOT_API_URL": portal.url}) as terminal:
        for step in steps:
            terminal.follow(step)


def test_pages_with_commands_are_found() -> None:
    assert len(WITH_COMMANDS) >= 5
