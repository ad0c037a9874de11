"""The `calls` stream: schema, key, bookmark, and the door through which its records come.

Knows Singer and the call stream; it must not know HTTP, or how a VAPI body is read.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
from singer_sdk import Stream
from singer_sdk import typing as th
from singer_sdk.helpers._util import utc_now
from singer_sdk.helpers.conform import TypeConformanceLevel
from singer_sdk.singerlib.encoding.simple import RecordMessage

from call_stream.excerpt import record_from_excerpt
from call_stream.quarantine import decode_unusable
from call_stream.record import CallRecord, CallSource, UnusableReport
from call_stream.stream import (
    CallStreamReader,
    EntryKind,
    StreamEntry,
    StreamError,
    open_reader,
)
from call_stream.values import to_iso
from tap_vapi.output import wait_for_reader

if TYPE_CHECKING:
    from tap_vapi.tap import TapVapi

POLL_S = 0.05
"""How often a following tap looks for new calls, in seconds."""

_RECORD_FIELDS = dict.fromkeys(CallRecord.__struct_fields__).keys()

CALLS_SCHEMA = th.PropertiesList(
    th.Property("id", th.StringType, required=True, description="VAPI's id of the call"),
    th.Property("user_id", th.StringType, description="Whose call this is"),
    th.Property("workspace_id", th.StringType, description="The workspace it belongs to"),
    th.Property("webhook_id", th.StringType, description="The webhook that received it"),
    th.Property("source", th.StringType, description="`webhook` or `api`"),
    th.Property("type", th.StringType, description="VAPI's own word, such as inboundPhoneCall"),
    th.Property("direction", th.StringType, description="`inbound`, `outbound` or `web`"),
    th.Property("customer_number", th.StringType, description="Number of the other party"),
    th.Property("customer_name", th.StringType, description="Name of the other party"),
    th.Property("customer_email", th.StringType, description="E-mail of the other party"),
    th.Property("hubspot_contact_id", th.StringType, description="Contact named by the caller"),
    th.Property("phone_number", th.StringType, description="Our line"),
    th.Property("started_at", th.DateTimeType, description="Start, else creation, of the call"),
    th.Property("ended_at", th.DateTimeType, description="End of the call"),
    th.Property("duration_ms", th.IntegerType, description="Talk time in milliseconds"),
    th.Property("ended_reason", th.StringType, description="VAPI's own reason"),
    th.Property(
        "outcome",
        th.StringType,
        description="`completed`, `no_answer`, `busy`, `voicemail`, `failed` or `canceled`",
    ),
    th.Property("summary", th.StringType, description="What the call was about"),
    th.Property("transcript", th.StringType, description="Who said what"),
    th.Property("recording_url", th.StringType, description="Mono recording"),
    th.Property("recording_expires_at", th.DateTimeType, description="When recording_url dies"),
    th.Property("stereo_recording_url", th.StringType, description="Stereo recording"),
    th.Property("success_evaluation", th.StringType, description="VAPI's verdict on the call"),
    th.Property(
        "structured_data",
        th.ObjectType(additional_properties=True),
        description="What the assistant extracted",
    ),
    th.Property("cost_usd", th.NumberType, description="Cost of the call in US dollars"),
    th.Property("assistant_id", th.StringType, description="VAPI's id of the assistant"),
    th.Property("assistant_name", th.StringType, description="Name of the assistant"),
    th.Property("received_at", th.DateTimeType, description="When we learned of it"),
    th.Property("updated_at", th.DateTimeType, description="When VAPI told it"),
    th.Property("sequence", th.IntegerType, description="Position in its source; the bookmark"),
    th.Property(
        "unusable",
        th.StringType,
        description="Why no call can be made of this report; a call has no such field",
    ),
).to_dict()


class CallsStream(Stream):
    """Calls in the order in which their source tells them; one bookmark for each source."""

    name = "calls"
    schema: ClassVar[dict[str, Any]] = CALLS_SCHEMA
    primary_keys: ClassVar[tuple[str, ...]] = ("id",)
    replication_key = "sequence"
    is_sorted = True
    # Targets of the SDK are given a chance to pass a STATE on with every batch of 100.
    STATE_MSG_FREQUENCY = 100
    # Records were made by the allow-list of the call record and are in schema form already.
    TYPE_CONFORMANCE_LEVEL = TypeConformanceLevel.NONE

    _tap: TapVapi
    _bookmark_entry: dict[str, Any] | None = None

    @property
    def partitions(self) -> list[dict[str, Any]]:
        """One partition of the state for each source that is read."""
        return [{"source": source} for source in dict.fromkeys(self.config["sources"])]

    def get_records(self, context: Mapping[str, Any] | None) -> Iterable[dict[str, Any]]:
        """The records behind the source's bookmark; in follow mode, until the tap is stopped.

        Ends the run with one sentence and exit 1 where the call stream cannot be read on.
        """
        try:
            yield from self._stream_records(context)
        except StreamError as err:
            self.logger.error("%s", err)
            raise SystemExit(1) from err
        except OSError as err:
            self.logger.error("The call stream cannot be read: %s", err.strerror)
            raise SystemExit(1) from err

    def _generate_record_messages(
        self, record: dict[str, Any]
    ) -> Generator[RecordMessage, None, None]:
        """The record as a message for each stream map.

        Spares a record whose every field is selected the SDK's walk through it, which takes a
        quarter of a run.
        """
        if not self._every_field_is_selected:
            yield from super()._generate_record_messages(record)
            return
        for stream_map in self.stream_maps:
            mapped = stream_map.transform(record)
            if mapped is not None:
                yield RecordMessage(stream_map.stream_alias, mapped, time_extracted=utc_now())

    @cached_property
    def _every_field_is_selected(self) -> bool:
        return all(self.mask["properties", name] for name in self.schema["properties"])

    def _increment_stream_state(
        self, latest_record: dict[str, Any], *, context: Mapping[str, Any] | None = None
    ) -> None:
        """Moves the bookmark. Positions only grow, so there is nothing to compare with."""
        if self._bookmark_entry is None:
            self._bookmark_entry = self.get_context_state(context)
        self._bookmark_entry["replication_key"] = self.replication_key
        self._bookmark_entry["replication_key_value"] = latest_record["sequence"]

    def _stream_records(self, context: Mapping[str, Any] | None) -> Iterable[dict[str, Any]]:
        self._bookmark_entry = None
        reader = open_reader(self._stream_url())
        position = self._bookmark(context)
        self._save_confirmed(reader, position)
        read, unusable = 0, 0
        while not self._tap.stopping:
            for entry in reader.read(after=position):
                position = entry.position
                record = self._to_record(entry)
                read += 1
                unusable += "unusable" in record
                yield record
                if self._tap.stopping:
                    break
            if not self.config["follow"]:
                break
            # Also a tick by which the target sends off a batch that is not full.
            self._write_state_message()
            if not self._tap.stopping:
                wait_for_reader(POLL_S)
        if unusable:
            self.logger.warning(
                "%d of the reports cannot become a call; the sync history says of each why.",
                unusable,
            )
        self.logger.info("Read %d reports from the call stream, up to position %d", read, position)

    def _stream_url(self) -> str:
        return self.config.get("stream_url") or f"file:{self.config['data_dir']}/stream"

    def _bookmark(self, context: Mapping[str, Any] | None) -> int:
        """The position to go on from. Raises StreamError where the state holds none."""
        value = self.get_starting_replication_key_value(context)
        if value is None:
            return 0
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise StreamError("The state's bookmark of the call stream is not a position.")
        return value

    def _save_confirmed(self, reader: CallStreamReader, position: int) -> None:
        """Tells the call stream what a target has confirmed, so that retention may delete it."""
        if not position and next(iter(reader.read()), None) is None:
            self.logger.info("The call stream holds nothing yet.")
            return
        try:
            reader.save_position(self.config["reader_name"], position)
        except OSError as err:
            self.logger.warning(
                "The call stream's folder does not let this tap note what it has finished with,"
                " so nothing is deleted there: %s",
                err.strerror,
            )

    def _to_record(self, entry: StreamEntry) -> dict[str, Any]:
        """The record of an entry of any kind. Raises StreamError where it holds none."""
        if entry.kind is EntryKind.REPORT:
            record = _from_report(entry)
        elif entry.kind is EntryKind.CALL:
            record = _from_call(entry)
        else:
            record = _from_quarantine(entry)
        record["user_id"] = record["user_id"] or self.config["user_id"]
        record["workspace_id"] = record["workspace_id"] or self.config["workspace_id"]
        record["sequence"] = entry.position
        return record


def _from_report(entry: StreamEntry) -> dict[str, Any]:
    try:
        record = record_from_excerpt(entry.payload)
    except UnusableReport as err:
        return _unusable(entry, err.reason, {})
    return msgspec.structs.asdict(record)


def _from_call(entry: StreamEntry) -> dict[str, Any]:
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


def _from_quarantine(entry: StreamEntry) -> dict[str, Any]:
    unusable = decode_unusable(entry.payload)
    return _unusable(entry, unusable.reason, msgspec.structs.asdict(unusable))


def _unusable(entry: StreamEntry, reason: str, told: Mapping[str, Any]) -> dict[str, Any]:
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
