"""Deletes raw reports of calls whose data has to go, out of the days that are kept.

What is encrypted has to be opened to know whose it is. Must not know who asked, nor why.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from call_stream.forgetting import EntriesForgotten, forget_in_files
from call_stream.stream import StreamEntry
from receiver.raw_reports import RawReport, Sealer, days_in, unpack

_WHY_LEFT = "the receiver writes to today's raw reports"


def forget_raw_reports(
    directory: Path,
    open_sealer: Callable[[], Sealer],
    is_wanted: Callable[[RawReport], bool],
    *,
    dry_run: bool = False,
) -> EntriesForgotten:
    """How many raw reports hold nothing any more, and how many could not be reached.

    Those of a day that a receiver writes to stay. Raises StreamError, WrongEncryptionKey.
    """
    days = days_in(directory)
    if not days:
        return EntriesForgotten(0)
    sealer = open_sealer()

    def nothing(entry: StreamEntry) -> bytes | None:
        if not entry.payload.strip():
            return None
        report = unpack(sealer.decrypt_bytes(entry.payload))
        return b" " * len(entry.payload) if is_wanted(report) else None

    done = [forget_in_files(path, nothing, dry_run=dry_run) for path, _ in days]
    left = sum(each.left for each in done)
    return EntriesForgotten(sum(each.entries for each in done), left, _WHY_LEFT if left else None)
