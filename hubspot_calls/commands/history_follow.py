"""New outcomes as they come, one line each, until somebody presses Ctrl-C.

Looks at the sync log every second and reads it only after a write; knows no store.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import click
from rich.text import Text

from hubspot_calls.commands.history_table import STATUS_STYLES
from hubspot_calls.moments import shown_moment
from hubspot_calls.output import is_terminal, say, stdout_console, to_utc_time
from target_hubspot_calls.sync_log.log import HistoryFilter, HistoryReader, SyncLogBusy

Row = Mapping[str, Any]

EVERY_S = 1.0
# Rows are written a little later than their time says, and by clocks that differ.
_LATE = timedelta(minutes=5)
_PIECE = 1_000


def follow_history(
    log: HistoryReader,
    wanted: HistoryFilter,
    *,
    limit: int,
    take_over: Callable[[], object],
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Print the newest rows, oldest of them first, and then each new one. Ends at Ctrl-C.

    `take_over` brings in what waits for the sync log. Raises SyncLogUnavailable, and SyncLogBusy
    if it is so at the start.
    """
    version = log.version()
    newest = log.page(wanted, limit=1).rows
    horizon = (newest[0]["created_at"] if newest else datetime.now(UTC)) - _LATE
    # Noted before the first ones are shown: what is written between the two is new to both.
    seen = {row["id"]: row["created_at"] for row in _rows_since(log, wanted, horizon)}
    for shown in reversed(log.page(wanted, limit=limit).rows):
        seen[shown["id"]] = shown["created_at"]
        _print(shown)
    if is_terminal():
        say("Waiting for new outcomes; Ctrl-C ends.")
    try:
        while True:
            sleep(EVERY_S)
            take_over()
            if (now_at := log.version()) == version:
                continue
            try:
                new = [r for r in _rows_since(log, wanted, horizon) if r["id"] not in seen]
            except SyncLogBusy:
                continue
            version = now_at
            for row in reversed(new):
                seen[row["id"]] = row["created_at"]
                _print(row)
            horizon = max(horizon, max(seen.values(), default=horizon) - _LATE)
            seen = {key: at for key, at in seen.items() if at >= horizon}
    except KeyboardInterrupt:
        return


def _rows_since(log: HistoryReader, wanted: HistoryFilter, since: datetime) -> Iterator[Row]:
    """The filter's rows from then on, newest first."""
    if wanted.since is not None:
        since = max(since, wanted.since)
    recent, last = replace(wanted, since=since), None
    while True:
        rows = log.rows_behind(recent, last=last, limit=_PIECE).rows
        yield from rows
        if len(rows) < _PIECE:
            return
        last = rows[-1]


def _print(row: Row) -> None:
    call_id, number = row["call_id"] or "-", row["phone_number"] or "-"
    message = row["error_message"] or ""
    if not is_terminal():
        at = to_utc_time(row["created_at"])
        cells = (at, call_id, number, row["status"], row["reason"], message)
        click.echo("  ".join(cells).rstrip())
        return
    at = shown_moment(row["created_at"], now=datetime.now(UTC))
    style = STATUS_STYLES.get(row["status"], "")
    line = Text.assemble(
        f"{at:>15}  {number:<15}  ",
        (f"{row['status']:<7}  {row['reason']}", style),
        (f"  {message}" if message else "", "dim"),
        (f"  {call_id}", "dim"),
    )
    stdout_console().print(line, soft_wrap=True)
