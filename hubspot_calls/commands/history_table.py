"""Outcomes as a table that fits a terminal of 80 columns and uses a broader one; whole in a pipe.

Knows the columns of the sync log and what people look for in them; asks nobody anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.text import Text

from hubspot_calls.call_ids import shorten_ids
from hubspot_calls.moments import shown_moments, zone_name
from hubspot_calls.output import (
    Column,
    count_of,
    is_terminal,
    is_wide,
    print_table,
    say,
    to_utc_time,
)
from target_hubspot_calls.errors import Reason

if TYPE_CHECKING:
    from target_hubspot_calls.sync_log.log import HistoryView

Row = Mapping[str, Any]

# Their message says the same once more.
_TOLD_BY_REASON = frozenset(
    {
        Reason.CONTACT_NOT_FOUND,
        Reason.NO_PHONE_NUMBER,
        Reason.INVALID_PHONE_NUMBER,
        Reason.NOT_CONNECTED,
    }
)
STATUS_STYLES = {"success": "green", "error": "red", "skipped": "yellow"}


def print_history(rows: Sequence[Row], *, now: datetime) -> None:
    """Print outcomes; on a narrow terminal the sentence moves under the reason."""
    if is_terminal():
        _print_for_people(rows, now)
        return
    columns = [Column("time (UTC)"), Column("call"), Column("number"), Column("contact")]
    columns += [Column("note"), Column("status"), Column("reason"), Column("message", fold=True)]
    print_table(
        columns,
        [
            (
                to_utc_time(row["created_at"]),
                # A record that could not be used may have named no call.
                row["call_id"],
                row["phone_number"],
                row["contact_id"],
                row["engagement_id"],
                row["status"],
                row["reason"],
                row["error_message"],
            )
            for row in rows
        ],
    )


def _print_for_people(rows: Sequence[Row], now: datetime) -> None:
    short = shorten_ids([row["call_id"] for row in rows if row["call_id"] is not None])
    times = shown_moments([row["created_at"] for row in rows], now=now)
    wide = is_wide()
    columns = [
        Column(f"time ({zone_name(now)})", justify="right"),
        Column("call"),
        Column("caller"),
        Column("contact"),
    ]
    columns += [Column("note")] if wide else []
    columns += [Column("outcome", fold=True)]
    table = []
    for row, time in zip(rows, times, strict=True):
        cells = [time, short.get(row["call_id"]), row["phone_number"], row["contact_id"]]
        cells += [row["engagement_id"]] if wide else []
        table.append([*cells, _outcome(row, wide=wide)])
    print_table(columns, table)


def _outcome(row: Row, *, wide: bool) -> Text:
    """Status and reason in the colour of the status, and what was said of it."""
    style = STATUS_STYLES.get(row["status"], "")
    text = Text.assemble((f"{row['status']} {row['reason']}", style))
    if row["error_message"] and row["reason"] not in _TOLD_BY_REASON:
        text.append(("  " if wide else "\n") + row["error_message"], "dim")
    return text


def say_totals(view: HistoryView, status: str | None) -> None:
    """Say how many there are of each status, and how to see more of them."""
    page = view.page
    counts = {status: page.total} if status else view.by_status
    told = ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items()))
    said = f"{count_of(page.total, 'outcome')}: {told}."
    if page.total > len(page.rows):
        said += f" The newest {len(page.rows):,} of {page.total:,}; --limit shows more."
    if is_terminal():
        said += " One call's story: --call-id ID."
    say(said)
