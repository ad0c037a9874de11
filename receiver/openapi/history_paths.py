"""Addresses of the sync history and of retries, described.

Pure; knows what `receiver.sync_logs` and `receiver.retries` answer.
"""

from __future__ import annotations

from receiver.openapi.parts import (
    Json,
    in_path,
    json_body,
    json_reply,
    operation,
    other_reply,
    query,
    schema,
)
from receiver.openapi.schemas import MOMENT, REASON, SHORT_TEXT, STATUS
from receiver.sync_logs import DEFAULT_ROWS, FARTHEST_ROW, LONGEST_ROW_ID, MOST_ROWS

_TAG = "history"
_CALL_ID = "01a1f97c-7301-7aa2-9c10-5f3a2b6d8e01"
_ROW_ID = "01a20561-33f2-74dc-80d7-1671d5a2731c"

_SINCE = query("since", "From then on", MOMENT, "2026-11-20T00:00:00Z")
_UNTIL = query("until", "Before then", MOMENT, "2026-11-21T00:00:00Z")
_FILTER = [
    query("status", "Only rows with this status", STATUS, "skipped"),
    query("reason", "Only rows with this reason", REASON, "contact_not_found"),
    query("call_id", "Only rows of this call", SHORT_TEXT, _CALL_ID),
    _SINCE,
    _UNTIL,
    query("q", "Part of a call id, number, message or contact id", SHORT_TEXT, "5550123"),
    query(
        "phone_number",
        "Only calls from this number, or from numbers that end so",
        SHORT_TEXT,
        "+14155550123",
    ),
]
_AS_OF = query(
    "as_of",
    "`asOf` of the first page, so that rows written meanwhile do not shift the next ones",
    {"type": "string", "maxLength": LONGEST_ROW_ID},
)
_BOUNDS = [
    query(
        "limit",
        "How many",
        {"type": "integer", "minimum": 1, "maximum": MOST_ROWS, "default": DEFAULT_ROWS},
    ),
    query(
        "offset",
        "Behind how many",
        {"type": "integer", "minimum": 0, "maximum": FARTHEST_ROW, "default": 0},
    ),
]

A_LOG: Json = {
    "id": _ROW_ID,
    "call_id": _CALL_ID,
    "contact_id": "100451",
    "engagement_id": "9000001",
    "engagement_type": "note",
    "file_id": None,
    "status": "success",
    "reason": "created",
    "retryable": False,
    "error_message": None,
    "phone_number": "+14155550123",
    "recording_status": "attached",
    "contact_match": "phone number, the only contact",
    "attempt": 1,
    "correlation_id": None,
    "portal_id": 4000000,
    "call_started_at": 1795186446000,
    "created_at": 1795186530000,
    "run_id": "01a20560-0000-7000-8000-000000000000",
}
_A_PAGE: Json = {
    "success": True,
    "logs": [A_LOG],
    "total": 1,
    "limit": 50,
    "offset": 0,
    "asOf": _ROW_ID,
}
_A_CALL: Json = {
    "call_id": _CALL_ID,
    "state": "settled",
    "status": "success",
    "reason": "created",
    "attempt": 1,
    "accepted_at": 1795186526000,
    "settled_at": 1795186530000,
    "next_try_at": None,
    "call_started_at": 1795186446000,
    "contact_id": "100451",
    "contact_match": "phone number, the only contact",
    "engagement_id": "9000001",
    "engagement_type": "note",
    "portal_id": 4000000,
    "file_id": None,
    "recording_status": "attached",
}

HISTORY_PATHS: dict[str, Json] = {
    "/api/hubspot/sync-logs": {
        "get": operation(
            "listSyncLogs",
            "What became of calls, newest first",
            tag=_TAG,
            parameters=[*_FILTER, *_BOUNDS, _AS_OF],
            replies={"200": json_reply("One page", schema("LogPage"), _A_PAGE)},
            errors=(400, 409),
        )
    },
    "/api/hubspot/sync-logs.csv": {
        "get": operation(
            "exportSyncLogs",
            "The same as CSV, all of it, with no cell that a spreadsheet takes for a formula",
            tag=_TAG,
            parameters=[*_FILTER, _AS_OF],
            replies={
                "200": other_reply("One line a row", "text/csv", '"created_at","call_id"\r\n')
            },
            errors=(400, 409),
        )
    },
    "/api/hubspot/sync-logs/summary": {
        "get": operation(
            "countSyncLogs",
            "How many rows there are of each status and reason",
            tag=_TAG,
            parameters=_FILTER,
            replies={
                "200": json_reply(
                    "The counts",
                    schema("Summary"),
                    {
                        "success": True,
                        "total": 1,
                        "byStatus": {"success": 1, "error": 0, "skipped": 0},
                        "byReason": [{"status": "success", "reason": "created", "count": 1}],
                    },
                )
            },
            errors=(400,),
        )
    },
    "/api/hubspot/sync-logs/days": {
        "get": operation(
            "countCallsPerDay",
            "Calls per day by their latest status among the rows that match",
            tag=_TAG,
            parameters=[
                *_FILTER,
                query(
                    "utc_offset_min",
                    "How many minutes the reader's clock is ahead of UTC",
                    {"type": "integer", "minimum": -720, "maximum": 840, "default": 0},
                ),
            ],
            replies={
                "200": json_reply(
                    "Days that had calls, oldest first",
                    schema("Days"),
                    {
                        "success": True,
                        "days": [{"day": "2026-11-20", "success": 1, "error": 0, "skipped": 0}],
                        "utcOffsetMin": 0,
                    },
                )
            },
            errors=(400,),
        )
    },
    "/api/hubspot/unmatched-numbers": {
        "get": operation(
            "listUnmatchedNumbers",
            "Numbers that called and are no contact's, most calls first",
            tag=_TAG,
            parameters=[_SINCE, _UNTIL, *_BOUNDS],
            replies={
                "200": json_reply(
                    "One page",
                    schema("Numbers"),
                    {
                        "success": True,
                        "numbers": [
                            {
                                "phone_number": "+12025550199",
                                "calls": 2,
                                "first_call_at": 1795100000000,
                                "last_call_at": 1795186446000,
                                "last_call_id": _CALL_ID,
                            }
                        ],
                        "total": 1,
                        "limit": 50,
                        "offset": 0,
                    },
                )
            },
            errors=(400,),
        )
    },
    "/api/hubspot/calls/{call_id}": {
        "get": operation(
            "getCall",
            "One call: where it stands, and all its rows in order",
            tag=_TAG,
            parameters=[in_path("call_id", "VAPI's id of the call", _CALL_ID)],
            replies={
                "200": json_reply(
                    "The call",
                    schema("CallStory"),
                    {"success": True, "call": _A_CALL, "logs": [A_LOG]},
                )
            },
            errors=(400, 404),
        )
    },
    "/api/hubspot/sync-logs/{id}/retry": {
        "post": operation(
            "retryCall",
            "Puts the call of a row back in line",
            tag=_TAG,
            description="Asking twice changes nothing; a call that is in HubSpot is left alone.",
            parameters=[in_path("id", "The row's id", _ROW_ID)],
            replies={
                "200": json_reply(
                    "What it came to",
                    schema("CallRetried"),
                    {
                        "success": True,
                        "callId": _CALL_ID,
                        "queued": 1,
                        "alreadyQueued": 0,
                        "message": "The call is back in line.",
                    },
                )
            },
            errors=(400, 404, 408, 409, 413, 415),
        )
    },
    "/api/hubspot/retry": {
        "post": operation(
            "retryCalls",
            "Puts all calls that match back in line",
            tag=_TAG,
            description="Only calls whose latest outcome is error or skipped; asking twice"
            " changes nothing.",
            body=json_body(
                schema("RetryFilter"),
                {"reason": "contact_not_found", "dryRun": True},
                required=False,
            ),
            replies={
                "200": json_reply(
                    "The counts",
                    schema("Retried"),
                    {
                        "success": True,
                        "dryRun": True,
                        "matched": 3,
                        "queued": 3,
                        "alreadyQueued": 0,
                        "byReason": [
                            {
                                "status": "skipped",
                                "reason": "contact_not_found",
                                "queued": 3,
                                "alreadyQueued": 0,
                            }
                        ],
                    },
                )
            },
            errors=(400, 408, 413, 415),
        )
    },
}
