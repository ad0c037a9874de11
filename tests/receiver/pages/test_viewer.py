from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from starlette.requests import Request

from receiver.pages.viewer import Moment, Viewer, viewer_of

NOW = datetime(2026, 11, 22, 23, 30, tzinfo=UTC)


def viewer(zone: str | None) -> Viewer:
    cookie = [] if zone is None else [(b"cookie", f"hubspot_calls_zone={zone}".encode())]
    return viewer_of(Request({"type": "http", "headers": cookie}), NOW)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Europe%2FBerlin"])
def test_times_and_days_are_those_of_the_browser(zone: str) -> None:
    berlin = viewer(zone)

    assert berlin.zone_name == "Europe/Berlin"
    assert berlin.today == date(2026, 11, 23)
    assert berlin.start_of(date(2026, 11, 23)) == datetime(2026, 11, 22, 23, tzinfo=UTC)
    assert berlin.moment(NOW) == Moment("Today 00:30", "2026-11-22 23:30:00 UTC")


def test_a_day_that_the_clock_was_changed_on_begins_at_its_midnight() -> None:
    berlin = viewer("Europe/Berlin")

    began = [berlin.start_of(date(2026, 10, day)) for day in (25, 26)]

    assert began[1] - began[0] == timedelta(hours=25)


@pytest.mark.parametrize(
    "zone",
    [
        None,
        "",
        "Nowhere/Land",
        "../../etc/passwd",
        "/etc/passwd",
        "Europe/Berlin/",
        "Europe/../Europe/Berlin",
        "a" * 65,
        "Europe\x00Berlin",
        "Europe",
        "tzdata.zi",
    ],
)
def test_without_a_zone_anybody_knows_all_is_in_utc(zone: str | None) -> None:
    nowhere = viewer(zone)

    assert (nowhere.zone_name, nowhere.zone) == ("UTC", UTC)


@pytest.mark.parametrize(
    ("ago", "text"),
    [
        (timedelta(), "Today 23:30"),
        (timedelta(hours=23), "Today 00:30"),
        (timedelta(hours=24), "Yesterday 23:30"),
        (timedelta(days=2), "20 Nov 23:30"),
        (timedelta(days=366), "21 Nov 2025 23:30"),
        (timedelta(hours=-1), "23 Nov 00:30"),
    ],
    ids=str,
)
def test_only_as_much_of_the_date_is_shown_as_is_needed(ago: timedelta, text: str) -> None:
    assert viewer(None).moment(NOW - ago).text == text


def test_quick_succession_is_told_apart_by_seconds() -> None:
    at = NOW.replace(second=7)

    assert viewer(None).seconds(at) == Moment("Today 23:30:07", "2026-11-22 23:30:07 UTC")
