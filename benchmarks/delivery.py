"""Calls to notes, the plain way against ours, HubSpot's documented limits on, in one run.

The plain way is one search, one create and (with recordings) one upload and one update per call,
one after the other, waiting where HubSpot says so: what the nearest public systems do. It is run
with few calls and its seconds a call are what ours are compared with; its figures for as many calls
as ours are projected from that, and marked so.

Seconds are from the first request to the last answer as the simulator saw them: `notes` to the last
create, `all` to the last of all. `least` is what HubSpot's limits allow for the requests that were
made, `whole` the process with its start, `MB` its peak memory.
Run: python benchmarks/delivery.py [--plain N] [--ours N N ...] [--recordings N]
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from portal import KEY, Portal, a_call, number, portal, script, singer_lines, target_config, timed

SEARCHES_PER_S, REQUESTS_PER_10_S = 5, 100
SEARCH = "POST /crm/objects/contacts/search"
CREATES = ("POST /crm/objects/notes", "POST /crm/objects/notes/batch/create")
HEAD = (
    f"{'way':34}{'calls':>7}{'requests':>10}{'notes':>9}{'all':>9}{'least':>9}{'ratio':>7}"
    f"{'whole':>9}{'MB':>6}{'429s':>6}"
)


@dataclass
class Measured:
    """One way with so many calls."""

    name: str
    calls: int
    requests: int
    notes_s: float
    all_s: float
    least_s: float
    whole_s: float = 0.0
    peak_mb: float = 0.0
    refused: int = 0

    def line(self) -> str:
        """One row of the table."""
        return (
            f"{self.name:34}{self.calls:7}{self.requests:10}{self.notes_s:9.1f}{self.all_s:9.1f}"
            f"{self.least_s:9.1f}{self.all_s / max(self.least_s, 0.1):7.2f}"
            f"{self.whole_s:9.1f}{self.peak_mb:6.0f}{self.refused:6}"
        )

    def projected(self, calls: int) -> Measured:
        """The same way with more calls, had they gone on at this pace."""
        times = calls / self.calls
        each = self.requests // self.calls
        return Measured(
            f"{self.name}, projected",
            calls,
            each * calls,
            self.notes_s * times,
            self.all_s * times,
            _least_s(calls, (each - 1) * calls),
        )


def main() -> None:
    """Prints the tables: without recordings, then with them."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--plain", type=int, default=200)
    options.add_argument("--ours", type=int, nargs="*", default=[1_000, 10_000])
    options.add_argument("--recordings", type=int, nargs="*", default=[300])
    chosen = options.parse_args()
    if chosen.ours:
        compare(chosen.plain, chosen.ours, recordings=False)
    if chosen.recordings:
        compare(chosen.plain, chosen.recordings, recordings=True)


def compare(plain_calls: int, ours_calls: list[int], *, recordings: bool) -> None:
    """Prints one table."""
    print(f"{'with' if recordings else 'without'} recordings\n{HEAD}", flush=True)
    plain = plainly(plain_calls, recordings=recordings)
    print(plain.line(), flush=True)
    for calls in ours_calls:
        print(plain.projected(calls).line(), flush=True)
        for searches in (4, 5):
            mine = ours(calls, recordings=recordings, searches_per_second=searches)
            faster = plain.projected(calls).all_s / mine.all_s
            print(f"{mine.line()}   {faster:.0f} times faster", flush=True)


def plainly(calls: int, *, recordings: bool) -> Measured:
    """One search and one create per call, and one upload and update, in sequence."""
    with (
        portal(calls, rate_limits=True) as hubspot,
        httpx.Client(
            base_url=hubspot.url, headers={"Authorization": f"Bearer {KEY}"}, trust_env=False
        ) as http,
    ):
        started = time.perf_counter()
        for i in range(calls):
            found = _ask(http, "contacts/search", _search(number(i)))
            note = _ask(http, "notes", _note(a_call(i), found["results"][0]["id"]))
            if recordings:
                _attach(http, a_call(i)["id"], note["id"])
        whole_s = time.perf_counter() - started
        assert hubspot.notes() == calls
        return _measured("plain", hubspot, calls, whole_s, 0.0)


def ours(calls: int, *, recordings: bool, searches_per_second: int) -> Measured:
    """The target, fed from a file of Singer records."""
    with portal(calls, rate_limits=True) as hubspot, tempfile.TemporaryDirectory() as folder:
        lines = Path(folder) / "calls.singer.jsonl"
        address = f"{hubspot.url}/_simulator/recordings" if recordings else None
        singer_lines(calls, lines, recordings=address)
        config = target_config(
            hubspot,
            folder,
            recording_hosts=["127.0.0.1"],
            searches_per_second=searches_per_second,
        )
        with lines.open() as stdin:
            taken = timed([script("target-hubspot-calls"), "--config", str(config)], stdin=stdin)
        assert hubspot.notes() == calls
        name = f"ours, {searches_per_second} searches a second"
        return _measured(name, hubspot, calls, taken.seconds, taken.peak_mb)


def _measured(name: str, hubspot: Portal, calls: int, whole_s: float, peak_mb: float) -> Measured:
    log = hubspot.get("requests")["requests"]
    counts = hubspot.get("counts")
    searches = counts["operations"][SEARCH]
    first = min(r["at"] for r in log)
    ends = [(r["at"] + r["duration_ms"] / 1000 - first, r["operation"]) for r in log]
    return Measured(
        name,
        calls,
        len(log),
        notes_s=max(end for end, operation in ends if operation in CREATES),
        all_s=max(end for end, _ in ends),
        least_s=_least_s(searches, sum(counts["operations"].values()) - searches),
        whole_s=whole_s,
        peak_mb=peak_mb,
        refused=counts["statuses"].get("429", 0),
    )


def _least_s(searches: int, others: int) -> float:
    """Seconds the limits allow at best: the first window is full at once."""
    return max(
        searches / SEARCHES_PER_S - 1, (math.ceil(others / REQUESTS_PER_10_S) - 1) * 10.0, 0.0
    )


def _attach(http: httpx.Client, call_id: str, note_id: str) -> None:
    options = '{"access": "PRIVATE"}'
    uploaded = _until_allowed(
        lambda: http.post(
            "/files/2026-09/files",
            data={"options": options, "folderPath": "/recordings"},
            files={"file": (f"{call_id}.wav", b"RIFF" + bytes(32_000), "audio/wav")},
        )
    )
    _until_allowed(
        lambda: http.patch(
            f"/crm/objects/2026-09/notes/{note_id}",
            json={"properties": {"hs_attachment_ids": uploaded["id"]}},
        )
    )


def _ask(http: httpx.Client, path: str, body: dict[str, Any]) -> Any:
    return _until_allowed(
        lambda: http.post(f"/crm/objects/2026-09/{path}", json=body),
        1.0 if path.endswith("search") else 10.0,
    )


def _until_allowed(ask: Callable[[], httpx.Response], wait_s: float = 10.0) -> Any:
    while (answer := ask()).status_code == 429:
        time.sleep(wait_s)
    answer.raise_for_status()
    return answer.json()


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
