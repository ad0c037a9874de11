"""Settings: read once, derived from the data directory, refused with every fault."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hubspot_calls.settings import (
    _TARGET_SETTINGS,
    load_settings,
    settings_from,
    variable_names,
)
from tap_vapi.tap import TapVapi
from target_hubspot_calls.errors import SettingsError
from target_hubspot_calls.settings import TargetSettings, read_settings


def a_key(word: str) -> str:
    """An encryption key, which is 32 bytes in base64, with a word to find it again."""
    return word.ljust(43, "A") + "="


def faults_of(variables: dict[str, str]) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        settings_from(variables)
    return caught.value.faults


def test_everything_on_disk_is_derived_from_the_data_directory(tmp_path: Path) -> None:
    settings = settings_from({"HUBSPOT_CALLS_DATA_DIR": str(tmp_path)})

    assert settings.stream_url == f"file:{tmp_path}/stream"
    assert settings.database_url.get_secret_value() == f"sqlite:///{tmp_path}/store.db"
    assert settings.sync_log == tmp_path / "sync_log.duckdb"
    assert settings.key_file == tmp_path / "secret.key"


def test_tap_target_and_command_mean_the_same_files_by_one_data_directory(tmp_path: Path) -> None:
    settings = settings_from({"HUBSPOT_CALLS_DATA_DIR": str(tmp_path)})

    alone = read_settings({"data_dir": str(tmp_path)}, ignored=frozenset())

    assert alone.store_url == settings.database_url.get_secret_value()
    assert alone.sync_log_path == settings.sync_log
    assert alone.key_file == settings.key_file


def test_a_relative_data_directory_is_made_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    settings = settings_from({"HUBSPOT_CALLS_DATA_DIR": "data"})

    assert settings.data_dir == tmp_path / "data"


def test_all_faults_are_listed_at_once() -> None:
    faults = faults_of(
        {
            "HUBSPOT_CALLS_STREAM_URL": "carrier-pigeon:1",
            "HUBSPOT_CALLS_SEARCHES_PER_SECOND": "0",
            "HUBSPOT_CALLS_DATADIR": "x",
            "HUBSPOT_CLIENT_ID": "app",
        }
    )

    assert faults == [
        "HUBSPOT_CALLS_DATADIR is no setting; did you mean HUBSPOT_CALLS_DATA_DIR?",
        "HUBSPOT_CLIENT_ID and HUBSPOT_CLIENT_SECRET must be set both, or neither",
        "HUBSPOT_CALLS_STREAM_URL must begin with file: or nats://",
        "HUBSPOT_CALLS_SEARCHES_PER_SECOND must be greater than or equal to 1",
    ]


@pytest.mark.parametrize("name", ["HUBSPOT_API_URL", "HUBSPOT_APP_URL", "VAPI_API_URL"])
def test_an_address_that_takes_tokens_must_be_https(name: str) -> None:
    assert faults_of({name: "http://example.com"}) == [
        f"{name} must be https, as secrets travel there, unless it is on this machine (loopback)"
    ]


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:8001", "http://localhost:9", "http://[::1]:9", "https://a.test"]
)
def test_loopback_and_https_addresses_are_taken(address: str) -> None:
    assert settings_from({"HUBSPOT_API_URL": address}).hubspot_api_url == address


def test_an_empty_value_counts_as_not_set() -> None:
    assert settings_from({"HUBSPOT_SERVICE_KEY": ""}).service_key is None


def test_a_fault_never_prints_the_value() -> None:
    faults = faults_of({"HUBSPOT_CALLS_DATABASE_URL": "mysql://u:hunter2@db/x"})

    assert "hunter2" not in repr(faults)


def test_a_password_that_no_address_may_hold_is_not_repeated() -> None:
    url = "postgresql://u:hunter2\u2100@db/x"

    settings = settings_from({"HUBSPOT_CALLS_DATABASE_URL": url})

    assert settings.database_url.get_secret_value() == url
    assert "hunter2" not in repr(settings)


@pytest.mark.parametrize(
    "url", ["nats://u:pw@a:4222,b/CALLS?replicas=3", "tls://a/CALLS", "file:x"]
)
def test_a_call_stream_may_be_files_or_jetstream(url: str) -> None:
    settings = settings_from({"HUBSPOT_CALLS_STREAM_URL": url})

    assert settings.tap_config(follow=False)["stream_url"] == url


def test_what_is_wrong_with_the_url_of_a_network_stream_is_told_without_its_password() -> None:
    faults = faults_of({"HUBSPOT_CALLS_STREAM_URL": "nats://u:hunter2@h/CALLS?replicas=9"})

    assert "replicas" in faults[0]
    assert "hunter2" not in repr(faults)


def test_secrets_do_not_show_in_the_settings_text() -> None:
    settings = settings_from(
        {
            "HUBSPOT_SERVICE_KEY": "pat-hidden",
            "HUBSPOT_CALLS_ENCRYPTION_KEYS": a_key("hidden"),
            "HUBSPOT_CALLS_DATABASE_URL": "postgresql://u:pw-hidden@db/x",
            "HUBSPOT_CALLS_STREAM_URL": "nats://u:pw-hidden@nats/x",
            "VAPI_API_KEY": "vapi-hidden",
        }
    )

    assert "hidden" not in repr(settings)


def test_the_environment_wins_over_the_env_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text(
        "HUBSPOT_CALLS_PUBLIC_URL=https://file.example\nHUBSPOT_CALLS_LOG_LEVEL=debug\n"
    )
    monkeypatch.setenv("HUBSPOT_CALLS_PUBLIC_URL", "https://environment.example")

    settings = load_settings(tmp_path)

    assert settings.public_url == "https://environment.example"
    assert settings.log_level == "debug"


def test_an_unknown_name_in_the_env_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("HUBSPOT_CALLS_SYNCLOG=x\nOTHER_PROGRAM=1\n")

    with pytest.raises(SettingsError, match="did you mean HUBSPOT_CALLS_SYNC_LOG"):
        load_settings(tmp_path)


def test_the_tap_takes_the_config_it_is_given(tmp_path: Path) -> None:
    settings = settings_from({"HUBSPOT_CALLS_DATA_DIR": str(tmp_path)})

    config = settings.tap_config(follow=True)

    assert set(config) <= set(TapVapi.config_jsonschema["properties"])
    assert config["follow"] is True


def test_the_target_takes_the_config_it_is_given(tmp_path: Path) -> None:
    settings = settings_from(
        {
            "HUBSPOT_CALLS_DATA_DIR": str(tmp_path),
            "HUBSPOT_SERVICE_KEY": "pat-na1-invented",
            "HUBSPOT_CALLS_ACTIVITY_TYPE": "call",
            "HUBSPOT_CALLS_BATCH_WAIT_S": "0.5",
        }
    )

    taken = read_settings(settings.target_config(), ignored=frozenset())

    assert taken.activity_type == "call"
    assert taken.batch_wait_s == 0.5
    assert taken.secret("service_key") == "pat-na1-invented"


# A value other than the default for every setting of the target that has a variable.
GIVEN = {
    "HUBSPOT_CALLS_DATABASE_URL": "sqlite:////srv/calls/other.db",
    "HUBSPOT_CALLS_SYNC_LOG": "/srv/calls/log.duckdb",
    "HUBSPOT_CALLS_ENCRYPTION_KEYS": f"{a_key('newer')},{a_key('older')}",
    "HUBSPOT_CALLS_PUBLIC_URL": "https://calls.example.com",
    "HUBSPOT_CLIENT_ID": "app-id",
    "HUBSPOT_CLIENT_SECRET": "app-secret",
    "HUBSPOT_API_URL": "http://127.0.0.1:9001",
    "HUBSPOT_SERVICE_KEY": "pat-na1-invented",
    "HUBSPOT_CALLS_USER_ID": "dana",
    "HUBSPOT_CALLS_WORKSPACE_ID": "harbor",
    "HUBSPOT_CALLS_ACTIVITY_TYPE": "call",
    "HUBSPOT_CALLS_DEFAULT_REGION": "gb",
    "HUBSPOT_CALLS_AMBIGUOUS_CONTACT": "skip",
    "HUBSPOT_CALLS_MISSING_CONTACT": "create",
    "HUBSPOT_CALLS_INCLUDE_TRANSCRIPT": "true",
    "HUBSPOT_CALLS_UPLOAD_RECORDINGS": "false",
    "HUBSPOT_CALLS_RECORDING_MAX_MB": "7",
    "HUBSPOT_CALLS_RECORDING_HOSTS": "a.example.com, b.example.com",
    "VAPI_API_KEY": "vapi-invented",
    "VAPI_API_URL": "http://localhost:9002",
    "HUBSPOT_CALLS_REQUESTS_PER_10_SECONDS": "90",
    "HUBSPOT_CALLS_SEARCHES_PER_SECOND": "3",
    "HUBSPOT_CALLS_BATCH_WAIT_S": "0.5",
}
# Classic Singer OAuth only: `hubspot-calls` keeps its tokens in the store.
SINGER_ONLY = {"refresh_token"}


def test_every_setting_of_the_target_can_be_set_by_a_variable(tmp_path: Path) -> None:
    plain = TargetSettings()

    settings = settings_from({"HUBSPOT_CALLS_DATA_DIR": str(tmp_path), **GIVEN})
    taken = read_settings(settings.target_config(), ignored=frozenset())

    changed = {
        name for name in TargetSettings.model_fields if getattr(taken, name) != getattr(plain, name)
    }
    assert changed == set(TargetSettings.model_fields) - SINGER_ONLY
    assert {"data_dir", *_TARGET_SETTINGS} == changed
    assert taken.data_dir == tmp_path
    assert taken.default_region == "GB"
    assert taken.recording_hosts == ("a.example.com", "b.example.com")
    assert taken.secret("encryption_keys") == GIVEN["HUBSPOT_CALLS_ENCRYPTION_KEYS"]


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("hubspot_api_url", "HUBSPOT_API_URL"),
        ("vapi_api_url", "VAPI_API_URL"),
        ("public_url", "HUBSPOT_CALLS_PUBLIC_URL"),
    ],
)
@pytest.mark.parametrize(
    "address",
    [
        "https://a.test",
        "https://a.test/",
        "http://a.test",
        "http://localhost:9",
        "http://LOCALHOST",
        "http://portal.localhost",
        "http://127.0.0.1:9",
        "http://127.8.9.1",
        "http://[::1]:9",
        "http://0.0.0.0",
        "http://10.0.0.1",
        "https://u:p@a.test",
        "https://a.test?x=1",
        "https://a.test#x",
        "ftp://a.test",
        "https://",
        "http://[::1",
        "a.test",
    ],
)
def test_command_and_target_take_the_same_addresses(name: str, variable: str, address: str) -> None:
    assert taken_by_command(variable, name, address) == taken_by_target(name, address)


@pytest.mark.parametrize("region", ["US", "us", "Gb", "GG", "ZZ", "UK", "USA", "001", "1", "é"])
def test_command_and_target_take_the_same_regions(region: str) -> None:
    by_command = taken_by_command("HUBSPOT_CALLS_DEFAULT_REGION", "default_region", region)

    assert by_command == taken_by_target("default_region", region)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("requests_per_10_seconds", ["0", "1", "1000", "1001", "x"]),
        ("searches_per_second", ["0", "1", "50", "51"]),
        ("batch_wait_s", ["-1", "0.0", "60.0", "61"]),
        ("recording_max_mb", ["0", "1", "2000", "2001"]),
        ("user_id", ["u", "u" * 200, "u" * 201]),
        ("workspace_id", ["w", "w" * 200, "w" * 201]),
        ("activity_type", ["note", "call", "task"]),
        ("ambiguous_contact", ["recent", "any"]),
        ("missing_contact", ["skip", "make"]),
    ],
)
def test_command_and_target_have_the_same_bounds(name: str, values: list[str]) -> None:
    variable = f"HUBSPOT_CALLS_{name.upper()}"

    by_command = [taken_by_command(variable, name, value) for value in values]

    assert by_command == [taken_by_target(name, value) for value in values]


def taken_by_command(variable: str, name: str, value: str) -> object:
    try:
        return getattr(settings_from({variable: value}), name)
    except SettingsError:
        return "refused"


def taken_by_target(name: str, value: str) -> object:
    try:
        return getattr(read_settings({name: value}, ignored=frozenset()), name)
    except SettingsError:
        return "refused"


def test_the_example_file_names_every_variable() -> None:
    example = Path(__file__).parents[2] / ".env.example"

    named = re.findall(r"^#?([A-Z0-9_]+)=", example.read_text(), re.MULTILINE)

    assert sorted(named) == sorted(variable_names())
