"""A sync log with a few rows of every kind, whose times are told from a moment on.

Knows the columns; it must not know any question that is asked of them.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from target_hubspot_calls.sync_log.log import SyncLog


def noon_of_yesterday() -> datetime:
    """Yesterday at noon in UTC: rows some hours around it are of one day, and of this week."""
    yesterday = datetime.now(UTC) - timedelta(days=1)
    return yesterday.replace(hour=12, minute=0, second=0, microsecond=0)


def write_sync_log(path: Path, noon: datetime | None = None) -> None:
    """Writes ten calls around `noon`, of two workspaces and two portals."""
    SyncLog(path).append(_rows(noon or noon_of_yesterday()))


def _rows(noon: datetime) -> list[dict[str, Any]]:
    dana, omar, nobody = "+14155550123", "+14155550160", "+12025550199"
    found = {"contact_id": "101", "contact_match": "phone number, the only contact with it"}
    several = {"contact_id": "102", "contact_match": "phone number, oldest of 3 contacts with it"}
    return [
        # A call with a recording: its note, and then the file.
        _row(1, noon, 60, "c1", "success", "created", dana, **found, recording_status=None),
        _row(2, noon, 62, "c1", "success", "created", dana, **found, recording_status="attached"),
        # One whose recording could not be had, and one that HubSpot took at the third try.
        _row(3, noon, 80, "c2", "success", "created", dana, **found, recording_status="expired"),
        _row(4, noon, 90, "c3", "error", "unavailable", omar, **several, retryable=True),
        _row(5, noon, 120, "c3", "error", "rate_limited", omar, **several, retryable=True,
             attempt=2),
        _row(6, noon, 300, "c3", "success", "created", omar, **several, attempt=3),
        # Nobody's numbers: twice this week, and once long ago.
        _row(7, noon, 70, "c4", "skipped", "contact_not_found", nobody),
        _row(8, noon + timedelta(hours=3), 70, "c5", "skipped", "contact_not_found", nobody),
        _row(9, noon, 70, "c6", "skipped", "contact_not_found", "+12025550177"),
        _row(10, noon - timedelta(days=40), 70, "c7", "skipped", "contact_not_found",
             "+12025550188"),
        # What still waits, and what does not.
        _row(11, noon, 75, "c8", "error", "unavailable", dana, retryable=True),
        _row(12, noon, 75, "c9", "error", "rejected", "+14155550144"),
        # Another workspace, on the day before.
        _row(13, noon - timedelta(days=1), 65, "c10", "success", "created", "+442079460123",
             workspace_id="harbor", portal_id=48000002, contact_id="201"),
    ]  # fmt: skip


def _row(
    number: int,
    began: datetime,
    seconds: float,
    call_id: str,
    status: str,
    reason: str,
    phone_number: str,
    **fields: Any,
) -> dict[str, Any]:
    return {
        "id": f"row-{number:04}",
        "user_id": "ana",
        "workspace_id": "acme",
        "call_id": call_id,
        "engagement_type": "note",
        "engagement_id": f"note-{call_id}" if status == "success" else None,
        "status": status,
        "reason": reason,
        "retryable": False,
        "error_message": None if status == "success" else f"It was {reason}.",
        "phone_number": phone_number,
        "recording_status": "none",
        "attempt": 1,
        "portal_id": 48000001,
        "call_started_at": began,
        "created_at": began + timedelta(seconds=seconds),
        "run_id": "run-1",
        **fields,
    }
