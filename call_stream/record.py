"""The call record: what of a VAPI body is kept, by allow-list, and its form in the call stream.

Pure; it must not know the stream, Singer, HTTP or any clock.
"""

import enum
from datetime import datetime
from typing import Any

import msgspec

from call_stream import report
from call_stream.ended_reason import CallOutcome, to_outcome
from call_stream.report import Places, told, told_in
from call_stream.values import (
    CODE_LIMIT,
    EMAIL_LIMIT,
    NAME_LIMIT,
    JsonObject,
    to_iso,
    to_json_object,
    to_moment,
    to_object,
    to_text,
    to_token,
)

REPORT_TYPE = "end-of-call-report"
ID_LIMIT = 200

_PARTS_OF_A_REPORT = ("endedReason", "artifact", "analysis", "transcript", "summary", "endedAt")


class OtherMessage(Exception):
    """The body is no call report; `message_type` says what it calls itself, if anything."""

    def __init__(self, message_type: str | None) -> None:
        super().__init__(f"not a call report: {message_type or 'a body without a message type'}")
        self.message_type = message_type


class UnusableReport(Exception):
    """A call report that names no call; `reason` is a sentence without any value of the body."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class CallDirection(enum.StrEnum):
    """Who called whom."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"
    WEB = "web"


class CallSource(enum.StrEnum):
    """The door through which a record came."""

    WEBHOOK = "webhook"
    API = "api"


_DIRECTIONS = {
    "inboundPhoneCall": CallDirection.INBOUND,
    "outboundPhoneCall": CallDirection.OUTBOUND,
    "webCall": CallDirection.WEB,
    "vapi.websocketCall": CallDirection.WEB,
}


class CallRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One telling of one call. Times are ISO 8601 text in UTC with milliseconds and `Z`."""

    id: str
    user_id: str
    workspace_id: str
    webhook_id: str | None = None
    source: CallSource
    type: str | None = None
    direction: CallDirection | None = None
    customer_number: str | None = None
    customer_name: str | None = None
    customer_email: str | None = None
    hubspot_contact_id: str | None = None
    phone_number: str | None = None
    started_at: str | None = None
    ended_at: str | None = None
    duration_ms: int | None = None
    ended_reason: str | None = None
    outcome: CallOutcome | None = None
    summary: str | None = None
    transcript: str | None = None
    recording_url: str | None = None
    recording_expires_at: str | None = None
    stereo_recording_url: str | None = None
    success_evaluation: str | None = None
    structured_data: dict[str, Any] | None = None
    cost_usd: float | None = None
    assistant_id: str | None = None
    assistant_name: str | None = None
    received_at: str
    updated_at: str


def record_from_report(
    body: object,
    *,
    user_id: str,
    workspace_id: str,
    webhook_id: str | None,
    received_at: datetime,
) -> CallRecord:
    """The record of an end-of-call report of any era, wrapped in `message` or bare.

    Raises OtherMessage where the body is no call report, UnusableReport where it names no call.
    """
    message = to_report(body)
    call = to_object(message.get("call"))
    sent_at = to_moment(message.get("timestamp"))
    return _build_record(
        (message, call),
        call_id=call.get("id"),
        user_id=user_id,
        workspace_id=workspace_id,
        webhook_id=webhook_id,
        source=CallSource.WEBHOOK,
        ended_at=sent_at,
        received_at=received_at,
        updated_at=sent_at or received_at,
    )


def record_from_rest_call(
    call: object, *, user_id: str, workspace_id: str, received_at: datetime
) -> CallRecord:
    """The record of a call object of VAPI's REST API. Raises UnusableReport if it has no id."""
    described = to_object(call)
    updated_at = to_moment(described.get("updatedAt"))
    return _build_record(
        (described,),
        call_id=described.get("id"),
        user_id=user_id,
        workspace_id=workspace_id,
        webhook_id=None,
        source=CallSource.API,
        ended_at=updated_at if described.get("status") in (None, "ended") else None,
        received_at=received_at,
        updated_at=updated_at or received_at,
    )


def to_report(body: object) -> JsonObject:
    """The report in a body, wrapped in `message` or bare. Raises OtherMessage if there is none."""
    wrapped = to_object(body).get("message")
    message = wrapped if isinstance(wrapped, dict) else to_object(body)
    message_type = message.get("type")
    if not isinstance(message_type, str):
        if "call" in message and any(part in message for part in _PARTS_OF_A_REPORT):
            return message
        raise OtherMessage(None)
    if message_type != REPORT_TYPE:
        raise OtherMessage(to_token(message_type, NAME_LIMIT))
    return message


def to_call_id(value: object) -> str:
    """The call's id. Raises UnusableReport where the value is none."""
    call_id = to_token(value, ID_LIMIT)
    if call_id is None:
        raise UnusableReport(f"the report has no call id of at most {ID_LIMIT} characters")
    return call_id


def encode_record(record: CallRecord) -> bytes:
    """The record as JSON, every field present."""
    return msgspec.json.encode(record)


def decode_record(payload: bytes) -> CallRecord:
    """The record of the JSON. Raises msgspec.DecodeError where it is no call record."""
    return msgspec.json.decode(payload, type=CallRecord)


def _build_record(
    places: Places,
    *,
    call_id: object,
    user_id: str,
    workspace_id: str,
    webhook_id: str | None,
    source: CallSource,
    ended_at: datetime | None,
    received_at: datetime,
    updated_at: datetime,
) -> CallRecord:
    usable_id = to_call_id(call_id)
    call_type = to_token(places[-1].get("type"), NAME_LIMIT)
    started_at = told(places, "startedAt", to_moment)
    ended_reason = told(places, "endedReason", _to_code)
    transcript = report.transcript(places)
    recording_url, recording_expires_at = report.mono_recording(places)
    assistant_id, assistant_name = report.assistant(places)
    data = report.structured_data(places)
    return CallRecord(
        id=usable_id,
        user_id=user_id,
        workspace_id=workspace_id,
        webhook_id=webhook_id,
        source=source,
        type=call_type,
        direction=_DIRECTIONS.get(call_type or ""),
        customer_number=report.customer_number(places),
        customer_name=told_in(places, "customer", "name", _to_name),
        customer_email=told_in(places, "customer", "email", _to_email),
        hubspot_contact_id=report.contact_hint(places),
        phone_number=report.phone_number(places),
        started_at=_iso(started_at or told(places, "createdAt", to_moment)),
        ended_at=_iso(told(places, "endedAt", to_moment) or ended_at),
        duration_ms=report.duration_ms(places),
        ended_reason=ended_reason,
        outcome=to_outcome(ended_reason, talked=started_at is not None and transcript is not None),
        summary=report.summary(places),
        transcript=transcript,
        recording_url=recording_url,
        recording_expires_at=_iso(recording_expires_at),
        stereo_recording_url=report.stereo_recording(places),
        success_evaluation=report.success_evaluation(places),
        structured_data=None if data is None else to_json_object(data),
        cost_usd=report.cost_usd(places),
        assistant_id=assistant_id,
        assistant_name=assistant_name,
        received_at=to_iso(received_at),
        updated_at=to_iso(updated_at),
    )


def _to_code(value: object) -> str | None:
    return to_token(value, CODE_LIMIT)


def _to_email(value: object) -> str | None:
    return to_token(value, EMAIL_LIMIT)


def _to_name(value: object) -> str | None:
    return to_text(value, NAME_LIMIT)


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else to_iso(moment)
