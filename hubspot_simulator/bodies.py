"""The JSON bodies that operations take; a key or type that is not here is refused.

Names are HubSpot's own, in camel case on the wire.
"""

from __future__ import annotations

from typing import Any

import msgspec


class _Body(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    pass


class ObjectId(_Body):
    """A record named by its id."""

    id: str


class AssociationSpec(_Body):
    """An association type."""

    association_category: str
    association_type_id: int


class NewAssociation(_Body):
    """An association inside a create."""

    to: ObjectId
    types: list[AssociationSpec]


class CreateInput(_Body):
    """A record to create."""

    properties: dict[str, str]
    associations: list[NewAssociation] = []
    object_write_trace_id: str | None = None


class ChangeInput(_Body):
    """New values for a record named by the address."""

    properties: dict[str, str]
    object_write_trace_id: str | None = None


class BatchChangeInput(_Body):
    """New values for a record of a batch; the same shape serves upserts."""

    id: str
    properties: dict[str, str]
    id_property: str | None = None
    object_write_trace_id: str | None = None


class BatchCreate(_Body):
    """Records to create."""

    inputs: list[CreateInput]


class BatchChange(_Body):
    """Records to update or upsert."""

    inputs: list[BatchChangeInput]


class BatchRead(_Body):
    """Records to read."""

    inputs: list[ObjectId]
    properties: list[str] = []
    properties_with_history: list[str] = []
    id_property: str | None = None


class BatchIds(_Body):
    """Records to archive."""

    inputs: list[ObjectId]


class Filter(_Body):
    """One condition of a search."""

    property_name: str
    operator: str
    value: str | None = None
    high_value: str | None = None
    values: list[str] | None = None


class FilterGroup(_Body):
    """Conditions that must all hold."""

    filters: list[Filter]


class SortRule(_Body):
    """The order of a search."""

    property_name: str
    direction: str = "ASCENDING"


class Search(_Body):
    """A search."""

    filter_groups: list[FilterGroup] = []
    sorts: list[SortRule | str] = []
    properties: list[str] = []
    limit: int = 10
    after: str | None = None
    query: str | None = None


class Pair(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """Two records to join by the default type."""

    to: ObjectId
    from_: ObjectId = msgspec.field(name="from")


class LabelledPair(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """Two records to join by given types."""

    to: ObjectId
    types: list[AssociationSpec]
    from_: ObjectId = msgspec.field(name="from")


class PartedPair(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """A record to part from others."""

    to: list[ObjectId]
    from_: ObjectId = msgspec.field(name="from")


class PairBatch(_Body):
    """Pairs to join by the default type."""

    inputs: list[Pair]


class LabelledPairBatch(_Body):
    """Pairs to join by given types."""

    inputs: list[LabelledPair]


class PartedPairBatch(_Body):
    """Pairs to part."""

    inputs: list[PartedPair]


class AssociationsOf(_Body):
    """A record whose associations are asked for, from a page on."""

    id: str
    after: str | None = None


class AssociationRead(_Body):
    """Records whose associations are asked for."""

    inputs: list[AssociationsOf]


class NewProperty(_Body):
    """A property to create."""

    name: str
    label: str
    type: str
    field_type: str
    group_name: str
    description: str = ""
    options: list[dict[str, Any]] = []
    has_unique_value: bool = False
    hidden: bool = False
    display_order: int = -1
    form_field: bool = False
    external_options: bool = False
    referenced_object_type: str | None = None
    calculation_formula: str | None = None
    data_sensitivity: str | None = None


class NewPropertyGroup(_Body):
    """A property group to create."""

    name: str
    label: str
    display_order: int = -1


class UploadOptions(_Body):
    """The `options` part of a file upload."""

    access: str
    overwrite: bool = False
    duplicate_validation_strategy: str = "NONE"
    duplicate_validation_scope: str = "ENTIRE_PORTAL"
    ttl: str | None = None
    expires_at: str | None = None
