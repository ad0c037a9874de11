"""meltano.yml says of the plugins what the plugins say of themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tap_vapi.tap import TapVapi
from target_hubspot_calls.target import TargetHubspotCalls

MELTANO = yaml.safe_load((Path(__file__).parents[1] / "meltano.yml").read_text())
PLUGINS = {
    "tap-vapi": (MELTANO["plugins"]["extractors"][0], TapVapi),
    "target-hubspot-calls": (MELTANO["plugins"]["loaders"][0], TargetHubspotCalls),
}
# Settings of the SDK that Meltano users set through Meltano's own mapping, or never.
OF_THE_SDK = frozenset(
    {
        "add_record_metadata",
        "faker_config",
        "flattening_enabled",
        "flattening_max_depth",
        "flattening_max_key_length",
        "flattening_separator",
        "stream_map_config",
        "stream_maps",
    }
)


@pytest.fixture(params=PLUGINS.values(), ids=PLUGINS.keys())
def plugin(request: pytest.FixtureRequest) -> Any:
    return request.param


def settings_of(command: Any) -> dict[str, dict[str, Any]]:
    schema: dict[str, Any] = {**command.config_jsonschema}
    schema["properties"] = dict(schema["properties"])
    command.append_builtin_config(schema)
    return {name: s for name, s in schema["properties"].items() if name not in OF_THE_SDK}


def kind_of(setting: dict[str, Any]) -> str:
    if "enum" in setting:
        return "options"
    if setting.get("format") == "date-time":
        return "date_iso8601"
    # Meltano 4.4 breaks a run on a decimal set in the environment; as text it works.
    return {"number": "string"}.get(setting["type"][0], setting["type"][0])


def test_meltano_knows_every_setting_as_the_plugin_does(plugin: Any) -> None:
    definition, command = plugin

    said = {
        setting["name"]: (
            setting["kind"],
            setting.get("sensitive", False),
            setting.get("value"),
            setting["label"],
            setting["description"],
        )
        for setting in definition["settings"]
    }

    assert said == {
        name: (
            kind_of(setting),
            setting.get("secret", False),
            setting.get("default"),
            setting["title"],
            setting["description"],
        )
        for name, setting in settings_of(command).items()
    }


def test_meltano_knows_what_the_plugin_can_do(plugin: Any) -> None:
    definition, command = plugin

    assert definition["capabilities"] == [str(c.value) for c in command.capabilities]
    assert definition["name"] == command.name
