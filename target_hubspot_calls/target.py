"""The Singer target: its settings table, its life from first message to last STATE.

Overrides what the SDK (0.54) does with STATE and signals, because there it emits STATE only at the
end and loses records on SIGTERM in a batch (meltano/sdk#3775).
"""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any, ClassVar

from singer_sdk import Target
from singer_sdk import typing as th
from singer_sdk.contrib.msgspec import MsgSpecReader, decoder
from singer_sdk.exceptions import ConfigValidationError
from singer_sdk.helpers.capabilities import PluginCapabilities
from singer_sdk.singerlib.exceptions import InvalidInputLine

from target_hubspot_calls.delivery.run import Run
from target_hubspot_calls.errors import CallSyncError, SettingsError
from target_hubspot_calls.settings import TargetSettings, read_settings
from target_hubspot_calls.sinks import CallsSink

# Meltano spends about 16 ms on each STATE line; more than one a second only slows it down.
STATE_EVERY_S = 1.0
# The whole end after a signal takes less than 10 s, the time process managers usually give.
STOP_WITHIN_S = 8.0


class QuietReader(MsgSpecReader):
    """Reads Singer lines; a line it cannot read is never printed, as it may hold a transcript."""

    def deserialize_json(self, line: str) -> dict[str, Any]:
        """The message of a line. Raises InvalidInputLine, without the line."""
        try:
            message = _read_message(line)
        except ValueError:
            raise InvalidInputLine("A line of the input is no JSON object.") from None
        if not str(message.get("stream", "")).isprintable():
            # The SDK logs the name as it is: a line break in it would forge a line of the log.
            raise InvalidInputLine("A line of the input names a stream that cannot be printed.")
        return message

    @staticmethod
    def assert_line_requires(line_dict: dict[str, Any], requires: set[str]) -> None:
        """Raises InvalidInputLine, naming the missing keys and nothing of the line."""
        missing = sorted(requires - set(line_dict))
        if missing:
            raise InvalidInputLine(f"A line of the input lacks {', '.join(missing)}.")


class TargetHubspotCalls(Target):
    """Writes VAPI calls to HubSpot contacts as notes or call engagements."""

    name = "target-hubspot-calls"
    default_sink_class = CallsSink
    message_reader_class = QuietReader
    capabilities: ClassVar[Any] = [
        PluginCapabilities.ABOUT,
        PluginCapabilities.STREAM_MAPS,
        PluginCapabilities.FLATTENING,
        PluginCapabilities.STRUCTURED_LOGGING,
    ]

    config_jsonschema = th.PropertiesList(
        th.Property(
            "data_dir",
            th.StringType,
            default="./hubspot-calls-data",
            title="Data directory",
            description="Directory of store, sync log and key file; created with mode 0700.",
        ),
        th.Property(
            "database_url",
            th.StringType,
            secret=True,
            title="Database URL",
            description="Operational store; default is a SQLite file in data_dir.",
        ),
        th.Property(
            "sync_log",
            th.StringType,
            title="Sync log",
            description="DuckDB file of outcomes; default is sync_log.duckdb in data_dir.",
        ),
        th.Property(
            "encryption_keys",
            th.StringType,
            secret=True,
            title="Encryption keys",
            description="Comma list, newest first, for tokens at rest; default is the key file"
            " secret.key in data_dir, made at first use.",
        ),
        th.Property(
            "public_url",
            th.StringType,
            default="http://127.0.0.1:8000",
            title="Public URL",
            description="How the outside reaches the receiver; recording links in notes use it.",
        ),
        th.Property(
            "client_id",
            th.StringType,
            title="HubSpot client id",
            description="The OAuth app's client id.",
        ),
        th.Property(
            "client_secret",
            th.StringType,
            secret=True,
            title="HubSpot client secret",
            description="The OAuth app's client secret.",
        ),
        th.Property(
            "hubspot_api_url",
            th.StringType,
            default="https://api.hubapi.com",
            title="HubSpot API URL",
            description="Base address of HubSpot's API; https unless it is this machine.",
        ),
        th.Property(
            "service_key",
            th.StringType,
            secret=True,
            title="HubSpot service key",
            description="One static key for all records, instead of stored connections.",
        ),
        th.Property(
            "refresh_token",
            th.StringType,
            secret=True,
            title="HubSpot refresh token",
            description="OAuth refresh token for all records, with client_id and client_secret.",
        ),
        th.Property(
            "user_id",
            th.StringType,
            default="default",
            title="User id",
            description="User of records that name none.",
        ),
        th.Property(
            "workspace_id",
            th.StringType,
            default="default",
            title="Workspace id",
            description="Workspace of records that name none.",
        ),
        th.Property(
            "activity_type",
            th.StringType,
            default="note",
            allowed_values=["note", "call"],
            title="Activity type",
            description="What a call becomes in HubSpot: a note or a call engagement.",
        ),
        th.Property(
            "default_region",
            th.StringType,
            default="US",
            title="Default region",
            description="Country (two letters) of numbers written without a country code.",
        ),
        th.Property(
            "ambiguous_contact",
            th.StringType,
            default="oldest",
            allowed_values=["oldest", "recent", "skip"],
            title="Ambiguous contact",
            description="Which of several contacts with the number gets the call: the one created"
            " first, the one created last, or none.",
        ),
        th.Property(
            "missing_contact",
            th.StringType,
            default="skip",
            allowed_values=["skip", "create"],
            title="Missing contact",
            description="What to do when no contact has the number: skip the call with a reason, or"
            " create the contact.",
        ),
        th.Property(
            "include_transcript",
            th.BooleanType,
            default=False,
            title="Include transcript",
            description="Put the transcript in the note, cut to HubSpot's limit.",
        ),
        th.Property(
            "upload_recordings",
            th.BooleanType,
            default=True,
            title="Upload recordings",
            description="Upload each recording as a private HubSpot file and attach it.",
        ),
        th.Property(
            "recording_max_mb",
            th.IntegerType,
            default=100,
            title="Largest recording (MB)",
            description="Larger recordings are not uploaded; in megabytes.",
        ),
        th.Property(
            "recording_hosts",
            th.ArrayType(th.StringType),
            default=[],
            title="Recording hosts",
            description="Hosts that recordings are fetched from; default is any public host. List"
            " hosts to narrow it, or to allow a private one in tests.",
        ),
        th.Property(
            "vapi_api_key",
            th.StringType,
            secret=True,
            title="VAPI private key",
            description="To ask VAPI for a fresh link where a recording's link has expired.",
        ),
        th.Property(
            "vapi_api_url",
            th.StringType,
            default="https://api.vapi.ai",
            title="VAPI API URL",
            description="Base address of VAPI's API; https unless it is this machine.",
        ),
        th.Property(
            "requests_per_10_seconds",
            th.IntegerType,
            default=100,
            title="Requests per 10 seconds",
            description="Pace per portal; HubSpot allows OAuth apps 110.",
        ),
        th.Property(
            "searches_per_second",
            th.IntegerType,
            default=4,
            title="Searches per second",
            description="Pace of searches per portal; HubSpot allows 5 for all apps together.",
        ),
        th.Property(
            "batch_wait_s",
            # Text too: Meltano 4.4 cannot hand over a decimal set in the environment.
            th.CustomType({"type": ["number", "string"]}),
            default=1.0,
            title="Batch wait (s)",
            description="Longest a received call waits for its batch to fill, in seconds.",
        ),
    ).to_dict()

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._max_parallelism = 1
        self._run: Run | None = None
        self._emitted_state: str | None = None
        self._emitted_at = float("-inf")
        self._busy = False
        self._signal: int | None = None
        try:
            self.settings: TargetSettings = read_settings(
                self.config, ignored=self._names_of_the_sdk()
            )
        except SettingsError as err:
            raise ConfigValidationError(
                "Config validation failed", errors=err.faults, schema=self.config_jsonschema
            ) from None

    @property
    def run(self) -> Run:
        """The run that takes the calls over, begun at first use."""
        if self._run is None:
            self._run = Run(self.settings)
            self.logger.info("run %s begins", self._run.run_id)
        return self._run

    def process_endofpipe(self) -> None:
        """Accepts what is left, emits the last STATE and returns when every due call is tried."""
        with self._uninterrupted():
            super().process_endofpipe()
            run = self.run
        run.finish(until=lambda: self._signal is not None)
        if self._signal is not None:
            self._shut_down(self._signal)
        self._say_totals(run)
        run.close()

    def _process_record_message(self, message_dict: dict[str, Any]) -> None:
        with self._uninterrupted():
            super()._process_record_message(message_dict)

    def _process_state_message(self, message_dict: dict[str, Any]) -> None:
        # A tap's STATE is also the tick at which a small batch is handed over.
        with self._uninterrupted():
            super()._process_state_message(message_dict)
            self._drain_sinks()
            if self._latest_state and time.monotonic() - self._emitted_at >= STATE_EVERY_S:
                self._write_state_message(self._latest_state)

    def _drain_sinks(self) -> None:
        for sink in (*self._sinks_to_clear, *self._sinks_active.values()):
            self.drain_one(sink)

    def _write_state_message(self, state: dict[str, Any]) -> None:
        """Emits the STATE; every record before it is in the ledger by now."""
        line = json.dumps(state)
        if line == self._emitted_state:
            return
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
        self._emitted_state = line
        self._emitted_at = time.monotonic()

    @contextlib.contextmanager
    def _uninterrupted(self) -> Iterator[None]:
        """A message is handled whole; a signal that comes meanwhile is obeyed right after."""
        outermost = not self._busy
        self._busy = True
        try:
            yield
        finally:
            if outermost:
                self._busy = False
        if outermost and self._signal is not None:
            self._shut_down(self._signal)

    def _handle_termination(self, signum: int, frame: FrameType | None) -> None:
        waiting_for_the_end = self._signal is not None
        self._signal = signum
        if not self._busy and not waiting_for_the_end and not self._is_finishing():
            self._shut_down(signum)

    def _is_finishing(self) -> bool:
        return self._run is not None and self._run.is_finishing

    def _shut_down(self, signum: int) -> None:
        """Accepts what was read, emits its STATE, ends delivery cleanly and exits."""
        self._busy = True
        self.logger.info("%s: finishing what is in flight", signal.Signals(signum).name)
        self._drain_sinks()
        if self._latest_state:
            self._write_state_message(self._latest_state)
        if self._run is not None:
            stopped = self._run.stop(STOP_WITHIN_S)
            self._say_totals(self._run)
            if stopped:
                self._run.close()
            else:
                self.logger.warning("a request is still in flight; its call is looked up next run")
        sys.exit(128 + signum)

    def _say_totals(self, run: Run) -> None:
        totals = {
            "run_id": run.run_id,
            "outcomes": dict(run.tally.by_reason),
            "waiting": run.waiting(),
        }
        self.logger.info("run finished: %s", json.dumps(totals))

    @classmethod
    def append_builtin_config(cls, config_jsonschema: dict[str, Any]) -> None:
        """Adds the SDK's settings but load_method, which would promise what HubSpot cannot do."""
        super().append_builtin_config(config_jsonschema)
        config_jsonschema["properties"].pop("load_method", None)

    @classmethod
    def invoke(cls, **options: Any) -> None:
        """Runs the target; what the user can mend is one line on stderr, without a traceback."""
        try:
            super().invoke(**options)
        except (CallSyncError, InvalidInputLine) as err:
            cls.logger.error("%s", err)
            sys.exit(1)

    @classmethod
    def _names_of_the_sdk(cls) -> frozenset[str]:
        schema: dict[str, Any] = {"properties": {}}
        cls.append_builtin_config(schema)
        return frozenset(schema["properties"]) - frozenset(TargetSettings.model_fields)


def _read_message(line: str) -> dict[str, Any]:
    message = decoder.decode(line)
    if not isinstance(message, dict):
        raise ValueError("no object")
    return message


def main() -> None:
    """The command target-hubspot-calls."""
    TargetHubspotCalls.cli()


if __name__ == "__main__":
    main()
