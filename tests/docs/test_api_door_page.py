"""What docs/vapi.md shows of a run with VAPI's API key is what such a run says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from hubspot_simulator.simulator import Simulator
from tests.docs.terminal import Terminal, says
from tests.documents import DOCS, blocks_of, section_of
from tests.tap_vapi.stand_in import KEY, VapiStandIn, a_call

SECTION = section_of((DOCS / "vapi.md").read_text("utf-8"), "6. Give it VAPI's API key too")
OF_DANA = {"number": "+14155550123"}


def test_a_first_sync_with_the_key_says_what_the_page_shows(
    tmp_path: Path, portal: Simulator
) -> None:
    [shown] = [block.text for block in blocks_of(SECTION) if block.language == "text"]
    with VapiStandIn() as vapi:
        for number in range(3):
            vapi.put(a_call(number, datetime.now(UTC) - timedelta(days=2), customer=OF_DANA))
        variables = {
            "HUBSPOT_API_URL": portal.url,
            "HUBSPOT_SERVICE_KEY": portal.add_service_key(),
            "VAPI_API_KEY": KEY,
            "VAPI_API_URL": vapi.url,
        }
        with Terminal(tmp_path, variables) as terminal:
            # What is said on the way goes to stderr, and before the table.
            printed = terminal.run("hubspot-calls sync 2>&1 | cat")

    assert says(printed, shown), printed
