"""`tap-vapi`: the settings table, the list of streams, and how a run begins and ends.

Knows Singer; it must not know what a call record holds or where the call stream keeps it.
"""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Mapping
from types import FrameType
from typing import Any, ClassVar, NoReturn

from click import Context, Option
from simplejson import JSONDecodeError  # type: ignore[import-untyped]
from singer_sdk import Tap
from singer_sdk import typing as th
from singer_sdk.configuration._dict_config import parse_environment_config
from singer_sdk.exceptions import ConfigValidationError
from singer_sdk.helpers._classproperty import classproperty
from singer_sdk.helpers.capabilities import (
    CapabilitiesEnum,
    PluginCapabilities,
    TapCapabilities,
)
from singer_sdk.plugin_base import JSONSchemaValidator

from call_stream.stream import StreamError, open_reader
from call_stream.values import to_moment
from tap_vapi.output import SingerLines
from tap_vapi.streams import API, STREAM, CallsStream
from tap_vapi.vapi import VAPI_API_URL, faults_of_address, is_key

READER_NAME = "^[A-Za-z0-9_-]{1,64}$"


class TapVapi(Tap):
    """Calls of VAPI voice agents: from the call stream of the webhook receiver, and VAPI's API."""

    name = "tap-vapi"
    package_name = "target-hubspot-calls"
    message_writer_class = SingerLines
    capabilities: ClassVar[list[CapabilitiesEnum]] = [
        TapCapabilities.CATALOG,
        TapCapabilities.STATE,
        TapCapabilities.DISCOVER,
        PluginCapabilities.ABOUT,
        PluginCapabilities.STREAM_MAPS,
        PluginCapabilities.FLATTENING,
        PluginCapabilities.STRUCTURED_LOGGING,
    ]
    config_jsonschema: ClassVar[dict[str, Any]] = th.PropertiesList(
        th.Property(
            "data_dir",
            th.StringType,
            title="Data directory",
            default="./hubspot-calls-data",
            description="Where the receiver keeps its data; the call stream lies in `stream`.",
        ),
        th.Property(
            "stream_url",
            th.StringType,
            secret=True,
            title="Call stream",
            description=(
                "The call stream, `file:FOLDER` or `nats://HOST:PORT/STREAM`; the folder `stream`"
                " of data_dir if not set."
            ),
        ),
        th.Property(
            "sources",
            th.ArrayType(th.StringType(allowed_values=[STREAM, API])),
            title="Sources",
            description=(
                "Which doors to read, a list of `stream`, the call stream, and `api`, VAPI's REST"
                " API. The call stream if not set, and the API too when vapi_api_key is set."
            ),
        ),
        th.Property(
            "vapi_api_key",
            th.StringType,
            secret=True,
            title="VAPI private key",
            description="Opens VAPI's REST API, for calls whose report got lost and for past ones.",
        ),
        th.Property(
            "vapi_api_url",
            th.StringType,
            title="VAPI API URL",
            default=VAPI_API_URL,
            description="Base address of VAPI's API; https unless it is this machine.",
        ),
        th.Property(
            "start_date",
            th.DateTimeType,
            title="Start date",
            description=(
                "The API is read from here on, by when calls changed last; 14 days back if not"
                " set. A bookmark goes on from where it is."
            ),
        ),
        th.Property(
            "end_date",
            th.DateTimeType,
            title="End date",
            description="The API is read up to here; up to now if not set.",
        ),
        th.Property(
            "follow",
            th.BooleanType,
            title="Follow",
            default=False,
            description="Keep reading as calls arrive, until terminated.",
        ),
        th.Property(
            "reader_name",
            th.StringType(pattern=READER_NAME),
            title="Reader name",
            default="tap-vapi",
            description="Name under which the call stream notes what this tap has finished with.",
        ),
        th.Property(
            "user_id",
            th.StringType(min_length=1, max_length=200),
            title="User id",
            default="default",
            description="User of records that name none.",
        ),
        th.Property(
            "workspace_id",
            th.StringType(min_length=1, max_length=200),
            title="Workspace id",
            default="default",
            description="Workspace of records that name none.",
        ),
        additional_properties=False,
    ).to_dict()

    stopping: bool = False
    """Set by the first SIGTERM or SIGINT: the streams end at the next whole record."""

    @property
    def sources(self) -> list[str]:
        """The doors to read, each once."""
        return list(dict.fromkeys(sources_of(self.config)))

    def discover_streams(self) -> list[CallsStream]:
        """The one stream, whatever its doors."""
        return [CallsStream(self)]

    def load_state(self, state: Any) -> None:
        """Takes the bookmarks of an earlier run. Raises ConfigValidationError if they are none."""
        try:
            super().load_state(state)
        except (AttributeError, TypeError, KeyError) as err:
            raise _refused(["state: not a Singer state"]) from err

    def _validate_config(self, *, raise_errors: bool = True) -> list[str]:
        """All faults of the settings, each with the setting's name and never with its value."""
        set_values = {name: value for name, value in self._config.items() if not _unset(value)}
        self._config = set_values
        self.append_builtin_config(self.config_jsonschema)
        validator = JSONSchemaValidator(self.config_jsonschema)
        faults = [fault for error in validator.iter_errors(set_values) for fault in _faults(error)]
        if set_values.get("sources") == []:
            faults.append("sources: must name at least one source")
        faults += _faults_of_api(set_values)
        if isinstance(url := set_values.get("stream_url"), str):
            try:
                open_reader(url)
            except StreamError as err:
                faults.append(f"stream_url: {err}")
        if faults and raise_errors:
            raise _refused(faults)
        return faults

    @classmethod
    def invoke(cls, **options: Any) -> None:
        """Runs the tap; settings that are wrong are one line on stderr that names every fault."""
        try:
            super().invoke(**options)
            return
        except ConfigValidationError as err:
            fault = f"The settings are wrong. {'; '.join(err.errors)}"
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
        try:
            return parse_environment_config(schema, cls._env_var_prefix)
        except ValueError:
            variables = f"{cls._env_var_prefix}..."
            raise _refused([f"{variables}: a whole number or JSON is due in one of them"]) from None

    def _handle_termination(self, signum: int, frame: FrameType | None) -> None:
        """Lets the run end after the record it is writing; the same signal again ends it at once.

        The SDK's own way writes STATE from inside the handler, into the middle of a line.
        """
        self.stopping = True
        signal.signal(signum, signal.SIG_DFL)


def main() -> None:
    """Runs the command; a user's mistake is one line on stderr and no traceback."""
    try:
        TapVapi.cli()
    except JSONDecodeError as err:
        _complain(f"A file given with --config, --catalog or --state is not JSON: {err}")
    except (FileNotFoundError, IsADirectoryError, PermissionError) as err:
        _complain(f"A file given with --config, --catalog or --state cannot be read: {err}")
    except OSError as err:
        _complain(f"The records cannot be written: {err.strerror}")
    except ConfigValidationError as err:
        _complain(f"The settings are wrong. {'; '.join(err.errors)}")


def _complain(sentence: str) -> NoReturn:
    logging.getLogger(TapVapi.name).error(sentence)
    sys.exit(1)


def sources_of(settings: Mapping[str, Any]) -> list[str]:
    """The doors that the settings open."""
    chosen: list[str] | None = settings.get("sources")
    if chosen is not None:
        return chosen
    return [STREAM, API] if settings.get("vapi_api_key") else [STREAM]


def _faults_of_api(settings: Mapping[str, Any]) -> list[str]:
    """What is wrong with the settings of VAPI's API, as far as each is of the right type."""
    faults = []
    key, url, sources = (settings.get(n) for n in ("vapi_api_key", "vapi_api_url", "sources"))
    if isinstance(sources, list) and API in sources and not key:
        faults.append("vapi_api_key: must be set to read the source api")
    if isinstance(key, str) and not is_key(key):
        faults.append("vapi_api_key: must be one word of plain characters")
    if isinstance(url, str):
        faults += [f"vapi_api_url: {fault}" for fault in faults_of_address(url)]
    moments = {}
    for name in ("start_date", "end_date"):
        written = settings.get(name)
        if isinstance(written, str):
            moments[name] = to_moment(written)
            if moments[name] is None:
                faults.append(f"{name}: must be a time such as 2026-11-01T00:00:00Z")
    start, end = moments.get("start_date"), moments.get("end_date")
    if start and end and start >= end:
        faults.append("end_date: must be after start_date")
    return faults


def _unset(value: object) -> bool:
    return value is None or value == ""


def _refused(faults: list[str]) -> ConfigValidationError:
    return ConfigValidationError(
        "The settings are wrong.", errors=faults, schema=TapVapi.config_jsonschema
    )


def _faults(error: Any) -> list[str]:
    """What is wrong, in the words of the rule that was broken."""
    name = str(error.path[0]) if error.path else ""
    if error.validator == "additionalProperties":
        known: Mapping[str, Any] = error.schema["properties"]
        return [f"{unknown}: no such setting" for unknown in sorted(set(error.instance) - {*known})]
    if error.validator == "type":
        kinds = error.validator_value
        kinds = kinds if isinstance(kinds, list) else [kinds]
        return [f"{name}: must be {' or '.join(kind for kind in kinds if kind != 'null')}"]
    if error.validator == "enum":
        choices = (choice for choice in error.validator_value if choice is not None)
        return [f"{name}: only {', '.join(map(repr, choices))} can be read"]
    return [f"{name}: breaks the rule {error.validator} {error.validator_value}"]


if __name__ == "__main__":
    main()
