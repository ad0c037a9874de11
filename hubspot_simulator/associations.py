"""Which records of a portal are joined, and by which association types.

It knows ids and names only; the portal checks that the records exist.
"""

from __future__ import annotations

from collections.abc import Mapping

_Ends = dict[str, dict[str, set[int]]]


class AssociationGraph:
    """Joined records, in the order they were joined."""

    def __init__(self) -> None:
        self._ends: dict[tuple[str, str], _Ends] = {}

    def add(self, from_kind: str, from_id: str, to_kind: str, to_id: str, type_id: int) -> None:
        """Joins one way; joining twice changes nothing."""
        ends = self._ends.setdefault((from_kind, to_kind), {})
        ends.setdefault(from_id, {}).setdefault(to_id, set()).add(type_id)

    def of(self, from_kind: str, from_id: str, to_kind: str) -> Mapping[str, set[int]]:
        """Records of one kind that a record is joined to, with the types."""
        return self._ends.get((from_kind, to_kind), {}).get(from_id, {})

    def remove(self, from_kind: str, from_id: str, to_kind: str, to_id: str) -> None:
        """Parts two records, both ways; parting twice changes nothing."""
        self._drop(from_kind, from_id, to_kind, to_id)
        self._drop(to_kind, to_id, from_kind, from_id)

    def remove_all(self, kind: str, object_id: str) -> None:
        """Parts a record from everything."""
        for from_kind, to_kind in list(self._ends):
            if from_kind == kind:
                for other in list(self.of(kind, object_id, to_kind)):
                    self.remove(kind, object_id, to_kind, other)

    def _drop(self, from_kind: str, from_id: str, to_kind: str, to_id: str) -> None:
        self._ends.get((from_kind, to_kind), {}).get(from_id, {}).pop(to_id, None)
