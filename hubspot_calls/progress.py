"""What a sync has done so far: a moving line on a terminal, and the counts at its end.

Knows the ledger's counts and the target's last log line; it must not know the pipeline.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from hubspot_calls.rooms import open_store
from hubspot_calls.run_totals import read_totals
from hubspot_calls.settings import Settings
from target_hubspot_calls.errors import CallOutcomeError, Reason, Status

_EVERY_S = 0.5


@dataclass
class RunCounts:
    """The counts of one run, once `hear` has heard the target say them."""

    by_reason: dict[str, int] = field(default_factory=dict)
    waiting: int = 0

    def hear(self, line: Mapping[str, Any]) -> None:
        """Take note of a log line of the target, if it is the one with the counts."""
        totals = read_totals(str(line["message"]))
        if totals is not None:
            self.by_reason = dict(totals.by_reason)
            self.waiting = totals.waiting

    def rows(self) -> list[tuple[str, str, int]]:
        """Status, reason and count, the most first."""
        found = [(status_of(reason), reason, n) for reason, n in self.by_reason.items() if n]
        return sorted(found, key=lambda row: (-row[2], row[1]))


def status_of(reason: str) -> str:
    """The status that goes with a reason, as the errors themselves say."""
    statuses = {kind.reason.value: kind.status.value for kind in _outcome_errors(CallOutcomeError)}
    return statuses.get(reason, Status.SUCCESS.value)


@contextmanager
def shown_progress(settings: Settings) -> Iterator[Callable[[], None]]:
    """Lends what is to be called now and then; it draws on a terminal and else does nothing."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[done]}"),
        TimeElapsedColumn(),
    )
    with (
        open_store(settings) as store,
        Progress(*columns, console=Console(stderr=True), transient=True) as bar,
    ):
        ledger = store.ledger
        task = bar.add_task("Syncing", total=None, done="")
        most, drawn_at = 0, 0.0

        def draw() -> None:
            nonlocal most, drawn_at
            if time.monotonic() - drawn_at < _EVERY_S:
                return
            drawn_at = time.monotonic()
            due = ledger.count_open().get("due", 0)
            most = max(most, due)
            if most:
                done = most - due
                bar.update(task, total=most, completed=done, done=f"{done} of {most} calls")

        yield draw


def _outcome_errors(kind: type[CallOutcomeError]) -> Iterator[type[CallOutcomeError]]:
    """Every error below this one that is a call's outcome."""
    for below in kind.__subclasses__():
        if isinstance(getattr(below, "reason", None), Reason):
            yield below
        yield from _outcome_errors(below)
