"""Operations on property definitions and groups of one kind of record.

It knows no values; those are checked in values.py.
"""

from __future__ import annotations

import re
from typing import Any

from .answers import Answer, HubSpotError, json_answer, no_content, validation_error
from .bodies import NewProperty, NewPropertyGroup
from .catalog import MAX_UNIQUE_PROPERTIES, Catalog, PropertyDefinition
from .requests import Request
from .times import iso

_NAME = re.compile(r"^[a-z][a-z0-9_]{0,99}$")
_FIELD_TYPES = {
    "string": {"text", "textarea", "html", "file", "phonenumber"},
    "number": {"number"},
    "date": {"date"},
    "datetime": {"date"},
    "enumeration": {"select", "radio", "checkbox", "booleancheckbox"},
    "bool": {"booleancheckbox"},
}


def list_all(request: Request) -> Answer:
    """200 with every property of the kind."""
    catalog = _catalog(request)
    return json_answer(200, {"results": [found.payload() for found in catalog.properties.values()]})


def read(request: Request) -> Answer:
    """200 with one property, or 404."""
    return json_answer(200, _addressed(request).payload())


def create(request: Request) -> Answer:
    """201 with the new property; 409 where the name is taken."""
    body = request.json(NewProperty)
    catalog = _catalog(request)
    _check(body, catalog, request)
    if body.name in catalog.properties:
        raise _exists(f'Property with the name "{body.name}" already exists.', "PROPERTY")
    definition = PropertyDefinition(
        name=body.name,
        label=body.label,
        type=body.type,
        field_type=body.field_type,
        group=body.group_name,
        description=body.description,
        unique=body.has_unique_value,
        hubspot_defined=False,
        options=_options(body),
        created_at=iso(request.portal.now()),
        display_order=body.display_order,
        hidden=body.hidden,
        form_field=body.form_field,
    )
    catalog.properties[body.name] = definition
    return json_answer(201, definition.payload())


def archive(request: Request) -> Answer:
    """204; a property that HubSpot defined cannot be archived."""
    definition = _addressed(request)
    if definition.hubspot_defined:
        raise validation_error(f'Property "{definition.name}" is defined by HubSpot.')
    del _catalog(request).properties[definition.name]
    request.portal.forget_property(request.kind, definition.name)
    return no_content()


def list_groups(request: Request) -> Answer:
    """200 with the property groups of the kind."""
    groups = _catalog(request).groups
    return json_answer(
        200,
        {
            "results": [
                _group(name, label, order) for order, (name, label) in enumerate(groups.items())
            ]
        },
    )


def read_group(request: Request) -> Answer:
    """200 with one property group, or 404."""
    groups, name = _catalog(request).groups, request.params["name"]
    if name not in groups:
        raise HubSpotError(404, f'Property group "{name}" does not exist', "OBJECT_NOT_FOUND")
    return json_answer(200, _group(name, groups[name], list(groups).index(name)))


def create_group(request: Request) -> Answer:
    """201 with the new property group; 409 where the name is taken."""
    body = request.json(NewPropertyGroup)
    groups = _catalog(request).groups
    if body.name in groups:
        raise _exists(f'Property group "{body.name}" already exists.', "PROPERTY_GROUP")
    groups[body.name] = body.label
    return json_answer(201, _group(body.name, body.label, body.display_order))


def _catalog(request: Request) -> Catalog:
    return request.portal.catalogs[request.kind.name]


def _addressed(request: Request) -> PropertyDefinition:
    name = request.params["name"]
    found = _catalog(request).properties.get(name)
    if found is None:
        raise HubSpotError(
            404,
            f'Property "{name}" does not exist',
            "OBJECT_NOT_FOUND",
            sub_category="PropertyValidationError.PROPERTY_DOES_NOT_EXIST",
        )
    return found


def _check(body: NewProperty, catalog: Catalog, request: Request) -> None:
    settings = request.state.settings
    if not _NAME.match(body.name):
        raise validation_error(
            "Property name must begin with a lower-case letter and hold only lower-case letters, "
            "digits and underscores"
        )
    if body.name.startswith("hs_"):
        raise validation_error("Property names beginning with hs_ are reserved for HubSpot")
    if body.field_type not in _FIELD_TYPES.get(body.type, set()):
        raise validation_error(f"fieldType {body.field_type} does not fit type {body.type}")
    if body.group_name not in catalog.groups:
        raise validation_error(f"Property group {body.group_name} does not exist")
    if catalog.kind.is_activity and not settings.custom_properties_on_activities:
        raise validation_error(f"Properties cannot be created on {catalog.kind.type_id}")
    if body.has_unique_value:
        _check_unique(body, catalog, request)


def _check_unique(body: NewProperty, catalog: Catalog, request: Request) -> None:
    allowed = request.state.settings.unique_properties_on_activities
    if catalog.kind.is_activity and not allowed:
        raise validation_error(f"Unique properties are not supported on {catalog.kind.type_id}")
    if body.type not in {"string", "number"}:
        raise validation_error(f"A property of type {body.type} cannot be unique")
    if catalog.custom_unique_count() >= MAX_UNIQUE_PROPERTIES:
        raise validation_error(f"At most {MAX_UNIQUE_PROPERTIES} unique properties are allowed")


def _options(body: NewProperty) -> list[dict[str, Any]]:
    if body.type == "bool":
        return [
            {"label": "Yes", "value": "true", "displayOrder": 0, "hidden": False},
            {"label": "No", "value": "false", "displayOrder": 1, "hidden": False},
        ]
    for option in body.options:
        if not isinstance(option.get("label"), str) or not isinstance(option.get("value"), str):
            raise validation_error("options need a label and a value")
    return [{"displayOrder": -1, "hidden": False, **option} for option in body.options]


def _exists(message: str, what: str) -> HubSpotError:
    return HubSpotError(
        409,
        message,
        "OBJECT_ALREADY_EXISTS",
        sub_category=f"Properties.{what}_WITH_NAME_EXISTS",
    )


def _group(name: str, label: str, order: int) -> dict[str, Any]:
    return {"name": name, "label": label, "displayOrder": order, "archived": False}
