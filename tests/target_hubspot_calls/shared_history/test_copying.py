"""A DuckDB file that is brought up to what PostgreSQL has, whatever it had before."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import duckdb
import pytest

from target_hubspot_calls.shared_history import copying
from target_hubspot_calls.shared_history.copying import copy_missing
from target_hubspot_calls.sync_log.log import SyncLogBusy

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def at(hours):
    return (NOON + timedelta(hours=hours)).isoformat()


def rows_of(history):
    return history.history(limit=10_000).rows


def in_the_order_of_the_file(path):
    with duckdb.connect(path, read_only=True) as connection:
        return [row[0] for row in connection.execute("SELECT id FROM hubspot_sync_logs").fetchall()]


def test_an_empty_file_gets_every_row_a_piece_at_a_time_in_their_order(
    engine, shared, log, path, a_row
):
    rows = [a_row(call_id=f"call-{n}", created_at=at(n // 9)) for n in range(100)]
    shared.append(rows)

    pieces = list(copy_missing(engine, log, piece=7))

    assert (max(pieces), sum(pieces)) == (7, 100)
    assert rows_of(log) == rows_of(shared)
    assert in_the_order_of_the_file(path) == [row["id"] for row in rows]


def test_rows_of_one_moment_come_in_pieces_too(engine, shared, log, a_row):
    shared.append([a_row() for _ in range(30)])

    pieces = list(copy_missing(engine, log, piece=7))

    assert (max(pieces), sum(pieces)) == (7, 30)
    assert rows_of(log) == rows_of(shared)


def test_only_hours_that_differ_are_read(engine, shared, log, a_row):
    rows = [a_row(created_at=at(n)) for n in range(24 * 90)]
    shared.append(rows)
    log.append([row for row in rows if row is not rows[700]])

    pieces = [taken for taken in copy_missing(engine, log) if taken]

    assert pieces == [1]
    assert rows_of(log) == rows_of(shared)
    assert [taken for taken in copy_missing(engine, log) if taken] == []


def test_the_server_compares_a_day_at_a_time_and_the_file_is_opened_seldom(
    engine, shared, log, a_row, monkeypatch
):
    rows = [a_row(created_at=at(12 * n)) for n in range(2 * 45)]
    shared.append(rows)
    log.append(rows)
    asked, opened = [], []
    read, hours = copying._read, type(log).hours

    def noted_read(engine, name, **parameters):
        if name == "rows_per_hour":
            asked.append(parameters["until"] - parameters["since"])
        return read(engine, name, **parameters)

    def noted_hours(log, since, until):
        opened.append(since)
        return hours(log, since, until)

    monkeypatch.setattr(copying, "_read", noted_read)
    monkeypatch.setattr(type(log), "hours", noted_hours)

    taken = sum(copying.copy_missing(engine, log))

    assert (taken, len(opened)) == (0, 2)
    assert asked == [timedelta(days=1)] * 45


def test_hours_with_as_many_rows_but_other_ones_differ(engine, shared, log, a_row):
    own, theirs = a_row(), a_row()
    log.append([own])
    shared.append([theirs])

    list(copy_missing(engine, log))

    assert {row["id"] for row in rows_of(log)} == {own["id"], theirs["id"]}


def test_without_rows_there_is_nothing_to_copy_and_no_file(engine, log, path):
    assert list(copy_missing(engine, log)) == []
    assert not path.exists()


def test_what_breaks_off_is_begun_anew_and_doubles_nothing(engine, shared, log, a_row):
    shared.append([a_row(created_at=at(n)) for n in range(40)])

    copying = copy_missing(engine, log, piece=9)
    taken = next(copying) + next(copying)
    copying.close()
    list(copy_missing(engine, log, piece=9))

    assert taken == 18
    assert rows_of(log) == rows_of(shared)


def test_a_file_somebody_has_open_is_said_before_the_server_is_asked_for_rows(
    engine, shared, log, path, a_row, monkeypatch
):
    shared.append([a_row()])
    monkeypatch.setattr(type(log), "hours", _busy)

    with pytest.raises(SyncLogBusy):
        list(copy_missing(engine, log))

    assert not path.exists()


def _busy(*_):
    raise SyncLogBusy("The sync log is open in another program.")
