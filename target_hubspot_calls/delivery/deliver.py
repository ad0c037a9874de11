"""Brings due calls of the ledger to HubSpot: claim, look up, match, write, settle.

The one place where the steps meet. A portal that is slow, parked or broken never holds up another
one's calls.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Collection, Container, Iterable, Sequence
from typing import Literal, NamedTuple

from target_hubspot_calls.call import Workspace
from target_hubspot_calls.clock import Clock
from target_hubspot_calls.delivery.attach import Attacher
from target_hubspot_calls.delivery.drafts import Drafter
from target_hubspot_calls.delivery.leases import HeldElsewhere
from target_hubspot_calls.delivery.portals import Portal, Portals
from target_hubspot_calls.delivery.presence import Presence
from target_hubspot_calls.delivery.round import CLAIM_S, Round, Tally, Tools
from target_hubspot_calls.delivery.together import all_or_first_error
from target_hubspot_calls.errors import CallOutcomeError, Reason
from target_hubspot_calls.store.ledger import Ledger
from target_hubspot_calls.store.ledger_rows import Claim

# Bounds memory: so many calls, with their transcripts, are held in each round. Five searches hold
# their numbers, so that no search of a full round goes out half empty.
CLAIMED_AT_ONCE = 480
ROUNDS_AT_ONCE = 2
# Of each kind.
JOBS_AT_ONCE = 16
LOOK_AGAIN_S = 0.2
# While there is work, what is due is looked for no more often than that it takes up a twentieth of
# the time: with many calls due each look costs the store.
LOOK_PAUSES = 19.0
# One slow look, of a store that was held up for a moment, says nothing of the next.
LONGEST_LOOK_PAUSE_S = 5.0
# How often, while there is always something to deliver, calls are looked for that others let go.
LOOK_AFTER_OTHERS_S = 5.0
# The same where they may be other hosts', which do not tell us that they let go.
LOOK_AFTER_HOSTS_S = 2.0
# How often a run with a token of the settings takes up calls that another, without one, put aside.
WAKE_GIVEN_S = 60.0
# How long a portal that another process holds is left to it before we ask again.
ELSEWHERE_S = 1.0
# How long a portal without work is kept, as work often comes in spurts.
KEPT_S = 1.0


class Job(NamedTuple):
    """Work on one workspace that runs once at a time."""

    workspace: Workspace
    what: Literal["calls", "recordings"]


class Delivery:
    """Delivers what is due in the ledger, for one run of one process."""

    def __init__(
        self,
        ledger: Ledger,
        portals: Portals,
        drafter: Drafter,
        attacher: Attacher | None,
        *,
        run_id: str,
        presence: Presence,
        tally: Tally,
        clock: Clock,
        is_shared: bool = False,
    ) -> None:
        """`is_shared` says that other hosts deliver out of the same ledger."""
        self._attacher = attacher
        self._presence = presence
        self._is_shared = is_shared
        self._look_again_at = float("-inf")
        self._look_for_due_at = float("-inf")
        # What was due when we looked last, and has not been started since.
        self._due: list[Job] = []
        # When each workspace was worked for last, as long as its portal is kept for it.
        self._worked_at: dict[Workspace, float] = {}
        self._stopping = False
        self._has_woken = False
        self._wake_again_at = float("-inf")
        # Workspaces whose portal another process holds, and until when that is believed.
        self._elsewhere: dict[Workspace, float] = {}
        self._numbers = itertools.count(1)
        self._tools = Tools(
            ledger=ledger,
            portals=portals,
            drafter=drafter,
            tally=tally,
            clock=clock,
            run_id=run_id,
            uploads_recordings=attacher is not None,
            is_stopping=lambda: self._stopping,
        )

    def stop(self) -> None:
        """Asks for an end: requests in flight are finished and settled, nothing new is begun."""
        self._stopping = True

    async def deliver_due(self) -> None:
        """Returns when nothing is due any more, or when asked to stop. Raises StoreUnavailable.

        What is due at a portal that another process holds is delivered there, and waited for.
        """
        if not self._is_shared:
            self._look_again_at = float("-inf")
        running: dict[Job, asyncio.Task[None]] = {}
        try:
            while True:
                await self._look_after_others()
                await self._start_due(running)
                await self._give_back_unused(running)
                if not running:
                    if self._stopping or not self._elsewhere:
                        return
                    await asyncio.sleep(LOOK_AGAIN_S)
                    continue
                await asyncio.wait(
                    running.values(), timeout=self._wait_s(), return_when=asyncio.FIRST_COMPLETED
                )
                for job, task in list(running.items()):
                    if task.done():
                        del running[job]
                        task.result()
        finally:
            for task in running.values():
                task.cancel()
            await asyncio.gather(*running.values(), return_exceptions=True)
            await self._tools.portals.give_back()

    async def _look_after_others(self) -> None:
        """Takes up what others let go, now and then."""
        if self._stopping or self._tools.clock.monotonic() < self._look_again_at:
            return
        await self._free_the_dead()
        await self._wake_connected()
        wait_s = LOOK_AFTER_HOSTS_S if self._is_shared else LOOK_AFTER_OTHERS_S
        self._look_again_at = self._tools.clock.monotonic() + wait_s

    async def _give_back_unused(self, running: Iterable[Job]) -> None:
        """Lets others have the portals for which there has been no job for a moment."""
        now = self._tools.clock.monotonic()
        self._worked_at |= {job.workspace: now for job in running}
        self._worked_at = {k: at for k, at in self._worked_at.items() if now - at < KEPT_S}
        await self._tools.portals.give_back(but_of=self._worked_at)

    async def _start_due(self, running: dict[Job, asyncio.Task[None]]) -> None:
        """Starts what is due and not running: notes, and beside them recordings."""
        if self._stopping:
            return
        if not running or self._tools.clock.monotonic() >= self._look_for_due_at:
            await self._look_for_due()
        for job in list(self._due):
            if self._may_start(job, running):
                self._due.remove(job)
                work = self._deliver_workspace if job.what == "calls" else self._attach_recordings
                running[job] = asyncio.create_task(work(job.workspace))

    async def _look_for_due(self) -> None:
        began = self._tools.clock.monotonic()
        now, ledger, run_id = self._tools.clock.now(), self._tools.ledger, self._tools.run_id
        with_calls = await asyncio.to_thread(ledger.due_workspaces, now=now, run_id=run_id)
        with_recordings: list[Workspace] = []
        if self._attacher is not None:
            with_recordings = await asyncio.to_thread(
                ledger.workspaces_with_recordings, now=now, run_id=run_id
            )
        self._forget_elsewhere({*with_calls, *with_recordings})
        self._due = [
            *(Job(workspace, "calls") for workspace in with_calls),
            *(Job(workspace, "recordings") for workspace in with_recordings),
        ]
        ended = self._tools.clock.monotonic()
        self._look_for_due_at = ended + min(LOOK_PAUSES * (ended - began), LONGEST_LOOK_PAUSE_S)

    def _wait_s(self) -> float:
        """How long to wait, while there is work, before looking again what else there is."""
        pause_s = self._look_for_due_at - self._tools.clock.monotonic()
        return min(pause_s, LOOK_AGAIN_S) if pause_s > 0 else LOOK_AGAIN_S

    def _may_start(self, job: Job, running: Collection[Job]) -> bool:
        alike = sum(other.what == job.what for other in running)
        return job not in running and job.workspace not in self._elsewhere and alike < JOBS_AT_ONCE

    def _forget_elsewhere(self, due: Container[Workspace]) -> None:
        """Asks again, after a while, for the portals that another process held."""
        now = self._tools.clock.monotonic()
        self._elsewhere = {
            workspace: until
            for workspace, until in self._elsewhere.items()
            if workspace in due and until > now
        }

    def _leave_to_others(self, workspace: Workspace) -> None:
        self._elsewhere[workspace] = self._tools.clock.monotonic() + ELSEWHERE_S

    async def _attach_recordings(self, workspace: Workspace) -> None:
        assert self._attacher is not None  # noqa: S101  without it no recording is due
        try:
            await self._attacher.attach_due(workspace, is_stopping=lambda: self._stopping)
        except HeldElsewhere:
            self._leave_to_others(workspace)

    async def _free_the_dead(self) -> None:
        """Takes calls back from runs that were killed; what they announced is looked up."""
        now = self._tools.clock.now()
        for holder in await asyncio.to_thread(self._tools.ledger.holders, now=now):
            if await asyncio.to_thread(self._presence.is_dead, holder):
                await asyncio.to_thread(
                    self._tools.ledger.free, holder, now=self._tools.clock.now()
                )

    async def _wake_connected(self) -> None:
        """Puts calls back in line that waited for a person, where that person has acted.

        Nobody sees from here whether a token of the settings was mended: each run tries it once.
        For calls that only lacked a token it is there, whenever another run puts them aside.
        """
        reason = None
        if self._tools.portals.is_given:
            if self._tools.clock.monotonic() < self._wake_again_at:
                return
            reason = Reason.NOT_CONNECTED.value if self._has_woken else None
            self._wake_again_at = self._tools.clock.monotonic() + WAKE_GIVEN_S
        self._has_woken = True
        ledger = self._tools.ledger
        for workspace in await asyncio.to_thread(ledger.waiting_workspaces, reason=reason):
            if await self._tools.portals.is_connected(workspace):
                await asyncio.to_thread(
                    ledger.wake, workspace, now=self._tools.clock.now(), reason=reason
                )

    async def _deliver_workspace(self, workspace: Workspace) -> None:
        """Delivers in rounds that overlap: one searches for contacts while another writes."""
        rounds: set[asyncio.Task[None]] = set()
        try:
            while not self._stopping and workspace not in self._elsewhere:
                # First of all: whoever has the portal needs the calls.
                portal = await self._open(workspace)
                if portal is None:
                    return
                holder = f"{self._tools.run_id}/{next(self._numbers)}"
                claims = await asyncio.to_thread(
                    self._tools.ledger.claim,
                    workspace,
                    holder=holder,
                    limit=CLAIMED_AT_ONCE,
                    for_s=CLAIM_S,
                    now=self._tools.clock.now(),
                )
                if not claims:
                    return
                rounds.add(asyncio.create_task(self._deliver_round(portal, holder, claims)))
                if len(rounds) >= ROUNDS_AT_ONCE:
                    done, rounds = await asyncio.wait(rounds, return_when=asyncio.FIRST_COMPLETED)
                    await all_or_first_error(done)
        finally:
            await all_or_first_error(rounds)

    async def _open(self, workspace: Workspace) -> Portal | CallOutcomeError | None:
        """The workspace's portal, or why its calls cannot be written; None if another has it."""
        try:
            return await self._tools.portals.open(workspace)
        except HeldElsewhere:
            self._leave_to_others(workspace)
            return None
        except CallOutcomeError as err:
            return err

    async def _deliver_round(
        self, portal: Portal | CallOutcomeError, holder: str, claims: Sequence[Claim]
    ) -> None:
        delivery_round = Round(self._tools, holder, claims)
        if isinstance(portal, CallOutcomeError):
            await delivery_round.refuse(portal)
            return
        try:
            await delivery_round.run(portal)
        except HeldElsewhere:
            self._leave_to_others(claims[0].call.workspace)
