"""The target's settings as one frozen object, checked whole at the door.

Pure: built from a Singer config by `read_settings`; opens nothing and reads no environment.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import phonenumbers
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic import field_validator as validates

from target_hubspot_calls.addresses import to_base_address, to_safe_address
from target_hubspot_calls.call import Workspace
from target_hubspot_calls.engagement import EngagementType
from target_hubspot_calls.errors import SettingsError


class TargetSettings(BaseModel):
    """Everything the target may be told; the contract's chapter 3 gives names and meanings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data_dir: Path = Path("hubspot-calls-data")
    database_url: str | None = None
    sync_log: Path | None = None
    encryption_keys: SecretStr | None = None
    public_url: str = "http://127.0.0.1:8000"
    client_id: str | None = None
    client_secret: SecretStr | None = None
    hubspot_api_url: str = "https://api.hubapi.com"
    service_key: SecretStr | None = None
    refresh_token: SecretStr | None = None
    user_id: str = Field("default", min_length=1, max_length=200)
    workspace_id: str = Field("default", min_length=1, max_length=200)
    activity_type: Literal["note", "call"] = "note"
    default_region: str = "US"
    ambiguous_contact: Literal["oldest", "recent", "skip"] = "oldest"
    missing_contact: Literal["skip", "create"] = "skip"
    include_transcript: bool = False
    upload_recordings: bool = True
    recording_max_mb: int = Field(100, ge=1, le=2000)
    recording_hosts: tuple[str, ...] = ()
    vapi_api_key: SecretStr | None = None
    vapi_api_url: str = "https://api.vapi.ai"
    requests_per_10_seconds: int = Field(100, ge=1, le=1000)
    searches_per_second: int = Field(4, ge=1, le=50)
    batch_wait_s: float = Field(1.0, ge=0, le=60)

    @validates("public_url")
    @classmethod
    def _plain_url(cls, url: str) -> str:
        return to_base_address(url)

    @validates("hubspot_api_url", "vapi_api_url")
    @classmethod
    def _safe_url(cls, url: str) -> str:
        return to_safe_address(url)

    @validates("default_region")
    @classmethod
    def _known_region(cls, region: str) -> str:
        return to_region(region)

    @model_validator(mode="after")
    def _one_way_in(self) -> TargetSettings:
        if self.service_key and self.refresh_token:
            raise ValueError("set service_key or refresh_token, not both")
        if self.refresh_token and not (self.client_id and self.client_secret):
            raise ValueError("refresh_token needs client_id and client_secret beside it")
        return self

    @property
    def default_workspace(self) -> Workspace:
        """The workspace of records that name none."""
        return Workspace(self.user_id, self.workspace_id)

    @property
    def kind(self) -> EngagementType:
        """What calls become in HubSpot."""
        return EngagementType(self.activity_type)

    @property
    def store_url(self) -> str:
        """SQLAlchemy address of the operational store."""
        return self.database_url or f"sqlite:///{self.data_dir.resolve() / 'store.db'}"

    @property
    def sync_log_path(self) -> Path:
        """The DuckDB file of outcomes."""
        return self.sync_log or self.data_dir / "sync_log.duckdb"

    @property
    def key_file(self) -> Path:
        """Where the encryption key lives when none is given."""
        return self.data_dir / "secret.key"

    def secret(self, name: str) -> str | None:
        """The plain value of a secret setting, None when it is not set."""
        value = getattr(self, name)
        return None if value is None else str(value.get_secret_value())


def to_region(written: str) -> str:
    """The country code in capitals. Raises ValueError where phone numbers know no such country."""
    region = written.upper()
    if region not in phonenumbers.SUPPORTED_REGIONS:
        raise ValueError("must be a two-letter country code such as US or GB")
    return region


def read_settings(config: Mapping[str, Any], *, ignored: frozenset[str]) -> TargetSettings:
    """The settings of a Singer config; `ignored` are the SDK's own names.

    Raises SettingsError listing every fault at once; values are never printed.
    """
    own = {
        name: value
        for name, value in config.items()
        if name not in ignored and value is not None and value != ""
    }
    try:
        return TargetSettings.model_validate(own)
    except ValidationError as err:
        raise SettingsError([_fault(error) for error in err.errors(include_input=False)]) from None


def _fault(error: Any) -> str:
    name = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"{name}: no such setting"
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{name}: {message}" if name else message
