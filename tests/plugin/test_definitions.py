"""The Hub's definitions, and the settings tables they come from, against the code that decides."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from hubspot_calls.meltano_plugins import PLUGINS, TARGET, Plugin, definition, installed_from
from target_hubspot_calls.settings import TargetSettings, read_settings

HUB = Path(__file__).parents[2] / "meltano-hub"
# Meltano 4.4's kinds of settings.
KINDS = {"array", "boolean", "date_iso8601", "integer", "object", "options", "string"}


@pytest.fixture(params=PLUGINS, ids=[plugin.command.name for plugin in PLUGINS])
def plugin(request: pytest.FixtureRequest) -> Plugin:
    assert isinstance(request.param, Plugin)
    return request.param


def test_the_hubs_definition_is_what_the_code_says(plugin: Plugin) -> None:
    told = definition(plugin)
    kind = told.pop("plugin_type")

    path = HUB / f"_data/meltano/{kind}/{told['name']}/{told['variant']}.yml"

    assert yaml.safe_load(path.read_text()) == told, "run `python meltano-hub/write.py`"


def test_the_hubs_folder_holds_nothing_else() -> None:
    assert len(list(HUB.rglob("*.yml"))) == len(PLUGINS)


def test_every_setting_has_what_people_need_to_set_it(plugin: Plugin) -> None:
    for setting in definition(plugin)["settings"]:
        assert setting["label"]
        assert len(setting["description"].split()) > 2, setting["name"]
        assert setting["kind"] in KINDS
        assert "value" not in setting or not setting.get("sensitive")


def test_choices_are_named_where_they_are_described(plugin: Plugin) -> None:
    for setting in definition(plugin)["settings"]:
        for option in setting.get("options", ()):
            assert f"`{option['value']}`" in setting["description"]


def test_each_group_of_settings_is_one_of_settings(plugin: Plugin) -> None:
    names = {setting["name"] for setting in definition(plugin)["settings"]}

    assert all(names.issuperset(group) for group in plugin.settings_group_validation)


@pytest.mark.parametrize("group", TARGET.settings_group_validation, ids="+".join)
def test_each_group_of_the_target_is_enough(group: tuple[str, ...]) -> None:
    read_settings(dict.fromkeys(group, "x"), ignored=frozenset())


def test_the_targets_table_tells_the_bounds_that_are_checked() -> None:
    checked = TargetSettings.model_json_schema()["properties"]
    bounds = ("minimum", "maximum", "minLength", "maxLength", "enum")

    told = TARGET.command.config_jsonschema["properties"]

    assert {name: given(told[name], bounds) for name in checked} == {
        name: given(rule, bounds) for name, rule in checked.items()
    }


def test_the_targets_table_tells_the_defaults_that_are_used() -> None:
    told = TARGET.command.config_jsonschema["properties"]
    used = TargetSettings()

    for name in TargetSettings.model_fields:
        default = told[name].get("default")
        settings = read_settings({name: default}, ignored=frozenset())
        assert getattr(settings, name) == getattr(used, name), name


def given(rule: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: rule[name] for name in names if rule.get(name) is not None}


def printed(*arguments: str) -> dict[str, Any]:
    """What people give to `meltano add --from-ref`."""
    ended = subprocess.run(
        [sys.executable, "-m", "hubspot_calls.meltano_plugins", *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    told: dict[str, Any] = json.loads(ended.stdout)
    return told


def test_a_definition_can_be_had_without_this_repository() -> None:
    told = printed("target-hubspot-calls")

    assert {**told, "pip_url": "any"} == {**definition(TARGET), "pip_url": "any"}


def test_a_definition_installs_what_is_installed_here_and_no_name_that_anybody_may_take() -> None:
    assert printed("tap-vapi")["pip_url"] == HUB.parent.as_uri()


def test_a_definition_installs_from_where_it_is_told_to() -> None:
    source = "git+https://git.example.com/calls.git@v0.1.0"

    assert printed("tap-vapi", "--pip-url", source)["pip_url"] == source


@pytest.mark.parametrize(
    ("noted", "source"),
    [
        (None, "target-hubspot-calls"),
        ({"url": "file:///opt/it", "dir_info": {"editable": True}}, "file:///opt/it"),
        ({"url": "file:///tmp/it.whl", "archive_info": {}}, "file:///tmp/it.whl"),
        (
            {
                "url": "https://git.example.com/it.git",
                "vcs_info": {"vcs": "git", "requested_revision": "main", "commit_id": "1a2b"},
            },
            "git+https://git.example.com/it.git@1a2b",
        ),
    ],
    ids=["of a registry", "a checkout", "a wheel", "a commit"],
)
def test_where_the_package_came_from_is_read_as_installers_note_it(
    noted: dict[str, Any] | None, source: str
) -> None:
    assert installed_from(noted and json.dumps(noted)) == source
