"""The operator's settings, read once at the door into one frozen object.

Knows names, defaults and limits of contract chapter 3; it must not open, create or contact
anything, and no other module of this package reads the environment.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import (
    AfterValidator,
    Field,
    PositiveInt,
    SecretStr,
    ValidationError,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from target_hubspot_calls.errors import SettingsError

PREFIX = "HUBSPOT_CALLS_"
ENV_FILE = ".env"

_TAP_SETTINGS = ("stream_url", "user_id", "workspace_id")
_TARGET_SETTINGS = (
    "database_url",
    "sync_log",
    "encryption_keys",
    "public_url",
    "client_id",
    "client_secret",
    "hubspot_api_url",
    "service_key",
    "user_id",
    "workspace_id",
    "activity_type",
    "default_region",
    "ambiguous_contact",
    "include_transcript",
    "requests_per_10_seconds",
    "searches_per_second",
    "batch_wait_s",
)


def is_loopback(host: str | None) -> bool:
    """True if the host is this machine and no other can mean it."""
    if host is None:
        return False
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _to_base_address(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an address such as https://example.com")
    if parts.query or parts.fragment or parts.username or parts.password:
        raise ValueError("must be a plain address, without credentials, query or fragment")
    return text.rstrip("/")


def _to_safe_address(text: str) -> str:
    address = _to_base_address(text)
    parts = urlsplit(address)
    if parts.scheme != "https" and not is_loopback(parts.hostname):
        raise ValueError("must begin with https:// unless it is on this machine (loopback)")
    return address


def _to_stream_url(text: str) -> str:
    if urlsplit(text).scheme not in ("file", "nats"):
        raise ValueError("must begin with file: or nats://")
    return text


def _to_database_url(text: str) -> str:
    if urlsplit(text).scheme.split("+")[0] not in ("sqlite", "postgresql"):
        raise ValueError("must begin with sqlite:/// or postgresql://")
    return text


def _to_region(text: str) -> str:
    if not re.fullmatch("[A-Z]{2}", text):
        raise ValueError("must be the two capital letters of a country, such as US")
    return text


def _to_absolute(path: Path) -> Path:
    return Path(os.path.abspath(path.expanduser()))  # noqa: PTH100 - resolve() would follow links


BaseAddress = Annotated[str, AfterValidator(_to_base_address)]
SafeAddress = Annotated[str, AfterValidator(_to_safe_address)]
AbsolutePath = Annotated[Path, AfterValidator(_to_absolute)]


class Settings(BaseSettings):
    """Every setting of one start of `hubspot-calls`; None means the room's own default."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", case_sensitive=True)

    data_dir: AbsolutePath = Field(
        default_factory=lambda: _to_absolute(Path("hubspot-calls-data")),
        validation_alias="HUBSPOT_CALLS_DATA_DIR",
    )
    stream_url: Annotated[str, AfterValidator(_to_stream_url)] = Field(
        default_factory=lambda found: f"file:{found['data_dir']}/stream",
        validation_alias="HUBSPOT_CALLS_STREAM_URL",
    )
    database_url: Annotated[SecretStr, AfterValidator(lambda s: _checked(s, _to_database_url))] = (
        Field(
            default_factory=lambda found: SecretStr(f"sqlite:///{found['data_dir']}/store.db"),
            validation_alias="HUBSPOT_CALLS_DATABASE_URL",
        )
    )
    sync_log: AbsolutePath = Field(
        default_factory=lambda found: found["data_dir"] / "sync_log.duckdb",
        validation_alias="HUBSPOT_CALLS_SYNC_LOG",
    )
    encryption_keys: SecretStr | None = Field(
        None, validation_alias="HUBSPOT_CALLS_ENCRYPTION_KEYS"
    )
    public_url: BaseAddress = Field(
        "http://127.0.0.1:8000", validation_alias="HUBSPOT_CALLS_PUBLIC_URL"
    )

    client_id: str | None = Field(None, validation_alias="HUBSPOT_CLIENT_ID")
    client_secret: SecretStr | None = Field(None, validation_alias="HUBSPOT_CLIENT_SECRET")
    redirect_uri: SafeAddress | None = Field(None, validation_alias="HUBSPOT_REDIRECT_URI")
    hubspot_api_url: SafeAddress = Field(
        "https://api.hubapi.com", validation_alias="HUBSPOT_API_URL"
    )
    hubspot_app_url: SafeAddress = Field(
        "https://app.hubspot.com", validation_alias="HUBSPOT_APP_URL"
    )
    service_key: SecretStr | None = Field(None, validation_alias="HUBSPOT_SERVICE_KEY")
    vapi_api_key: SecretStr | None = Field(None, validation_alias="VAPI_API_KEY")
    vapi_api_url: SafeAddress = Field("https://api.vapi.ai", validation_alias="VAPI_API_URL")

    user_id: str = Field("default", min_length=1, validation_alias="HUBSPOT_CALLS_USER_ID")
    workspace_id: str = Field(
        "default", min_length=1, validation_alias="HUBSPOT_CALLS_WORKSPACE_ID"
    )
    activity_type: Literal["note", "call"] | None = Field(
        None, validation_alias="HUBSPOT_CALLS_ACTIVITY_TYPE"
    )
    default_region: Annotated[str, AfterValidator(_to_region)] | None = Field(
        None, validation_alias="HUBSPOT_CALLS_DEFAULT_REGION"
    )
    ambiguous_contact: Literal["oldest", "recent", "skip"] | None = Field(
        None, validation_alias="HUBSPOT_CALLS_AMBIGUOUS_CONTACT"
    )
    include_transcript: bool | None = Field(
        None, validation_alias="HUBSPOT_CALLS_INCLUDE_TRANSCRIPT"
    )
    requests_per_10_seconds: PositiveInt | None = Field(
        None, validation_alias="HUBSPOT_CALLS_REQUESTS_PER_10_SECONDS"
    )
    searches_per_second: PositiveInt | None = Field(
        None, validation_alias="HUBSPOT_CALLS_SEARCHES_PER_SECOND"
    )
    batch_wait_s: float | None = Field(None, ge=0, validation_alias="HUBSPOT_CALLS_BATCH_WAIT_S")

    log_format: Literal["plain", "json"] = Field(
        "plain", validation_alias="HUBSPOT_CALLS_LOG_FORMAT"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", validation_alias="HUBSPOT_CALLS_LOG_LEVEL"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `settings_from` is given counts, so a demo cannot catch a stray variable."""
        return (init_settings,)

    @property
    def key_file(self) -> Path:
        """Where the encryption key lives that is made at first use."""
        return self.data_dir / "secret.key"

    def tap_config(self, *, follow: bool) -> dict[str, Any]:
        """The Singer config of tap-vapi; with `follow` it goes on reading as calls arrive."""
        return {
            **self._singer_values(*_TAP_SETTINGS),
            "follow": follow,
            # Its own name, so that a Meltano project on the same stream keeps its own place.
            "reader_name": "hubspot-calls",
        }

    def target_config(self) -> dict[str, Any]:
        """The Singer config of target-hubspot-calls."""
        return self._singer_values(*_TARGET_SETTINGS)

    def _singer_values(self, *names: str) -> dict[str, Any]:
        values = {name: getattr(self, name) for name in ("data_dir", *names)}
        return {name: _to_wire(value) for name, value in values.items() if value is not None}

    @property
    def encryption_key_list(self) -> str | None:
        """The comma list of encryption keys, newest first; None when the key file serves."""
        return self.encryption_keys.get_secret_value() if self.encryption_keys else None


def _to_wire(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, Path):
        return str(value)
    return value


def _checked(secret: SecretStr, check: Any) -> SecretStr:
    check(secret.get_secret_value())
    return secret


def variable_names() -> list[str]:
    """Every environment variable that is read, in the order of the contract's table."""
    return [str(field.validation_alias) for field in Settings.model_fields.values()]


def settings_from(variables: Mapping[str, str]) -> Settings:
    """Settings of these environment variables alone. Raises SettingsError with every fault."""
    known = set(variable_names())
    faults = [
        _unknown(name, known) for name in variables if name.startswith(PREFIX) and name not in known
    ]
    # An empty value is how env files spell "not set".
    given: dict[str, Any] = {
        name: value for name, value in variables.items() if name in known and value.strip()
    }
    if ("HUBSPOT_CLIENT_ID" in given) != ("HUBSPOT_CLIENT_SECRET" in given):
        faults.append("HUBSPOT_CLIENT_ID and HUBSPOT_CLIENT_SECRET must be set both, or neither")
    try:
        settings = Settings(**given)
    except ValidationError as err:
        faults += _read_faults(err)
        raise SettingsError(faults) from None
    if faults:
        raise SettingsError(faults)
    return settings


def load_settings(directory: Path | None = None) -> Settings:
    """Settings of the environment and of `.env` in `directory`, the environment winning.

    Raises SettingsError with every fault.
    """
    env_file = (directory or Path.cwd()) / ENV_FILE
    try:
        written = {k: v for k, v in dotenv_values(env_file).items() if v is not None}
    except (OSError, UnicodeDecodeError) as err:
        raise SettingsError([f"{env_file} cannot be read ({err})"]) from err
    return settings_from({**written, **os.environ})


def _unknown(name: str, known: set[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"{name} is no setting" + (f"; did you mean {near[0]}?" if near else "")


def _read_faults(err: ValidationError) -> list[str]:
    """One sentence a fault, naming the variable and never the value: it may be a secret."""
    faults = []
    for fault in err.errors(include_url=False, include_input=False, include_context=False):
        if fault["type"] == "default_factory_not_called":
            continue
        text = fault["msg"].removeprefix("Value error, ").replace("Input should", "must", 1)
        faults.append(f"{fault['loc'][0]} {text}")
    return faults
