"""Calls to notes, the plain way against ours, HubSpot's documented limits on, in one run.

The plain way is one search, one create and one upload per call, one after the other, waiting where
HubSpot says so: what the nearest public systems do. Seconds are from the first request to the last
as the simulator saw them; beside them the whole process, start included, and its peak memory.
Run: python benchmarks/delivery.py [--plain N] [--ours N N ...] [--recordings N]
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from portal import KEY, Portal, a_call, number, portal, script, singer_lines, target_config, timed

SEARCHES_PER_S, REQUESTS_PER_10_S = 5, 100


@dataclass
class Measured:
    """One way with so many calls."""

    name: str
    calls: int
    requests: int
    seconds: float
    least_s: float
    whole_s: float
    peak_mb: float
    refused: int

    def line(self) -> str:
        """One row of the table."""
        return (
            f"{self.name:24}{self.calls:8}{self.requests:10}{self.seconds:10.1f}"
            f"{self.least_s:9.1f}{self.seconds / max(self.least_s, 0.1):8.2f}"
            f"{self.whole_s:9.1f}{self.peak_mb:8.0f}{self.refused:7}"
        )


def main() -> None:
    """Prints the table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--plain", type=int, default=200)
    options.add_argument("--ours", type=int, nargs="*", default=[1_000, 10_000])
    options.add_argument("--recordings", type=int, default=300)
    chosen = options.parse_args()
    print(
        f"{'way':24}{'calls':>8}{'requests':>10}{'seconds':>10}{'least':>9}{'ratio':>8}"
        f"{'whole':>9}{'MB':>8}{'429s':>7}"
    )
    plain = plainly(chosen.plain)
    print(plain.line(), flush=True)
    for calls in chosen.ours:
        mine = ours(calls)
        print(mine.line(), flush=True)
        faster = (plain.seconds / plain.calls) / (mine.seconds / mine.calls)
        print(f"{'':24}{faster:.0f} times faster per call than the plain way", flush=True)
    if chosen.recordings:
        print(ours(chosen.recordings, recordings=True).line(), flush=True)


def plainly(calls: int) -> Measured:
    """One search and one create per call, in sequence."""
    with (
        portal(calls, rate_limits=True) as hubspot,
        httpx.Client(
            base_url=hubspot.url, headers={"Authorization": f"Bearer {KEY}"}, trust_env=False
        ) as http,
    ):
        started = time.perf_counter()
        for i in range(calls):
            found = _ask(http, "contacts/search", _search(number(i)))
            _ask(http, "notes", _note(a_call(i), found["results"][0]["id"]))
        whole_s = time.perf_counter() - started
        assert hubspot.notes() == calls
        return _measured("plain", hubspot, calls, whole_s, 0.0, searches=calls, others=calls)


def ours(calls: int, *, recordings: bool = False) -> Measured:
    """The target, fed from a file of Singer records."""
    with portal(calls, rate_limits=True) as hubspot, tempfile.TemporaryDirectory() as folder:
        lines = Path(folder) / "calls.singer.jsonl"
        address = f"{hubspot.url}/_simulator/recordings" if recordings else None
        singer_lines(calls, lines, recordings=address)
        config = target_config(hubspot, folder, recording_hosts=["127.0.0.1"])
        with lines.open() as stdin:
            whole_s, peak_mb = timed(
                [script("target-hubspot-calls"), "--config", str(config)], stdin=stdin
            )
        assert hubspot.notes() == calls
        operations = hubspot.get("counts")["operations"]
        searches = operations["POST /crm/objects/contacts/search"]
        return _measured(
            "ours, with recordings" if recordings else "ours",
            hubspot,
            calls,
            whole_s,
            peak_mb,
            searches=searches,
            others=sum(operations.values()) - searches,
        )


def _measured(
    name: str,
    hubspot: Portal,
    calls: int,
    whole_s: float,
    peak_mb: float,
    *,
    searches: int,
    others: int,
) -> Measured:
    log = hubspot.get("requests")["requests"]
    seconds = max(r["at"] + r["duration_ms"] / 1000 for r in log) - min(r["at"] for r in log)
    least_s = max(searches / SEARCHES_PER_S - 1, (math.ceil(others / REQUESTS_PER_10_S) - 1) * 10)
    refused = hubspot.get("counts")["statuses"].get("429", 0)
    return Measured(name, calls, len(log), seconds, least_s, whole_s, peak_mb, refused)


def _ask(http: httpx.Client, path: str, body: dict[str, Any]) -> Any:
    while True:
        answer = http.post(f"/crm/objects/2026-09/{path}", json=body)
        if answer.status_code != 429:
            answer.raise_for_status()
            return answer.json()
        time.sleep(1.0 if path.endswith("search") else 10.0)


def _search(written: str) -> dict[str, Any]:
    return {
        "filterGroups": [
            {
                "filters": [
                    {
                        "propertyName": "hs_searchable_calculated_phone_number",
                        "operator": "EQ",
                        "value": written.removeprefix("+1"),
                    }
                ]
            }
        ],
        "properties": ["phone"],
        "limit": 10,
    }


def _note(call: dict[str, Any], contact_id: str) -> dict[str, Any]:
    association = {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 202}
    return {
        "properties": {"hs_timestamp": call["ended_at"], "hs_note_body": call["summary"]},
        "associations": [{"to": {"id": contact_id}, "types": [association]}],
    }


if __name__ == "__main__":
    main()
