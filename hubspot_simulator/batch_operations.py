"""Operations on up to 100 records at a time, and the two ways in which they may fail.

Either every input carries its own trace id and each is judged alone (207), or one bad input
fails them all and nothing is written (400).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from .answers import Answer, HubSpotError, json_answer, no_content, validation_error
from .bodies import (
    BatchChange,
    BatchChangeInput,
    BatchCreate,
    BatchIds,
    BatchRead,
    CreateInput,
)
from .record_operations import links_of, shown, shown_known
from .records import Claims, CrmObject, NewObject
from .requests import Request
from .times import iso

MAX_INPUTS = 100

Input = TypeVar("Input", CreateInput, BatchChangeInput)
Prepared = TypeVar("Prepared")


def create(request: Request) -> Answer:
    """201 with the records, or 207."""
    inputs = _counted(request, request.json(BatchCreate).inputs)
    kind, portal, claims = request.kind, request.portal, Claims()

    def check(item: CreateInput) -> NewObject:
        links = links_of(kind, item.associations)
        return portal.checked(kind, item.properties, links, claims, item.object_write_trace_id)

    def keep(new: NewObject) -> dict[str, Any]:
        record = portal.keep(new)
        return _traced(request, shown(record), new.trace_id)

    return _written(request, inputs, check, keep, done=201)


def change(request: Request) -> Answer:
    """200 with the changed records, or 207."""
    inputs = _counted(request, request.json(BatchChange).inputs)
    _refuse_repeated(inputs)
    kind, portal, claims = request.kind, request.portal, Claims()

    def check(item: BatchChangeInput) -> tuple[CrmObject, dict[str, str], str | None]:
        record = portal.require(kind, item.id, item.id_property)
        values = portal.checked_change(record, item.properties, claims)
        return record, values, item.object_write_trace_id

    def keep(checked: tuple[CrmObject, dict[str, str], str | None]) -> dict[str, Any]:
        record, values, trace_id = checked
        portal.change(record, values)
        return _traced(request, shown(record), trace_id)

    return _written(request, inputs, check, keep, done=200)


def upsert(request: Request) -> Answer:
    """200 with the records, each marked as new or not, or 207."""
    inputs = _counted(request, request.json(BatchChange).inputs)
    _refuse_repeated(inputs)
    kind, portal, claims = request.kind, request.portal, Claims()

    def check(
        item: BatchChangeInput,
    ) -> tuple[CrmObject | None, NewObject | dict[str, str], str | None]:
        record = portal.find(kind, item.id, item.id_property)
        if record is not None:
            changed = portal.checked_change(record, item.properties, claims)
            return record, changed, item.object_write_trace_id
        if item.id_property in (None, "", "hs_object_id"):
            raise portal.missing(kind, [item.id])
        written = {str(item.id_property): item.id, **item.properties}
        new = portal.checked(kind, written, [], claims, item.object_write_trace_id)
        return None, new, item.object_write_trace_id

    def keep(
        checked: tuple[CrmObject | None, NewObject | dict[str, str], str | None],
    ) -> dict[str, Any]:
        record, prepared, trace_id = checked
        if isinstance(prepared, NewObject):
            payload = shown(portal.keep(prepared)) | {"new": True}
        elif record is not None:
            portal.change(record, prepared)
            payload = shown(record) | {"new": False}
        else:
            raise AssertionError
        return _traced(request, payload, trace_id)

    return _written(request, inputs, check, keep, done=200)


def read(request: Request) -> Answer:
    """200 with the records, or 207 with the ids that are not there."""
    body = request.json(BatchRead)
    _counted(request, body.inputs)
    kind, portal = request.kind, request.portal
    found: dict[str, CrmObject] = {}
    missing: list[str] = []
    for item in body.inputs:
        record = portal.find(kind, item.id, body.id_property)
        if record is None:
            missing.append(item.id)
        else:
            found[record.id] = record
    results = [shown_known(portal, record, body.properties) for record in found.values()]
    errors = [portal.missing(kind, missing).in_batch()] if missing else []
    return _answer(request, results, errors, done=200)


def archive(request: Request) -> Answer:
    """204, whether the records were there or not."""
    inputs = _counted(request, request.json(BatchIds).inputs)
    for item in inputs:
        request.portal.archive(request.kind, item.id)
    return no_content()


def batch_payload(
    request: Request, results: list[dict[str, Any]], errors: list[dict[str, Any]]
) -> dict[str, Any]:
    """The body of a batch answer; results and errors come in no promised order."""
    request.portal.shuffler.shuffle(results)
    request.portal.shuffler.shuffle(errors)
    at = iso(request.portal.now())
    payload: dict[str, Any] = {
        "status": "COMPLETE",
        "results": results,
        "startedAt": at,
        "completedAt": at,
    }
    if errors:
        payload |= {"numErrors": len(errors), "errors": errors}
    return payload


def _written(
    request: Request,
    inputs: Sequence[Input],
    check: Callable[[Input], Prepared],
    keep: Callable[[Prepared], dict[str, Any]],
    *,
    done: int,
) -> Answer:
    traces = [item.object_write_trace_id for item in inputs]
    judged_alone = None not in traces and len(set(traces)) == len(traces)
    forced = request.partial_failure
    failing = forced.chosen(len(inputs)) if forced is not None else frozenset()
    checked: list[Prepared] = []
    errors: list[dict[str, Any]] = []
    for position, item in enumerate(inputs):
        try:
            if forced is not None and position in failing:
                raise forced.error()
            checked.append(check(item))
        except HubSpotError as err:
            if not judged_alone and forced is None:
                if err.status == 404:
                    err.status = 400
                raise
            named = forced is None or forced.name_traces or position not in failing
            trace = item.object_write_trace_id
            errors.append(err.in_batch({"objectWriteTraceId": [trace]} if named and trace else {}))
    results = [keep(prepared) for prepared in checked]
    if forced is not None:
        results += [_stranger(request, n) for n in range(forced.extra_results)]
    return _answer(request, results, errors, done=done)


def _answer(
    request: Request, results: list[dict[str, Any]], errors: list[dict[str, Any]], *, done: int
) -> Answer:
    return json_answer(207 if errors else done, batch_payload(request, results, errors))


def _stranger(request: Request, number: int) -> dict[str, Any]:
    at = iso(request.portal.now())
    object_id = str(99_900_001 + number)
    return {
        "id": object_id,
        "properties": {"hs_object_id": object_id},
        "createdAt": at,
        "updatedAt": at,
        "archived": False,
    }


def _traced(request: Request, payload: dict[str, Any], trace_id: str | None) -> dict[str, Any]:
    if trace_id is not None and request.state.settings.echo_trace_ids:
        payload["objectWriteTraceId"] = trace_id
    return payload


AnyInput = TypeVar("AnyInput")


def _counted(request: Request, inputs: list[AnyInput]) -> list[AnyInput]:
    request.input_count = len(inputs)
    if not inputs:
        raise validation_error("inputs must not be empty")
    if len(inputs) > MAX_INPUTS:
        raise validation_error(
            f"The maximum number of inputs in a batch is {MAX_INPUTS}, but {len(inputs)} were sent."
        )
    return inputs


def _refuse_repeated(inputs: Sequence[BatchChangeInput]) -> None:
    counted = Counter(item.id for item in inputs)
    repeated = [item_id for item_id, count in counted.items() if count > 1]
    if repeated:
        raise validation_error(
            f"Duplicate IDs found in batch input: [{', '.join(repeated)}]. IDs must be unique"
        )
