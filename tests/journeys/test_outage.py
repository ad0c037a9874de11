"""HubSpot is down for long: VAPI hears nothing of it, and afterwards each call has one note."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from tests.journeys.outage import an_outage

IDLE_S = 3.0


@pytest.mark.long
@pytest.mark.timeout(180)
def test_hubspot_may_be_down_and_serve_killed_meanwhile(tmp_path: Path) -> None:
    with an_outage(tmp_path, per_second=20) as outage:
        serve, sender = outage.serve, outage.sender
        outage.send_for(1)
        outage.wait_until_drained(40)
        well = serve.used()

        outage.refuse_everything()
        outage.send_for(2)
        with outage.refusing_connections():
            killer = threading.Timer(0.5, lambda: (serve.kill(), serve.start()))
            killer.start()
            outage.send_for(3)
            killer.join()
            outage.wait_until_waiting(100)
            before = serve.used()
            time.sleep(IDLE_S)
            after = serve.used()
        outage.portal.clear_faults()
        outage.send_for(0.5)
        outage.wait_until_drained(90)

    assert set(outage.notes().values()) == {1}
    assert len(outage.notes()) == len(sender.answered_s) == 130
    # Nobody was there while it started again; nobody was ever told that HubSpot is down.
    assert set(sender.refusals) <= {"ConnectError", "ReadError", "RemoteProtocolError"}
    # It has tried a hundred calls in vain meanwhile; a loop without a wait takes a processor.
    assert after.cpu_s - before.cpu_s < IDLE_S / 2
    assert after.all_mb < well.all_mb + 60
