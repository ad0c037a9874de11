"""The filter of the history's pages, as it stands in their addresses.

Pure: texts and the viewer's days in, a filter and its faults out; knows no request, no database.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from types import MappingProxyType
from urllib.parse import urlencode

from receiver.pages.viewer import Viewer
from receiver.pages.words import words_of_reason, words_of_status
from receiver.parameters import LONGEST_TEXT
from receiver.sync_logs import REASONS, STATUSES
from target_hubspot_calls.call import Workspace
from target_hubspot_calls.sync_log.log import HistoryFilter

HISTORY = "/history"
FIELDS = ("q", "status", "reason", "from", "to", "number", "call_id")
_LABELS = {
    "q": "Search",
    "status": "Result",
    "reason": "Reason",
    "from": "From",
    "to": "To",
    "number": "Number",
    "call_id": "Call id",
}
_DAY = re.compile(r"(?:19|20)[0-9]{2}-[0-9]{2}-[0-9]{2}")
_QUICK_RANGES = (("Today", 1), ("7 days", 7), ("30 days", 30))
_ONE_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Choice:
    """One part of the filter in words, and where the page is without it."""

    label: str
    value: str
    without: str


@dataclass(frozen=True)
class QuickRange:
    """A range of days that one press chooses."""

    label: str
    address: str
    is_chosen: bool


@dataclass(frozen=True)
class AskedHistory:
    """What somebody wants to see: the fields that can be used, as written, and what is wrong.

    `written` is what the form shows again, wrong or not; `faults` are sentences by field.
    """

    fields: Mapping[str, str]
    written: Mapping[str, str]
    faults: Mapping[str, str]

    @property
    def first_day(self) -> date | None:
        """The first day wanted."""
        return _day(self.fields.get("from"))

    @property
    def last_day(self) -> date | None:
        """The last day wanted, which is included."""
        return _day(self.fields.get("to"))

    def address(
        self, path: str = HISTORY, changes: Mapping[str, str | None] = MappingProxyType({})
    ) -> str:
        """Where the same is, or with changes; what is None is left out."""
        said = {**self.fields, **changes}
        query = urlencode({name: value for name, value in said.items() if value is not None})
        return f"{path}?{query}" if query else path

    def of_days(self, first: date | None, last: date | None) -> str:
        """Where the same is for these days."""
        days = {"from": first, "to": last}
        said = {name: None if day is None else day.isoformat() for name, day in days.items()}
        return self.address(changes=said)

    def choices(self) -> list[Choice]:
        """The parts of the filter that are set."""
        return [
            Choice(
                _LABELS[name],
                _words(name, self.fields[name]),
                self.address(changes={name: None}),
            )
            for name in FIELDS
            if name in self.fields
        ]

    def quick_ranges(self, today: date) -> list[QuickRange]:
        """Ranges up to now, which go on when a day is over."""
        wanted = (self.fields.get("from"), self.fields.get("to"))
        ranges = []
        for label, days in _QUICK_RANGES:
            first = today - timedelta(days=days - 1)
            is_chosen = wanted == (first.isoformat(), None)
            ranges.append(QuickRange(label, self.of_days(first, None), is_chosen))
        ranges.append(QuickRange("All time", self.of_days(None, None), wanted == (None, None)))
        return ranges

    def filter(self, workspace: Workspace, viewer: Viewer) -> HistoryFilter:
        """The filter for the sync log, in the viewer's days."""
        first, last = self.first_day, self.last_day
        return HistoryFilter(
            user_id=workspace.user_id,
            workspace_id=workspace.workspace_id,
            status=self.fields.get("status"),
            reason=self.fields.get("reason"),
            call_id=self.fields.get("call_id"),
            since=None if first is None else viewer.start_of(first),
            until=None if last is None else viewer.start_of(last + _ONE_DAY),
            query=self.fields.get("q"),
            phone_number=self.fields.get("number"),
        )


def read_asked(given: Mapping[str, str]) -> AskedHistory:
    """What the address or the form asks for; a field that cannot be used is a fault."""
    written = {name: given[name].strip() for name in FIELDS if given.get(name, "").strip()}
    faults = {name: fault for name, text in written.items() if (fault := _fault(name, text))}
    fields = {name: text for name, text in written.items() if name not in faults}
    if "from" in fields and "to" in fields and fields["from"] > fields["to"]:
        faults["to"] = "To is before From; both are left out."
        fields = {name: text for name, text in fields.items() if name not in ("from", "to")}
    return AskedHistory(
        fields, {name: text[:LONGEST_TEXT] for name, text in written.items()}, faults
    )


def _fault(name: str, text: str) -> str | None:
    if len(text) > LONGEST_TEXT:
        return f"{_LABELS[name]} can have {LONGEST_TEXT} characters at most, and is left out."
    if name == "status" and text not in STATUSES:
        return "There is no such result; all are shown."
    if name == "reason" and text not in REASONS:
        return "There is no such reason; all are shown."
    if name in ("from", "to") and _day(text) is None:
        return f"{_LABELS[name]} is not a day such as 2026-11-22, and is left out."
    return None


def _day(text: str | None) -> date | None:
    if text is None or not _DAY.fullmatch(text):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _words(name: str, value: str) -> str:
    if name == "status":
        return words_of_status(value).label
    if name == "reason":
        return words_of_reason(value).label
    day = _day(value) if name in ("from", "to") else None
    return f"{day.day} {day:%b %Y}" if day is not None else value
