"""The `calls` stream: schema, key, and a bookmark for each of the two doors its records come by.

Knows Singer and the doors; it must not know how a call stream or VAPI's API is read.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from singer_sdk import Stream
from singer_sdk import typing as th
from singer_sdk.helpers._util import utc_now
from singer_sdk.helpers.conform import TypeConformanceLevel
from singer_sdk.singerlib.catalog import REPLICATION_FULL_TABLE
from singer_sdk.singerlib.encoding.simple import RecordMessage

from call_stream.record import CallSource
from call_stream.stream import StreamError
from call_stream.values import to_moment
from tap_vapi.api_door import ApiDoor, Record, Span, span_of, to_epoch_ms
from tap_vapi.api_poll import ApiPoll
from tap_vapi.output import wait_for_reader
from tap_vapi.stream_door import StreamDoor, to_position
from tap_vapi.vapi import Vapi, VapiError
from tap_vapi.windows import WindowRead

if TYPE_CHECKING:
    from tap_vapi.tap import TapVapi

STREAM, API = "stream", "api"
"""The two doors, as the setting `sources` names them."""

POLL_S = 0.05
"""How often a following tap looks for new calls, in seconds."""

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
    """Calls in the order in which their source tells them; one bookmark for each source.

    That of the call stream is a position; that of the API is the time, in epoch milliseconds, up to
    which every change has been read.
    """

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

    @property
    def partitions(self) -> list[dict[str, Any]]:
        """One partition of the state for each source that is read."""
        return [{"source": source} for source in self._tap.sources]

    def get_records(self, context: Mapping[str, Any] | None) -> Iterable[Record]:
        """The records behind the source's bookmark; in follow mode, until the tap is stopped.

        Ends the run with one sentence and exit 1 where a source cannot be read on.
        """
        source = (context or {}).get("source", STREAM)
        try:
            yield from self._records_of(source)
        except (StreamError, VapiError) as err:
            self.logger.error("%s", err)
            raise SystemExit(1) from err
        except OSError as err:
            self.logger.error("The call stream cannot be read: %s", err.strerror)
            raise SystemExit(1) from err

    def _records_of(self, source: str) -> Iterator[Record]:
        if self.config["follow"]:
            # Both doors at once: the first of them would never come to its end.
            if source == self._tap.sources[0]:
                yield from self._follow()
        elif source == STREAM:
            door = self._open_stream()
            yield from self._read_stream(door)
            self._say_end(door)
        else:
            with self._open_vapi() as vapi:
                yield from self._told(ApiDoor(vapi).read(self._span()))

    def _follow(self) -> Iterator[Record]:
        with ExitStack() as stack:
            door = self._open_stream() if STREAM in self._tap.sources else None
            poll = None
            if API in self._tap.sources:
                vapi = stack.enter_context(self._open_vapi())
                poll = stack.enter_context(ApiPoll(ApiDoor(vapi), self._span()))
            while not self._tap.stopping:
                if door is not None:
                    yield from self._read_stream(door)
                if poll is not None and not self._tap.stopping:
                    yield from self._told(poll.take())
                # Also a tick by which the target sends off a batch that is not full.
                self._write_state_message()
                if not self._tap.stopping:
                    wait_for_reader(POLL_S)
            if door is not None:
                self._say_end(door)

    def _read_stream(self, door: StreamDoor) -> Iterator[Record]:
        for record in door.read():
            yield self._owned(record)
            if self._tap.stopping:
                return

    def _told(self, found: Iterable[Record | WindowRead]) -> Iterator[Record]:
        """What the API's door gives out; the bookmark moves when a window has been read whole."""
        for each in found:
            if isinstance(each, WindowRead):
                self._move_bookmark(API, to_epoch_ms(each.until))
            else:
                yield self._owned(each)
            if self._tap.stopping:
                return

    def _owned(self, record: Record) -> Record:
        record["user_id"] = record["user_id"] or self.config["user_id"]
        record["workspace_id"] = record["workspace_id"] or self.config["workspace_id"]
        return record

    def _open_stream(self) -> StreamDoor:
        url = self.config.get("stream_url") or f"file:{self.config['data_dir']}/stream"
        position = to_position(self._bookmark(STREAM))
        door = StreamDoor(url, after=position, reader_name=self.config["reader_name"])
        door.save_confirmed()
        return door

    def _say_end(self, door: StreamDoor) -> None:
        if door.unusable_count:
            self.logger.warning(
                "%d of the reports cannot become a call; the sync history says of each why.",
                door.unusable_count,
            )
        self.logger.info(
            "Read %d reports from the call stream, up to position %d",
            door.read_count,
            door.position,
        )

    def _open_vapi(self) -> Vapi:
        return Vapi(self.config["vapi_api_key"], self.config["vapi_api_url"])

    def _span(self) -> Span:
        bookmark = self._bookmark(API)
        if isinstance(bookmark, bool) or not isinstance(bookmark, int | None):
            raise VapiError("The state's bookmark of VAPI's API is not a time in milliseconds.")
        start, end = (to_moment(self.config.get(name)) for name in ("start_date", "end_date"))
        return span_of(bookmark, start, end, datetime.now(UTC))

    def _bookmark(self, source: str) -> object:
        if self.replication_method == REPLICATION_FULL_TABLE:
            return None
        return self.get_context_state({"source": source}).get("replication_key_value")

    def _move_bookmark(self, source: str, value: int) -> None:
        entry = self._entries.get(source)
        if entry is None:
            entry = self._entries[source] = self.get_context_state({"source": source})
        entry["replication_key"] = self.replication_key
        entry["replication_key_value"] = value
        self.state_manager.is_flushed = False

    @cached_property
    def _entries(self) -> dict[str, dict[str, Any]]:
        """The state's entry of each source, looked up once: it is written at every record."""
        return {}

    def _increment_stream_state(
        self, latest_record: dict[str, Any], *, context: Mapping[str, Any] | None = None
    ) -> None:
        """Moves the call stream's bookmark. Positions only grow, so there is nothing to compare."""
        if latest_record["source"] != CallSource.API:
            self._move_bookmark(STREAM, latest_record["sequence"])

    def _write_starting_replication_value(self, context: Mapping[str, Any] | None) -> None:
        """Writes nothing: `start_date` is a time, and a bookmark here may be a position."""

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
