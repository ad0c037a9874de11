"""Tables and JSON for people and pipes."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from hubspot_calls.call_ids import shorten_ids
from hubspot_calls.output import Column, print_json, print_table


def test_a_piped_table_is_whole_and_without_trailing_blanks(
    capsys: pytest.CaptureFixture[str],
) -> None:
    long = "a sentence that is longer than a terminal is wide, " * 4

    print_table([Column("id"), Column("text", fold=True)], [("1", long), ("2", None)])

    out = capsys.readouterr().out
    assert out.splitlines() == ["id  text", f"1   {long}".rstrip(), "2   -"]


def test_json_writes_times_in_utc_with_a_z(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"at": datetime(2026, 11, 22, 9, 30, tzinfo=UTC)})

    assert json.loads(capsys.readouterr().out) == {"at": "2026-11-22T09:30:00Z"}


def test_square_brackets_in_a_cell_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([Column("text")], [("[red]x[/red]",)])

    assert "[red]x[/red]" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("ids", "short"),
    [
        (["0123456789"], ["01234567"]),
        (["aaaaaaaa-1-zzzzzzzz", "aaaaaaaa-2-zzzzzzzz"], ["aaaaaaaa-1", "aaaaaaaa-2"]),
        (["aaaaaaaaaaaaaa-1", "aaaaaaaaaaaaaa-2"], ["…aaaaaa-1", "…aaaaaa-2"]),
        (["aaaaaaaa", "aaaaaaaa-2"], ["aaaaaaaa", "aaaaaaaa-"]),
        (["x"], ["x"]),
        ([], []),
    ],
    ids=["one", "same end", "same beginning", "one begins the other", "shorter", "none"],
)
def test_ids_are_cut_to_what_tells_them_apart(ids: list[str], short: list[str]) -> None:
    assert list(shorten_ids(ids).values()) == short
