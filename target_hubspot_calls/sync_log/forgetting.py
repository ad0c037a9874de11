"""Takes what rows of the sync log say of a person out of the file, for good.

The sync log is append-only for everybody else; people have a right to have their data deleted, so
this is the one exception. Rows stay, and so does every count; knows no store and no call stream.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import duckdb

from target_hubspot_calls.sync_log.opening import SyncLogFile
from target_hubspot_calls.sync_log.reading import QUERIES, has_table

CallId = tuple[str, str, str]
"""User, workspace and call."""

# A process that opened the file just before another took its place asks for its lock within
# microseconds: as long as we have that lock it fails, and tries again with the new file.
_HELD_ON_S = 0.2


def find_calls(
    connection: duckdb.DuckDBPyConnection, digits: str, is_number: Callable[[str], bool]
) -> set[CallId]:
    """The calls of a number, of which `digits` are the national ones, however it is written."""
    pattern = f"%{'%'.join(digits)}%"
    rows = connection.execute(QUERIES["calls_of_number"], {"pattern": pattern}).fetchall()
    return {
        (user_id, workspace_id, call_id)
        for user_id, workspace_id, call_id, number in rows
        if is_number(number)
    }


def count_rows(connection: duckdb.DuckDBPyConnection, calls: Iterable[CallId]) -> tuple[int, int]:
    """How many rows there are of the calls, and how many of them tell of a person."""
    (counts,) = connection.execute(QUERIES["count_of_calls"], _parameters(calls)).fetchall()
    return int(counts[0]), int(counts[1])


def forget_rows(
    file: SyncLogFile,
    calls: Iterable[CallId],
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """How many rows of the calls no longer tell of a person; the file is another one afterwards.

    DuckDB keeps what was there in blocks that it does not use any more. So everything is copied
    into a new file, which takes the place of the old one in one step while we have that to
    ourselves. Raises SyncLogBusy, SyncLogUnavailable.
    """
    draft = file.path.with_name(f".{file.path.name}.new")
    calls = list(calls)
    with file.attached(QUERIES["attach_to_forget"], draft) as connection:
        if connection is None:
            return 0
        connection.execute(QUERIES["enter_kept"])
        if not has_table(connection):
            return 0
        rows, telling = count_rows(connection, calls)
        if not rows:
            return 0
        connection.execute(QUERIES["forget_calls"], _parameters(calls))
        connection.execute("CHECKPOINT")
        connection.execute(QUERIES["attach_draft"], {"path": str(draft)})
        connection.execute(QUERIES["copy_to_draft"])
        connection.execute(QUERIES["detach_draft"])
        _take_place(draft, file.path)
        sleep(_HELD_ON_S)
        return telling


def _take_place(draft: Path, path: Path) -> None:
    """Puts the draft, which is on disk by then, where the file is."""
    fd = os.open(draft, os.O_RDONLY)
    try:
        os.fchmod(fd, path.stat().st_mode & 0o777)
        os.fsync(fd)
    finally:
        os.close(fd)
    draft.rename(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _parameters(calls: Iterable[CallId]) -> Mapping[str, Any]:
    columns = tuple(zip(*calls, strict=True)) or ((), (), ())
    names = ("user_ids", "workspace_ids", "call_ids")
    return {name: list(values) for name, values in zip(names, columns, strict=True)}
