"""Rows of the sync history as CSV that no spreadsheet takes for a formula.

Pure: rows in, text out; knows neither where rows come from nor who reads them.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

CSV_COLUMNS = (
    "created_at",
    "call_id",
    "status",
    "reason",
    "error_message",
    "phone_number",
    "contact_id",
    "contact_match",
    "engagement_type",
    "engagement_id",
    "portal_id",
    "recording_status",
    "file_id",
    "attempt",
    "retryable",
    "correlation_id",
    "call_started_at",
    "run_id",
    "id",
)
# A break or a tab in a cell begins what some spreadsheets read as a cell of its own.
_BREAKS = re.compile(r"[\t\r\n\v\f\x1c-\x1e\x85\u2028\u2029]+")
# Signs that begin a formula, their full-width forms too, behind whatever looks like nothing.
_FORMULA = re.compile(r"[\s\x00-\x20\u00a0\u200b-\u200f\u2060\ufeff'\"]*[=+\-@＝＋－＠|%]")  # noqa: RUF001
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")


def csv_head() -> str:
    """The line of column names."""
    return _lines([CSV_COLUMNS])


def csv_lines(rows: Iterable[Mapping[str, Any]]) -> str:
    """One line a row, each cell in quotes; times in ISO 8601, UTC."""
    return _lines([to_cell(row.get(column)) for column in CSV_COLUMNS] for row in rows)


def to_cell(value: object) -> str:
    """The value as a spreadsheet shows it and never runs it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    text = str(value)
    begins_with_tab = text[:1] in ("\t", "\r", "\n")
    text = _CONTROL.sub("", _BREAKS.sub(" ", text))
    return f"'{text}" if begins_with_tab or _FORMULA.match(text) else text


def _lines(rows: Iterable[Iterable[str]]) -> str:
    written = io.StringIO()
    csv.writer(written, quoting=csv.QUOTE_ALL, lineterminator="\r\n").writerows(rows)
    return written.getvalue()
