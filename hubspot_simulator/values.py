"""Whether written property values may be kept, and how they are kept.

It knows the catalog and HubSpot's wording of refusals; it writes nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from .answers import HubSpotError, validation_error
from .catalog import Catalog, PropertyDefinition
from .rich_text import preview, sanitised
from .times import iso, to_epoch_ms

MAX_CHARACTERS = 65_536
_NUMBER = re.compile(r"^-?\d+(\.\d+)?$")
_EMAIL = re.compile(r"^[^@\s]+@[^@\s]+\.[^@\s]+$")


def kept_values(
    catalog: Catalog, written: Mapping[str, str], *, portal_id: int, required: tuple[str, ...] = ()
) -> dict[str, str]:
    """The values as the portal keeps them. Raises one 400 that names every wrong property."""
    faults: list[dict[str, Any]] = []
    kept: dict[str, str] = {}
    for name, value in written.items():
        definition = catalog.properties.get(name)
        fault = _fault(name, value, definition)
        if fault is not None:
            faults.append(_described(*fault, name, portal_id))
        elif definition is not None:
            kept[name] = _normal(value, definition, catalog)
    if faults:
        raise invalid_properties(faults)
    missing = [name for name in required if not kept.get(name)]
    if missing:
        raise validation_error(
            f"Error creating {catalog.kind.upper}. Some required properties were not set.",
            errors=[
                {
                    "message": f"{name} must be set",
                    "code": "MISSING_REQUIRED_PROPERTY",
                    "context": {"propertyName": [name]},
                }
                for name in missing
            ],
            context={"properties": missing},
        )
    for name in catalog.kind.rich_text:
        if name in kept:
            kept["hs_body_preview"] = preview(kept[name])
    return kept


def invalid_properties(faults: list[dict[str, Any]]) -> HubSpotError:
    """The 400 that carries a JSON list of wrong properties inside its message."""
    return validation_error(
        f"Property values were not valid: {json.dumps(faults, separators=(',', ':'))}",
        errors=[
            {
                "message": fault["message"],
                "code": fault["error"],
                "context": {"propertyName": [fault["name"]]},
            }
            for fault in faults
        ],
    )


def conflicting_value(name: str, holder: str, portal_id: int) -> HubSpotError:
    """The 400 about a unique value that another record has."""
    message = f"{holder} already has that value."
    return invalid_properties([_described("CONFLICTING_UNIQUE_VALUE", message, name, portal_id)])


def _described(code: str, message: str, name: str, portal_id: int) -> dict[str, Any]:
    return {
        "isValid": False,
        "message": message,
        "error": code,
        "name": name,
        "localizedErrorMessage": message,
        "portalId": portal_id,
    }


def _fault(name: str, value: str, definition: PropertyDefinition | None) -> tuple[str, str] | None:
    if definition is None:
        return "PROPERTY_DOESNT_EXIST", f'Property "{name}" does not exist'
    if definition.read_only:
        return "READ_ONLY_VALUE", f'"{name}" is a read only property; its value cannot be set.'
    if len(value) > MAX_CHARACTERS:
        return (
            "INVALID_LENGTH",
            f'Property "{name}" is {len(value)} characters long; '
            f"the limit is {MAX_CHARACTERS} characters.",
        )
    if value == "":
        return None
    return _typed_fault(name, value, definition)


def _typed_fault(name: str, value: str, definition: PropertyDefinition) -> tuple[str, str] | None:
    if definition.type == "datetime" and to_epoch_ms(value) is None:
        return "INVALID_LONG", f"{value} was not a valid long."
    if definition.type == "number" and not _NUMBER.match(value):
        return "INVALID_DOUBLE", f"{value} was not a valid number."
    if definition.type in {"enumeration", "bool"} and value not in definition.option_values():
        allowed = ", ".join(definition.option_values())
        return "INVALID_OPTION", f"{value} was not one of the allowed options: [{allowed}]"
    if name == "email" and not _EMAIL.match(value):
        return "INVALID_EMAIL", f"Email address {value} is invalid"
    if name == "hs_call_recording_url" and not value.startswith("https://"):
        return "INVALID_URL", f'Property "{name}" must be an https address.'
    if name == "hs_call_source" and value != "INTEGRATIONS_PLATFORM":
        return "INVALID_OPTION", f"{value} was not one of the allowed options."
    return None


def _normal(value: str, definition: PropertyDefinition, catalog: Catalog) -> str:
    if definition.type == "datetime" and value:
        return iso((to_epoch_ms(value) or 0) / 1000)
    if definition.name in catalog.kind.rich_text:
        return sanitised(value)
    if definition.name == "email":
        return value.lower()
    return value
