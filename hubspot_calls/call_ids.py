"""Ids of calls as people see and write them: cut to what tells them apart, and found again by that.

Knows the history's filter; it must not know how rows are printed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from target_hubspot_calls.sync_log.filters import HistoryFilter

if TYPE_CHECKING:
    from target_hubspot_calls.sync_log.face import HistoryReader

_SHORT_ID = 8
_MOST_NAMED = 3
_MOST_ROWS = 1_000
CUT = "…"


def shorten_ids(call_ids: Sequence[str]) -> dict[str, str]:
    """Each id cut to 8 characters or more that none of the others has: its beginning or its end."""
    distinct = sorted(set(call_ids))
    begins = _shortest_apart(distinct, lambda call_id, length: call_id[:length])
    ends = _shortest_apart(distinct, lambda call_id, length: f"{CUT}{call_id[-length:]}")
    shorter = ends if sum(map(len, ends)) < sum(map(len, begins)) else begins
    return dict(zip(distinct, shorter, strict=True))


def _shortest_apart(ids: Sequence[str], cut: Callable[[str, int], str]) -> list[str]:
    longest = max(map(len, ids), default=0)
    for length in range(_SHORT_ID, longest):
        short = [cut(call_id, length) for call_id in ids]
        if len(set(short)) == len(ids):
            return short
    return list(ids)


def find_call_id(log: HistoryReader, written: str, owner: dict[str, Any]) -> str:
    """The whole id of the call that is meant by its beginning or, after `…`, by its end.

    What is no call's beginning is given back as it is. Raises UsageError where it is several'.
    """
    if log.page(HistoryFilter(**owner, call_id=written), limit=1).rows:
        return written
    part = written.removeprefix(CUT).removesuffix(CUT)
    if len(part) < _SHORT_ID - 1:
        return written
    is_end = written.startswith(CUT)
    rows = log.page(HistoryFilter(**owner, query=part), limit=_MOST_ROWS).rows
    fits = str.endswith if is_end else str.startswith
    ids = {str(row["call_id"]) for row in rows if row["call_id"] and fits(row["call_id"], part)}
    if len(ids) > 1:
        named = ", ".join(sorted(ids)[:_MOST_NAMED])
        more = ", ..." if len(ids) > _MOST_NAMED else ""
        raise click.UsageError(f"--call-id {written} may be any of {named}{more}; write more of it")
    return ids.pop() if ids else written
