"""Addresses for VAPI, for machines that watch, and for links in notes, described.

Pure; knows what the webhook route, health, metrics and recordings answer.
"""

from __future__ import annotations

from http import HTTPStatus

from receiver.openapi.parts import (
    Json,
    an_object,
    in_path,
    json_body,
    json_reply,
    operation,
    other_reply,
    page_or_error,
)
from receiver.openapi.schemas import TEXT

_STATES: Json = {"type": "object", "additionalProperties": {"type": "string"}}
_A_REPORT: Json = {
    "message": {
        "type": "end-of-call-report",
        "endedReason": "customer-ended-call",
        "startedAt": "2026-11-20T15:04:06.000Z",
        "endedAt": "2026-11-20T15:05:21.600Z",
        "call": {"id": "01a1f97c-7301-7aa2-9c10-5f3a2b6d8e01", "type": "inboundPhoneCall"},
        "customer": {"number": "+14155550123"},
        "analysis": {"summary": "The caller moved a cleaning to Friday at ten."},
    }
}

_WEBHOOK = operation(
    "takeReport",
    "Takes VAPI's messages; a call report is on disk before it is answered",
    tag="webhook",
    description="Messages that are no call reports are answered 200 and not stored.",
    parameters=[
        in_path(
            "webhook_id",
            "What `hubspot-calls webhooks create` printed",
            "HNBwXDUSJSfQGluAn1OY3oSOrLILrr2r",
            pattern="^[A-Za-z0-9_-]{1,64}$",
        )
    ],
    body=json_body({"type": "object"}, _A_REPORT),
    replies={"200": json_reply("Taken", {"type": "object", "maxProperties": 0}, {})},
    errors=(400, 404, 408, 413, 415),
)
# Which of these a webhook asks for is said when it is made; `none` asks for nothing.
_WEBHOOK["security"] = [{"webhookSecret": []}, {"webhookBearer": []}, {}]
del _WEBHOOK["responses"]["403"]

_METRICS = operation(
    "getMetrics",
    "Prometheus text; with HUBSPOT_CALLS_METRICS_TOKEN set, for its bearer alone",
    tag="service",
    is_open=True,
    replies={
        "200": other_reply("The figures", "text/plain", "hubspot_calls_sync_log_outbox_rows 0.0\n")
    },
    errors=(401,),
)
_METRICS["security"] = [{"metricsToken": []}, {}]

_READY = operation(
    "isReady",
    "Whether it could take a call now",
    tag="service",
    is_open=True,
    replies={"200": json_reply("It could", _STATES, {"store": "ok", "stream": "ok"})},
)
_READY["responses"]["503"] = json_reply(
    "It could not", _STATES, {"store": "ok", "stream": "unavailable"}
)

_RECORDING = operation(
    "openRecording",
    "Sends the browser on to a link to the recording that works now",
    tag="recordings",
    parameters=[in_path("call_id", "VAPI's id", "01a1f97c-7301-7aa2-9c10-5f3a2b6d8e01")],
    replies={"302": {"description": "To the recording"}},
)
_RECORDING["responses"] |= {
    str(status): page_or_error(HTTPStatus(status).phrase)
    for status in (401, 403, 404, 410, 502, 503)
}

SERVICE_PATHS: dict[str, Json] = {
    "/api/webhooks/{webhook_id}": {"post": _WEBHOOK},
    "/recordings/{call_id}": {"get": _RECORDING},
    "/healthz": {
        "get": operation(
            "isAlive",
            "Whether the process lives",
            tag="service",
            is_open=True,
            replies={"200": json_reply("It does", _STATES, {"status": "ok"})},
        )
    },
    "/readyz": {"get": _READY},
    "/metrics": {"get": _METRICS},
    "/openapi.json": {
        "get": operation(
            "describeApi",
            "This document",
            tag="service",
            is_open=True,
            replies={
                "200": json_reply("OpenAPI 3.1", an_object({"openapi": TEXT}), {"openapi": "3.1.0"})
            },
        )
    },
}
