"""The state of one portal: its records, their associations, properties and files.

It checks and keeps; it knows nothing of HTTP.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable, Mapping

from .answers import HubSpotError, conflict, object_not_found, validation_error
from .associations import AssociationGraph
from .catalog import Catalog
from .file_drive import FileDrive
from .kinds import (
    CONTACT,
    KINDS,
    ObjectKind,
    association_type,
)
from .phones import calculated_properties
from .records import Claims, CrmObject, Link, NewObject
from .search_index import IndexedRecord, SearchIndex
from .settings import SimulatorSettings
from .times import iso
from .values import conflicting_value, kept_values


class Portal:
    """One HubSpot account."""

    def __init__(
        self,
        portal_id: int,
        settings: SimulatorSettings,
        clock: Callable[[], float],
        *,
        seed: int = 0,
        time_zone: str = "US/Eastern",
    ) -> None:
        self.id = portal_id
        self.settings = settings
        self.time_zone = time_zone
        self.catalogs = {kind.name: Catalog(kind) for kind in KINDS}
        self.records: dict[str, dict[str, CrmObject]] = {kind.name: {} for kind in KINDS}
        self.archived: dict[str, dict[str, CrmObject]] = {kind.name: {} for kind in KINDS}
        self.indexes = {kind.name: SearchIndex() for kind in KINDS}
        # What the account's own validation rules demand besides, by kind.
        self.required_properties: dict[str, tuple[str, ...]] = {}
        self.associations = AssociationGraph()
        self.files = FileDrive()
        self.shuffler = random.Random(f"{seed}/{portal_id}")
        self._clock = clock
        self._ids = {
            kind.name: itertools.count(first)
            for kind, first in zip(KINDS, (100_451, 9_000_001, 7_000_001), strict=True)
        }
        self._unique: dict[tuple[str, str], dict[str, str]] = {}

    def now(self) -> float:
        """Seconds since 1970, by the simulator's clock."""
        return self._clock()

    def checked(
        self,
        kind: ObjectKind,
        written: Mapping[str, str],
        links: Iterable[Link],
        claims: Claims,
        trace_id: str | None = None,
    ) -> NewObject:
        """A record ready to be kept. Raises what HubSpot would answer where it would refuse."""
        properties = kept_values(
            self.catalogs[kind.name],
            written,
            portal_id=self.id,
            required=(*kind.required, *self.required_properties.get(kind.name, ())),
        )
        linked = list(links)
        for link in linked:
            self._require_link(kind, link)
        self._claim(kind, properties, claims, own_id=None)
        return NewObject(kind, properties, linked, trace_id)

    def keep(
        self, new: NewObject, *, object_id: str | None = None, created_at: str | None = None
    ) -> CrmObject:
        """Keeps a checked record with its associations."""
        kind = new.kind
        at = created_at or iso(self.now())
        object_id = object_id or self._next_id(kind)
        properties = {name: value for name, value in new.properties.items() if value != ""}
        properties |= {
            "hs_object_id": object_id,
            kind.created_property: at,
            kind.modified_property: at,
        }
        record = CrmObject(object_id, kind, properties, at, at, new.trace_id)
        self._recalculate(record)
        self.records[kind.name][object_id] = record
        self._remember_unique(record)
        self._index(record)
        for link in new.links:
            self.associate(kind, object_id, link.kind, link.id, link.type_id)
        return record

    def checked_change(
        self, record: CrmObject, written: Mapping[str, str], claims: Claims
    ) -> dict[str, str]:
        """New values ready to be kept on a record. Raises what HubSpot would answer."""
        properties = kept_values(self.catalogs[record.kind.name], written, portal_id=self.id)
        self._claim(record.kind, properties, claims, own_id=record.id)
        return properties

    def change(self, record: CrmObject, properties: Mapping[str, str]) -> None:
        """Keeps checked values on a record; an empty one clears its property."""
        self._forget_unique(record)
        for name, value in properties.items():
            if value == "":
                record.properties.pop(name, None)
            else:
                record.properties[name] = value
        self._recalculate(record)
        self._remember_unique(record)
        self._touch(record)

    def archive(self, kind: ObjectKind, object_id: str) -> bool:
        """Puts a record into the recycle bin; False where there is none."""
        record = self.records[kind.name].pop(object_id, None)
        if record is None:
            return False
        record.archived_at = iso(self.now())
        self._forget_unique(record)
        self.archived[kind.name][object_id] = record
        self.associations.remove_all(kind.name, object_id)
        self.indexes[kind.name].put(object_id, None, self._visible_at())
        return True

    def find(
        self, kind: ObjectKind, value: str, id_property: str | None = None
    ) -> CrmObject | None:
        """The record with this id, or with this value of a unique property. Raises a 400
        where the property is not unique.
        """
        if id_property in (None, "", "hs_object_id"):
            return self.records[kind.name].get(value)
        definition = self.catalogs[kind.name].properties.get(str(id_property))
        if definition is None or not definition.unique:
            raise validation_error(
                f"Unable to perform update/upsert by non-unique {kind.type_id} property "
                f"{id_property}"
            )
        holder = self._unique.get((kind.name, definition.name), {}).get(value.lower())
        return self.records[kind.name].get(holder) if holder is not None else None

    def require(self, kind: ObjectKind, value: str, id_property: str | None = None) -> CrmObject:
        """The record asked for. Raises a 404 where there is none."""
        record = self.find(kind, value, id_property)
        if record is None:
            raise self.missing(kind, [value])
        return record

    def missing(self, kind: ObjectKind, ids: list[str]) -> HubSpotError:
        """The 404 about records that are not there."""
        return object_not_found(
            f"Could not get some {kind.upper} objects, they may be deleted or not exist. "
            "Check that ids are valid.",
            {"ids": ids},
        )

    def associate(
        self,
        from_kind: ObjectKind,
        from_id: str,
        to_kind: ObjectKind,
        to_id: str,
        type_id: int | None = None,
    ) -> int:
        """Joins two records both ways and gives the type id. Raises a 404 where one is missing."""
        self._require_end(from_kind, from_id)
        self._require_end(to_kind, to_id)
        forward = type_id or association_type(from_kind, to_kind)
        backward = association_type(to_kind, from_kind)
        self.associations.add(from_kind.name, from_id, to_kind.name, to_id, forward)
        self.associations.add(to_kind.name, to_id, from_kind.name, from_id, backward)
        for kind, object_id in ((from_kind, from_id), (to_kind, to_id)):
            if kind is CONTACT:
                self._touch(self.records[kind.name][object_id])
        return forward

    def without_hidden(self, properties: dict[str, str | None]) -> dict[str, str | None]:
        """The values a reader gets to see: all, unless the portal hides written phone numbers."""
        if not self.settings.hide_written_phones:
            return properties
        return {
            name: None if name in {"phone", "mobilephone"} else value
            for name, value in properties.items()
        }

    def forget_property(self, kind: ObjectKind, name: str) -> None:
        """Drops the values of a property that has been archived."""
        self._unique.pop((kind.name, name), None)
        for record in self.records[kind.name].values():
            if record.properties.pop(name, None) is not None:
                self._index(record)

    def _require_end(self, kind: ObjectKind, object_id: str) -> None:
        if object_id not in self.records[kind.name]:
            raise object_not_found(
                f"{kind.upper}={object_id} is not valid: the record does not exist or was deleted.",
                {"objectId": [object_id], "objectType": [kind.upper]},
            )

    def _require_link(self, kind: ObjectKind, link: Link) -> None:
        if link.type_id != association_type(kind, link.kind):
            raise validation_error(
                f"Association type {link.type_id} is not valid from {kind.type_id} "
                f"to {link.kind.type_id}"
            )
        self._require_end(link.kind, link.id)

    def _claim(
        self, kind: ObjectKind, properties: Mapping[str, str], claims: Claims, own_id: str | None
    ) -> None:
        for name in self.catalogs[kind.name].unique_names():
            value = properties.get(name)
            if not value:
                continue
            holder = self._unique.get((kind.name, name), {}).get(value.lower())
            if holder is not None and holder != own_id:
                if kind is CONTACT and name == "email":
                    raise conflict(f"Contact already exists. Existing ID: {holder}")
                raise conflicting_value(name, holder, self.id)
            if not claims.take(kind, name, value):
                raise conflicting_value(name, "Another input of this batch", self.id)

    def _recalculate(self, record: CrmObject) -> None:
        if record.kind is not CONTACT:
            return
        for name in [name for name in record.properties if "_calculated_" in name]:
            del record.properties[name]
        record.properties |= calculated_properties(record.properties, self.settings.default_region)

    def _touch(self, record: CrmObject) -> None:
        record.updated_at = iso(self.now())
        record.properties[record.kind.modified_property] = record.updated_at
        self._index(record)

    def _index(self, record: CrmObject) -> None:
        self.indexes[record.kind.name].put(
            record.id,
            IndexedRecord(record.id, dict(record.properties), record.created_at, record.updated_at),
            self._visible_at(),
        )

    def _visible_at(self) -> float | None:
        lag = self.settings.index_lag_s
        return self.now() + lag if lag else None

    def _remember_unique(self, record: CrmObject) -> None:
        for name in self.catalogs[record.kind.name].unique_names():
            value = record.properties.get(name)
            if value:
                holders = self._unique.setdefault((record.kind.name, name), {})
                holders[value.lower()] = record.id

    def _forget_unique(self, record: CrmObject) -> None:
        for name in self.catalogs[record.kind.name].unique_names():
            value = record.properties.get(name)
            if value:
                self._unique.get((record.kind.name, name), {}).pop(value.lower(), None)

    def _next_id(self, kind: ObjectKind) -> str:
        while (found := str(next(self._ids[kind.name]))) in self.records[kind.name]:
            continue
        return found
