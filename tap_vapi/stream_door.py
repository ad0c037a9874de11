"""The tap's first door: entries of the call stream as records, and where reading goes on.

Knows the call stream and its kinds of entries; it must not know Singer or HTTP.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from call_stream.excerpt import record_from_excerpt
from call_stream.quarantine import decode_unusable
from call_stream.record import CallRecord, CallSource, UnusableReport
from call_stream.stream import EntryKind, StreamEntry, StreamError, open_reader
from call_stream.values import to_iso

Record = dict[str, Any]

_RECORD_FIELDS = dict.fromkeys(CallRecord.__struct_fields__).keys()

logger = logging.getLogger("tap-vapi")


class StreamDoor:
    """Records of what the receiver stored, from a position on. Methods raise StreamError, OSError.

    `reader_name` is noted in the stream with what is finished with.
    """

    def __init__(self, url: str, *, after: int, reader_name: str) -> None:
        self._reader = open_reader(url)
        self._reader_name = reader_name
        self.position = after
        self.read_count = 0
        self.unusable_count = 0

    def read(self) -> Iterator[Record]:
        """Each record stored behind the position, which moves on, with its own as `sequence`."""
        for entry in self._reader.read(after=self.position):
            record = _to_record(entry)
            self.position = entry.position
            self.read_count += 1
            self.unusable_count += "unusable" in record
            yield record

    def save_confirmed(self) -> None:
        """Tells the call stream what a target has confirmed, so that retention may delete it."""
        if not self.position and next(iter(self._reader.read()), None) is None:
            logger.info("The call stream holds nothing yet.")
            if not self._reader.load_position(self._reader_name):
                return
        try:
            self._reader.save_position(self._reader_name, self.position)
        except OSError as err:
            logger.warning(
                "The call stream's folder does not let this tap note what it has finished with,"
                " so nothing is deleted there: %s",
                err.strerror,
            )


def to_position(bookmark: object) -> int:
    """The position that a state's bookmark names. Raises StreamError where it is none."""
    if bookmark is None:
        return 0
    if isinstance(bookmark, bool) or not isinstance(bookmark, int) or bookmark < 0:
        raise StreamError("The state's bookmark of the call stream is not a position.")
    return bookmark


def _to_record(entry: StreamEntry) -> Record:
    """The record of an entry of any kind. Raises StreamError where it holds none."""
    if entry.kind is EntryKind.REPORT:
        record = _from_report(entry)
    elif entry.kind is EntryKind.CALL:
        record = _from_call(entry)
    else:
        record = _from_quarantine(entry)
    record["sequence"] = entry.position
    return record


def _from_report(entry: StreamEntry) -> Record:
    try:
        record = record_from_excerpt(entry.payload)
    except UnusableReport as err:
        return _unusable(entry, err.reason, {})
    return msgspec.structs.asdict(record)


def _from_call(entry: StreamEntry) -> Record:
    try:
        told = msgspec.json.decode(entry.payload)
    except msgspec.DecodeError:
        told = None
    if not isinstance(told, dict) or not isinstance(told.get("id"), str) or not told["id"]:
        raise StreamError(
            f"The call stream's entry before position {entry.position} is no call record;"
            " nothing was read past it. Was it written by a newer version?"
        )
    return told if told.keys() == _RECORD_FIELDS else dict(_in_schema_form(told))


def _from_quarantine(entry: StreamEntry) -> Record:
    unusable = decode_unusable(entry.payload)
    return _unusable(entry, unusable.reason, msgspec.structs.asdict(unusable))


def _unusable(entry: StreamEntry, reason: str, told: Mapping[str, Any]) -> Record:
    """The record of a report that names no call; its id is the same however often it is read."""
    return {
        "id": f"unusable-report:{entry.position}",
        "user_id": told.get("user_id"),
        "workspace_id": told.get("workspace_id"),
        "webhook_id": told.get("webhook_id"),
        "source": CallSource.WEBHOOK,
        "received_at": to_iso(told.get("received_at") or entry.received_at),
        "unusable": reason,
    }


def _in_schema_form(told: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Exactly the record's fields, whichever version of ours stored it."""
    return ((name, told.get(name)) for name in _RECORD_FIELDS)
