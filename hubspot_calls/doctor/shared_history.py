"""Looks at the history that several hosts share: readable, and on its way into a DuckDB file.

Asks the store alone; makes and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from hubspot_calls.doctor.findings import Finding, attention, good
from hubspot_calls.output import count_of
from hubspot_calls.rooms import Store
from hubspot_calls.shared_stream import place_of
from target_hubspot_calls.shared_history.filling import OFFICE
from target_hubspot_calls.shared_history.history import SharedHistory
from target_hubspot_calls.store.figures import load_figures
from target_hubspot_calls.store.shared_work import load_shared_work
from target_hubspot_calls.sync_log.filters import HistoryFilter


def look_at_shared_history(store: Store) -> Iterator[Finding]:
    """How many rows there are, and which host fills its file with them."""
    rows = SharedHistory(store.engine).page(HistoryFilter(), limit=1).total
    waiting = load_figures(store.engine).outbox_rows
    holder = load_shared_work(store.engine, OFFICE).holder
    said = f"{rows:,} {'row' if rows == 1 else 'rows'} in the database, for pages of every host"
    wait = f", {count_of(waiting, 'row')} still to come" if waiting else ""
    if holder is not None:
        yield good("sync log", f"{said}; {place_of(holder)} fills its DuckDB file{wait}.")
    elif waiting:
        yield attention(
            "sync log",
            f"{said}; no process fills a DuckDB file now{wait}.",
            "Start `hubspot-calls work`, or `hubspot-calls serve` without --no-sync, on some host.",
        )
    else:
        yield good("sync log", f"{said}.")
