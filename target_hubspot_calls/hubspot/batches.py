"""Reading what became of a batch: which input was done, which refused, which is not there.

It must not know what was written; a result is matched by what we wrote, never by its place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from target_hubspot_calls.errors import HubSpotError
from target_hubspot_calls.hubspot import wire
from target_hubspot_calls.hubspot.engagements import Engagement, read_engagement
from target_hubspot_calls.hubspot.failures import correlation_id_of, error_of_input, is_not_found
from target_hubspot_calls.hubspot.wire import MalformedReply


@dataclass(frozen=True)
class BatchResult:
    """What became of a batch: engagements written, inputs refused, refusals that name no input."""

    engagements: tuple[Engagement, ...] = ()
    errors: Mapping[str, HubSpotError] = field(default_factory=dict)
    unnamed_errors: tuple[HubSpotError, ...] = ()
    correlation_id: str | None = None


def read_batch(body: Mapping[str, Any], trace_ids: Iterable[str]) -> BatchResult:
    """What became of each input. Raises MalformedReply if the reply leaves any of them out."""
    sent = frozenset(trace_ids)
    correlation_id = correlation_id_of(body)
    engagements = [read_engagement(item) for item in wire.results(body)]
    echoed = Counter(item.trace_id for item in engagements)
    errors: dict[str, HubSpotError] = {}
    unnamed: list[HubSpotError] = []
    for entry in wire.list_of_objects(body, "errors"):
        error = error_of_input(entry, correlation_id)
        named = [trace_id for trace_id in _traces_of(entry) if trace_id in sent]
        errors.update(dict.fromkeys(named, error))
        if not named:
            unnamed.append(error)
    if len(engagements) + len(errors) + len(unnamed) < len(sent):
        raise MalformedReply(f"the reply tells of fewer than the {len(sent)} inputs sent")
    return BatchResult(
        engagements=tuple(
            item
            if item.trace_id in sent and echoed[item.trace_id] == 1
            else Engagement(item.id, item.properties)
            for item in engagements
        ),
        errors=errors,
        unnamed_errors=tuple(unnamed),
        correlation_id=correlation_id,
    )


def read_found(response: httpx.Response) -> list[dict[str, Any]]:
    """The results of a batch read. An input that is not there is no error; any other is raised."""
    body = wire.read_object(response)
    for entry in wire.list_of_objects(body, "errors"):
        if not is_not_found(entry):
            raise error_of_input(entry, correlation_id_of(body))
    items = wire.results(body)
    for item in items:
        wire.identifier(item)
        wire.properties(item)
    return items


def read_associations(response: httpx.Response) -> list[tuple[str, list[str], str | None]]:
    """From whom, to whom, and where the next page of that one starts. Raises MalformedReply."""
    body = wire.read_object(response)
    for entry in wire.list_of_objects(body, "errors"):
        if not is_not_found(entry):
            raise error_of_input(entry, correlation_id_of(body))
    read = []
    for item in wire.results(body):
        origin = item.get("from")
        from_id = wire.identifier(origin if isinstance(origin, dict) else {})
        to_ids = [wire.identifier(to, "toObjectId") for to in wire.list_of_objects(item, "to")]
        read.append((from_id, to_ids, wire.next_after(item)))
    return read


def _traces_of(entry: Mapping[str, Any]) -> list[str]:
    context = entry.get("context")
    named = context.get("objectWriteTraceId") if isinstance(context, dict) else None
    candidates = named if isinstance(named, list) else [named, entry.get("id")]
    return [trace_id for trace_id in candidates if isinstance(trace_id, str)]
