"""Calls per day, measured out as bars."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from receiver.pages.chart import MOST_DAYS, PLOT_HEIGHT, DayRange, days_to_show, draw

TODAY = date(2026, 11, 22)


def day(ago):
    return TODAY - timedelta(days=ago)


def drawn(calls, days=3):
    return draw(DayRange(day(days - 1), TODAY), calls, lambda at: f"/history?from={at}&to={at}")


@pytest.mark.parametrize(
    ("first", "last", "shown"),
    [
        (None, None, (29, 0, False)),
        (day(6), None, (6, 0, False)),
        (TODAY, None, (0, 0, False)),
        (None, day(10), (39, 10, False)),
        (day(91), None, (91, 0, False)),
        (day(92), None, (91, 0, True)),
        (date(1999, 1, 1), day(7), (98, 7, True)),
        (day(3), day(-30), (3, 0, False)),
        (day(3), day(3), (3, 3, False)),
    ],
)
def test_the_range_is_the_filters_and_bounded(first, last, shown):
    begin, end, is_cut = shown

    found = days_to_show(first, last, TODAY)

    assert found == DayRange(day(begin), day(end), is_cut)
    assert len(found.days()) <= MOST_DAYS


def test_days_to_come_have_no_chart():
    assert days_to_show(day(-1), None, TODAY) is None


def test_days_without_calls_are_there_and_empty():
    chart = drawn({(day(2), "success"): 4, (TODAY, "error"): 1})

    assert [bar.day for bar in chart.bars] == [day(2), day(1), TODAY]
    assert [bar.total for bar in chart.bars] == [4, 0, 1]
    assert chart.bars[1].pieces == []
    assert chart.totals == {"success": 4, "skipped": 0, "error": 1}
    assert chart.total == 5


def test_pieces_stand_on_each_other_in_one_order():
    chart = drawn({(TODAY, "error"): 1, (TODAY, "success"): 2, (TODAY, "skipped"): 1})

    pieces = chart.bars[-1].pieces

    assert [piece.status for piece in pieces] == ["success", "skipped", "error"]
    assert pieces[0].y + pieces[0].height == PLOT_HEIGHT
    assert pieces[1].y + pieces[1].height == pieces[0].y
    assert sum(piece.height for piece in pieces) == PLOT_HEIGHT


def test_one_call_among_many_can_still_be_seen():
    chart = drawn({(TODAY, "success"): 9_000, (day(1), "error"): 1})

    assert chart.bars[1].pieces[0].height >= 2


@pytest.mark.parametrize(
    ("most", "numbers"),
    [
        (0, [0, 1]),
        (1, [0, 1]),
        (4, [0, 1, 2, 3, 4]),
        (5, [0, 2, 4, 6]),
        (38, [0, 10, 20, 30, 40]),
        (41, [0, 20, 40, 60]),
        (1_204, [0, 500, 1_000, 1_500]),
        (987_654, [0, 500_000, 1_000_000]),
    ],
)
def test_lines_are_few_and_at_round_numbers(most, numbers):
    chart = drawn({(TODAY, "success"): most})

    assert [line.number for line in chart.lines] == numbers
    assert chart.lines[0].y == PLOT_HEIGHT
    assert chart.lines[-1].y == 0


@pytest.mark.parametrize("days", [1, 2, 7, 8, 30, MOST_DAYS])
def test_bars_stay_in_their_places_however_many_there_are(days):
    chart = drawn({}, days)

    assert len(chart.bars) == days
    for bar in chart.bars:
        assert bar.slot_x <= bar.x
        assert bar.x + bar.width <= bar.slot_x + bar.slot_width + 0.01
    assert chart.bars[-1].slot_x + chart.bars[-1].slot_width == pytest.approx(100, abs=0.1)
    assert 1 <= len(chart.dates) <= 7
    assert all(0 <= mark.x <= 100 for mark in chart.dates)


def test_a_bar_says_its_numbers_and_leads_to_its_day():
    chart = drawn({(day(2), "success"): 1_200, (day(2), "error"): 1})

    assert chart.bars[0].title == "Fri 20 Nov: 1,201 calls. In HubSpot 1,200, Failed 1"
    assert chart.bars[0].address == "/history?from=2026-11-20&to=2026-11-20"
    assert chart.bars[1].title == "Sat 21 Nov: 0 calls"
