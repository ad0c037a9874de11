"""The properties each kind of record has, those of HubSpot and those a portal adds.

It knows definitions, not values: values.py checks those.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .kinds import CALL, CONTACT, NOTE, ObjectKind
from .phones import CALCULATED_NAMES

MAX_UNIQUE_PROPERTIES = 10


@dataclass
class PropertyDefinition:
    """What one property may hold."""

    name: str
    label: str
    type: str = "string"
    field_type: str = "text"
    group: str = ""
    description: str = ""
    unique: bool = False
    read_only: bool = False
    calculated: bool = False
    hubspot_defined: bool = True
    filterable: bool = True
    options: list[dict[str, Any]] = field(default_factory=list)
    created_at: str | None = None
    display_order: int = -1
    hidden: bool = False
    form_field: bool = False

    def option_values(self) -> list[str]:
        """The values an enumeration allows."""
        return [str(option["value"]) for option in self.options]

    def payload(self) -> dict[str, Any]:
        """The definition as the properties API shows it."""
        shown: dict[str, Any] = {
            "name": self.name,
            "label": self.label,
            "type": self.type,
            "fieldType": self.field_type,
            "description": self.description,
            "groupName": self.group,
            "options": self.options,
            "displayOrder": self.display_order,
            "calculated": self.calculated,
            "externalOptions": False,
            "hasUniqueValue": self.unique,
            "hidden": self.hidden,
            "hubspotDefined": self.hubspot_defined,
            "formField": self.form_field,
            "archived": False,
            "modificationMetadata": {
                "archivable": not self.hubspot_defined,
                "readOnlyDefinition": self.hubspot_defined,
                "readOnlyValue": self.read_only,
            },
        }
        if self.created_at is not None:
            shown |= {"createdAt": self.created_at, "updatedAt": self.created_at}
        return shown


class Catalog:
    """All properties and property groups of one kind in one portal."""

    def __init__(self, kind: ObjectKind) -> None:
        self.kind = kind
        self.properties = {found.name: found for found in _standard(kind)}
        self.groups = {kind.property_group: f"{kind.singular.capitalize()} information"}
        for definition in self.properties.values():
            definition.group = kind.property_group

    def unique_names(self) -> list[str]:
        """The properties whose value only one record may have."""
        return [found.name for found in self.properties.values() if found.unique]

    def custom_unique_count(self) -> int:
        """How many unique properties the portal has added."""
        return sum(p.unique and not p.hubspot_defined for p in self.properties.values())


def _standard(kind: ObjectKind) -> list[PropertyDefinition]:
    shared = [
        _read_only("hs_object_id", "Record ID", "number"),
        _read_only(kind.created_property, "Create date", "datetime"),
        _read_only(kind.modified_property, "Last modified date", "datetime"),
        _read_only("hs_unique_creation_key", "Unique creation key"),
        PropertyDefinition("hubspot_owner_id", "Owner", "string", "text"),
    ]
    return shared + {CONTACT.name: _contact, NOTE.name: _note, CALL.name: _call}[kind.name]()


def _contact() -> list[PropertyDefinition]:
    written = (
        "firstname lastname phone mobilephone fax company jobtitle website address city state zip"
        " country hs_additional_emails hs_language salutation"
    )
    stages = "subscriber lead marketingqualifiedlead salesqualifiedlead opportunity customer other"
    return [
        PropertyDefinition("email", "Email", unique=True),
        *(PropertyDefinition(name, name.capitalize()) for name in written.split()),
        _enumeration("lifecyclestage", "Lifecycle stage", stages.split()),
        *(_calculated(name) for name in CALCULATED_NAMES),
    ]


def _activity() -> list[PropertyDefinition]:
    return [
        PropertyDefinition("hs_timestamp", "Activity date", "datetime", "date"),
        PropertyDefinition("hs_attachment_ids", "Attached file IDs"),
        PropertyDefinition("hs_engagement_source", "Engagement source"),
        PropertyDefinition("hs_engagement_source_id", "Engagement source ID"),
        PropertyDefinition("hs_unique_id", "Unique ID"),
        _calculated("hs_body_preview"),
        PropertyDefinition(
            "hs_body_preview_html",
            "HTML body preview",
            read_only=True,
            calculated=True,
            filterable=False,
        ),
    ]


def _note() -> list[PropertyDefinition]:
    return [*_activity(), PropertyDefinition("hs_note_body", "Note body", "string", "html")]


def _call() -> list[PropertyDefinition]:
    text = (
        "hs_call_title hs_call_from_number hs_call_to_number hs_call_disposition hs_call_source"
        " hs_call_external_id hs_call_external_account_id hs_call_app_id hs_call_recording_url"
        " hs_call_callee_object_id hs_call_callee_object_type hs_call_callee_object_type_id"
        " hs_activity_type hs_call_unique_external_id hs_call_transcript_url"
    )
    statuses = (
        "BUSY CALLING_CRM_USER CANCELED COMPLETED CONNECTING FAILED IN_PROGRESS NO_ANSWER"
        " QUEUED RINGING MISSED HOLD UNKNOWN"
    )
    return [
        *_activity(),
        PropertyDefinition("hs_call_body", "Call notes", "string", "html"),
        PropertyDefinition("hs_call_duration", "Call duration", "number", "number"),
        _enumeration("hs_call_direction", "Call direction", ["INBOUND", "OUTBOUND"]),
        _enumeration("hs_call_status", "Call status", statuses.split()),
        *(PropertyDefinition(name, name) for name in text.split()),
    ]


def _read_only(name: str, label: str, kind: str = "string") -> PropertyDefinition:
    field_type = {"datetime": "date", "number": "number"}.get(kind, "text")
    return PropertyDefinition(name, label, kind, field_type, read_only=True)


def _calculated(name: str) -> PropertyDefinition:
    return PropertyDefinition(name, name, read_only=True, calculated=True)


def _enumeration(name: str, label: str, values: list[str]) -> PropertyDefinition:
    options = [
        {"label": value, "value": value, "displayOrder": order, "hidden": False, "description": ""}
        for order, value in enumerate(values)
    ]
    return PropertyDefinition(name, label, "enumeration", "select", options=options)
