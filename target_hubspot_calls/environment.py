"""Settings that `--config ENV` takes from the environment.

Knows the SDK's naming of variables; what a setting may be is checked in settings.py.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from singer_sdk.configuration._dict_config import parse_environment_config

from target_hubspot_calls.errors import SettingsError

BOOLEAN_WORDS = frozenset({"true", "1", "yes", "on", "false", "0", "no", "off"})


def load_environment(rules: Mapping[str, Mapping[str, Any]], prefix: str) -> dict[str, Any]:
    """The settings among `rules` (JSON schemas by name) that variables set.

    Raises SettingsError, naming variables and never a value: the SDK's own way ends in a traceback
    at what is no number, and takes any word it does not know for false.
    """
    settings: dict[str, Any] = {}
    faults = []
    for name, rule in rules.items():
        variable, kind = f"{prefix}{name.upper()}", rule["type"][0]
        if kind == "boolean" and os.environ.get(variable, "true").lower() not in BOOLEAN_WORDS:
            faults.append(f"{variable}: must be true or false")
            continue
        try:
            settings |= parse_environment_config({"properties": {name: dict(rule)}}, prefix)
        except ValueError:
            faults.append(f"{variable}: must be {kind}")
    if faults:
        raise SettingsError(faults)
    return settings
