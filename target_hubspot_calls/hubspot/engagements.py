"""Notes and calls as HubSpot has them, and the bodies of the batches that write them.

It must not know what a note says, nor send anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from target_hubspot_calls.hubspot import wire

CALL_ID_PROPERTY = "vapi_call_id"
MAX_BATCH = 100


class EngagementKind(Enum):
    """What a call becomes. Source: HubSpot docs, notes, calls and associations guides."""

    NOTE = ("notes", 202, "hs_note_body", "notesinformation")
    CALL = ("calls", 194, "hs_call_body", "callinformation")

    def __init__(
        self, object_name: str, contact_association: int, body_property: str, group: str
    ) -> None:
        self.object_name = object_name
        self.contact_association = contact_association
        self.body_property = body_property
        self.property_group = group


@dataclass(frozen=True)
class NewEngagement:
    """An engagement to create on a contact; `trace_id` names it in the reply."""

    trace_id: str
    contact_id: str
    properties: Mapping[str, str]


@dataclass(frozen=True)
class ChangedEngagement:
    """Properties to change on an engagement; `trace_id` names it in the reply."""

    trace_id: str
    id: str
    properties: Mapping[str, str]


@dataclass(frozen=True)
class Engagement:
    """A note or call as HubSpot has it; `trace_id` where a reply echoes it."""

    id: str
    properties: Mapping[str, str]
    trace_id: str | None = None


def create_body(kind: EngagementKind, inputs: Sequence[NewEngagement]) -> bytes:
    """The bytes of a batch create with its associations inside. Raises ValueError."""
    _check_traces(inputs)
    association = {
        "associationCategory": "HUBSPOT_DEFINED",
        "associationTypeId": kind.contact_association,
    }
    return wire.encode(
        {
            "inputs": [
                {
                    "objectWriteTraceId": item.trace_id,
                    "properties": dict(item.properties),
                    "associations": [{"to": {"id": item.contact_id}, "types": [association]}],
                }
                for item in inputs
            ]
        }
    )


def update_body(inputs: Sequence[ChangedEngagement]) -> bytes:
    """The bytes of a batch update by id. Raises ValueError."""
    _check_traces(inputs)
    return wire.encode(
        {
            "inputs": [
                {
                    "id": item.id,
                    "objectWriteTraceId": item.trace_id,
                    "properties": dict(item.properties),
                }
                for item in inputs
            ]
        }
    )


def read_engagement(item: Mapping[str, Any]) -> Engagement:
    """An engagement from one result. Raises MalformedReply."""
    trace_id = item.get("objectWriteTraceId")
    return Engagement(
        id=wire.identifier(item),
        properties=wire.properties(item),
        trace_id=trace_id if isinstance(trace_id, str) else None,
    )


def _check_traces(inputs: Sequence[NewEngagement] | Sequence[ChangedEngagement]) -> None:
    """HubSpot answers for each input alone only if every one has its own trace id."""
    if not 0 < len(inputs) <= MAX_BATCH:
        raise ValueError(f"a batch has 1 to {MAX_BATCH} inputs")
    if len({item.trace_id for item in inputs}) != len(inputs):
        raise ValueError("every input of a batch needs a trace id of its own")
