"""Operations on associations: join, part, list, and the same in batches.

The shapes are those of associations v4, which the dated versions kept; only the v3 list differs.
"""

from __future__ import annotations

from typing import Any, TypeVar

from .answers import Answer, HubSpotError, json_answer, no_content, validation_error
from .batch_operations import batch_payload
from .bodies import (
    AssociationRead,
    AssociationSpec,
    LabelledPairBatch,
    PairBatch,
    PartedPairBatch,
)
from .kinds import ObjectKind, association_type, kind_named
from .requests import Request

MAX_JOINED = 2_000
MAX_READ = 1_000

Item = TypeVar("Item")


def join_default(request: Request) -> Answer:
    """200 once two records are joined by the default type."""
    from_kind, to_kind = _kinds(request)
    from_id, to_id = request.params["id"], request.params["to_id"]
    joined = _join(request, from_kind, from_id, to_kind, to_id)
    return json_answer(200, batch_payload(request, [joined], []))


def join_labelled(request: Request) -> Answer:
    """201 once two records are joined by the types of the body."""
    from_kind, to_kind = _kinds(request)
    from_id, to_id = request.params["id"], request.params["to_id"]
    for spec in request.json(list[AssociationSpec]):
        _check_spec(spec, from_kind, to_kind)
    _join(request, from_kind, from_id, to_kind, to_id)
    return json_answer(201, _labelled(from_kind, from_id, to_kind, to_id))


def part(request: Request) -> Answer:
    """204 once two records are no longer joined."""
    from_kind, to_kind = _kinds(request)
    request.portal.associations.remove(
        from_kind.name, request.params["id"], to_kind.name, request.params["to_id"]
    )
    return no_content()


def list_of_record(request: Request) -> Answer:
    """200 with one page of the records that a record is joined to."""
    from_kind, to_kind = _kinds(request)
    request.portal.require(from_kind, request.params["id"])
    limit = request.whole_number("limit", request.state.settings.association_page_size, 500)
    return json_answer(
        200,
        _page(request, from_kind, request.params["id"], to_kind, request.first("after"), limit),
    )


def batch_join_default(request: Request) -> Answer:
    """200 with the pairs joined by the default type, or 207."""
    pairs = _counted(request, request.json(PairBatch).inputs, MAX_JOINED)
    from_kind, to_kind = _kinds(request)
    results: list[dict[str, Any]] = []
    errors: list[dict[str, Any]] = []
    for pair in pairs:
        try:
            results.append(_join(request, from_kind, pair.from_.id, to_kind, pair.to.id))
            results.append(_shown_pair(to_kind, pair.to.id, from_kind, pair.from_.id))
        except HubSpotError as err:
            errors.append(err.in_batch({"fromObjectId": [pair.from_.id]}))
    return json_answer(207 if errors else 200, batch_payload(request, results, errors))


def batch_join_labelled(request: Request) -> Answer:
    """201 with the pairs joined by given types, or 207."""
    pairs = _counted(request, request.json(LabelledPairBatch).inputs, MAX_JOINED)
    from_kind, to_kind = _kinds(request)
    results: list[dict[str, Any]] = []
    errors: list[dict[str, Any]] = []
    for pair in pairs:
        try:
            for spec in pair.types:
                _check_spec(spec, from_kind, to_kind)
            _join(request, from_kind, pair.from_.id, to_kind, pair.to.id)
            results.append(_labelled(from_kind, pair.from_.id, to_kind, pair.to.id))
        except HubSpotError as err:
            errors.append(err.in_batch({"fromObjectId": [pair.from_.id]}))
    return json_answer(207 if errors else 201, batch_payload(request, results, errors))


def batch_part(request: Request) -> Answer:
    """204 once all pairs are parted."""
    from_kind, to_kind = _kinds(request)
    for pair in _counted(request, request.json(PartedPairBatch).inputs, MAX_JOINED):
        for other in pair.to:
            request.portal.associations.remove(
                from_kind.name, pair.from_.id, to_kind.name, other.id
            )
    return no_content()


def batch_read(request: Request) -> Answer:
    """200 with what each record is joined to; 207 where one is joined to nothing."""
    from_kind, to_kind = _kinds(request)
    results: list[dict[str, Any]] = []
    errors: list[dict[str, Any]] = []
    limit = request.state.settings.association_page_size
    for item in _counted(request, request.json(AssociationRead).inputs, MAX_READ):
        page = _page(request, from_kind, item.id, to_kind, item.after, limit, dated=True)
        if not page["results"]:
            errors.append(_joined_to_nothing(from_kind, item.id, to_kind).in_batch())
            continue
        found: dict[str, Any] = {"from": {"id": item.id}, "to": page["results"]}
        if "paging" in page:
            found["paging"] = page["paging"]
        results.append(found)
    return json_answer(207 if errors else 200, batch_payload(request, results, errors))


def labels(request: Request) -> Answer:
    """200 with the association types between two kinds."""
    from_kind, to_kind = _kinds(request)
    type_id = association_type(from_kind, to_kind)
    return json_answer(
        200, {"results": [{"category": "HUBSPOT_DEFINED", "typeId": type_id, "label": None}]}
    )


def _kinds(request: Request) -> tuple[ObjectKind, ObjectKind]:
    return request.kind, kind_named(request.params["to_kind"])


def _join(
    request: Request, from_kind: ObjectKind, from_id: str, to_kind: ObjectKind, to_id: str
) -> dict[str, Any]:
    request.portal.associate(from_kind, from_id, to_kind, to_id)
    return _shown_pair(from_kind, from_id, to_kind, to_id)


def _shown_pair(
    from_kind: ObjectKind, from_id: str, to_kind: ObjectKind, to_id: str
) -> dict[str, Any]:
    return {
        "from": {"id": from_id},
        "to": {"id": to_id},
        "associationSpec": {
            "associationCategory": "HUBSPOT_DEFINED",
            "associationTypeId": association_type(from_kind, to_kind),
        },
    }


def _labelled(
    from_kind: ObjectKind, from_id: str, to_kind: ObjectKind, to_id: str
) -> dict[str, Any]:
    return {
        "fromObjectTypeId": from_kind.type_id,
        "fromObjectId": from_id,
        "toObjectTypeId": to_kind.type_id,
        "toObjectId": to_id,
        "labels": [],
    }


def _check_spec(spec: AssociationSpec, from_kind: ObjectKind, to_kind: ObjectKind) -> None:
    right = association_type(from_kind, to_kind)
    if spec.association_category != "HUBSPOT_DEFINED" or spec.association_type_id != right:
        raise validation_error(
            f"Association type {spec.association_category} {spec.association_type_id} is not "
            f"valid from {from_kind.type_id} to {to_kind.type_id}"
        )


def _page(
    request: Request,
    from_kind: ObjectKind,
    from_id: str,
    to_kind: ObjectKind,
    after: str | None,
    limit: int,
    *,
    dated: bool = False,
) -> dict[str, Any]:
    if after is not None and not after.isdigit():
        raise validation_error("after must be an integer")
    joined = request.portal.associations.of(from_kind.name, from_id, to_kind.name)
    start = int(after or 0)
    entries = list(joined.items())
    if request.version == "v3" and not dated:
        kind = f"{from_kind.singular}_to_{to_kind.singular}"
        shown: list[dict[str, Any]] = [{"id": other, "type": kind} for other, _ in entries]
    else:
        as_number = request.state.settings.association_ids_as_numbers
        shown = [
            {
                "toObjectId": int(other) if as_number else other,
                "associationTypes": [
                    {"category": "HUBSPOT_DEFINED", "typeId": type_id, "label": None}
                    for type_id in sorted(types)
                ],
            }
            for other, types in entries
        ]
    page: dict[str, Any] = {"results": shown[start : start + limit]}
    if start + limit < len(shown):
        page["paging"] = {"next": {"after": str(start + limit)}}
    return page


def _joined_to_nothing(from_kind: ObjectKind, from_id: str, to_kind: ObjectKind) -> HubSpotError:
    return HubSpotError(
        404,
        f"No {to_kind.singular} is associated with {from_kind.singular} {from_id}.",
        "OBJECT_NOT_FOUND",
        sub_category="crm.associations.NO_ASSOCIATIONS_FOUND",
        context={
            "fromObjectId": [from_id],
            "fromObjectType": [from_kind.singular],
            "toObjectType": [to_kind.singular],
        },
    )


def _counted(request: Request, inputs: list[Item], highest: int) -> list[Item]:
    request.input_count = len(inputs)
    if not inputs:
        raise validation_error("inputs must not be empty")
    if len(inputs) > highest:
        raise validation_error(
            f"The maximum number of inputs in a batch is {highest}, but {len(inputs)} were sent."
        )
    return inputs
