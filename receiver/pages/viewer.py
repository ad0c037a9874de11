"""The viewer's clock: times and days as they are where the browser is.

Pure but for reading one cookie; without it, or with a zone nobody knows, all is in UTC.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from starlette.requests import Request

ZONE_COOKIE = "hubspot_calls_zone"
_ZONE = re.compile(r"[A-Za-z0-9_+-]+(?:/[A-Za-z0-9_+-]+){0,2}")
_LONGEST = 64


@dataclass(frozen=True)
class Moment:
    """A point in time as a page shows it; `exact` is ISO 8601 in UTC."""

    text: str
    exact: str


@dataclass(frozen=True)
class Viewer:
    """Where the browser is, as far as it said, and when it asks."""

    zone_name: str
    zone: tzinfo
    now: datetime

    @property
    def today(self) -> date:
        """The day it is for the viewer."""
        return self.now.astimezone(self.zone).date()

    def moment(self, at: datetime) -> Moment:
        """The time in the viewer's zone; only as much of the date as is needed."""
        local = at.astimezone(self.zone)
        clock = f"{local:%H:%M}"
        days_ago = (self.today - local.date()).days
        if days_ago == 0:
            text = f"Today {clock}"
        elif days_ago == 1:
            text = f"Yesterday {clock}"
        elif local.year == self.today.year:
            text = f"{local.day} {local:%b} {clock}"
        else:
            text = f"{local.day} {local:%b %Y} {clock}"
        return Moment(text, f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC")

    def seconds(self, at: datetime) -> Moment:
        """The same to the second, for what happens in quick succession."""
        moment = self.moment(at)
        return Moment(f"{moment.text}:{at.astimezone(self.zone):%S}", moment.exact)

    def start_of(self, day: date) -> datetime:
        """When the day begins for the viewer, in UTC."""
        return datetime.combine(day, time(), self.zone).astimezone(UTC)


def viewer_of(request: Request, now: datetime) -> Viewer:
    """The viewer, by the zone that the page's script noted in a cookie."""
    name = request.cookies.get(ZONE_COOKIE, "").replace("%2F", "/")
    zone = _zone(name) if len(name) <= _LONGEST and _ZONE.fullmatch(name) else None
    return Viewer(name, zone, now) if zone is not None else Viewer("UTC", UTC, now)


@lru_cache(maxsize=1024)
def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None
