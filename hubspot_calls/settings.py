"""The operator's settings, read once at the door into one frozen object.

Knows names, defaults and limits of contract chapter 3; it must not open, create or contact
anything, and no other module of this package reads the environment.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
)
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from call_stream.jetstream_url import SCHEMES, parse_jetstream_url
from call_stream.stream import UnsupportedStreamUrl
from hubspot_calls.env_file import read_env_file
from target_hubspot_calls.addresses import to_base_address, to_origin, to_safe_address
from target_hubspot_calls.errors import SettingsError

PREFIX = "HUBSPOT_CALLS_"
ENV_FILE = ".env"
# Its own name, so that a Meltano project on the same stream keeps its own place there.
READER_NAME = "hubspot-calls"

_TAP_SETTINGS = ("stream_url", "vapi_api_key", "vapi_api_url", "user_id", "workspace_id")
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
    "missing_contact",
    "include_transcript",
    "upload_recordings",
    "recording_max_mb",
    "recording_hosts",
    "vapi_api_key",
    "vapi_api_url",
    "requests_per_10_seconds",
    "searches_per_second",
    "batch_wait_s",
)


def _to_stream_url(text: str) -> str:
    scheme = text.partition(":")[0].lower()
    if scheme in SCHEMES:
        try:
            parse_jetstream_url(text)
        except UnsupportedStreamUrl as err:
            raise ValueError(f"is refused: {str(err).rstrip('.')}") from None
    elif scheme != "file":
        raise ValueError("must begin with file: or nats://")
    return text


def _to_database_url(text: str) -> str:
    # Read by hand: what a parser finds wrong with an address it may say with the password in it.
    if text.partition(":")[0].lower().partition("+")[0] not in ("sqlite", "postgresql"):
        raise ValueError("must begin with sqlite:/// or postgresql://")
    return text


def _check_keys(text: str) -> None:
    # Imported when asked for: most installations have a key file, and no need of this.
    from target_hubspot_calls.store.vault import Vault

    try:
        Vault(text.split(","))
    except SettingsError as err:
        raise ValueError(f"is no comma list of keys: {'; '.join(err.faults)}") from None


def _to_region(text: str) -> str:
    # Imported when asked for: the target's settings know every country of the world.
    from target_hubspot_calls.settings import to_region

    return to_region(text)


def _to_list(written: object) -> object:
    if not isinstance(written, str):
        return written
    return tuple(item.strip() for item in written.split(",") if item.strip())


def _to_absolute(path: Path) -> Path:
    return Path(os.path.abspath(path.expanduser()))  # noqa: PTH100 - resolve() would follow links


def _check_networks(written: tuple[str, ...]) -> tuple[str, ...]:
    for one in written:
        try:
            ipaddress.ip_network(one, strict=False)
        except ValueError:
            raise ValueError("must be a comma list of addresses or networks") from None
    return written


def _to_long_secret(secret: SecretStr) -> SecretStr:
    # Shorter ones can be guessed from one token (RFC 7518, 3.2).
    if len(secret.get_secret_value().encode()) < 32:
        raise ValueError("must have 32 bytes or more")
    return secret


CommaList = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_to_list)]
BaseAddress = Annotated[str, AfterValidator(to_base_address)]
SafeAddress = Annotated[str, AfterValidator(to_safe_address)]
OriginList = Annotated[
    tuple[Annotated[str, AfterValidator(to_origin)], ...], NoDecode, BeforeValidator(_to_list)
]
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
        repr=False,  # of a network it may hold a password
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
    encryption_keys: (
        Annotated[SecretStr, AfterValidator(lambda s: _checked(s, _check_keys))] | None
    ) = Field(None, validation_alias="HUBSPOT_CALLS_ENCRYPTION_KEYS")
    public_url: BaseAddress = Field(
        "http://127.0.0.1:8000", validation_alias="HUBSPOT_CALLS_PUBLIC_URL"
    )

    page_url: BaseAddress | None = Field(None, validation_alias="HUBSPOT_CALLS_PAGE_URL")

    session_idle_hours: float = Field(
        12.0, gt=0, le=720, validation_alias="HUBSPOT_CALLS_SESSION_IDLE_HOURS"
    )
    session_days: float = Field(7.0, gt=0, le=90, validation_alias="HUBSPOT_CALLS_SESSION_DAYS")
    trusted_proxies: Annotated[CommaList, AfterValidator(_check_networks)] | None = Field(
        None, validation_alias="HUBSPOT_CALLS_TRUSTED_PROXIES"
    )
    jwt_jwks_url: SafeAddress | None = Field(None, validation_alias="HUBSPOT_CALLS_JWT_JWKS_URL")
    jwt_secret: Annotated[SecretStr, AfterValidator(_to_long_secret)] | None = Field(
        None, validation_alias="HUBSPOT_CALLS_JWT_SECRET"
    )
    jwt_issuer: str | None = Field(None, validation_alias="HUBSPOT_CALLS_JWT_ISSUER")
    jwt_audience: str | None = Field(None, validation_alias="HUBSPOT_CALLS_JWT_AUDIENCE")
    jwt_user_claim: str = Field("sub", validation_alias="HUBSPOT_CALLS_JWT_USER_CLAIM")
    jwt_workspace_claim: str = Field(
        "workspace_id", validation_alias="HUBSPOT_CALLS_JWT_WORKSPACE_CLAIM"
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

    user_id: str = Field(
        "default", min_length=1, max_length=200, validation_alias="HUBSPOT_CALLS_USER_ID"
    )
    workspace_id: str = Field(
        "default", min_length=1, max_length=200, validation_alias="HUBSPOT_CALLS_WORKSPACE_ID"
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
    missing_contact: Literal["skip", "create"] | None = Field(
        None, validation_alias="HUBSPOT_CALLS_MISSING_CONTACT"
    )
    upload_recordings: bool | None = Field(None, validation_alias="HUBSPOT_CALLS_UPLOAD_RECORDINGS")
    recording_max_mb: int | None = Field(
        None, ge=1, le=2000, validation_alias="HUBSPOT_CALLS_RECORDING_MAX_MB"
    )
    recording_hosts: CommaList | None = Field(
        None, validation_alias="HUBSPOT_CALLS_RECORDING_HOSTS"
    )
    stream_retention_days: float | None = Field(
        None, gt=0, validation_alias="HUBSPOT_CALLS_STREAM_RETENTION_DAYS"
    )
    keep_raw_reports_days: float | None = Field(
        None, gt=0, le=3650, validation_alias="HUBSPOT_CALLS_KEEP_RAW_REPORTS_DAYS"
    )
    include_transcript: bool | None = Field(
        None, validation_alias="HUBSPOT_CALLS_INCLUDE_TRANSCRIPT"
    )
    requests_per_10_seconds: int | None = Field(
        None, ge=1, le=1000, validation_alias="HUBSPOT_CALLS_REQUESTS_PER_10_SECONDS"
    )
    searches_per_second: int | None = Field(
        None, ge=1, le=50, validation_alias="HUBSPOT_CALLS_SEARCHES_PER_SECOND"
    )
    batch_wait_s: float | None = Field(
        None, ge=0, le=60, validation_alias="HUBSPOT_CALLS_BATCH_WAIT_S"
    )

    allowed_origins: OriginList | None = Field(
        None, validation_alias="HUBSPOT_CALLS_ALLOWED_ORIGINS"
    )
    metrics_token: Annotated[SecretStr, Field(min_length=16)] | None = Field(
        None, validation_alias="HUBSPOT_CALLS_METRICS_TOKEN"
    )
    max_connections: int = Field(
        1024, ge=16, le=100_000, validation_alias="HUBSPOT_CALLS_MAX_CONNECTIONS"
    )
    max_connections_per_address: int | None = Field(
        None, ge=1, validation_alias="HUBSPOT_CALLS_MAX_CONNECTIONS_PER_ADDRESS"
    )

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

    @property
    def raw_reports_dir(self) -> Path:
        """Where raw reports are kept for support, where they are."""
        return self.data_dir / "raw_reports"

    def tap_config(self, *, follow: bool) -> dict[str, Any]:
        """The Singer config of tap-vapi; with `follow` it goes on reading as calls arrive."""
        return {
            **self._singer_values(*_TAP_SETTINGS),
            "follow": follow,
            "reader_name": READER_NAME,
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
    return list(value) if isinstance(value, tuple) else value


def _checked(secret: SecretStr, check: Any) -> SecretStr:
    check(secret.get_secret_value())
    return secret


def variable_names() -> list[str]:
    """Every environment variable that is read, in the order of the contract's table."""
    return [str(field.validation_alias) for field in Settings.model_fields.values()]


def settings_from(variables: Mapping[str, str], faults: Sequence[str] = ()) -> Settings:
    """Settings of these environment variables alone.

    Raises SettingsError with every fault, those found before among them.
    """
    known = set(variable_names())
    faults = list(faults) + [
        _unknown(name, known) for name in variables if name.startswith(PREFIX) and name not in known
    ]
    # An empty value is how env files spell "not set".
    given: dict[str, Any] = {
        name: value for name, value in variables.items() if name in known and value.strip()
    }
    if ("HUBSPOT_CLIENT_ID" in given) != ("HUBSPOT_CLIENT_SECRET" in given):
        faults.append("HUBSPOT_CLIENT_ID and HUBSPOT_CLIENT_SECRET must be set both, or neither")
    faults += _token_faults(given)
    per_address = "HUBSPOT_CALLS_MAX_CONNECTIONS_PER_ADDRESS"
    if per_address in given and "HUBSPOT_CALLS_TRUSTED_PROXIES" in given:
        faults.append(f"{per_address} would count the proxy's connections; leave it to the proxy")
    try:
        settings = Settings(**given)
    except ValidationError as err:
        faults += _read_faults(err)
        raise SettingsError(faults) from None
    if faults:
        raise SettingsError(faults)
    return settings


def _token_faults(given: Mapping[str, str]) -> list[str]:
    """What is wrong with the ways in which tokens of an embedding product are checked."""
    faults = []
    if "HUBSPOT_CALLS_JWT_JWKS_URL" in given:
        if "HUBSPOT_CALLS_JWT_SECRET" in given:
            faults.append("set HUBSPOT_CALLS_JWT_JWKS_URL or HUBSPOT_CALLS_JWT_SECRET, not both")
        # One who issues tokens does so for many programs; a secret is shared with us alone.
        if not given.keys() & {"HUBSPOT_CALLS_JWT_ISSUER", "HUBSPOT_CALLS_JWT_AUDIENCE"}:
            faults.append(
                "HUBSPOT_CALLS_JWT_JWKS_URL alone would open for every token of that key set, also"
                " those made for other programs: set HUBSPOT_CALLS_JWT_AUDIENCE to what `aud` of"
                " tokens made for this one says, or at least HUBSPOT_CALLS_JWT_ISSUER to what"
                " `iss` says"
            )
    return faults


def load_settings(directory: Path | None = None) -> Settings:
    """Settings of the environment and of `.env` in `directory`, the environment winning.

    Raises SettingsError with every fault.
    """
    path = (directory or Path.cwd()) / ENV_FILE
    file = read_env_file(path, prefix=PREFIX, known=variable_names())
    return settings_from({**file.variables, **os.environ}, file.faults)


def strangers_in_env_file(directory: Path | None = None) -> list[str]:
    """A sentence for each name in `.env` that looks like one of ours and is not read."""
    path = (directory or Path.cwd()) / ENV_FILE
    return read_env_file(path, prefix=PREFIX, known=variable_names()).strangers


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
