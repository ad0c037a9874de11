"""Operations on the portal itself: its details, its use of the daily limit, its owners.

Read only.
"""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime, timedelta

from .answers import Answer, json_answer
from .requests import Request
from .times import iso


def details(request: Request) -> Answer:
    """200 with portal id, time zone and the like."""
    portal = request.portal
    now = datetime.fromtimestamp(portal.now(), zoneinfo.ZoneInfo(portal.time_zone))
    offset = now.utcoffset() or timedelta()
    sign = "-" if offset < timedelta() else "+"
    hours, minutes = divmod(abs(int(offset.total_seconds())) // 60, 60)
    return json_answer(
        200,
        {
            "portalId": portal.id,
            "accountType": "STANDARD",
            "timeZone": portal.time_zone,
            "companyCurrency": "USD",
            "additionalCurrencies": [],
            "utcOffset": f"{sign}{hours:02d}:{minutes:02d}",
            "utcOffsetMilliseconds": int(offset.total_seconds() * 1000),
            "uiDomain": "app.hubspot.com",
            "dataHostingLocation": "na1",
        },
    )


def daily_usage(request: Request) -> Answer:
    """200 with how much of today's limit the service keys have used."""
    portal, state = request.portal, request.state
    midnight = datetime.fromtimestamp(portal.now(), UTC).replace(
        hour=0, minute=0, second=0, microsecond=0
    )
    return json_answer(
        200,
        {
            "results": [
                {
                    "name": "private-apps-api-calls-daily",
                    "usageLimit": state.settings.requests_per_day,
                    "currentUsage": state.rates.used_today(portal.id, today(portal.now())),
                    "resetsAt": iso((midnight + timedelta(days=1)).timestamp()),
                    "collectedAt": iso(portal.now()),
                    "fetchStatus": "SUCCESS",
                }
            ]
        },
    )


def owners(request: Request) -> Answer:
    """200 with the portal's one owner, unless another e-mail address was asked for."""
    owner = {
        "id": "501",
        "email": "owner@example.com",
        "firstName": "Olive",
        "lastName": "Owner",
        "userId": 4_711,
        "type": "PERSON",
        "archived": False,
        "createdAt": "2026-01-01T00:00:00Z",
        "updatedAt": "2026-01-01T00:00:00Z",
    }
    wanted = request.first("email")
    return json_answer(200, {"results": [owner] if wanted in (None, owner["email"]) else []})


def today(now: float) -> str:
    """The day a moment belongs to, as daily limits count it."""
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d")
