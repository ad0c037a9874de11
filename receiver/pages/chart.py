"""Calls per day as bars: where each is drawn, what it says, and where it leads.

Pure: days and counts in, measures out; knows no database, no request and no colours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import count

from receiver.pages.words import to_plural, words_of_status
from target_hubspot_calls.errors import Status

MOST_DAYS = 92
USUAL_DAYS = 30
PLOT_HEIGHT = 120
"""Pixels from the axis to the topmost line; across, all measures are hundredths of the width."""

STACK = (Status.SUCCESS.value, Status.SKIPPED.value, Status.ERROR.value)
"""The statuses in the order that pages name and stack them in, from the axis upwards."""

_LEAST_HEIGHT = 2.0
_WIDEST_BAR = 10.0
_BAR_OF_SLOT = 0.74
_MOST_LINES = 4
_MOST_DATES = 5
_ALL_DATES_UP_TO = 7


@dataclass(frozen=True)
class DayRange:
    """The days that a chart shows; `is_cut` says that more were asked for."""

    first: date
    last: date
    is_cut: bool = False

    def days(self) -> list[date]:
        """Each day."""
        return [self.first + timedelta(days=n) for n in range((self.last - self.first).days + 1)]


@dataclass(frozen=True)
class Piece:
    """What one status takes of a bar."""

    status: str
    y: float
    height: float


@dataclass(frozen=True)
class Bar:
    """One day; `slot` is all of its place, `x` and `width` are the bar's."""

    day: date
    address: str
    title: str
    counts: Mapping[str, int]
    total: int
    slot_x: float
    slot_width: float
    x: float
    width: float
    pieces: Sequence[Piece]


@dataclass(frozen=True)
class Line:
    """A line across at a round number."""

    y: float
    number: int


@dataclass(frozen=True)
class DateMark:
    """A day under the axis; `anchor` is SVG's word for which end of it `x` is."""

    x: float
    text: str
    anchor: str


@dataclass(frozen=True)
class Chart:
    """All that is drawn; `totals` are by status."""

    range: DayRange
    height: int
    bars: Sequence[Bar]
    lines: Sequence[Line]
    dates: Sequence[DateMark]
    totals: Mapping[str, int]
    total: int


def days_to_show(first: date | None, last: date | None, today: date) -> DayRange | None:
    """The days of a filter, the latest ones if they are too many; None if all are still to come."""
    end = min(last or today, today)
    begin = first or end - timedelta(days=USUAL_DAYS - 1)
    if begin > end:
        return None
    earliest = end - timedelta(days=MOST_DAYS - 1)
    return DayRange(max(begin, earliest), end, is_cut=begin < earliest)


def draw(
    shown: DayRange, calls: Mapping[tuple[date, str], int], address_of: Callable[[date], str]
) -> Chart:
    """The chart of so many calls by day and status; days that are not named had none."""
    days = shown.days()
    by_day = {day: {status: calls.get((day, status), 0) for status in STACK} for day in days}
    lines = _lines(max(sum(of_day.values()) for of_day in by_day.values()))
    slot = 100 / len(days)
    width = min(slot * _BAR_OF_SLOT, _WIDEST_BAR)
    bars = [
        Bar(
            day,
            address_of(day),
            _title(day, of_day),
            of_day,
            sum(of_day.values()),
            round(number * slot, 3),
            round(slot, 3),
            round(number * slot + (slot - width) / 2, 3),
            round(width, 3),
            _pieces(of_day, lines[-1].number),
        )
        for number, (day, of_day) in enumerate(by_day.items())
    ]
    totals = {status: sum(of_day[status] for of_day in by_day.values()) for status in STACK}
    return Chart(shown, PLOT_HEIGHT, bars, lines, _dates(days, slot), totals, sum(totals.values()))


def _pieces(calls: Mapping[str, int], top: int) -> list[Piece]:
    pieces, y = [], float(PLOT_HEIGHT)
    for status in STACK:
        if calls[status]:
            height = round(max(calls[status] / top * PLOT_HEIGHT, _LEAST_HEIGHT), 1)
            y = round(y - height, 1)
            pieces.append(Piece(status, y, height))
    return pieces


def _lines(most: int) -> list[Line]:
    """Few lines at round numbers, from none up to one that no bar passes."""
    steps = (size * 10**power for power in count() for size in (1, 2, 5))
    step = next(step for step in steps if most <= step * _MOST_LINES)
    numbers = range(0, max(-(-most // step), 1) * step + 1, step)
    return [Line(round(PLOT_HEIGHT * (1 - n / numbers[-1]), 1), n) for n in numbers]


def _dates(days: Sequence[date], slot: float) -> list[DateMark]:
    many = len(days) > _ALL_DATES_UP_TO
    chosen = list(range(len(days)))
    if many:
        chosen = [round(n * (len(days) - 1) / (_MOST_DATES - 1)) for n in range(_MOST_DATES)]
    marks = []
    for number in chosen:
        x, anchor = (number + 0.5) * slot, "middle"
        # The outer ones would stand out over the edges.
        if many and number == 0:
            x, anchor = 0.0, "start"
        elif many and number == len(days) - 1:
            x, anchor = 100.0, "end"
        marks.append(DateMark(round(x, 3), f"{days[number].day} {days[number]:%b}", anchor))
    return marks


def _title(day: date, calls: Mapping[str, int]) -> str:
    said = f"{day:%a} {day.day} {day:%b}: {to_plural(sum(calls.values()), 'call')}"
    parts = [
        f"{words_of_status(name).label} {number:,}" for name, number in calls.items() if number
    ]
    return f"{said}. {', '.join(parts)}" if parts else said
