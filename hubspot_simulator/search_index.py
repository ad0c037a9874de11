"""What search can see of one kind of record: a copy that may lag behind the truth.

It keeps an inverted index of every property that has been asked for by value.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class IndexedRecord:
    """One record as the index saw it."""

    id: str
    properties: dict[str, str]
    created_at: str
    updated_at: str


class SearchIndex:
    """Records by id and, where asked for before, by lower-case value."""

    def __init__(self) -> None:
        self.records: dict[str, IndexedRecord] = {}
        self._by_value: dict[str, dict[str, set[str]]] = {}
        self._waiting: deque[tuple[float, str, IndexedRecord | None]] = deque()

    def put(self, record_id: str, record: IndexedRecord | None, visible_at: float | None) -> None:
        """Takes a new state of a record (None: archived), seen at once or from a time on."""
        if visible_at is None and not self._waiting:
            self._apply(record_id, record)
            return
        self._waiting.append((visible_at or 0.0, record_id, record))

    def catch_up(self, now: float) -> None:
        """Lets in what has waited long enough, in the order it happened."""
        while self._waiting and self._waiting[0][0] <= now:
            _, record_id, record = self._waiting.popleft()
            self._apply(record_id, record)

    def with_values(self, name: str, values: Iterable[str]) -> set[str]:
        """Ids of the records whose property is one of these lower-case values."""
        index = self._by_value.get(name)
        if index is None:
            index = self._by_value[name] = {}
            for record in self.records.values():
                _add(index, name, record)
        found: set[str] = set()
        for value in values:
            found |= index.get(value, set())
        return found

    def _apply(self, record_id: str, record: IndexedRecord | None) -> None:
        old = self.records.get(record_id)
        for name, index in self._by_value.items():
            if old is not None and name in old.properties:
                index.get(old.properties[name].lower(), set()).discard(record_id)
            if record is not None:
                _add(index, name, record)
        if record is None:
            self.records.pop(record_id, None)
        else:
            self.records[record_id] = record


def _add(index: dict[str, set[str]], name: str, record: IndexedRecord) -> None:
    value = record.properties.get(name)
    if value:
        index.setdefault(value.lower(), set()).add(record.id)
