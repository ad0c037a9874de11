"""Operations on one record at a time: create, read, list, change, archive.

The rules are the portal's; here they get an address and a JSON shape.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .answers import Answer, json_answer, no_content, validation_error
from .bodies import ChangeInput, CreateInput, NewAssociation
from .kinds import ObjectKind, association_type, kind_named, target_of_association_type
from .portal import Portal
from .records import Claims, CrmObject, Link
from .requests import Request


def create(request: Request) -> Answer:
    """201 with the record."""
    body = request.json(CreateInput)
    kind = request.kind
    new = request.portal.checked(
        kind,
        body.properties,
        links_of(kind, body.associations),
        Claims(),
        body.object_write_trace_id,
    )
    record = request.portal.keep(new)
    return json_answer(201, shown(record))


def read(request: Request) -> Answer:
    """200 with the record, the properties asked for and, if asked for, its associations."""
    if request.first("archived") == "true":
        archived = request.portal.archived[request.kind.name].get(request.params["id"])
        if archived is None:
            raise _absent(request)
        return json_answer(200, shown(archived, request.listed("properties")))
    record = _addressed(request)
    payload = shown_known(request.portal, record, request.listed("properties"))
    _add_associations(payload, request, record)
    return json_answer(200, payload)


def list_all(request: Request) -> Answer:
    """200 with one page of records, by id."""
    kind = request.kind
    limit = request.whole_number("limit", 10, 100)
    after = request.first("after") or "0"
    if not after.isdigit():
        raise validation_error("after must be an integer")
    ids = sorted(int(i) for i in request.portal.records[kind.name])
    page = [i for i in ids if i >= int(after)][: limit + 1]
    results = []
    for object_id in page[:limit]:
        record = request.portal.records[kind.name][str(object_id)]
        payload = shown_known(request.portal, record, request.listed("properties"))
        _add_associations(payload, request, record)
        results.append(payload)
    answer: dict[str, Any] = {"results": results}
    if len(page) > limit:
        answer["paging"] = {"next": {"after": str(page[limit])}}
    return json_answer(200, answer)


def change(request: Request) -> Answer:
    """200 with the changed record."""
    body = request.json(ChangeInput)
    record = _addressed(request)
    request.portal.change(record, request.portal.checked_change(record, body.properties, Claims()))
    return json_answer(200, shown(record))


def archive(request: Request) -> Answer:
    """204, whether the record was there or not, as a real portal does."""
    request.portal.archive(request.kind, request.params["id"])
    return no_content()


def shown(
    record: CrmObject, properties: Iterable[str] | None = None, *, ask: bool = False
) -> dict[str, Any]:
    """A record as JSON. Without a list of properties: all of them, or, in reads (`ask`), the
    default ones.
    """
    kind = record.kind
    names = [*dict.fromkeys(properties or ())]
    if names:
        wanted = [*dict.fromkeys([*names, *_always(kind)])]
    elif ask:
        wanted = [*kind.default_properties]
    else:
        wanted = [*record.properties]
    payload: dict[str, Any] = {
        "id": record.id,
        "properties": {name: record.properties.get(name) for name in wanted},
        "createdAt": record.created_at,
        "updatedAt": record.updated_at,
        "archived": record.archived_at is not None,
    }
    if record.archived_at is not None:
        payload["archivedAt"] = record.archived_at
    return payload


def shown_known(
    portal: Portal, record: CrmObject, properties: Iterable[str] | None = None
) -> dict[str, Any]:
    """A record as JSON, without the asked-for properties that the portal does not know."""
    known = portal.catalogs[record.kind.name].properties
    payload = shown(record, [name for name in properties or () if name in known], ask=True)
    payload["properties"] = portal.without_hidden(payload["properties"])
    return payload


def links_of(kind: ObjectKind, associations: Iterable[NewAssociation]) -> list[Link]:
    """The associations of a create. Raises a 400 where a type leads nowhere."""
    links = []
    for association in associations:
        if not association.types:
            raise validation_error("associations[].types must not be empty")
        for spec in association.types:
            target = target_of_association_type(kind, spec.association_type_id)
            if spec.association_category != "HUBSPOT_DEFINED" or target is None:
                raise validation_error(
                    f"Association type {spec.association_category} {spec.association_type_id} "
                    f"is not valid from {kind.type_id}"
                )
            links.append(Link(target, association.to.id, association_type(kind, target)))
    return links


def _always(kind: ObjectKind) -> tuple[str, ...]:
    return (kind.created_property, kind.modified_property, "hs_object_id")


def _addressed(request: Request) -> CrmObject:
    kind = request.kind
    record = request.portal.find(kind, request.params["id"], request.first("idProperty"))
    if record is None:
        raise _absent(request)
    return record


def _absent(request: Request) -> Exception:
    error = request.portal.missing(request.kind, [request.params["id"]])
    error.message = "resource not found"
    return error


def _add_associations(payload: dict[str, Any], request: Request, record: CrmObject) -> None:
    for name in request.listed("associations"):
        other = kind_named(name)
        joined = request.portal.associations.of(record.kind.name, record.id, other.name)
        if joined:
            payload.setdefault("associations", {})[other.name] = {
                "results": [
                    {"id": other_id, "type": f"{record.kind.singular}_to_{other.singular}"}
                    for other_id in joined
                ]
            }
