"""What a portal keeps of one record, and a record that has been checked and not yet kept.

It knows no rules; those are the portal's.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .kinds import ObjectKind


@dataclass(slots=True)
class CrmObject:
    """One record of the CRM."""

    id: str
    kind: ObjectKind
    properties: dict[str, str]
    created_at: str
    updated_at: str
    trace_id: str | None = None
    archived_at: str | None = None


@dataclass(frozen=True)
class Link:
    """An association that a new record is to have."""

    kind: ObjectKind
    id: str
    type_id: int


@dataclass
class NewObject:
    """A record that has been checked and can be kept as it is."""

    kind: ObjectKind
    properties: dict[str, str]
    links: list[Link] = field(default_factory=list)
    trace_id: str | None = None


class Claims:
    """Unique values promised to records of one batch that is still being checked."""

    def __init__(self) -> None:
        self._taken: set[tuple[str, str, str]] = set()

    def take(self, kind: ObjectKind, name: str, value: str) -> bool:
        """Whether the value was still free in this batch."""
        key = (kind.name, name, value.lower())
        if key in self._taken:
            return False
        self._taken.add(key)
        return True
