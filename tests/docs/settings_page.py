"""Writes docs/settings.md from what command, tap and target say of their settings.

Run it after a change of a setting: `python -m tests.docs.settings_page`. What a setting is for is
said here where the code has no words for it; its name, default and secrecy never are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

from hubspot_calls.settings import Settings
from tap_vapi.tap import TapVapi
from target_hubspot_calls.settings import TargetSettings
from target_hubspot_calls.settings_table import SETTINGS
from target_hubspot_calls.target import TargetHubspotCalls
from tests.documents import DOCS

PAGE = DOCS / "settings.md"

SECTIONS = {
    "Where things lie": [
        "data_dir", "stream_url", "database_url", "sync_log", "stream_retention_days",
        "keep_raw_reports_days", "encryption_keys",
    ],
    "The receiver and its pages": [
        "public_url", "page_url", "session_idle_hours", "session_days", "trusted_proxies",
        "allowed_origins", "max_connections", "max_connections_per_address",
    ],
    "Tokens of your own product": [
        "jwt_jwks_url", "jwt_secret", "jwt_issuer", "jwt_audience", "jwt_user_claim",
        "jwt_workspace_claim",
    ],
    "HubSpot": [
        "client_id", "client_secret", "redirect_uri", "service_key", "refresh_token",
        "hubspot_api_url", "hubspot_app_url", "requests_per_10_seconds", "searches_per_second",
    ],
    "VAPI": ["vapi_api_key", "vapi_api_url"],
    "What a call becomes": [
        "activity_type", "default_region", "ambiguous_contact", "missing_contact",
        "include_transcript", "upload_recordings", "recording_max_mb", "recording_hosts",
        "batch_wait_s", "user_id", "workspace_id",
    ],
    "Only of the tap": ["sources", "start_date", "end_date", "follow", "reader_name"],
    "Watching it": ["log_format", "log_level", "metrics_token"],
}  # fmt: skip

MEANINGS = {
    "data_dir": "Where stream, store, sync log and key file lie; made with mode 0700.",
    "stream_url": "The call stream: `file:FOLDER`, or `nats://HOST:PORT/STREAM` for several hosts.",
    "database_url": "The operational store: `sqlite:///FILE`, or `postgresql://...` for several"
    " hosts.",
    "sync_log": "DuckDB file of outcomes, the one to ask questions of.",
    "stream_retention_days": "`serve` deletes files of the call stream that are older and that"
    " every reader has finished with. Nothing is deleted if not set.",
    "keep_raw_reports_days": "`serve` keeps what VAPI sent, encrypted, for so many days, for"
    " support. Nothing is kept if not set.",
    "encryption_keys": "Comma list, newest first, for tokens and signing secrets at rest. The key"
    " file is used if not set.",
    "public_url": "How the outside reaches the receiver. Webhook addresses, links in notes and the"
    " redirect URI begin with it.",
    "page_url": "Where people land once they have connected HubSpot; the public URL if not set.",
    "session_idle_hours": "How long somebody stays signed in who does nothing.",
    "session_days": "How long somebody stays signed in at most.",
    "trusted_proxies": "Comma list of addresses or networks whose `X-Forwarded-For` is believed.",
    "allowed_origins": "Comma list of sites whose pages may call the API with a key or token, such"
    " as `https://app.example.com`. None if not set.",
    "max_connections": "Connections that `serve` keeps open at once.",
    "max_connections_per_address": "The same for one client address. Not together with trusted"
    " proxies: it would count theirs.",
    "jwt_jwks_url": "Public keys (https) that check the tokens. Needs an audience or an issuer.",
    "jwt_secret": "Instead: a shared secret of 32 bytes or more, used for nothing else.",
    "jwt_issuer": "What `iss` of a token must say.",
    "jwt_audience": "What `aud` of a token must say.",
    "jwt_user_claim": "The claim that names the user.",
    "jwt_workspace_claim": "The claim that names the workspace.",
    "redirect_uri": "Where HubSpot sends people back to: the public URL and"
    " `/api/hubspot/oauth/callback` if not set.",
    "hubspot_app_url": "Where people grant access, and what links to contacts begin with.",
    "service_key": "One static key for all calls, instead of stored connections.",
    "refresh_token": "OAuth refresh token for all calls, with client id and secret, instead of"
    " stored connections.",
    "vapi_api_key": "VAPI's private key. With it calls whose report got lost are read from VAPI's"
    " API, and recordings whose link has expired get a fresh one.",
    "recording_hosts": "The only hosts recordings are fetched from, as a comma list (in Singer a"
    " list); any public host if not set. A private address only if it is listed.",
    "user_id": "User of calls that name none.",
    "workspace_id": "Workspace of calls that name none.",
    "log_format": "`plain` or `json` lines on stderr.",
    "log_level": "`debug`, `info`, `warning` or `error`.",
    "metrics_token": "What `/metrics` asks for as a bearer token, 16 characters or more. Open if"
    " not set.",
}
IN_WORDS = {
    "data_dir": "`./hubspot-calls-data`",
    "stream_url": "`stream` in the data directory",
    "database_url": "`store.db` in the data directory",
    "sync_log": "`sync_log.duckdb` in the data directory",
    "encryption_keys": "`secret.key` in the data directory, made at first use",
    "recording_hosts": "any public host",
    "sources": "`stream`, and `api` where `vapi_api_key` is set",
    "start_date": "14 days back",
    "end_date": "now",
}
HEAD = """\
# Every setting

`hubspot-calls` reads environment variables, and a `.env` file in the directory it is started in;
the environment wins. [.env.example](../.env.example) is such a file to start from. `tap-vapi` and
`target-hubspot-calls` know the same settings by the names in the second column, in a config file
or in Meltano ([how](meltano.md)); they do not read `HUBSPOT_CALLS_*`.

A value that is wrong and a name that is unknown are refused at start, all of them in one message,
which never shows a value. An empty value counts as not set. **Secret** ones belong into no file
that others can read, and into no repository.

This page is written by `python -m tests.docs.settings_page` from the code; a test compares them.
"""

FOOT = """
## Of the Singer SDK

Tap and target also take what [the SDK they are built with](https://sdk.meltano.com) brings. They
list it with `--about`, in Markdown with `tap-vapi --about --format=markdown`. Stream maps are shown
in [an example](../examples/csv/README.md); nothing here needs the rest.

| Command | Singer settings |
|---|---|
| both | {of_both} |
| `target-hubspot-calls` | {of_the_target} |
"""


@dataclass(frozen=True)
class Row:
    """One setting as the page shows it."""

    variable: str | None
    singer: str | None
    default: str
    secret: bool
    meaning: str

    def line(self) -> str:
        """The row of the table."""
        names = [f"`{name}`" if name else "-" for name in (self.variable, self.singer)]
        meaning = f"**Secret.** {self.meaning}" if self.secret else self.meaning
        return f"| {' | '.join([*names, self.default, meaning])} |"


def sdk_names() -> tuple[list[str], list[str]]:
    """The settings that the Singer SDK adds to both tap and target, and to the target alone."""
    added: dict[str, Any] = {"properties": {}}
    TargetHubspotCalls.append_builtin_config(added)
    of_the_tap: dict[str, Any] = {"properties": {}}
    TapVapi.append_builtin_config(of_the_tap)
    of_both = [name for name in added["properties"] if name in of_the_tap["properties"]]
    return of_both, [name for name in added["properties"] if name not in of_both]


def all_names() -> set[str]:
    """Every setting of command, tap and target."""
    return {*Settings.model_fields, *TargetSettings.model_fields, *_of_tap()}


def row_of(name: str) -> Row:
    """The setting's row. Raises KeyError for one that nobody has described."""
    field = Settings.model_fields.get(name)
    singer = {**_of_tap(), **SETTINGS["properties"]}.get(name)
    described = MEANINGS.get(name) or (singer or {}).get("description")
    if not described:
        raise KeyError(f"say what {name} is for, in MEANINGS of tests/docs/settings_page.py")
    return Row(
        variable=str(field.validation_alias) if field else None,
        singer=name if singer else None,
        default=IN_WORDS.get(name) or _written(_default_of(name)),
        secret=(field is not None and SecretStr.__name__ in str(field.annotation))
        or bool((singer or {}).get("secret")),
        meaning=str(described),
    )


def build_page() -> str:
    """The page's text."""
    parts = [HEAD]
    for heading, names in SECTIONS.items():
        lines = "\n".join(row_of(name).line() for name in names)
        parts.append(
            f"\n## {heading}\n\n| Environment | Singer setting | Default | Meaning |\n"
            f"|---|---|---|---|\n{lines}\n"
        )
    of_both, of_the_target = (", ".join(f"`{n}`" for n in names) for names in sdk_names())
    parts.append(FOOT.format(of_both=of_both, of_the_target=of_the_target))
    return "".join(parts)


def _of_tap() -> dict[str, dict[str, Any]]:
    of_the_sdk: dict[str, Any] = {"properties": {}}
    TapVapi.append_builtin_config(of_the_sdk)
    own: dict[str, dict[str, Any]] = TapVapi.config_jsonschema["properties"]
    return {name: each for name, each in own.items() if name not in of_the_sdk["properties"]}


def _default_of(name: str) -> object:
    for fields in (TargetSettings.model_fields, Settings.model_fields):
        if name in fields and fields[name].default is not None:
            return fields[name].default
    return _of_tap().get(name, {}).get("default")


def _written(default: object) -> str:
    if default is None or default == ():
        return "-"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


if __name__ == "__main__":
    PAGE.write_text(build_page(), "utf-8")
