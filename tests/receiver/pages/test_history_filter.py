"""The filter of the history as addresses and forms spell it."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from receiver.pages.history_filter import read_asked
from receiver.pages.viewer import Viewer
from target_hubspot_calls.call import Workspace

DANA = Workspace("dana", "harbor-dental")
BERLIN = Viewer(
    "Europe/Berlin", ZoneInfo("Europe/Berlin"), datetime(2026, 11, 22, 23, 30, tzinfo=UTC)
)


def test_days_are_the_viewers_and_the_last_one_is_included():
    asked = read_asked({"from": "2026-03-28", "to": "2026-03-29"})

    wanted = asked.filter(DANA, BERLIN)

    assert wanted.since == datetime(2026, 3, 27, 23, tzinfo=UTC)
    # The clocks went forward that day.
    assert wanted.until == datetime(2026, 3, 29, 22, tzinfo=UTC)


def test_every_field_narrows_the_workspaces_own_rows():
    given = {
        "status": "skipped",
        "reason": "contact_not_found",
        "number": " 555-0142 ",
        "call_id": "call-1",
        "q": "harbour",
        "as_of": "a-row",
        "user_id": "grace",
    }

    wanted = read_asked(given).filter(DANA, BERLIN)

    assert (wanted.user_id, wanted.workspace_id) == ("dana", "harbor-dental")
    assert (wanted.status, wanted.reason) == ("skipped", "contact_not_found")
    assert (wanted.phone_number, wanted.call_id, wanted.query) == ("555-0142", "call-1", "harbour")
    assert (wanted.since, wanted.until) == (None, None)


@pytest.mark.parametrize(
    ("given", "at_fault"),
    [
        ({"status": "odd"}, "status"),
        ({"status": "<script>"}, "status"),
        ({"reason": "because"}, "reason"),
        ({"from": "soon"}, "from"),
        ({"from": "2026-02-30"}, "from"),
        ({"to": "20261122"}, "to"),
        ({"to": "0001-01-01"}, "to"),
        ({"to": "9999-12-31"}, "to"),
        ({"from": "2026-W10-1"}, "from"),
        ({"from": "٢٠٢٦-01-01"}, "from"),
        ({"q": "x" * 201}, "q"),
        ({"call_id": "x" * 201}, "call_id"),
        ({"number": "5" * 201}, "number"),
    ],
)
def test_what_cannot_be_used_is_said_shown_again_and_left_out(given, at_fault):
    asked = read_asked({**given, "call_id": given.get("call_id", "call-1")})

    assert asked.faults.keys() == {at_fault}
    assert at_fault not in asked.fields
    assert asked.written[at_fault] == given[at_fault][:200]
    assert at_fault == "call_id" or asked.fields["call_id"] == "call-1"
    assert asked.filter(DANA, BERLIN).status is None


def test_days_in_the_wrong_order_are_both_left_out():
    asked = read_asked({"from": "2026-03-02", "to": "2026-03-01", "q": "harbour"})

    assert asked.faults.keys() == {"to"}
    assert asked.fields == {"q": "harbour"}


def test_each_part_that_is_set_can_be_taken_away_alone():
    asked = read_asked({"status": "error", "from": "2026-03-01", "q": "a & b", "number": ""})

    choices = {choice.label: (choice.value, choice.without) for choice in asked.choices()}

    assert choices == {
        "Search": ("a & b", "/history?status=error&from=2026-03-01"),
        "Result": ("Failed", "/history?q=a+%26+b&from=2026-03-01"),
        "From": ("1 Mar 2026", "/history?q=a+%26+b&status=error"),
    }


def test_quick_ranges_keep_the_rest_of_the_filter_and_go_on_past_midnight():
    asked = read_asked({"status": "error", "from": "2026-11-17"})

    ranges = asked.quick_ranges(BERLIN.today)

    assert BERLIN.today == date(2026, 11, 23)
    assert [(one.label, one.address, one.is_chosen) for one in ranges] == [
        ("Today", "/history?status=error&from=2026-11-23", False),
        ("7 days", "/history?status=error&from=2026-11-17", True),
        ("30 days", "/history?status=error&from=2026-10-25", False),
        ("All time", "/history?status=error", False),
    ]
