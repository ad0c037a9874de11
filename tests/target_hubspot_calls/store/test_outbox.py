"""Rows that wait for the sync log."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import insert

from target_hubspot_calls.store.database import writing
from target_hubspot_calls.store.outbox import Outbox
from target_hubspot_calls.store.schema import outbox as table

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def outbox(engine):
    with writing(engine) as connection:
        for row_id in ("3", "1", "2"):
            row = {"call_id": f"call-{row_id}", "error_message": "naïve ✓", "attempt": 1}
            connection.execute(insert(table).values(id=row_id, row=row, created_at=NOW))
    return Outbox(engine)


def test_rows_come_oldest_first_each_with_its_id(outbox):
    rows = outbox.load(2)

    assert rows == [
        {"id": "1", "call_id": "call-1", "error_message": "naïve ✓", "attempt": 1},
        {"id": "2", "call_id": "call-2", "error_message": "naïve ✓", "attempt": 1},
    ]


def test_deleted_rows_are_gone_and_unknown_ids_do_not_matter(outbox):
    outbox.delete(["1", "3", "unknown"])
    outbox.delete(["1"])
    outbox.delete([])

    assert [row["id"] for row in outbox.load(10)] == ["2"]
    assert outbox.count() == 1


def test_a_long_list_of_ids_is_deleted_too(outbox):
    outbox.delete([str(number) for number in range(40_000)])

    assert outbox.count() == 0
