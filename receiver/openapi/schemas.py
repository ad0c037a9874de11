"""The forms of what the API takes and gives, with the words of outcomes from where they live.

Pure; field by field what the routes answer, and a test holds them to it.
"""

from __future__ import annotations

from receiver.openapi.parts import Json, a_list, an_object, described, nullable, or_blank, schema
from receiver.retries import RETRY_STATUSES
from receiver.sync_logs import REASONS, STATUSES
from target_hubspot_calls.store.connections import ConnectionKind, ConnectionState

TEXT: Json = {"type": "string"}
COUNT: Json = {"type": "integer", "minimum": 0}
TRUTH: Json = {"type": "boolean"}
YES: Json = {"type": "boolean", "const": True}
EPOCH_MS: Json = {"type": "integer", "description": "Milliseconds since 1970, UTC"}
MAYBE_TEXT = nullable("string")
MAYBE_EPOCH_MS = nullable("integer", description="Milliseconds since 1970, UTC")
STATUS: Json = {"type": "string", "enum": list(STATUSES)}
REASON: Json = {"type": "string", "enum": list(REASONS)}
MAYBE_STATUS = nullable("string", enum=[*STATUSES, None])
MAYBE_REASON = nullable("string", enum=[*REASONS, None])
MOMENT: Json = {
    "description": "A time in ISO 8601 (UTC unless it says otherwise), milliseconds since 1970, or"
    " how long ago: 30m, 24h, 7d, 2w",
    "anyOf": [
        {"type": "string", "format": "date-time"},
        {"type": "string", "format": "date"},
        {"type": "string", "pattern": "^[0-9]{1,3}[mhdw]$"},
        {"type": "integer", "minimum": 0, "maximum": 253402300799999},
    ],
}
SHORT_TEXT: Json = {"type": "string", "maxLength": 200}

ERROR = an_object(
    {
        "success": {"type": "boolean", "const": False},
        "error": described("One sentence for people", TEXT),
        "code": {"type": "string", "pattern": "^[a-z0-9_]+$"},
    }
)

LOG = an_object(
    {
        "id": TEXT,
        "call_id": described("VAPI's id; null for a record that named no call", MAYBE_TEXT),
        "contact_id": MAYBE_TEXT,
        "engagement_id": MAYBE_TEXT,
        "engagement_type": MAYBE_TEXT,
        "file_id": MAYBE_TEXT,
        "status": MAYBE_STATUS,
        "reason": MAYBE_REASON,
        "retryable": described(
            "Whether it is tried again without being asked", nullable("boolean")
        ),
        "error_message": MAYBE_TEXT,
        "phone_number": MAYBE_TEXT,
        "recording_status": MAYBE_TEXT,
        "contact_match": described("Why this contact", MAYBE_TEXT),
        "attempt": nullable("integer"),
        "correlation_id": described("HubSpot's, for its support", MAYBE_TEXT),
        "portal_id": nullable("integer"),
        "call_started_at": MAYBE_EPOCH_MS,
        "created_at": MAYBE_EPOCH_MS,
        "run_id": MAYBE_TEXT,
    }
)

LOG_PAGE = an_object(
    {
        "success": YES,
        "logs": a_list(schema("Log")),
        "total": COUNT,
        "limit": COUNT,
        "offset": COUNT,
        "asOf": described("Give it as as_of with the next pages", MAYBE_TEXT),
    }
)

SUMMARY = an_object(
    {
        "success": YES,
        "total": COUNT,
        "byStatus": an_object(dict.fromkeys(STATUSES, COUNT)),
        "byReason": a_list(an_object({"status": STATUS, "reason": REASON, "count": COUNT})),
    }
)

DAYS = an_object(
    {
        "success": YES,
        "days": a_list(
            an_object(
                {"day": {"type": "string", "format": "date"}} | dict.fromkeys(STATUSES, COUNT)
            )
        ),
        "utcOffsetMin": {"type": "integer"},
    }
)

NUMBERS = an_object(
    {
        "success": YES,
        "numbers": a_list(
            an_object(
                {
                    "phone_number": MAYBE_TEXT,
                    "calls": COUNT,
                    "first_call_at": EPOCH_MS,
                    "last_call_at": EPOCH_MS,
                    "last_call_id": MAYBE_TEXT,
                }
            )
        ),
        "total": COUNT,
        "limit": COUNT,
        "offset": COUNT,
    }
)

CALL = an_object(
    {
        "call_id": TEXT,
        "state": {"type": "string", "enum": ["due", "waiting", "settled", "forgotten"]},
        "status": MAYBE_STATUS,
        "reason": MAYBE_REASON,
        "attempt": COUNT,
        "accepted_at": EPOCH_MS,
        "settled_at": MAYBE_EPOCH_MS,
        "next_try_at": MAYBE_EPOCH_MS,
        "call_started_at": MAYBE_EPOCH_MS,
        "contact_id": MAYBE_TEXT,
        "contact_match": MAYBE_TEXT,
        "engagement_id": MAYBE_TEXT,
        "engagement_type": MAYBE_TEXT,
        "portal_id": nullable("integer"),
        "file_id": MAYBE_TEXT,
        "recording_status": MAYBE_TEXT,
    }
)

CALL_STORY = an_object(
    {
        "success": YES,
        "call": {"anyOf": [schema("Call"), {"type": "null"}]},
        "logs": a_list(schema("Log")),
    }
)

RETRY_FILTER: Json = {
    "type": "object",
    "description": "Without any field, all calls that stand at error or skipped",
    "additionalProperties": False,
    "properties": {
        "status": or_blank({"type": "string", "enum": list(RETRY_STATUSES)}, null=True),
        "reason": or_blank(REASON, null=True),
        "call_id": or_blank(SHORT_TEXT, null=True),
        "since": or_blank(MOMENT, null=True),
        "until": or_blank(MOMENT, null=True),
        "q": or_blank(SHORT_TEXT, null=True),
        "phone_number": described(
            "Exactly as the history shows it", or_blank(SHORT_TEXT, null=True)
        ),
        "dryRun": described(
            "Only count",
            or_blank({"enum": [True, False, "true", "false"]}, null=True),
        ),
    },
}

RETRIED = an_object(
    {
        "success": YES,
        "dryRun": TRUTH,
        "matched": described("Calls that match and are not in HubSpot", COUNT),
        "queued": described("Of these, put back in line now", COUNT),
        "alreadyQueued": described("Of these, in line already", COUNT),
        "byReason": described(
            "The same by outcome, most calls first; of a dry run alone",
            a_list(
                an_object(
                    {"status": STATUS, "reason": REASON, "queued": COUNT, "alreadyQueued": COUNT}
                )
            ),
        ),
    },
    optional=("byReason",),
)

CALL_RETRIED = an_object(
    {
        "success": YES,
        "callId": TEXT,
        "queued": COUNT,
        "alreadyQueued": COUNT,
        "message": TEXT,
    }
)

CONNECTION_STATUS = an_object(
    {
        "success": YES,
        "connected": TRUTH,
        "tokenExpiresAt": MAYBE_EPOCH_MS,
        "kind": nullable("string", enum=[*(kind.value for kind in ConnectionKind), None]),
        "portalId": nullable("integer"),
        "scopes": a_list(TEXT),
        "missingScopes": a_list(TEXT),
        "reconnectRequired": TRUTH,
        "state": nullable("string", enum=[*(state.value for state in ConnectionState), None]),
        "stateDetail": MAYBE_TEXT,
        "connectedBy": MAYBE_TEXT,
        "connectedAt": MAYBE_EPOCH_MS,
        "blockedUntil": MAYBE_EPOCH_MS,
        "blockedReason": MAYBE_TEXT,
        "lastSync": MAYBE_EPOCH_MS,
        "backlog": an_object(
            {
                "due": COUNT,
                "waiting": COUNT,
                "oldestAt": MAYBE_EPOCH_MS,
                "streamBehindS": nullable("integer"),
            }
        ),
        "canConnect": TRUTH,
    }
)

ACCOUNT = an_object(
    {
        "success": YES,
        "userId": TEXT,
        "workspaceId": TEXT,
        "signedInBy": {"type": "string", "enum": ["access_key", "session", "token"]},
        "expiresAt": MAYBE_EPOCH_MS,
        "idleExpiresAt": MAYBE_EPOCH_MS,
        "csrfToken": described("Send it back as X-CSRF-Token with every change", MAYBE_TEXT),
    }
)

SCHEMAS: dict[str, Json] = {
    "Error": ERROR,
    "Log": LOG,
    "LogPage": LOG_PAGE,
    "Summary": SUMMARY,
    "Days": DAYS,
    "Numbers": NUMBERS,
    "Call": CALL,
    "CallStory": CALL_STORY,
    "RetryFilter": RETRY_FILTER,
    "Retried": RETRIED,
    "CallRetried": CALL_RETRIED,
    "ConnectionStatus": CONNECTION_STATUS,
    "Account": ACCOUNT,
}
