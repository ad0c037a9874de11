"""The Singer target: its life from first message to last STATE.

Overrides what the SDK (0.54) does with STATE and signals, because there it emits STATE only at the
end and loses records on SIGTERM in a batch (meltano/sdk#3775).
"""

from __future__ import annotations

import contextlib
import json
import logging
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from types import FrameType
from typing import IO, Any, ClassVar, NoReturn

from click import Context, Option
from simplejson import JSONDecodeError  # type: ignore[import-untyped]
from singer_sdk import Target
from singer_sdk.contrib.msgspec import MsgSpecReader, decoder
from singer_sdk.exceptions import (
    ConfigValidationError,
    MapExpressionError,
    StreamMapConfigError,
)
from singer_sdk.helpers._classproperty import classproperty
from singer_sdk.helpers.capabilities import PluginCapabilities
from singer_sdk.singerlib.exceptions import InvalidInputLine
from singer_sdk.typing import DEFAULT_JSONSCHEMA_VALIDATOR

from target_hubspot_calls.delivery.run import Run
from target_hubspot_calls.environment import load_environment
from target_hubspot_calls.errors import CallSyncError, SettingsError
from target_hubspot_calls.settings import TargetSettings, read_settings
from target_hubspot_calls.settings_table import SETTINGS
from target_hubspot_calls.sinks import CallsSink
from target_hubspot_calls.stream_maps import forgive_odd_values

# Meltano spends about 16 ms on each STATE line; more than one a second only slows it down.
STATE_EVERY_S = 1.0
# The whole end after a signal takes less than 10 s, the time process managers usually give.
STOP_WITHIN_S = 8.0
WRONG_MAPS = (StreamMapConfigError, MapExpressionError)


class QuietReader(MsgSpecReader):
    """Reads Singer lines; a line it cannot read is never printed, as it may hold a transcript."""

    on_begin: Callable[[], None] | None = None
    """Called before the first line is waited for."""
    on_unfit: Callable[[], None] | None = None
    """Called when a line, or what the stream maps make of it, ends the reading."""

    def process_lines(
        self, file_input: IO[str] | None, callbacks: dict[str, Callable[[dict[str, Any]], None]]
    ) -> Counter[str]:
        """How many messages of each type there were, once all are handled."""
        if self.on_begin is not None:
            self.on_begin()
        try:
            return super().process_lines(file_input, callbacks)
        except (InvalidInputLine, *WRONG_MAPS):
            if self.on_unfit is not None:
                self.on_unfit()
            raise

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

    config_jsonschema: ClassVar[dict[str, Any]] = SETTINGS
    settings: TargetSettings

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._max_parallelism = 1
        self._run: Run | None = None
        self._emitted_state: str | None = None
        self._emitted_at = float("-inf")
        # A handler of signals never finds it taken by its own thread: that one is busy then.
        self._emitting = threading.Lock()
        self._held_back: dict[str, Any] | None = None
        self._timer: threading.Timer | None = None
        self._busy = False
        self._signal: int | None = None
        if isinstance(self.message_reader, QuietReader):
            self.message_reader.on_begin = self._begin
            self.message_reader.on_unfit = self._end_unread

    def _validate_config(self, *, raise_errors: bool = True) -> list[str]:
        """No faults; reads the settings. Raises ConfigValidationError, which prints no value.

        A target without settings could do nothing, so it is refused whatever `raise_errors` says.
        """
        faults = self._faults_of_the_sdk()
        try:
            self.settings = read_settings(self._config, ignored=self._names_of_the_sdk())
        except SettingsError as err:
            faults = [*err.faults, *faults]
        if faults:
            raise _refused(faults)
        return []

    def _faults_of_the_sdk(self) -> list[str]:
        """What is wrong with the settings that the SDK reads, and no word of their values."""
        faults = []
        for name, rule in self._settings_of_the_sdk().items():
            kinds = {"type": rule["type"]}
            if not DEFAULT_JSONSCHEMA_VALIDATOR(kinds).is_valid(self._config.get(name)):
                faults.append(f"{name}: must be {kinds['type'][0]}")
        return faults

    @property
    def run(self) -> Run:
        """The run that takes the calls over, begun at first use."""
        if self._run is None:
            self._run = Run(self.settings, on_death=self._end_without_delivery)
            self.logger.info("run %s begins", self._run.run_id)
        return self._run

    def _begin(self) -> None:
        """Begins to deliver what is due, also where no record ever comes.

        Of several hosts' targets one at a time is given records, and each delivers.
        """
        with self._uninterrupted():
            _ = self.run

    def _end_unread(self) -> None:
        """Ends delivery in order; what was read since the last batch is read again."""
        if self._run is not None and self._run.stop(STOP_WITHIN_S):
            self._run.close()

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

    def _process_schema_message(self, message_dict: dict[str, Any]) -> None:
        try:
            super()._process_schema_message(message_dict)
        except NotImplementedError as err:
            raise StreamMapConfigError(*err.args) from err
        forgive_odd_values(self.mapper.stream_maps[message_dict["stream"]])

    def _process_record_message(self, message_dict: dict[str, Any]) -> None:
        with self._uninterrupted():
            super()._process_record_message(message_dict)

    def _process_state_message(self, message_dict: dict[str, Any]) -> None:
        # A tap's STATE is also the tick at which a small batch is handed over.
        with self._uninterrupted():
            super()._process_state_message(message_dict)
            self._drain_sinks()
            if self._latest_state:
                self._pass_on(self._latest_state)

    def _drain_sinks(self) -> None:
        for sink in (*self._sinks_to_clear, *self._sinks_active.values()):
            self.drain_one(sink)

    def _pass_on(self, state: dict[str, Any]) -> None:
        """Emits the STATE, or has it emitted when it is time to, unless a newer one is by then.

        A following tap writes nothing after the last one of a burst.
        """
        wait_s = self._emitted_at + STATE_EVERY_S - time.monotonic()
        if wait_s <= 0:
            self._write_state_message(state)
            return
        with self._emitting:
            self._held_back = state
            if self._timer is None:
                self._timer = threading.Timer(wait_s, self._write_what_was_held_back)
                self._timer.daemon = True
                self._timer.start()

    def _write_what_was_held_back(self) -> None:
        with self._emitting:
            self._timer = None
            if self._held_back is not None:
                self._emit(self._held_back)

    def _write_state_message(self, state: dict[str, Any]) -> None:
        """Emits the STATE; every record before it is in the ledger by now."""
        with self._emitting:
            self._emit(state)

    def _emit(self, state: dict[str, Any]) -> None:
        self._held_back = None
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

    def _end_without_delivery(self) -> None:
        """Wakes the thread that reads: while nothing comes in it would not notice for long."""
        if not self._is_finishing():
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)

    def _is_finishing(self) -> bool:
        return self._run is not None and self._run.is_finishing

    def _shut_down(self, signum: int) -> None:
        """Accepts what was read, emits its STATE, ends delivery cleanly and exits.

        Raises what delivery has died of, if it has: what was read is read again.
        """
        self._busy = True
        if self._run is not None:
            self._run.check()
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
            return
        except ConfigValidationError as err:
            fault = f"The settings are wrong. {'; '.join(err.errors)}"
        except SettingsError as err:
            fault = f"The settings are wrong. {err}"
        except WRONG_MAPS as err:
            fault = f"The setting stream_maps is wrong. {err}"
        except (CallSyncError, InvalidInputLine) as err:
            fault = str(err)
        # Out of the handlers: while an error holds the target, DuckDB complains of it at the exit.
        _complain(fault)

    @classmethod
    def cb_config(cls, ctx: Context, param: Option, value: tuple[str, ...]) -> Any:
        """What `--config` names, read. Raises what `main` knows to put into words."""
        try:
            return super().cb_config(ctx, param, value)
        except JSONDecodeError:
            raise
        except (TypeError, ValueError):
            _complain("A file given with --config holds no JSON object.")

    @classproperty
    def _env_var_config(cls) -> dict[str, Any]:  # noqa: N805
        schema = {"properties": dict(cls.config_jsonschema["properties"])}
        cls.append_builtin_config(schema)
        return load_environment(schema["properties"], cls._env_var_prefix)

    @classmethod
    def _settings_of_the_sdk(cls) -> dict[str, Any]:
        schema: dict[str, Any] = {"properties": {}}
        cls.append_builtin_config(schema)
        own = TargetSettings.model_fields
        return {name: rule for name, rule in schema["properties"].items() if name not in own}

    @classmethod
    def _names_of_the_sdk(cls) -> frozenset[str]:
        return frozenset(cls._settings_of_the_sdk())


def _refused(faults: list[str]) -> ConfigValidationError:
    return ConfigValidationError("The settings are wrong.", errors=faults, schema=SETTINGS)


def _read_message(line: str) -> dict[str, Any]:
    message = decoder.decode(line)
    if not isinstance(message, dict):
        raise ValueError("no object")
    return message


def _complain(sentence: str) -> NoReturn:
    TargetHubspotCalls.logger.error("%s", sentence)
    sys.exit(1)


def main() -> None:
    """The command target-hubspot-calls; a user's mistake is one line on stderr, no traceback."""
    # At INFO it names each part of itself whenever a store is opened.
    logging.getLogger("alembic.runtime.plugins").setLevel(logging.WARNING)
    try:
        TargetHubspotCalls.cli()
    except JSONDecodeError as err:
        _complain(f"A file given with --config is not JSON: {err}")
    except (FileNotFoundError, IsADirectoryError, PermissionError) as err:
        _complain(f"A file given with --config or --input cannot be read: {err}")


if __name__ == "__main__":
    main()
