"""The questions of docs/sync-log.md are answered rightly by a log whose rows we know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, timedelta
from zoneinfo import ZoneInfo

import duckdb
import pytest

from tests.docs.sample_sync_log import noon_of_yesterday, write_sync_log
from tests.documents import DOCS, blocks_of, codes_in, rows_of

PAGE = (DOCS / "sync-log.md").read_text("utf-8")
QUERIES = [block.text for block in blocks_of(PAGE) if block.language == "sql"]
NOON = noon_of_yesterday().replace(tzinfo=None)
TODAY = NOON.date()


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    path = tmp_path_factory.mktemp("log") / "sync_log.duckdb"
    write_sync_log(path)
    with duckdb.connect(path, read_only=True) as connection:
        # People's sessions have a zone of their own, which must change no answer.
        connection.execute("SET TimeZone = 'Asia/Kolkata'")
        yield connection


def new_york_hours() -> list[tuple[int, int]]:
    """Hours and calls, most calls first, of when the rows' calls began."""
    began = [NOON] * 7 + [NOON + timedelta(hours=3)] + [NOON - timedelta(days=d) for d in (1, 40)]
    hours = Counter(
        moment.replace(tzinfo=UTC).astimezone(ZoneInfo("America/New_York")).hour for moment in began
    )
    return sorted(hours.items(), key=lambda item: (-item[1], item[0]))


ANSWERS: list[list[tuple[object, ...]]] = [
    [
        ("+12025550199", 2, NOON + timedelta(hours=3)),
        ("+12025550177", 1, NOON),
    ],
    [
        (TODAY, "rejected", 1, 12.5),
        (TODAY, "unavailable", 1, 12.5),
    ],
    [
        (TODAY, 3, 80.0, 278.0, 300.0),
        (TODAY - timedelta(days=1), 1, 65.0, 65.0, 65.0),
    ],
    [("ana", "acme", 3, 8), ("ana", "harbor", 1, 1)],
    [
        (48000001, "101", "+14155550123", 2),
        (48000001, "102", "+14155550160", 1),
        (48000002, "201", "+442079460123", 1),
    ],
    [("expired", 1, NOON + timedelta(seconds=80))],
    [("c3", 3, ["rate_limited", "unavailable"], "success")],
    [*new_york_hours()],
    [("error", "unavailable", 1, NOON + timedelta(seconds=75), "It was unavailable.")],
    [("+14155550160", "102", "phone number, oldest of 3 contacts with it", 1)],
]


def test_there_are_ten_questions() -> None:
    assert len(QUERIES) == len(ANSWERS) == 10


@pytest.mark.parametrize("number", range(1, 11))
def test_a_question_is_answered(log: duckdb.DuckDBPyConnection, number: int) -> None:
    answer = log.execute(QUERIES[number - 1]).fetchall()

    assert answer == ANSWERS[number - 1]


def test_the_page_names_every_column(log: duckdb.DuckDBPyConnection) -> None:
    columns = [name for (name, *_) in log.execute("DESCRIBE hubspot_sync_logs").fetchall()]

    named = [name for row in rows_of(PAGE, "What is in it") for name in codes_in(row[0])]

    assert sorted(named) == sorted(columns)


def test_the_page_names_every_view(log: duckdb.DuckDBPyConnection) -> None:
    views = log.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall()

    named = [name for row in rows_of(PAGE, "Its views") for name in codes_in(row[0])]

    assert sorted(named) == sorted(name for (name,) in views)
