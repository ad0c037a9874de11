"""The sample reports, the contacts they concern, and the outcome each must reach.

Knows the files of `sample_data/` and how to make more calls like them; it must not know who
receives or delivers them.
"""

from __future__ import annotations

import itertools
import json
import re
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from target_hubspot_calls.errors import CallSyncError, Status

# In a wheel the samples lie inside the package, in a checkout beside it.
_PLACES = (
    Path(__file__).parents[1] / "sample_data",
    Path(__file__).parents[2] / "sample_data",
)
_RECORDINGS = "https://recordings.example.test/calls"
_EXPIRY = re.compile(rb'("presignedUrlsExpiresAt":\s*)"[^"]*"')
_TEMPLATE = "01-inbound-with-recording.json"


class SamplesMissing(CallSyncError):
    """The installation carries no sample data, or damaged ones."""


@dataclass(frozen=True)
class Expected:
    """What must become of a call; `contact` is the e-mail address of the contact it belongs to."""

    status: str
    reason: str
    contact: str | None


@dataclass(frozen=True)
class Report:
    """One body that VAPI would post, and what must come of it; `expected` is None if nothing."""

    name: str
    round: int
    call_id: str
    body: bytes
    expected: Expected | None

    @property
    def customer_number(self) -> str | None:
        """The other party's number, where today's shape has it."""
        customer = json.loads(self.body)["message"].get("call", {}).get("customer") or {}
        number = customer.get("number")
        return number if isinstance(number, str) else None


@dataclass(frozen=True)
class Samples:
    """All of `sample_data/`."""

    directory: Path
    contacts: tuple[dict[str, Any], ...]
    reports: tuple[Report, ...]

    def of_round(self, number: int) -> list[Report]:
        """The reports to post in this round, in order."""
        return [report for report in self.reports if report.round == number]


def load_samples() -> Samples:
    """The sample data of this installation. Raises SamplesMissing."""
    directory = next((place for place in _PLACES if (place / "contacts.json").is_file()), None)
    if directory is None:
        raise SamplesMissing(
            "this installation carries no sample_data; install target-hubspot-calls again"
        )
    try:
        contacts = json.loads((directory / "contacts.json").read_bytes())
        expected = json.loads((directory / "expected_outcomes.json").read_bytes())
        reports = tuple(_report(directory, entry) for entry in expected)
    except (OSError, ValueError, KeyError) as err:
        raise SamplesMissing(f"the sample data in {directory} cannot be read ({err})") from err
    return Samples(directory, tuple(contacts), reports)


def place_recordings(report: Report, address: str, *, now: datetime) -> Report:
    """The report as if VAPI sent it now: its recording lies at `address`, its links are alive."""
    body = report.body.replace(_RECORDINGS.encode(), address.encode())
    alive_until = (now + timedelta(minutes=30)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return replace(report, body=_EXPIRY.sub(rf'\g<1>"{alive_until}"'.encode(), body))


def generate_reports(samples: Samples, count: int) -> Iterator[Report]:
    """More calls of today's shape, to the numbers that the samples reach somebody by."""
    template = next(report for report in samples.reports if report.name == _TEMPLATE)
    reachable = _reachable(samples.reports)
    old_number = str(template.customer_number)
    text = template.body.decode()
    for number, expected in itertools.islice(itertools.cycle(reachable), count):
        call_id = str(uuid.uuid4())
        body = text.replace(template.call_id, call_id).replace(old_number, number)
        yield Report(f"generated {call_id}", 1, call_id, body.encode(), expected)


def _reachable(reports: Sequence[Report]) -> list[tuple[str, Expected]]:
    """Numbers that lead to a contact, each with the outcome of a new call to it."""
    return [
        (report.customer_number, report.expected)
        for report in reports
        if report.round == 1
        and report.customer_number is not None
        and report.expected is not None
        and report.expected.status == Status.SUCCESS
    ]


def _report(directory: Path, entry: dict[str, Any]) -> Report:
    expect = entry["expect"]
    return Report(
        name=entry["report"],
        round=entry["round"],
        call_id=entry["call_id"],
        body=(directory / "reports" / entry["report"]).read_bytes(),
        expected=Expected(**expect) if entry["stored"] else None,
    )
