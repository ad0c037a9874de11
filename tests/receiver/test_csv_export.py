"""CSV that spreadsheets show and never run (list O, row 4 of the fault checklist)."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime

import pytest

from receiver.csv_export import CSV_COLUMNS, csv_head, csv_lines, to_cell


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+14155550123", "'+14155550123"),
        ("-2+3", "'-2+3"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "' =1"),
        ("\r=1", "' =1"),
        ("\n=1", "' =1"),
        ("\tplain", "' plain"),
        ("  =1", "'  =1"),
        ("\u00a0=1", "'\u00a0=1"),
        ("\ufeff=1", "'\ufeff=1"),
        ("\u200b+1", "'\u200b+1"),
        ("＝1", "'＝1"),  # noqa: RUF001
        ('"=1', "'\"=1"),
        ("fine\n=HYPERLINK(1)", "fine =HYPERLINK(1)"),
        ("fine\r\n@x", "fine @x"),
        ("fine\u2028=x", "fine =x"),
        ("a\x00b\x1bc", "abc"),
        ("\x00=1", "'=1"),
        ("No contact has this number.", "No contact has this number."),
        ("a, b; c", "a, b; c"),
        ("", ""),
        (None, ""),
        (True, "true"),
        (4_000_000_000, "4000000000"),
        (-5, "'-5"),
        (datetime(2026, 3, 1, 12, tzinfo=UTC), "2026-03-01T12:00:00.000Z"),
        ("{0.__class__} {{7*7}} %s", "{0.__class__} {{7*7}} %s"),
    ],
    ids=repr,
)
def test_a_cell_is_shown_and_never_run(value, cell):
    assert to_cell(value) == cell


def test_every_cell_is_in_quotes_and_every_row_one_line():
    row = {"id": 'a"b', "error_message": "=x\ny,z", "phone_number": "+12025550142"}

    text = csv_head() + csv_lines([row])

    head, line, end = text.split("\r\n")
    assert (head.count('","'), line.count('","'), end) == (len(CSV_COLUMNS) - 1,) * 2 + ("",)
    (read,) = csv.DictReader(io.StringIO(text))
    assert read["id"] == 'a"b'
    assert read["error_message"] == "'=x y,z"
    assert read["status"] == ""
