"""What is stored of a call report: the part of its body that the allow-list names, as told.

Cut at the receiver's door, where every microsecond counts, and made a call record by the tap.
Pure; it must not know the stream, Singer or HTTP.

What counts as readable, in one rule: a body is UTF-8 and JSON by its grammar, nested no deeper
than Python reads. In a report, a kept value of the wrong type or out of any number's range counts
as missing, a lone surrogate becomes U+FFFD, and what is skipped may say anything. A body that names
no type of message is nothing of VAPI's: it is given no such leeway.
"""

from __future__ import annotations

import json
import math
from datetime import datetime
from typing import Any, NamedTuple, NoReturn

import msgspec
from msgspec import inspect

from call_stream.allow_list import Body, Report
from call_stream.record import (
    REPORT_TYPE,
    CallRecord,
    OtherMessage,
    UnusableReport,
    record_from_report,
    to_call_id,
    to_report,
)
from call_stream.values import DEEPEST, NAME_LIMIT, to_token, whole


class MalformedBody(Exception):
    """The body is no JSON object; `why` says so without any value of it."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Excerpt(NamedTuple):
    """What is stored of one report; the call id is usable."""

    call_id: str
    payload: bytes


class _Stored(msgspec.Struct, gc=False):
    """The form of an excerpt's payload."""

    user_id: str
    workspace_id: str
    webhook_id: str
    received_at: datetime
    report: Any


# With more there may be more levels than the reader's stack takes; that is looked into then.
_MOST_BRACKETS = 400
_ALLOWED = inspect.type_info(Report)
_decode_body = msgspec.json.Decoder(Body).decode
_decode_any = msgspec.json.Decoder().decode
_decode_stored = msgspec.json.Decoder(_Stored).decode
_encode = msgspec.json.Encoder().encode


def cut_excerpt(
    body: bytes, *, user_id: str, workspace_id: str, webhook_id: str, received_at: datetime
) -> Excerpt:
    """The excerpt of an end-of-call report of any era, wrapped in `message` or bare.

    Raises MalformedBody, OtherMessage for a body that is no call report, and UnusableReport for one
    that names no call.
    """
    try:
        report = _read(body)
        call_id = to_call_id(None if report.call is None else report.call.id)
        if _may_be_deep(report):
            report = _read_patiently(body)
        _leave_out_what_is_told_twice(report)
        payload = _encode(_Stored(user_id, workspace_id, webhook_id, received_at, report))
    except RecursionError:
        raise MalformedBody("it is nested too deeply") from None
    return Excerpt(call_id, payload)


def record_from_excerpt(payload: bytes) -> CallRecord:
    """The record of the report that the excerpt was cut from.

    Raises UnusableReport where this process can make none of it.
    """
    try:
        stored = _decode_stored(payload)
        return record_from_report(
            stored.report,
            user_id=stored.user_id,
            workspace_id=stored.workspace_id,
            webhook_id=stored.webhook_id,
            received_at=stored.received_at,
        )
    except RecursionError:
        raise UnusableReport("the report is nested too deeply") from None
    except (msgspec.DecodeError, UnicodeDecodeError, OtherMessage):
        raise UnusableReport("what was stored of the report cannot be read") from None


def _read(body: bytes) -> Report:
    """The allowed part of the report. Raises MalformedBody, OtherMessage and RecursionError."""
    if not body.isascii():
        try:
            body.decode()  # msgspec does not look at the bytes of what it skips
        except UnicodeDecodeError:
            raise MalformedBody("it is not UTF-8") from None
    try:
        report = _decode_body(body).message
    except msgspec.DecodeError:
        return _read_patiently(body)
    if report is None or not isinstance(report.type, str):
        return _read_patiently(body)
    if report.type != REPORT_TYPE:
        raise OtherMessage(to_token(report.type, NAME_LIMIT))
    return report


def _read_patiently(body: bytes) -> Report:
    """The same of a bare report, of one without a type, or with values of unforeseen types."""
    told, plain = _parse(body)
    try:
        report = _allowed(to_report(told), _ALLOWED)
    except OtherMessage as err:
        if err.message_type is None and not plain:
            raise MalformedBody("it is not well-formed JSON") from None
        raise
    return msgspec.convert({**report, "type": REPORT_TYPE}, Report)


def _parse(body: bytes) -> tuple[dict[str, Any], bool]:
    """The object of a body, and whether every value in it is one that everybody can read."""
    try:
        told, plain = _decode_any(body), True
    except msgspec.DecodeError:
        told, plain = _parse_odd_values(body), False
    if not isinstance(told, dict):
        raise MalformedBody("its top level is not an object")
    return told, plain


def _parse_odd_values(body: bytes) -> Any:
    """What the standard library reads, which also takes lone surrogates and numbers of any size."""
    try:
        return json.loads(body.decode(), parse_constant=_refuse, parse_int=_to_int)
    except ValueError:
        raise MalformedBody("it is not well-formed JSON") from None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"JSON has no {constant}")


def _to_int(digits: str) -> int | None:
    try:
        return int(digits)
    except ValueError:  # more digits than Python converts
        return None


def _allowed(told: object, allowed: inspect.Type) -> Any:
    """What the allow-list lets through of a value; None for one of a type that it does not name."""
    match allowed:
        case inspect.UnionType(types=choices):
            kept = (_allowed(told, choice) for choice in choices)
            return next((value for value in kept if value is not None), None)
        case inspect.StructType(fields=fields) if isinstance(told, dict):
            members = ((f.encode_name, _allowed(told.get(f.encode_name), f.type)) for f in fields)
            return {name: value for name, value in members if value is not None}
        case inspect.DictType(value_type=member) if isinstance(told, dict):
            return {whole(name): _allowed(value, member) for name, value in told.items()}
        case inspect.ListType(item_type=item) if isinstance(told, list):
            return [_allowed(value, item) for value in told]
        case inspect.AnyType():
            return _storable(told, DEEPEST)
        case inspect.StrType() if isinstance(told, str):
            return whole(told)
        case inspect.BoolType() if isinstance(told, bool):
            return told
        case inspect.IntType() if isinstance(told, int) and not isinstance(told, bool):
            return told
        case inspect.FloatType() if isinstance(told, float) and math.isfinite(told):
            return told
    return None


def _storable(value: Any, levels: int) -> Any:
    """A value that JSON can hold, as deep as a call record keeps it."""
    if isinstance(value, str):
        return whole(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict | list) and not levels:
        return None
    if isinstance(value, dict):
        return {whole(name): _storable(member, levels - 1) for name, member in value.items()}
    if isinstance(value, list):
        return [_storable(member, levels - 1) for member in value]
    return value


def _may_be_deep(report: Report) -> bool:
    """Whether what may have any form could have more levels than a reader's stack takes."""
    free: list[object] = []
    for place in (report, report.call):
        if place is None:
            continue
        free += place.structured_data, place.structured_outputs
        if place.artifact is not None:
            free.append(place.artifact.structured_outputs)
        if place.analysis is not None:
            free.append(place.analysis.structured_data)
    told = _encode(free)
    if len(told) <= _MOST_BRACKETS:
        return False
    return told.count(b"{") + told.count(b"[") > _MOST_BRACKETS


def _leave_out_what_is_told_twice(report: Report) -> None:
    """Spares the copies beside artifact and analysis, which VAPI still sends for older readers."""
    artifact, analysis = report.artifact, report.analysis
    if artifact is not None and artifact.transcript == report.transcript:
        report.transcript = None
    if analysis is not None and analysis.summary == report.summary:
        report.summary = None
