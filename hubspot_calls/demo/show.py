"""The demo itself: post, sync, post again, sync again, and look at what became of it.

Knows the order of things and what to tell people; each step lives in a module of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from hubspot_calls.demo.check import Seen, find_differences, find_strays
from hubspot_calls.demo.notes_page import full_name
from hubspot_calls.demo.other_sync import run_command
from hubspot_calls.demo.post import post_reports
from hubspot_calls.demo.samples import Report, Samples, generate_reports, place_recordings
from hubspot_calls.demo.stage import Stage
from hubspot_calls.pipeline import run_once
from hubspot_calls.progress import shown_progress
from hubspot_calls.rooms import open_store, open_sync_log_file
from target_hubspot_calls.sync_log.log import drain

_POSTS_AT_ONCE = 16

Tell = Callable[[str], None]


class Interrupted(Exception):
    """Somebody stopped the demo; carries the signal's number."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


@dataclass
class Result:
    """What the demo did and saw; `differences` is empty when all is as it must be."""

    posted: int = 0
    post_s: float = 0.0
    sync_s: float = 0.0
    outcomes: list[dict[str, Any]] = field(default_factory=list)
    emails: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    notes: int = 0
    differences: list[str] = field(default_factory=list)


class Show:
    """The two rounds of the demo on one stage."""

    def __init__(
        self, stage: Stage, samples: Samples, *, tell: Tell, sync_command: str | None = None
    ) -> None:
        self._stage = stage
        self._samples = samples
        self._sync_command = sync_command
        self._tell = tell
        self._posted: list[Report] = []
        self.result = Result()

    def run(self, calls: int | None) -> Result:
        """Both rounds with every sample, and more calls up to `calls` in all.

        Raises SyncFailed, StageBroken, Interrupted.
        """
        first = self._samples.of_round(1)
        in_samples = len({r.call_id for r in self._samples.reports if r.expected is not None})
        more = max(0, (calls or 0) - in_samples)
        self._round(first, generate_reports(self._samples, more), more)
        self._round(self._samples.of_round(2), (), 0)
        self.result.differences += find_strays(self._posted, self._look())
        return self.result

    def _round(self, samples: list[Report], generated: Iterable[Report], more: int) -> None:
        self._tell(f"Posting {len(samples) + more} reports to {self._stage.receiver_url}")
        posted: list[Report] = []
        address, now = f"{self._stage.portal.url}/_simulator/recordings", datetime.now(UTC)
        samples = [place_recordings(report, address, now=now) for report in samples]
        generated = (place_recordings(report, address, now=now) for report in generated)

        def keep(report: Report) -> None:
            posted.append(replace(report, body=b""))

        self.result.post_s += post_reports(self._stage.door, samples, on_posted=keep)
        self.result.post_s += post_reports(
            self._stage.door, generated, at_once=_POSTS_AT_ONCE, on_posted=keep
        )
        self.result.posted += len(posted)
        self._posted += posted
        self._tell(f"Syncing: {self._sync_command or 'tap-vapi | target-hubspot-calls'}")
        self._sync()
        self.result.differences += find_differences(posted, self._look())

    def _sync(self) -> None:
        settings = self._stage.settings
        if self._sync_command is not None:
            self.result.sync_s += run_command(self._sync_command, settings)
            return
        with shown_progress(settings) as progress:
            end = run_once(settings, owner="hubspot-calls demo", progress=progress)
        self.result.sync_s += end.seconds
        if end.signum is not None:
            raise Interrupted(end.signum)

    def _look(self) -> Seen:
        """What sync log and portal show now."""
        portal = self._stage.portal
        contacts, notes = portal.fetch_records("contacts"), portal.fetch_records("notes")
        log = open_sync_log_file(self._stage.settings)
        with open_store(self._stage.settings) as store:
            drain(store.outbox, log)
        outcomes = log.call_status(limit=len(self._posted) + 100)
        order = {report.call_id: place for place, report in enumerate(self._posted)}
        self.result.outcomes = sorted(outcomes, key=lambda row: order.get(row["call_id"], -1))
        seen = Seen.of(self.result.outcomes, contacts, notes)
        self.result.emails = dict(seen.emails)
        self.result.names = {contact["id"]: full_name(contact) for contact in contacts}
        self.result.notes = len(notes)
        return seen
