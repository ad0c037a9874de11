"""Both commands as people meet them: what they say of themselves, and of what people got wrong."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hubspot_calls.processes import clean_environment

COMMANDS = {
    "tap-vapi": "tap_vapi.tap",
    "target-hubspot-calls": "target_hubspot_calls.target",
}


@pytest.fixture(params=COMMANDS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def run(
    name: str, folder: Path, *arguments: str, stdin: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", COMMANDS[name], *arguments],
        cwd=folder,
        env=clean_environment(variables),
        input=stdin,
        capture_output=True,
        text=True,
    )


def faults(ended: subprocess.CompletedProcess[str]) -> list[str]:
    """What it says went wrong, one entry a line."""
    assert "Traceback" not in ended.stderr
    quiet = [line for line in ended.stderr.splitlines() if not re.search(r"\| INFO ", line)]
    return [line.rpartition("| ")[2] for line in quiet]


def about(name: str, folder: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(run(name, folder, "--about", "--format=json").stdout)
    return told


def test_about_tells_everything_in_json(name: str, tmp_path: Path) -> None:
    told = about(name, tmp_path)

    assert told["name"] == name
    assert told["description"].endswith(".")
    assert told["supported_python_versions"] == ["3.11", "3.12", "3.13"]
    assert {"about", "stream-maps"} <= set(told["capabilities"])
    assert told["settings"]["additionalProperties"] is False
    for setting, rule in told["settings"]["properties"].items():
        assert rule["title"], setting
        assert rule["description"], setting


def test_about_the_tap_names_both_doors(tmp_path: Path) -> None:
    told = json.loads(run("tap-vapi", tmp_path, "--about", "--format=json").stdout)

    assert "webhook receiver" in told["description"]
    assert "VAPI's API" in told["description"]


def test_about_in_markdown_has_a_row_for_every_setting(name: str, tmp_path: Path) -> None:
    settings = about(name, tmp_path)["settings"]["properties"]

    page = run(name, tmp_path, "--about", "--format=markdown").stdout

    rows = dict(re.findall(r"^\| (\w+) \|.* \| (.+) \|$", page, re.MULTILINE))
    assert rows == {
        "Setting": "Description",
        **{setting: rule["description"] for setting, rule in settings.items()},
    }
    for rule in settings.values():
        assert all(f"`{value}`" in rule["description"] for value in rule.get("enum", ()))


def test_a_secret_has_no_default_to_show(name: str, tmp_path: Path) -> None:
    settings = about(name, tmp_path)["settings"]["properties"]

    secrets = {setting for setting, rule in settings.items() if rule.get("secret")}

    assert "vapi_api_key" in secrets
    assert not any("default" in settings[setting] for setting in secrets)


def test_version_and_help_are_short(name: str, tmp_path: Path) -> None:
    version, help_page = (run(name, tmp_path, option) for option in ("--version", "--help"))

    assert re.fullmatch(rf"{name} v[\d.]+, Meltano SDK v[\d.]+\n", version.stdout)
    assert "--config" in help_page.stdout
    assert version.returncode == help_page.returncode == 0


FILES = {
    "a file that is not there": (None, "cannot be read: File at 'config.json' was not found"),
    "a file that is no JSON": ("{'data_dir': 'secret-word'}", "is not JSON: Expecting property"),
    "a file with a list": ('["secret-word"]', "holds no JSON object"),
    "an unknown setting": ('{"colour": "secret-word"}', "colour: no such setting"),
    "a key that is no text": ('{"vapi_api_key": 7777777}', "vapi_api_key: "),
    "a map that is none": ('{"stream_maps": "secret-word"}', "stream_maps: must be object"),
}


@pytest.mark.parametrize(("text", "said"), FILES.values(), ids=FILES.keys())
def test_a_wrong_config_is_one_line(text: str | None, said: str, name: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "config.json").write_text(text)

    ended = run(name, tmp_path, "--config", "config.json")

    [line] = faults(ended)
    assert said in line
    assert "secret-word" not in ended.stderr
    assert "7777777" not in ended.stderr
    assert (ended.returncode, ended.stdout) == (1, "")
    assert not (tmp_path / "hubspot-calls-data").exists()


def test_an_option_that_is_none_is_wrong_use(name: str, tmp_path: Path) -> None:
    ended = run(name, tmp_path, "--colour")

    assert ended.returncode == 2
    assert "No such option" in ended.stderr


def test_settings_come_from_the_environment(name: str, tmp_path: Path) -> None:
    prefix = name.replace("-", "_").upper()

    ended = run(name, tmp_path, "--config", "ENV", **{f"{prefix}_DATA_DIR": "./elsewhere/data"})

    assert ended.returncode == 0
    assert faults(ended) == []
    assert not (tmp_path / "hubspot-calls-data").exists()


def test_a_wrong_variable_of_the_targets_is_named(tmp_path: Path) -> None:
    ended = run(
        "target-hubspot-calls",
        tmp_path,
        "--config",
        "ENV",
        TARGET_HUBSPOT_CALLS_RECORDING_MAX_MB="secret-word",
        TARGET_HUBSPOT_CALLS_UPLOAD_RECORDINGS="secret-word",
    )

    assert ended.returncode == 1
    assert faults(ended) == [
        "The settings are wrong. TARGET_HUBSPOT_CALLS_UPLOAD_RECORDINGS: must be true or false;"
        " TARGET_HUBSPOT_CALLS_RECORDING_MAX_MB: must be integer"
    ]


def test_a_wrong_variable_of_the_taps_is_one_line(tmp_path: Path) -> None:
    ended = run("tap-vapi", tmp_path, "--config", "ENV", TAP_VAPI_FLATTENING_MAX_DEPTH="much")

    [line] = faults(ended)
    assert "TAP_VAPI_..." in line
    assert ended.returncode == 1


def test_the_taps_own_test_refuses_wrong_settings_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"reader_name": "a/b"}')

    ended = run("tap-vapi", tmp_path, "--config", "config.json", "--test")

    [line] = faults(ended)
    assert "reader_name: breaks the rule" in line
    assert ended.returncode == 1


SINGER = (
    '{"type": "SCHEMA", "stream": "calls", "key_properties": ["ref"], "schema": {"type": "object",'
    ' "properties": {"ref": {"type": "string"}, "phone": {"type": "string"}}}}\n'
    '{"type": "RECORD", "stream": "calls", "record": {"ref": "secret-word", "phone": "1"}}\n'
)
MAPS = {
    "no map": ({"calls": 5}, "Unexpected stream definition type"),
    "no expression": ({"calls": {"id": 5}}, "Unexpected type 'int' in stream map"),
    "no rule for other streams": ({"__else__": "x"}, "Undefined transform for '__else__'"),
    "no rule for other fields": ({"calls": {"__else__": "x"}}, "'__else__=x' is not supported"),
    "no Python": ({"calls": {"id": "ref +"}}, "Failed to parse expression ref +"),
    "a field nobody has": ({"calls": {"id": "reff"}}, "the source has no field 'reff'"),
    "a function nobody has": ({"calls": {"id": "open(ref)"}}, "calls.id: the expression cannot"),
    "a filter that fails": ({"calls": {"__filter__": "int(ref)"}}, "calls.__filter__: cannot"),
    "a key left out": ({"calls": {"id": "ref", "__else__": None}}, "key properties"),
}
MAPS_OF_EACH_KIND = ("no map", "a field nobody has", "a filter that fails")


@pytest.mark.parametrize(
    ("maps", "said"),
    [
        pytest.param(*case, id=name, marks=[] if name in MAPS_OF_EACH_KIND else pytest.mark.long)
        for name, case in MAPS.items()
    ],
)
def test_a_wrong_stream_map_is_one_line(maps: Any, said: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"stream_maps": maps}))

    ended = run("target-hubspot-calls", tmp_path, "--config", "config.json", stdin=SINGER)

    [line] = faults(ended)
    assert said in line
    assert "secret-word" not in ended.stderr
    assert (ended.returncode, ended.stdout) == (1, "")
