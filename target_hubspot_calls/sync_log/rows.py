"""Rows of the sync log, between the outbox's JSON and DuckDB's columns.

Pure: knows no file and no connection. Times are aware UTC outside and naive UTC in the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

COLUMNS = (
    "id",
    "user_id",
    "workspace_id",
    "call_id",
    "contact_id",
    "engagement_id",
    "engagement_type",
    "file_id",
    "status",
    "reason",
    "retryable",
    "error_message",
    "phone_number",
    "recording_status",
    "contact_match",
    "attempt",
    "correlation_id",
    "portal_id",
    "call_started_at",
    "created_at",
    "run_id",
)
_TIMES = ("call_started_at", "created_at")


def to_values(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """The row's values in the order of the columns; what it does not name is NULL.

    Raises ValueError, naming the column, for a time that is none.
    """
    return tuple(
        to_naive_utc(row.get(column), column) if column in _TIMES else _clean(row.get(column))
        for column in COLUMNS
    )


def from_values(values: tuple[Any, ...], columns: tuple[str, ...]) -> dict[str, Any]:
    """The row as a dict, its times aware."""
    return {
        column: value.replace(tzinfo=UTC) if isinstance(value, datetime) else value
        for column, value in zip(columns, values, strict=True)
    }


def to_naive_utc(value: datetime | str | None, name: str) -> datetime | None:
    """The time as stored, from a datetime or ISO 8601 text. Raises ValueError, naming `name`."""
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        raise ValueError(f"{name} is not an ISO 8601 time") from None
    if moment.tzinfo is None:
        raise ValueError(f"{name} has no time zone")
    return moment.astimezone(UTC).replace(tzinfo=None)


def _clean(value: Any) -> Any:
    # Half a surrogate pair, which JSON can carry and UTF-8 cannot, must not hold up the log.
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
