"""What pages read: pinned pages, counts, days, numbers, one call's story, pieces of an export."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from target_hubspot_calls.sync_log import reading
from target_hubspot_calls.sync_log.log import (
    DayCount,
    HistoryFilter,
    OutcomeCount,
    SpanCount,
    UnknownRow,
)

ADA = HistoryFilter("ada", "sales")
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def at(hours):
    return (NOON + timedelta(hours=hours)).isoformat()


@pytest.fixture
def history(log, a_row):
    """Ten calls of ada's, one an hour, and some of grace's among them."""
    log.append([a_row(call_id=f"call-{n}", created_at=at(n)) for n in range(10)])
    log.append([a_row(user_id="grace", call_id=f"hers-{n}", created_at=at(n)) for n in range(5)])
    return log


def call_ids(page):
    return [row["call_id"] for row in page.rows]


@pytest.mark.parametrize("query", [None, "CALL-"], ids=["all", "a search"])
def test_pages_stay_put_while_rows_arrive(history, a_row, query):
    wanted = HistoryFilter("ada", "sales", query=query)
    first = history.page(wanted, limit=4)

    history.append([a_row(call_id="call-newest", created_at=at(99))])
    second = history.page(wanted, as_of=first.as_of, limit=4, offset=4)
    history.append([a_row(call_id="call-late", created_at=at(-99))])
    history.append([a_row(call_id="call-amid", created_at=at(4.5)) for _ in range(3)])
    third = history.page(wanted, as_of=first.as_of, limit=4, offset=8)

    assert call_ids(first) + call_ids(second) + call_ids(third) == [
        f"call-{n}" for n in range(9, -1, -1)
    ]
    assert (first.total, second.total, third.total) == (10, 10, 10)
    assert third.as_of == first.as_of
    assert history.page(wanted).total == 15


def test_pages_have_every_row_once_however_many_arrive_between_them(log, a_row):
    dice = random.Random(4)

    def some(number):
        return [a_row(call_id=f"call-{dice.random()}", created_at=at(dice.randint(0, 9)))
                for _ in range(number)]  # fmt: skip

    log.append(some(100))
    whole = log.page(ADA, limit=1000)
    seen = []
    while len(seen) < whole.total:
        page = log.page(ADA, as_of=whole.as_of, limit=7, offset=len(seen))
        seen += page.rows
        log.append(some(11))

    assert seen == whole.rows


@pytest.mark.parametrize("stranger", ["no-such-row", "hers"])
def test_a_page_is_pinned_only_to_a_row_of_its_own_workspace(history, stranger):
    hers = history.page(HistoryFilter("grace", "sales")).as_of

    with pytest.raises(UnknownRow):
        history.page(ADA, as_of=hers if stranger == "hers" else stranger)


def test_a_pin_tells_nothing_of_other_workspaces(history, a_row):
    before = history.page(ADA)

    history.append([a_row(user_id="grace", created_at=at(50))])

    assert history.page(ADA) == before


def test_an_empty_history_has_no_pin(log, history):
    assert log.page(HistoryFilter("nobody", "sales")).as_of is None


def test_far_pages_are_in_the_same_order_as_near_ones(history):
    whole = call_ids(history.page(ADA, limit=10))

    assert [call_ids(history.page(ADA, limit=1, offset=n)) for n in range(10)] == [
        [call_id] for call_id in whole
    ]


@pytest.mark.parametrize("moments", [1, 7, 40], ids=["one moment", "few moments", "many moments"])
def test_a_page_far_behind_begins_where_the_one_before_it_ended(log, a_row, monkeypatch, moments):
    dice = random.Random(moments)
    times = [at(dice.randrange(moments)) for _ in range(60)] + [None] * 5
    log.append([a_row(call_id=f"call-{n}", created_at=time) for n, time in enumerate(times)])
    whole = log.page(ADA, limit=100)
    log.append([a_row(call_id="newer", created_at=at(n)) for n in range(moments)])

    monkeypatch.setattr(reading, "_FAR", 0)
    far = [log.page(ADA, as_of=whole.as_of, limit=13, offset=n).rows for n in range(0, 78, 13)]

    assert len(whole.rows) == 65
    assert [row for page in far for row in page] == whole.rows


@pytest.mark.parametrize("query", [None, "CALL"], ids=["all", "a search"])
def test_a_page_says_how_many_rows_each_status_has_whatever_status_it_shows(log, a_row, query):
    missed = {"status": "skipped", "reason": "contact_not_found"}
    log.append([a_row(), a_row(created_at=at(1)), a_row(**missed), a_row(user_id="grace")])

    shown = log.view(HistoryFilter("ada", "sales", status="skipped", query=query))
    none_of_it = log.view(HistoryFilter("ada", "sales", status="error", query=query))

    assert shown.by_status == none_of_it.by_status == {"success": 2, "skipped": 1}
    assert (shown.page.total, len(shown.page.rows)) == (1, 1)
    assert (none_of_it.page.total, none_of_it.page.rows) == (0, [])


@pytest.mark.parametrize("query", [None, "CALL"], ids=["all", "a search"])
def test_a_pinned_page_says_how_many_rows_came_since_that_its_filter_finds(log, a_row, query):
    wanted = HistoryFilter("ada", "sales", status="success", query=query)
    log.append([a_row()])
    first = log.view(wanted)
    log.append([a_row(created_at=at(-5)), a_row(status="error"), a_row(user_id="grace")])

    pinned = log.view(wanted, as_of=first.page.as_of)

    assert (first.newer, pinned.newer, pinned.page.total) == (0, 1, 1)
    assert pinned.by_status == {"success": 1}


@pytest.mark.parametrize(
    ("sought", "found"),
    [
        ("+12025550142", {"+12025550142"}),
        ("+1 (202) 555-0142", {"+12025550142"}),
        ("(202) 555-0142", {"+12025550142"}),
        ("0142", {"+12025550142", "+442079460142"}),
        ("+0142", set()),
        ("(202) 555 0199", {"(202) 555 0199"}),
        ("anonymous", {"anonymous"}),
        (" +442079460142 ", {"+442079460142"}),
        ("anon", set()),
        ("%", set()),
        ("  ", {"+12025550142", "+442079460142", "(202) 555 0199", "anonymous", None}),
    ],
)
def test_a_number_is_found_however_it_is_written_and_by_its_end(log, a_row, sought, found):
    numbers = ("+12025550142", "+442079460142", "(202) 555 0199", "anonymous", None)
    log.append([a_row(phone_number=number) for number in numbers])

    page = log.page(HistoryFilter("ada", "sales", phone_number=sought))

    assert {row["phone_number"] for row in page.rows} == found


def test_a_row_is_found_by_its_id_in_its_own_workspace_only(history):
    row = history.page(ADA, limit=1).rows[0]

    assert history.row("ada", "sales", row["id"]) == row
    assert history.row("grace", "sales", row["id"]) is None
    assert history.row("ada", "sales", "' OR 1=1 --") is None


def test_a_call_tells_its_story_in_the_order_it_happened(log, a_row):
    log.append([a_row(attempt=2, created_at=at(2)), a_row(attempt=1, created_at=at(1))])
    log.append([a_row(user_id="grace", created_at=at(0))])
    log.append([a_row(attempt=3, created_at=at(3))])

    story = log.story("ada", "sales", "call-1")

    assert [row["attempt"] for row in story] == [1, 2, 3]


def test_outcomes_are_counted_most_frequent_first(log, a_row):
    lost = {"status": "error", "reason": "answer_lost"}
    log.append([a_row(), a_row(created_at=at(9)), a_row(**lost), a_row(user_id="grace", **lost)])

    assert log.outcome_counts(ADA) == [
        OutcomeCount("success", "created", 2),
        OutcomeCount("error", "answer_lost", 1),
    ]
    assert log.outcome_counts(HistoryFilter("ada", "sales", since=NOON + timedelta(hours=1))) == [
        OutcomeCount("success", "created", 1)
    ]


def test_a_day_counts_each_call_once_as_it_stands(log, a_row):
    missed = {"status": "skipped", "reason": "contact_not_found"}
    log.append(
        [
            a_row(call_id="mended", created_at=at(0), **missed),
            a_row(call_id="missed", created_at=at(1), **missed),
            a_row(call_id="missed", created_at=at(2), **missed),
            a_row(call_id="mended", created_at=at(20)),
            a_row(call_id="hers", user_id="grace"),
        ]
    )

    assert log.days(ADA) == [
        DayCount(date(2026, 3, 1), "skipped", 1),
        DayCount(date(2026, 3, 2), "success", 1),
    ]


def test_of_two_rows_of_one_moment_the_one_written_later_counts(log, a_row):
    for status in ("error", "success", "error", "success"):
        log.append([a_row(status=status)])

    assert log.days(ADA) == [DayCount(date(2026, 3, 1), "success", 1)]


@pytest.mark.parametrize(
    ("ahead_min", "day"), [(0, 1), (719, 1), (720, 2), (840, 2), (-720, 1), (-721, 28)]
)
def test_days_are_the_readers_own(log, a_row, ahead_min, day):
    log.append([a_row()])

    (count,) = log.days(ADA, utc_offset_min=ahead_min)

    assert count.day.day == day


def test_days_of_any_length_count_each_call_once_as_it_stands(log, a_row):
    missed = {"status": "skipped", "reason": "contact_not_found"}
    log.append(
        [
            a_row(call_id="mended", created_at=at(0), **missed),
            a_row(call_id="missed", created_at=at(1), **missed),
            a_row(call_id="missed", created_at=at(24), **missed),
            a_row(call_id="mended", created_at=at(24)),
            a_row(call_id="hers", user_id="grace"),
            a_row(call_id="before", created_at=at(-30)),
        ]
    )
    # The clocks go forward in the second of these days.
    begins = [NOON - timedelta(hours=12), NOON + timedelta(hours=12), NOON + timedelta(hours=35)]
    wanted = HistoryFilter("ada", "sales", since=begins[0], until=begins[2])

    assert log.spans(wanted, begins) == [
        SpanCount(begins[1], "skipped", 1),
        SpanCount(begins[1], "success", 1),
    ]
    assert log.spans(replace(wanted, until=begins[1]), begins) == [
        SpanCount(begins[0], "skipped", 2)
    ]
    assert log.spans(replace(wanted, status="skipped", reason="contact_not_found"), begins) == [
        SpanCount(begins[1], "skipped", 1)
    ]
    assert log.spans(replace(wanted, status="error"), begins) == []


def test_of_two_rows_of_one_moment_the_later_one_counts_in_spans_too(log, a_row):
    for status in ("error", "success", "error", "success"):
        log.append([a_row(status=status)])

    assert log.spans(ADA, [NOON]) == [SpanCount(NOON, "success", 1)]


def test_unmatched_numbers_come_with_most_calls_first_and_their_whole_number(log, a_row):
    missed = {"status": "skipped", "reason": "contact_not_found", "call_started_at": None}
    rows = [
        a_row(call_id=f"{number}-{n}", phone_number=number, created_at=at(n), **missed)
        for number, calls in (("+12025550101", 1), ("+12025550102", 3), ("+12025550103", 2))
        for n in range(calls)
    ]
    found_later = a_row(call_id="+12025550103-0", phone_number="+12025550103", created_at=at(30))
    log.append([*rows, found_later, a_row(user_id="grace", **missed)])

    page = log.unmatched_numbers(ADA, limit=2)

    assert [(n.phone_number, n.calls, n.last_call_id) for n in page.numbers] == [
        ("+12025550102", 3, "+12025550102-2"),
        ("+12025550103", 1, "+12025550103-1"),
    ]
    assert page.total == 3
    assert log.unmatched_numbers(ADA, limit=2, offset=2).numbers[0].calls == 1
    assert log.unmatched_numbers(ADA, limit=2, offset=9).total == 3
    assert log.unmatched_numbers(HistoryFilter("nobody", "sales")).numbers == []


def test_an_export_in_pieces_has_every_row_once_though_rows_arrive(history, a_row):
    piece = history.rows_behind(ADA, limit=3)
    pieces = []
    while piece.rows:
        pieces += call_ids(piece)
        history.append([a_row(call_id="late", created_at=at(-1))])
        piece = history.rows_behind(ADA, as_of=piece.as_of, last=piece.rows[-1], limit=3)

    assert pieces == [f"call-{n}" for n in range(9, -1, -1)]


def test_an_export_in_pieces_passes_over_rows_of_one_moment(log, a_row):
    log.append([a_row(call_id=f"call-{n}") for n in range(7)])

    piece = log.rows_behind(ADA, limit=2)
    seen = call_ids(piece)
    while piece.rows:
        piece = log.rows_behind(ADA, as_of=piece.as_of, last=piece.rows[-1], limit=2)
        seen += call_ids(piece)

    assert seen == call_ids(log.page(ADA))


def test_a_missing_file_has_nothing_to_tell(log, path):
    assert log.page(ADA).rows == []
    assert log.rows_behind(ADA).rows == []
    assert log.row("ada", "sales", "x") is None
    assert log.story("ada", "sales", "x") == []
    assert (log.outcome_counts(ADA), log.days(ADA), log.spans(ADA, [NOON])) == ([], [], [])
    assert (log.view(ADA).by_status, log.newest_id("ada", "sales")) == ({}, None)
    assert log.unmatched_numbers(ADA).total == 0
    assert not path.exists()


def test_a_story_longer_than_can_be_told_keeps_its_end(log, a_row):
    log.append([a_row(attempt=n, created_at=at(n)) for n in range(5)])

    story = log.story("ada", "sales", "call-1", limit=3)

    assert [row["attempt"] for row in story] == [2, 3, 4]


def test_a_search_chooses_calls_and_their_latest_row_says_where_they_count(log, a_row):
    rows = [
        a_row(call_id="a", status="error", error_message="No owner.", created_at=at(0)),
        a_row(call_id="a", status="success", created_at=at(24)),
        a_row(call_id="b", status="success", created_at=at(1)),
        a_row(call_id="a", user_id="grace", status="error", created_at=at(48)),
    ]
    log.append(rows)
    begins = [NOON, NOON + timedelta(hours=20)]

    found = log.spans(replace(ADA, query="owner"), begins)

    assert found == [SpanCount(begins[1], "success", 1)]
    assert log.spans(replace(ADA, query="owner", status="error"), begins) == []
    assert log.spans(replace(ADA, query="owner", until=begins[1]), begins) == [
        SpanCount(begins[0], "error", 1)
    ]


def test_a_number_in_quotation_marks_is_meant_as_it_is_written(log, a_row):
    for number in ("2025550142", "+12025550142"):
        log.append([a_row(call_id=number, phone_number=number)])

    page = log.page(replace(ADA, phone_number='"2025550142"'))

    assert call_ids(page) == ["2025550142"]
