"""Holds what became of the demo's calls against what must become of them.

Pure: given outcomes, contacts and notes as plain rows, it says what differs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hubspot_calls.demo.samples import Expected, Report
from target_hubspot_calls.engagement import call_id_of_body
from target_hubspot_calls.errors import Status

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Seen:
    """What the sync log and the portal show after a round."""

    outcomes: Mapping[str, Row]
    emails: Mapping[str, str]
    notes: Mapping[str, Sequence[str]]

    @classmethod
    def of(cls, outcomes: Iterable[Row], contacts: Iterable[Row], notes: Iterable[Row]) -> Seen:
        """The same, found by call id and contact id; a note counts for the call id it shows."""
        noted: dict[str, list[str]] = {}
        for note in notes:
            call_id = call_id_of_body(note["properties"].get("hs_note_body"))
            if call_id is not None:
                noted.setdefault(call_id, []).extend(note["associations"].get("contacts", [""]))
        return cls(
            outcomes={str(row["call_id"]): row for row in outcomes},
            emails={str(c["id"]): str(c["properties"].get("email")) for c in contacts},
            notes=noted,
        )


def find_differences(reports: Iterable[Report], seen: Seen) -> list[str]:
    """One sentence for each report whose call did not become what it must, naming the report."""
    found = []
    for report in reports:
        if report.expected is not None:
            faults = _faults(report.call_id, report.expected, seen)
            found += [f"{report.name}: {fault}" for fault in faults]
    return found


def find_strays(reports: Iterable[Report], seen: Seen) -> list[str]:
    """One sentence for each call that has an outcome or a note and was never reported."""
    reported = {report.call_id for report in reports if report.expected is not None}
    return [
        f"call {call_id} has an outcome or a note and was never posted"
        for call_id in sorted((set(seen.outcomes) | set(seen.notes)) - reported)
    ]


def count_outcomes(rows: Iterable[Row]) -> list[tuple[str, str, int]]:
    """Status, reason and number of calls, the most first."""
    counts = Counter((str(row["status"]), str(row["reason"])) for row in rows)
    return [(status, reason, n) for (status, reason), n in counts.most_common()]


def _faults(call_id: str, expected: Expected, seen: Seen) -> list[str]:
    row = seen.outcomes.get(call_id)
    if row is None:
        return ["has no outcome"]
    faults = []
    wanted = f"{expected.status} {expected.reason}"
    got = f"{row['status']} {row['reason']}"
    if got != wanted:
        message = f" ({row['error_message']})" if row["error_message"] else ""
        faults.append(f"is {got}{message}, must be {wanted}")
    contact = seen.emails.get(str(row["contact_id"])) if row["contact_id"] else None
    if contact != expected.contact:
        faults.append(f"went to contact {contact}, must go to {expected.contact}")
    return faults + _note_faults(call_id, expected, seen)


def _note_faults(call_id: str, expected: Expected, seen: Seen) -> list[str]:
    contacts = [seen.emails.get(contact_id) for contact_id in seen.notes.get(call_id, ())]
    wanted = [expected.contact] if expected.status == Status.SUCCESS else []
    if contacts == wanted:
        return []
    if len(contacts) != len(wanted):
        return [f"has {len(contacts)} notes in the portal, must have {len(wanted)}"]
    return [f"has its note on {contacts[0]}, must have it on {wanted[0]}"]
