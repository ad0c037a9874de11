"""The statements for PostgreSQL: named, complete, and with the indexes that they count on."""

from __future__ import annotations

import random
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

import target_hubspot_calls.shared_history as room
from target_hubspot_calls.shared_history.parameters import to_parameters
from target_hubspot_calls.shared_history.reading import STATEMENTS
from target_hubspot_calls.store.database import reading
from target_hubspot_calls.sync_log.filters import HistoryFilter
from target_hubspot_calls.sync_log.queries import load_queries
from target_hubspot_calls.sync_log.rows import COLUMNS

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def test_every_statement_has_a_name_and_a_line_of_why():
    written = (Path(str(room.__file__)).parent / "queries.sql").read_text("utf-8")

    names = re.findall(r"^-- name: (\w+)$", written, flags=re.MULTILINE)

    assert list(STATEMENTS) == names
    assert all(statement and "--" not in statement for statement in load_queries(room.__name__))


def test_rows_are_handed_out_with_the_columns_of_the_sync_log():
    assert re.findall(r"\w+", load_queries(room.__name__)["columns"]) == list(COLUMNS)


@pytest.fixture
def filled(shared, a_row):
    """Some thousand rows of several workspaces, and what the server knows of them."""
    dice = random.Random(7)
    missed = {"status": "skipped", "reason": "contact_not_found"}
    shared.append(
        [
            a_row(
                workspace_id=f"sales-{n % 4}",
                call_id=f"call-{n}",
                phone_number=f"+1202555{n:04}",
                error_message=f"Word{dice.randrange(5000)} of trouble.",
                created_at=(NOON + timedelta(minutes=n)).isoformat(),
                **({"status": "error"} if n % 51 == 0 else missed if n % 31 == 0 else {}),
            )
            for n in range(6_000)
        ]
    )
    with shared.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE hubspot_sync_logs"))
    return shared


@pytest.mark.parametrize(
    ("statement", "wanted", "index"),
    [
        ("page_positions", {}, "time"),
        ("page_positions", {"call_id": "call-7"}, "call"),
        ("page_positions", {"phone_number": "5550123"}, "number"),
        ("page_positions", {"phone_number": "+12025550123"}, "number"),
        ("found_view", {"query": "WORD1234"}, "text"),
        ("found_view", {"query": "555-0123"}, "text"),
        ("status_counts", {"status": "error"}, "outcome"),
        ("newest_row", {}, "written"),
        ("calls_per_number_standing", {}, "missed"),
    ],
    ids=str,
)
def test_a_question_is_answered_with_the_index_that_is_there_for_it(
    filled, statement, wanted, index
):
    parameters = to_parameters(HistoryFilter("ada", "sales-2", **wanted), has_text_index=True)
    place = {"limit": 5, "offset": 0, "last_position": 10**9, "shown_status": None}
    with reading(filled.engine) as connection:
        connection.execute(STATEMENTS["prepare"])
        # So few rows would be read from first to last.
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        explained = text(f"EXPLAIN {STATEMENTS[statement].text}")
        plan = connection.execute(explained, parameters | place).scalars().all()

    assert f"ix_hubspot_sync_logs_{index}" in "\n".join(plan)
