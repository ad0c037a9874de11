"""Rows of the history that several hosts share, written in the transaction of what they tell of.

Knows the table's order, and not what is in a row; on SQLite, where the history is a DuckDB file of
this host, it writes nothing.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from target_hubspot_calls.store.database import is_shared

# The first half of the lock's name; the other says which workspace. Any constant does, as long as
# every version of this program uses the same one.
_LOCKS = 0x68697374
# Indexes hold a number whole, and no number is as long.
LONGEST_NUMBER = 250
_TIMES = ("call_started_at", "created_at")

_LOCK = text("SELECT pg_advisory_xact_lock(:locks, :workspace)")

# In the order of ids, as the outbox hands them to DuckDB. A row that is there stays as it is.
_INSERT = text("""
INSERT INTO hubspot_sync_logs (
    id, user_id, workspace_id, call_id, contact_id, engagement_id, engagement_type, file_id,
    status, reason, retryable, error_message, phone_number, recording_status, contact_match,
    attempt, correlation_id, portal_id, call_started_at, created_at, run_id
)
SELECT
    id, user_id, workspace_id, call_id, contact_id, engagement_id, engagement_type, file_id,
    status, reason, retryable, error_message, phone_number, recording_status, contact_match,
    attempt, correlation_id, portal_id,
    call_started_at AT TIME ZONE 'UTC', created_at AT TIME ZONE 'UTC', run_id
FROM json_to_recordset(CAST(:rows AS JSON)) AS told (
    id TEXT, user_id TEXT, workspace_id TEXT, call_id TEXT, contact_id TEXT, engagement_id TEXT,
    engagement_type TEXT, file_id TEXT, status TEXT, reason TEXT, retryable BOOLEAN,
    error_message TEXT, phone_number TEXT, recording_status TEXT, contact_match TEXT,
    attempt INTEGER, correlation_id TEXT, portal_id BIGINT, call_started_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ, run_id TEXT
)
ORDER BY id COLLATE "C"
ON CONFLICT (id) DO NOTHING
""")

# Each new row, and the row of its call before it in time, learns when the one behind it came. Of a
# call in another workspace that has the same id nothing is learnt; asked this way, as no index
# knows the answer, a server without statistics takes the one of call ids and no other.
_LINK = text("""
WITH told AS (
    SELECT position, user_id, workspace_id, call_id, created_at
    FROM hubspot_sync_logs
    WHERE id = ANY(CAST(:ids AS TEXT[])) AND created_at IS NOT NULL
),
touched AS (
    SELECT * FROM told
    UNION
    SELECT ahead.*
    FROM told
    CROSS JOIN LATERAL (
        SELECT position, user_id, workspace_id, call_id, created_at
        FROM hubspot_sync_logs AS other
        WHERE other.call_id = told.call_id
            AND other.user_id IS NOT DISTINCT FROM told.user_id
            AND other.workspace_id IS NOT DISTINCT FROM told.workspace_id
            AND (other.created_at, other.position) < (told.created_at, told.position)
        ORDER BY other.created_at DESC, other.position DESC
        LIMIT 1
    ) AS ahead
),
linked AS (
    SELECT touched.position, behind.created_at AS superseded_at
    FROM touched
    CROSS JOIN LATERAL (
        SELECT other.created_at
        FROM hubspot_sync_logs AS other
        WHERE other.call_id = touched.call_id
            AND other.user_id IS NOT DISTINCT FROM touched.user_id
            AND other.workspace_id IS NOT DISTINCT FROM touched.workspace_id
            AND (other.created_at, other.position) > (touched.created_at, touched.position)
        ORDER BY other.created_at, other.position
        LIMIT 1
    ) AS behind
)
UPDATE hubspot_sync_logs
SET superseded_at = linked.superseded_at
FROM linked
WHERE hubspot_sync_logs.position = linked.position
    AND hubspot_sync_logs.superseded_at IS DISTINCT FROM linked.superseded_at
""")


def append_history(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Adds the rows whose id is not there yet; on SQLite none.

    Times may be ISO 8601 text. Ask for it late in a transaction: from here to its end no other
    adds rows of these workspaces, so that within one of them rows are committed in the order of
    their positions and whoever has seen one has seen all before it. Raises ValueError for a row
    without an id or with a time that is none.
    """
    if not rows or not is_shared(connection.engine):
        return
    told = json.dumps([_to_told(row) for row in rows], ensure_ascii=False)
    for workspace in sorted({_lock_of(row) for row in rows}):
        connection.execute(_LOCK, {"locks": _LOCKS, "workspace": workspace})
    connection.execute(_INSERT, {"rows": told})
    ids = [str(row["id"]) for row in rows if row.get("call_id") is not None]
    if ids:
        connection.execute(_LINK, {"ids": ids})


def _lock_of(row: Mapping[str, Any]) -> int:
    """The workspace's half of the lock's name; where two share one they only wait more."""
    name = f"{row.get('user_id')}\n{row.get('workspace_id')}"
    return zlib.crc32(name.encode("utf-8", "replace")) - 2**31


def _to_told(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row as PostgreSQL can take it. Raises ValueError."""
    if not row.get("id"):
        raise ValueError("a sync log row has no id")
    told = {name: to_storable(value) for name, value in row.items()}
    for name in _TIMES:
        told[name] = _to_iso(row.get(name), name)
    if told.get("phone_number") is not None:
        told["phone_number"] = told["phone_number"][:LONGEST_NUMBER]
    return told


def _to_iso(value: datetime | str | None, name: str) -> str | None:
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        raise ValueError(f"{name} is not an ISO 8601 time") from None
    if moment.tzinfo is None:
        raise ValueError(f"{name} has no time zone")
    return moment.isoformat()


def to_storable(value: Any) -> Any:
    """The value, a text without what JSON can carry and PostgreSQL cannot keep.

    That is NUL, and half of a surrogate pair. Whoever looks for such a text looks for this one.
    """
    if not isinstance(value, str) or (value.isascii() and "\x00" not in value):
        return value
    return value.encode("utf-8", "replace").decode().replace("\x00", "\ufffd")
