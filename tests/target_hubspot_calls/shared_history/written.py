"""The history of several hosts as tests have it: read as pages do, written row by row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Engine

from target_hubspot_calls.shared_history.history import SharedHistory
from target_hubspot_calls.store.database import writing
from target_hubspot_calls.store.history_rows import append_history


class WrittenHistory(SharedHistory):
    """The shared history, written as the ledger's transactions do it."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.engine = engine

    def append(self, rows: Sequence[Mapping[str, Any]]) -> None:
        with writing(self.engine, by_rows=True) as connection:
            append_history(connection, rows)
