"""Search of one kind of record, with every limit HubSpot documents.

It reads the index, never the records: what is not indexed yet is not found.
"""

from __future__ import annotations

import fnmatch
import re
from typing import Any

from .answers import Answer, json_answer, validation_error
from .bodies import Filter, FilterGroup, Search, SortRule
from .catalog import Catalog, PropertyDefinition
from .kinds import ObjectKind, kind_named
from .portal import Portal
from .requests import Request
from .search_index import IndexedRecord
from .times import to_epoch_ms

MAX_BODY_CHARACTERS = 3_000
MAX_GROUPS = 5
MAX_FILTERS_IN_GROUP = 6
MAX_FILTERS = 18
MAX_LIMIT = 200
MAX_REACH = 10_000

_ONE_VALUE = {"EQ", "NEQ", "LT", "LTE", "GT", "GTE", "CONTAINS_TOKEN", "NOT_CONTAINS_TOKEN"}
_MANY_VALUES = {"IN", "NOT_IN"}
_NO_VALUE = {"HAS_PROPERTY", "NOT_HAS_PROPERTY"}
_OPERATORS = _ONE_VALUE | _MANY_VALUES | _NO_VALUE | {"BETWEEN"}
_PSEUDO = "associations."


def search(request: Request) -> Answer:
    """200 with one page of matches and how many there are."""
    if len(request.body.decode(errors="replace")) > MAX_BODY_CHARACTERS:
        raise validation_error(
            f"The request body is longer than the limit of {MAX_BODY_CHARACTERS} characters"
        )
    body = request.json(Search)
    kind, portal = request.kind, request.portal
    catalog = portal.catalogs[kind.name]
    start = _start(body)
    _check_filters(body.filter_groups, catalog)
    order = _order(body, catalog)
    index = portal.indexes[kind.name]
    index.catch_up(portal.now())

    found = _matches(portal, kind, body)
    records = sorted(found, key=order[0], reverse=order[1])
    page = records[start : start + body.limit]
    answer: dict[str, Any] = {
        "total": len(records),
        "results": [_shown(record, portal, kind, body.properties) for record in page],
    }
    if start + body.limit < len(records):
        answer["paging"] = {"next": {"after": str(start + body.limit)}}
    return json_answer(200, answer)


def _start(body: Search) -> int:
    if not 1 <= body.limit <= MAX_LIMIT:
        raise validation_error(f"limit must be between 1 and {MAX_LIMIT}, but was {body.limit}")
    written = body.after or "0"
    if not written.isdigit():
        raise validation_error(f"after must be an integer, but was {written!r}")
    if int(written) + body.limit > MAX_REACH:
        raise validation_error(
            f"Paging past {MAX_REACH} results is not supported: after {written}, limit {body.limit}"
        )
    return int(written)


def _check_filters(groups: list[FilterGroup], catalog: Catalog) -> None:
    if len(groups) > MAX_GROUPS:
        raise validation_error(f"At most {MAX_GROUPS} filterGroups are allowed")
    if any(len(group.filters) > MAX_FILTERS_IN_GROUP for group in groups):
        raise validation_error(f"At most {MAX_FILTERS_IN_GROUP} filters are allowed in a group")
    if sum(len(group.filters) for group in groups) > MAX_FILTERS:
        raise validation_error(f"At most {MAX_FILTERS} filters are allowed in a request")
    for group in groups:
        if not group.filters:
            raise validation_error("filterGroups[].filters must not be empty")
        for condition in group.filters:
            _check_filter(condition, catalog)


def _check_filter(condition: Filter, catalog: Catalog) -> None:
    name, operator = condition.property_name, condition.operator
    if operator not in _OPERATORS:
        raise validation_error(f"{operator} is not a search operator")
    definition = catalog.properties.get(name)
    if name.startswith(_PSEUDO):
        kind_named(name.removeprefix(_PSEUDO))
        if operator not in {"EQ", "IN"}:
            raise validation_error(f"operator {operator} is not supported on {name}")
    elif definition is None or not definition.filterable:
        raise validation_error(
            "There was a problem with the request.",
            errors=[{"message": f"{name} is not a property that can be filtered by"}],
        )
    if operator in _MANY_VALUES and (not condition.values or condition.value is not None):
        raise validation_error(f"operator {operator} requires values, a list, and no value")
    if operator in _ONE_VALUE and (condition.value is None or condition.values is not None):
        raise validation_error(f"operator {operator} requires value, and no values")
    if operator == "BETWEEN" and (condition.value is None or condition.high_value is None):
        raise validation_error("operator BETWEEN requires value and highValue")


def _order(body: Search, catalog: Catalog) -> tuple[Any, bool]:
    if len(body.sorts) > 1:
        raise validation_error("Only one sort is allowed")
    if not body.sorts:
        return (lambda record: (record.created_at, int(record.id))), False
    rule = body.sorts[0]
    if isinstance(rule, str):
        descending = rule.startswith("-")
        name = rule.removeprefix("-")
        rule = SortRule(name, "DESCENDING" if descending else "ASCENDING")
    if rule.direction not in {"ASCENDING", "DESCENDING"}:
        raise validation_error(f"{rule.direction} is not a sort direction")
    definition = catalog.properties.get(rule.property_name)
    if definition is None:
        raise validation_error(f"{rule.property_name} is not a property that can be sorted by")

    def key(record: IndexedRecord) -> tuple[bool, Any, int]:
        value = record.properties.get(definition.name)
        if value is None:
            return True, 0 if _is_numeric(definition) else "", int(record.id)
        return False, _comparable(value, definition), int(record.id)

    return key, rule.direction == "DESCENDING"


def _matches(portal: Portal, kind: ObjectKind, body: Search) -> list[IndexedRecord]:
    records = portal.indexes[kind.name].records
    if body.filter_groups:
        ids: set[str] = set()
        for group in body.filter_groups:
            ids |= _group_ids(portal, kind, group)
        found = [records[i] for i in ids]
    else:
        found = list(records.values())
    if body.query:
        words = body.query.lower().split()
        found = [record for record in found if _mentions(record, kind, words)]
    return found


def _group_ids(portal: Portal, kind: ObjectKind, group: FilterGroup) -> set[str]:
    index = portal.indexes[kind.name]
    catalog = portal.catalogs[kind.name]
    candidates: set[str] | None = None
    for condition in sorted(group.filters, key=lambda c: c.operator not in {"EQ", "IN"}):
        name = condition.property_name
        if name.startswith(_PSEUDO):
            hits = _associated(portal, kind, condition)
        elif condition.operator in {"EQ", "IN"} and not _is_numeric(catalog.properties[name]):
            hits = index.with_values(name, _wanted(condition, catalog.properties[name]))
            if catalog.properties[name].type == "enumeration":
                hits = {i for i in hits if _holds(index.records[i], condition, catalog)}
        else:
            pool = index.records if candidates is None else candidates
            hits = {i for i in pool if _holds(index.records[i], condition, catalog)}
        candidates = hits if candidates is None else candidates & hits
    return {i for i in candidates or () if i in index.records}


def _wanted(condition: Filter, definition: PropertyDefinition) -> list[str]:
    # IN compares what was sent with lower-cased stored text: an upper-case value finds nothing.
    if condition.operator == "EQ":
        return [str(condition.value).lower()]
    if definition.type == "enumeration":
        return [value.lower() for value in condition.values or ()]
    return list(condition.values or ())


def _associated(portal: Portal, kind: ObjectKind, condition: Filter) -> set[str]:
    other = kind_named(condition.property_name.removeprefix(_PSEUDO))
    wanted = condition.values if condition.operator == "IN" else [str(condition.value)]
    return {
        object_id
        for other_id in wanted or ()
        for object_id in portal.associations.of(other.name, other_id, kind.name)
    }


def _holds(record: IndexedRecord, condition: Filter, catalog: Catalog) -> bool:
    definition = catalog.properties[condition.property_name]
    value = record.properties.get(condition.property_name)
    match condition.operator:
        case "HAS_PROPERTY":
            return bool(value)
        case "NOT_HAS_PROPERTY":
            return not value
        case "NEQ":
            return value is None or not _equal(value, str(condition.value), definition)
        case "NOT_IN":
            return value is not None and not _among(value, condition.values or [], definition)
        case "NOT_CONTAINS_TOKEN":
            return not _has_token(value or "", str(condition.value))
    if value is None:
        return False
    match condition.operator:
        case "EQ":
            return _equal(value, str(condition.value), definition)
        case "IN":
            return _among(value, condition.values or [], definition)
        case "CONTAINS_TOKEN":
            return _has_token(value, str(condition.value))
    return _compares(value, condition, definition)


def _compares(value: str, condition: Filter, definition: PropertyDefinition) -> bool:
    own = _comparable(value, definition)
    low = _comparable(str(condition.value), definition)
    match condition.operator:
        case "LT":
            return bool(own < low)
        case "LTE":
            return bool(own <= low)
        case "GT":
            return bool(own > low)
        case "GTE":
            return bool(own >= low)
    return bool(low <= own <= _comparable(str(condition.high_value), definition))


def _equal(value: str, wanted: str, definition: PropertyDefinition) -> bool:
    if definition.type == "enumeration":
        return value == wanted
    return bool(_comparable(value, definition) == _comparable(wanted, definition))


def _among(value: str, wanted: list[str], definition: PropertyDefinition) -> bool:
    if definition.type == "enumeration":
        return value in wanted
    if _is_numeric(definition):
        return any(_equal(value, one, definition) for one in wanted)
    return value.lower() in wanted


def _is_numeric(definition: PropertyDefinition) -> bool:
    return definition.type in {"number", "datetime"}


def _comparable(value: str, definition: PropertyDefinition) -> Any:
    if definition.type == "datetime":
        at = to_epoch_ms(value)
        if at is None:
            raise validation_error(f"{value!r} is not a point in time")
        return at
    if definition.type == "number":
        try:
            return float(value)
        except ValueError as err:
            raise validation_error(f"{value!r} is not a number") from err
    return value.lower()


def _has_token(value: str, wanted: str) -> bool:
    tokens = [value.lower(), *re.findall(r"[\w@.+'-]+", value.lower())]
    return all(
        any(fnmatch.fnmatchcase(token, pattern) for token in tokens)
        for pattern in wanted.lower().replace("[", "[[]").split()
    )


def _mentions(record: IndexedRecord, kind: ObjectKind, words: list[str]) -> bool:
    text = " ".join(record.properties.get(name, "") for name in kind.searched_text).lower()
    return all(word in text for word in words)


def _shown(
    record: IndexedRecord, portal: Portal, kind: ObjectKind, properties: list[str]
) -> dict[str, Any]:
    always = (kind.created_property, kind.modified_property, "hs_object_id")
    asked = [name for name in properties if name in portal.catalogs[kind.name].properties]
    wanted = dict.fromkeys([*asked, *always] if asked else kind.default_properties)
    return {
        "id": record.id,
        "properties": portal.without_hidden({name: record.properties.get(name) for name in wanted}),
        "createdAt": record.created_at,
        "updatedAt": record.updated_at,
        "archived": False,
    }
