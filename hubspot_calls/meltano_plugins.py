"""Tap and target as Meltano and its Hub describe plugins, told by the plugins themselves.

Knows both commands' settings tables; it must not know what a setting does.
`python -m hubspot_calls.meltano_plugins tap-vapi > tap-vapi.json` writes a definition that
`meltano add --from-ref tap-vapi.json tap-vapi` takes. It installs the plugin from where this
package came from, as the package is in no registry yet.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import distribution
from typing import Any

import click

from tap_vapi.tap import TapVapi
from target_hubspot_calls.target import TargetHubspotCalls

# What a registry would have to call it.
PACKAGE = "target-hubspot-calls"
VARIANT = "hubspot-calls"


@dataclass(frozen=True)
class Plugin:
    """One of the two commands, and what no settings table says of it."""

    command: Any
    plugin_type: str
    label: str
    domain_url: str
    description: str
    keywords: tuple[str, ...]
    settings_group_validation: tuple[tuple[str, ...], ...]
    """Groups of settings of which one, whole, is enough to run with."""


TAP = Plugin(
    command=TapVapi,
    plugin_type="extractors",
    label="VAPI calls",
    domain_url="https://vapi.ai/",
    description=(
        "Calls of VAPI voice agents: end-of-call reports that the webhook receiver has stored, and"
        " VAPI's REST API for those that got lost."
    ),
    keywords=("api", "meltano_sdk", "voice"),
    settings_group_validation=(("data_dir",), ("stream_url",), ("vapi_api_key",)),
)
TARGET = Plugin(
    command=TargetHubspotCalls,
    plugin_type="loaders",
    label="HubSpot calls",
    domain_url="https://www.hubspot.com/",
    description=(
        "Phone calls as notes or call engagements on the HubSpot contacts that have their numbers,"
        " each once, with summary and recording; what became of each lies in DuckDB."
    ),
    keywords=("api", "crm", "meltano_sdk", "reverse_etl"),
    settings_group_validation=(
        ("data_dir",),
        ("service_key",),
        ("client_id", "client_secret", "refresh_token"),
    ),
)
PLUGINS = (TAP, TARGET)


def definition(plugin: Plugin) -> dict[str, Any]:
    """The definition in the form of Meltano Hub's `_data/meltano` files, keys in its order."""
    command = plugin.command
    return {
        "capabilities": sorted(str(capability.value) for capability in command.capabilities),
        "description": plugin.description,
        "domain_url": plugin.domain_url,
        "executable": command.name,
        "keywords": list(plugin.keywords),
        "label": plugin.label,
        "maintenance_status": "active",
        "name": command.name,
        "namespace": command.name.replace("-", "_"),
        "pip_url": PACKAGE,
        "plugin_type": plugin.plugin_type,
        "settings": list(settings(command)),
        "settings_group_validation": [list(group) for group in plugin.settings_group_validation],
        "supported_python_versions": list(command.get_supported_python_versions() or ()),
        "variant": VARIANT,
    }


def installed_from(direct_url: str | None) -> str:
    """What pip and uv install this package from again: a folder, a wheel, a commit, or its name.

    `direct_url` is what the installer has noted of it, None for a package of a registry. Source:
    PEP 610, direct_url.json.
    """
    if direct_url is None:
        return PACKAGE
    noted = json.loads(direct_url)
    if vcs := noted.get("vcs_info"):
        return f"{vcs['vcs']}+{noted['url']}@{vcs['commit_id']}"
    return str(noted["url"])


def settings(command: Any) -> Iterator[dict[str, Any]]:
    """Every setting the command takes, the SDK's included, as Meltano describes settings."""
    schema: dict[str, Any] = {"properties": dict(command.config_jsonschema["properties"])}
    command.append_builtin_config(schema)
    for name, rule in schema["properties"].items():
        yield _setting(name, rule)


def _setting(name: str, rule: Mapping[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {"name": name, "label": rule["title"], "kind": _kind(rule)}
    if rule.get("secret"):
        told["sensitive"] = True
    if "default" in rule:
        told["value"] = rule["default"]
    if "enum" in rule:
        told["options"] = [{"label": choice, "value": choice} for choice in rule["enum"]]
    told["description"] = rule["description"]
    return told


def _kind(rule: Mapping[str, Any]) -> str:
    if "enum" in rule:
        return "options"
    if rule.get("format") == "date-time":
        return "date_iso8601"
    # Meltano 4.4 breaks a run on a decimal set in the environment; as text it works.
    return {"number": "string"}.get(rule["type"][0], str(rule["type"][0]))


@click.command()
@click.argument("name", type=click.Choice([plugin.command.name for plugin in PLUGINS]))
@click.option("--pip-url", help="Install from here; from where this package came from by default.")
def main(name: str, pip_url: str | None) -> None:
    """Prints the definition of the plugin NAME, for `meltano add --from-ref`."""
    [plugin] = (plugin for plugin in PLUGINS if plugin.command.name == name)
    source = pip_url or installed_from(distribution(PACKAGE).read_text("direct_url.json"))
    json.dump({**definition(plugin), "pip_url": source}, sys.stdout, indent=2)
    click.echo()


if __name__ == "__main__":
    main()
