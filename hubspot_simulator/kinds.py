"""The kinds of record a simulated portal holds, and how they may be associated.

It knows nothing of stores or requests.
"""

from __future__ import annotations

from dataclasses import dataclass

from .answers import validation_error


@dataclass(frozen=True)
class ObjectKind:
    """One object type of the CRM, with the names its API uses for it."""

    name: str
    singular: str
    type_id: str
    created_property: str
    modified_property: str
    required: tuple[str, ...]
    default_properties: tuple[str, ...]
    rich_text: tuple[str, ...]
    searched_text: tuple[str, ...]
    property_group: str

    @property
    def upper(self) -> str:
        """The name as error messages print it."""
        return self.singular.upper()

    @property
    def is_activity(self) -> bool:
        """Whether this is a note or a call, and no contact."""
        return bool(self.required)


CONTACT = ObjectKind(
    name="contacts",
    singular="contact",
    type_id="0-1",
    created_property="createdate",
    modified_property="lastmodifieddate",
    required=(),
    default_properties=(
        "createdate",
        "email",
        "firstname",
        "hs_object_id",
        "lastmodifieddate",
        "lastname",
    ),
    rich_text=(),
    searched_text=(
        "firstname",
        "lastname",
        "email",
        "phone",
        "hs_additional_emails",
        "fax",
        "mobilephone",
        "company",
    ),
    property_group="contactinformation",
)
NOTE = ObjectKind(
    name="notes",
    singular="note",
    type_id="0-46",
    created_property="hs_createdate",
    modified_property="hs_lastmodifieddate",
    required=("hs_timestamp",),
    default_properties=("hs_createdate", "hs_lastmodifieddate", "hs_object_id"),
    rich_text=("hs_note_body",),
    searched_text=("hs_note_body",),
    property_group="notesinformation",
)
CALL = ObjectKind(
    name="calls",
    singular="call",
    type_id="0-48",
    created_property="hs_createdate",
    modified_property="hs_lastmodifieddate",
    required=("hs_timestamp",),
    default_properties=("hs_createdate", "hs_lastmodifieddate", "hs_object_id"),
    rich_text=("hs_call_body",),
    searched_text=("hs_call_title", "hs_body_preview"),
    property_group="callinformation",
)

KINDS: tuple[ObjectKind, ...] = (CONTACT, NOTE, CALL)
_BY_NAME = {
    spelling: kind for kind in KINDS for spelling in (kind.name, kind.singular, kind.type_id)
}

# (from, to) -> HUBSPOT_DEFINED association type. Source: associations guide, default type ids.
_ASSOCIATION_TYPES: dict[tuple[str, str], int] = {
    ("notes", "contacts"): 202,
    ("contacts", "notes"): 201,
    ("calls", "contacts"): 194,
    ("contacts", "calls"): 193,
}


def kind_named(written: str) -> ObjectKind:
    """The kind an address names, by plural, singular or type id. Raises a 400."""
    kind = _BY_NAME.get(written.lower())
    if kind is None:
        raise validation_error(f"Unable to infer object type from: {written}")
    return kind


def association_type(from_kind: ObjectKind, to_kind: ObjectKind) -> int:
    """The default association type between two kinds. Raises a 400 where there is none."""
    found = _ASSOCIATION_TYPES.get((from_kind.name, to_kind.name))
    if found is None:
        raise validation_error(
            f"No default association type exists from {from_kind.type_id} to {to_kind.type_id}"
        )
    return found


def target_of_association_type(from_kind: ObjectKind, type_id: int) -> ObjectKind | None:
    """The kind that an association type leads to, or None where it starts elsewhere."""
    for (source, target), number in _ASSOCIATION_TYPES.items():
        if source == from_kind.name and number == type_id:
            return _BY_NAME[target]
    return None
