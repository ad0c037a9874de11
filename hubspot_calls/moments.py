"""Points in time as people write and read them: in this machine's own time zone.

Pure but for the clock and the zone, which are passed in where it matters; knows no terminal.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, tzinfo

import click

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_FORMS = "write 12h, 7d, today, yesterday, 2026-11-22 or 2026-11-22T09:30"
_DAYS = {"today": 0, "yesterday": 1}


class Moment(click.ParamType[datetime]):
    """How long ago (30m, 12h, 7d), a day, or a day and time; of this machine's zone unless it says.

    A day is its first moment.
    """

    name = "time"

    def convert(
        self, value: str | datetime, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """The moment as an aware datetime in UTC; fails with what the forms are."""
        if isinstance(value, datetime):
            return value
        try:
            return parse_moment(value, datetime.now().astimezone())
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is no time; {_FORMS}", param, ctx)


def parse_moment(text: str, now: datetime) -> datetime:
    """The moment in UTC. Raises ValueError, OverflowError."""
    text = text.strip()
    if text[-1:] in _UNITS_S and text[:-1].isdecimal():
        moment = now - timedelta(seconds=int(text[:-1]) * _UNITS_S[text[-1]])
    elif text in _DAYS:
        day = now.date() - timedelta(days=_DAYS[text])
        moment = datetime.fromisoformat(day.isoformat())
    elif text == "now":
        moment = now
    else:
        moment = datetime.fromisoformat(text)
    # Without a zone it is local; astimezone knows which offset held on that day.
    return moment.astimezone(UTC)


def shown_moments(
    moments: Sequence[datetime | None], *, now: datetime, zone: tzinfo | None = None
) -> list[str]:
    """Each as people read it in a list: the day only where it is another than that above.

    The year only where it is not this one; a dash for none.
    """
    shown, above = [], None
    for moment in moments:
        if moment is None:
            shown.append("-")
            continue
        local = moment.astimezone(zone)
        day = _day(local, now.astimezone(zone))
        shown.append(f"{'' if day == above else f'{day} '}{local:%H:%M:%S}")
        above = day
    return shown


def shown_moment(moment: datetime, *, now: datetime, zone: tzinfo | None = None) -> str:
    """One moment with its day: 22 Nov 09:30:12."""
    return shown_moments([moment], now=now, zone=zone)[0]


def zone_name(now: datetime, zone: tzinfo | None = None) -> str:
    """How the zone is called in a table's title: UTC, CET, or its offset where it has no name."""
    local = now.astimezone(zone)
    name = local.tzname() or ""
    offset = f"{local:%z}"
    return name if name.isalpha() else f"UTC{offset[:3]}:{offset[3:5]}"


def _day(local: datetime, now: datetime) -> str:
    return f"{local.day} {local:%b}" if local.year == now.year else f"{local:%Y-%m-%d}"
