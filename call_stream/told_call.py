"""Whose call an entry tells of, and the same entry with nothing left of it but that.

Pure: knows the forms of payloads; it must not know how a stream keeps them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from call_stream.record import REPORT_TYPE, UnusableReport, to_call_id
from call_stream.stream import EntryKind, StreamEntry

_PADDING = b" "


class ToldCall(NamedTuple):
    """The call of an entry; user and workspace are empty where the entry names none.

    `numbers` and `emails` are those of the other party, as they were written.
    """

    user_id: str
    workspace_id: str
    call_id: str
    numbers: tuple[str, ...]
    emails: tuple[str, ...]


class _Party(msgspec.Struct, frozen=True):
    number: Any = None
    email: Any = None


class _Call(msgspec.Struct, frozen=True):
    id: Any = None
    customer: _Party | None = None


class _Report(msgspec.Struct, frozen=True):
    call: _Call | None = None
    customer: _Party | None = None


class _StoredReport(msgspec.Struct):
    user_id: str = ""
    workspace_id: str = ""
    webhook_id: str = ""
    received_at: str = ""
    report: _Report = _Report()


class _StoredCall(msgspec.Struct, omit_defaults=True):
    """A call record as far as it is needed; only the first four fields are ever written back."""

    id: str
    user_id: str | None = None
    workspace_id: str | None = None
    source: str | None = None
    customer_number: Any = None
    customer_email: Any = None


_decode_report = msgspec.json.Decoder(_StoredReport).decode
_decode_call = msgspec.json.Decoder(_StoredCall).decode
_encode = msgspec.json.Encoder().encode


def told_call(entry: StreamEntry) -> ToldCall | None:
    """The call that the entry tells of; None for one that names none, or cannot be read."""
    try:
        if entry.kind is EntryKind.REPORT:
            return _of_report(_decode_report(entry.payload))
        if entry.kind is EntryKind.CALL:
            return _of_call(_decode_call(entry.payload))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, UnusableReport):
        pass
    return None


def blanked(entry: StreamEntry) -> bytes | None:
    """A payload of the same kind and length that names the call and says nothing of it.

    Any reader makes a call of it that has an id and no more. None where there is nothing to take
    away any more. Raises ValueError for an entry that names no call.
    """
    told = told_call(entry)
    if told is None:
        raise ValueError("an entry that names no call cannot be blanked")
    blank = _blank_report(entry) if entry.kind is EntryKind.REPORT else _blank_call(entry)
    payload = blank.ljust(len(entry.payload), _PADDING)
    return None if payload == entry.payload else payload


def _of_report(stored: _StoredReport) -> ToldCall:
    places = [stored.report, stored.report.call]
    parties = [place.customer for place in places if place is not None]
    call = stored.report.call
    return ToldCall(
        stored.user_id,
        stored.workspace_id,
        to_call_id(None if call is None else call.id),
        tuple(_texts(party.number for party in parties if party is not None)),
        tuple(_texts(party.email for party in parties if party is not None)),
    )


def _of_call(stored: _StoredCall) -> ToldCall:
    return ToldCall(
        stored.user_id or "",
        stored.workspace_id or "",
        stored.id,
        tuple(_texts([stored.customer_number])),
        tuple(_texts([stored.customer_email])),
    )


def _texts(values: Any) -> Iterator[str]:
    return (str(value) for value in values if isinstance(value, str | int) and value)


def _blank_report(entry: StreamEntry) -> bytes:
    stored = _decode_report(entry.payload)
    call_id = None if stored.report.call is None else stored.report.call.id
    head = {
        "user_id": stored.user_id,
        "workspace_id": stored.workspace_id,
        "webhook_id": stored.webhook_id,
        "received_at": stored.received_at,
    }
    return _encode(head | {"report": {"type": REPORT_TYPE, "call": {"id": call_id}}})


def _blank_call(entry: StreamEntry) -> bytes:
    stored = _decode_call(entry.payload)
    return _encode(_StoredCall(stored.id, stored.user_id, stored.workspace_id, stored.source))
