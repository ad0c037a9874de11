"""meltano.yml says of the plugins what the plugins say of themselves."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from hubspot_calls.meltano_plugins import PLUGINS, Plugin, definition
from target_hubspot_calls.settings import TargetSettings

HOUSE = Path(__file__).parents[1]
MELTANO = yaml.safe_load((HOUSE / "meltano.yml").read_text())
# What a project says of a plugin that it neither installs nor looks for on the Hub.
TOLD = (
    "name",
    "namespace",
    "label",
    "variant",
    "description",
    "capabilities",
    "settings_group_validation",
    "settings",
)


@pytest.fixture(params=PLUGINS, ids=[plugin.command.name for plugin in PLUGINS])
def plugin(request: pytest.FixtureRequest) -> Plugin:
    assert isinstance(request.param, Plugin)
    return request.param


def test_meltano_knows_each_plugin_as_it_describes_itself(plugin: Plugin) -> None:
    told = definition(plugin)

    [entry] = MELTANO["plugins"][plugin.plugin_type]

    assert entry == {
        **{name: told[name] for name in TOLD},
        "executable": f"./.venv/bin/{told['executable']}",
    }


def test_meltano_knows_no_other_plugin() -> None:
    assert sorted(MELTANO["plugins"]) == sorted(plugin.plugin_type for plugin in PLUGINS)


def test_what_an_environment_sets_is_a_setting() -> None:
    for environment in MELTANO["environments"]:
        for kind, entries in environment.get("config", {}).get("plugins", {}).items():
            for entry in entries:
                assert set(entry["config"]) <= names_of(kind), environment["name"]


def names_of(plugin_type: str) -> set[str]:
    [plugin] = (plugin for plugin in PLUGINS if plugin.plugin_type == plugin_type)
    return {setting["name"] for setting in definition(plugin)["settings"]}


def test_the_schedule_runs_a_job_that_is_there() -> None:
    jobs: dict[str, Any] = {job["name"]: job["tasks"] for job in MELTANO["jobs"]}

    [schedule] = MELTANO["schedules"]

    assert jobs[schedule["job"]] == ["tap-vapi target-hubspot-calls"]


def test_production_uses_the_data_directory_of_the_service() -> None:
    unit = (HOUSE / "docs/systemd/hubspot-calls.service").read_text()
    [folder] = re.findall(r"^WorkingDirectory=(.+)$", unit, re.MULTILINE)
    beside = TargetSettings().data_dir
    [production] = [each for each in MELTANO["environments"] if each["name"] == "prod"]

    named = [
        entry["config"]["data_dir"]
        for entries in production["config"]["plugins"].values()
        for entry in entries
    ]
    example = (HOUSE / "examples/meltano/.env.example").read_text()
    named += re.findall(r"^#\w+_DATA_DIR=(.+)$", example, re.MULTILINE)

    assert named == [str(Path(folder, beside))] * 4


def test_every_unit_has_the_same_data_directory() -> None:
    units = [*HOUSE.glob("docs/systemd/*.service"), *HOUSE.glob("docs/several-hosts/*.service")]
    beside = TargetSettings().data_dir.name

    folders = {
        folder.removesuffix(f"/{beside}")
        for unit in units
        for folder in re.findall(r"/var/lib/hubspot-calls(?:/[\w./-]*)?(?![\w-])", unit.read_text())
    }

    assert len(units) == 4
    assert folders == {"/var/lib/hubspot-calls"}


def test_the_example_of_variables_names_settings_and_holds_no_secret() -> None:
    lines = (HOUSE / "examples/meltano/.env.example").read_text().splitlines()
    settings = {
        f"{told['namespace']}_{setting['name']}".upper(): setting
        for told in map(definition, PLUGINS)
        for setting in told["settings"]
    }

    named = dict(
        pair
        for line in lines
        if (pair := tuple(line.removeprefix("#").split("=", 1))) and re.match("#?[A-Z]", line)
    )

    ours = {name: value for name, value in named.items() if not name.startswith("MELTANO_")}
    assert ours.keys() <= settings.keys()
    assert {n for n, value in ours.items() if settings[n].get("sensitive") and value} <= {
        "TAP_VAPI_STREAM_URL",
        "TARGET_HUBSPOT_CALLS_DATABASE_URL",
    }
