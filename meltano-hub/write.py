"""Writes the definitions of both plugins below this folder, laid out as Meltano Hub lays them out.

Run it after a settings table has changed: `python meltano-hub/write.py`. A test compares.
"""

from __future__ import annotations

from pathlib import Path

import yaml

from hubspot_calls.meltano_plugins import PLUGINS, Plugin, definition

HERE = Path(__file__).parent
HEAD = """\
# For Meltano Hub, once the package of this name is on PyPI. It is not there yet: do not install
# from this file. `python -m hubspot_calls.meltano_plugins NAME` writes one to install from.
"""


def path_of(plugin: Plugin) -> Path:
    """Where Meltano Hub keeps the definition of such a plugin."""
    told = definition(plugin)
    return HERE / f"_data/meltano/{told['plugin_type']}/{told['name']}/{told['variant']}.yml"


def text_of(plugin: Plugin) -> str:
    """The definition as YAML; the Hub says the kind of a plugin by its folder."""
    told = {name: value for name, value in definition(plugin).items() if name != "plugin_type"}
    return HEAD + str(yaml.safe_dump(told, sort_keys=False, allow_unicode=True, width=100))


if __name__ == "__main__":
    for plugin in PLUGINS:
        path = path_of(plugin)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text_of(plugin))
