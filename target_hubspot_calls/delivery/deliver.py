"""Brings due calls of the ledger to HubSpot: claim, look up, match, write, settle.

The one place where the steps meet. A portal that is slow, parked or broken never holds up another
one's calls.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from target_hubspot_calls.call import Workspace
from target_hubspot_calls.clock import Clock
from target_hubspot_calls.delivery import write
from target_hubspot_calls.delivery.look_up import find_engagements
from target_hubspot_calls.delivery.match import Match
from target_hubspot_calls.delivery.portals import Portal, Portals
from target_hubspot_calls.delivery.presence import Presence
from target_hubspot_calls.delivery.retry_line import retry_at
from target_hubspot_calls.delivery.write import Draft, Results
from target_hubspot_calls.engagement import RecordingNote, engagement_properties
from target_hubspot_calls.errors import (
    CallOutcomeError,
    HubSpotError,
    InvalidCallRecord,
    PortalError,
    Reason,
    Rejected,
)
from target_hubspot_calls.outcome import Outcome, outcome_of_error
from target_hubspot_calls.settings import TargetSettings
from target_hubspot_calls.store.ledger import Ledger
from target_hubspot_calls.store.ledger_rows import Claim

logger = logging.getLogger(__name__)

Settle = Callable[[Mapping[str, Outcome | CallOutcomeError]], Awaitable[None]]

# Bounds memory: so many calls, with their transcripts, are held at once for each portal.
CLAIMED_AT_ONCE = 300
# Longer than a write may take with its retries; a dead holder's calls are free after that.
CLAIM_S = 300.0
ROUNDS_AT_ONCE = 3
PORTALS_AT_ONCE = 16
LOOK_AGAIN_S = 0.2


@dataclass
class Tally:
    """How many calls got which outcome in this run."""

    by_reason: Counter[str] = field(default_factory=Counter)

    def add(self, outcomes: Iterable[Outcome]) -> None:
        """Counts more outcomes."""
        self.by_reason.update(outcome.reason.value for outcome in outcomes)


class Delivery:
    """Delivers what is due in the ledger, for one run of one process."""

    def __init__(
        self,
        ledger: Ledger,
        portals: Portals,
        settings: TargetSettings,
        *,
        run_id: str,
        presence: Presence,
        tally: Tally,
        clock: Clock,
    ) -> None:
        self._ledger = ledger
        self._portals = portals
        self._settings = settings
        self._run_id = run_id
        self._clock = clock
        self._presence = presence
        self._tally = tally
        self._stopping = False
        self._has_woken = False

    def stop(self) -> None:
        """Asks for an end: requests in flight are finished and settled, nothing new is begun."""
        self._stopping = True

    async def deliver_due(self) -> None:
        """Returns when nothing is due any more, or when asked to stop. Raises StoreUnavailable."""
        await self._free_the_dead()
        await self._wake_connected()
        running: dict[Workspace, asyncio.Task[None]] = {}
        try:
            while True:
                await self._start_due(running)
                if not running:
                    return
                await asyncio.wait(
                    running.values(), timeout=LOOK_AGAIN_S, return_when=asyncio.FIRST_COMPLETED
                )
                for workspace, task in list(running.items()):
                    if task.done():
                        del running[workspace]
                        task.result()
        finally:
            for task in running.values():
                task.cancel()
            await asyncio.gather(*running.values(), return_exceptions=True)

    async def _start_due(self, running: dict[Workspace, asyncio.Task[None]]) -> None:
        if self._stopping or len(running) >= PORTALS_AT_ONCE:
            return
        due = await asyncio.to_thread(self._ledger.due_workspaces, now=self._clock.now())
        for workspace in due:
            if workspace not in running and len(running) < PORTALS_AT_ONCE:
                running[workspace] = asyncio.create_task(self._deliver_workspace(workspace))

    async def _free_the_dead(self) -> None:
        """Takes calls back from runs that were killed; what they announced is looked up."""
        for holder in await asyncio.to_thread(self._ledger.holders):
            if self._presence.is_dead(holder):
                await asyncio.to_thread(self._ledger.free, holder, now=self._clock.now())
                self._presence.forget(holder)

    async def _wake_connected(self) -> None:
        """Puts calls back in line that waited for a person, where that person has acted.

        Nobody sees from here whether a token of the settings was mended: each run tries it once.
        """
        if self._portals.is_given and self._has_woken:
            return
        self._has_woken = True
        for workspace in await asyncio.to_thread(self._ledger.waiting_workspaces):
            if await self._portals.is_connected(workspace):
                await asyncio.to_thread(self._ledger.wake, workspace, now=self._clock.now())

    async def _deliver_workspace(self, workspace: Workspace) -> None:
        """Delivers in rounds that overlap: one searches for contacts while another writes."""
        rounds: set[asyncio.Task[None]] = set()
        try:
            while not self._stopping:
                claims = await asyncio.to_thread(
                    self._ledger.claim,
                    workspace,
                    holder=self._run_id,
                    limit=CLAIMED_AT_ONCE,
                    for_s=CLAIM_S,
                    now=self._clock.now(),
                )
                if not claims:
                    return
                rounds.add(asyncio.create_task(self._deliver_round(workspace, claims)))
                if len(rounds) >= ROUNDS_AT_ONCE:
                    done, rounds = await asyncio.wait(rounds, return_when=asyncio.FIRST_COMPLETED)
                    await _all_or_first_error(done)
        finally:
            await _all_or_first_error(rounds)

    async def _deliver_round(self, workspace: Workspace, claims: Sequence[Claim]) -> None:
        try:
            portal = await self._portals.open(workspace)
        except CallOutcomeError as err:
            await self._settle(None, claims, dict.fromkeys((c.call.id for c in claims), err))
            return
        await self._deliver(portal, claims)

    async def _deliver(self, portal: Portal, claims: Sequence[Claim]) -> None:
        """Brings the claimed calls to an outcome each; gives back what a stop leaves undone."""
        open_claims = {claim.call.id: claim for claim in claims}

        async def settle(results: Mapping[str, Outcome | CallOutcomeError]) -> None:
            done = [open_claims.pop(call_id) for call_id in results if call_id in open_claims]
            await self._settle(portal, done, results)

        try:
            known = await self._find_lost(portal, claims, settle)
            await self._write_all(portal, known, settle)
        except PortalError as err:
            await self._portals.park(portal, err)
            await settle(dict.fromkeys(list(open_claims), err))
        finally:
            if open_claims:
                await asyncio.to_thread(
                    self._ledger.release,
                    list(open_claims.values()),
                    holder=self._run_id,
                    now=self._clock.now(),
                )

    async def _find_lost(
        self, portal: Portal, claims: Sequence[Claim], settle: Settle
    ) -> list[Claim]:
        """The claims, with the engagement of those whose write was announced and did happen."""
        lost = {
            claim.call.id: claim.intent_contact_id
            for claim in claims
            if claim.intent == "create" and claim.engagement_id is None
        }
        if not lost:
            return list(claims)
        try:
            found = await find_engagements(portal, lost)
        except PortalError:
            raise
        except HubSpotError as err:
            self._portals.note_trouble(portal, err)
            await settle(dict.fromkeys(lost, err))
            return [claim for claim in claims if claim.call.id not in lost]
        return [
            replace(claim, engagement_id=found[claim.call.id], contact_id=claim.intent_contact_id)
            if claim.call.id in found
            else claim
            for claim in claims
        ]

    async def _write_all(self, portal: Portal, claims: Sequence[Claim], settle: Settle) -> None:
        changed = [claim for claim in claims if claim.engagement_id is not None]
        new = [claim for claim in claims if claim.engagement_id is None]
        drafts, refused = self._drafts(changed, {})
        unchanged = [d for d in drafts if d.digest == d.claim.delivered_digest]
        await settle(
            refused
            | {
                d.call_id: write.written(d, d.claim.engagement_id or "", Reason.UNCHANGED)
                for d in unchanged
            }
        )
        updates = [d for d in drafts if d.digest != d.claim.delivered_digest]
        creates = await self._matched(portal, new, settle)
        await asyncio.gather(
            self._write_batches(portal, updates, "update", settle),
            self._write_batches(portal, creates, "create", settle),
        )

    async def _matched(
        self, portal: Portal, claims: Sequence[Claim], settle: Settle
    ) -> list[Draft]:
        if not claims:
            return []
        try:
            matches = await portal.matcher.match([claim.call for claim in claims])
        except PortalError:
            raise
        except HubSpotError as err:
            self._portals.note_trouble(portal, err)
            await settle(dict.fromkeys((claim.call.id for claim in claims), err))
            return []
        found = {call_id: m for call_id, m in matches.items() if isinstance(m, Match)}
        drafts, refused = self._drafts([c for c in claims if c.call.id in found], found)
        await settle(
            refused | {call_id: m for call_id, m in matches.items() if not isinstance(m, Match)}
        )
        return drafts

    def _drafts(
        self, claims: Sequence[Claim], matches: Mapping[str, Match]
    ) -> tuple[list[Draft], dict[str, CallOutcomeError]]:
        drafts: list[Draft] = []
        refused: dict[str, CallOutcomeError] = {}
        for claim in claims:
            match = matches.get(claim.call.id)
            try:
                properties = self._properties(claim)
            except InvalidCallRecord as err:
                refused[claim.call.id] = err
                continue
            drafts.append(
                Draft(
                    claim=claim,
                    properties=properties,
                    digest=_digest(properties),
                    contact_id=match.contact_id if match else claim.contact_id,
                    contact_match=match.rule if match else claim.contact_match,
                )
            )
        return drafts, refused

    def _properties(self, claim: Claim) -> dict[str, str]:
        call = claim.call
        link = f"{self._settings.public_url}/recordings/{call.id}" if call.recording_url else None
        return engagement_properties(
            call,
            self._settings.kind,
            RecordingNote(file_id=claim.file_id, link=link),
            include_transcript=self._settings.include_transcript,
            default_region=self._settings.default_region,
        )

    async def _write_batches(
        self, portal: Portal, drafts: Sequence[Draft], intent: str, settle: Settle
    ) -> None:
        batches = [drafts[i : i + write.MAX_BATCH] for i in range(0, len(drafts), write.MAX_BATCH)]
        await _all_or_first_error(
            self._write_batch(portal, batch, intent, settle) for batch in batches
        )

    async def _write_batch(
        self, portal: Portal, drafts: Sequence[Draft], intent: str, settle: Settle
    ) -> None:
        if self._stopping:
            return
        ours = await asyncio.to_thread(
            self._ledger.announce,
            {draft.call_id: draft.claim for draft in drafts},
            {draft.call_id: draft.contact_id for draft in drafts if draft.contact_id},
            intent,
            holder=self._run_id,
            for_s=CLAIM_S,
            now=self._clock.now(),
        )
        held = [draft for draft in drafts if draft.call_id in ours]
        if not held:
            return
        if intent == "update":
            await settle(await write.update(portal, held))
            return
        results = await write.create(portal, held)
        gone = await self._whose_contact_has_gone(portal, held, results)
        await settle({k: v for k, v in results.items() if k not in gone})
        if gone:
            await self._match_again(portal, gone, settle)

    async def _whose_contact_has_gone(
        self, portal: Portal, drafts: Sequence[Draft], results: Results
    ) -> dict[str, Draft]:
        """The refused drafts whose contact was deleted or merged since it was matched."""
        refused = {d.call_id: d for d in drafts if isinstance(results.get(d.call_id), Rejected)}
        if not refused:
            return {}
        try:
            contacts = await portal.client.read_contacts(
                ids={draft.contact_id for draft in refused.values() if draft.contact_id}
            )
        except HubSpotError:
            return {}
        existing = {contact.id for contact in contacts}
        return {k: d for k, d in refused.items() if d.contact_id not in existing}

    async def _match_again(self, portal: Portal, gone: Mapping[str, Draft], settle: Settle) -> None:
        claims = [draft.claim for draft in gone.values()]
        await portal.matcher.forget(claim.call for claim in claims)
        drafts = await self._matched(portal, claims, settle)
        if drafts:
            await settle(await write.create(portal, drafts))

    async def _settle(
        self,
        portal: Portal | None,
        claims: Sequence[Claim],
        results: Mapping[str, Outcome | CallOutcomeError],
    ) -> None:
        if not claims:
            return
        now = self._clock.now()
        settled = [
            (claim, self._outcome(claim, results[claim.call.id], portal, now)) for claim in claims
        ]
        await asyncio.to_thread(
            self._ledger.settle,
            settled,
            holder=self._run_id,
            kind=self._settings.kind.value,
            run_id=self._run_id,
            now=now,
        )
        self._tally.add(outcome for _, outcome in settled)

    def _outcome(
        self,
        claim: Claim,
        result: Outcome | CallOutcomeError,
        portal: Portal | None,
        now: datetime,
    ) -> Outcome:
        if isinstance(result, CallOutcomeError):
            again_at = retry_at(result, claim.attempt, now=now, random=self._clock.random)
            outcome = outcome_of_error(result, retry_at=again_at)
            # A write announced earlier and still not accounted for stays to be looked up.
            if claim.intent == "create" and result.retryable:
                outcome = replace(outcome, write_unknown=True)
        else:
            outcome = result
        recording = "none" if not claim.call.recording_url else claim.recording_status
        return replace(
            outcome,
            portal_id=portal.portal_id if portal else None,
            recording_status=outcome.recording_status or recording,
        )


async def _all_or_first_error(jobs: Iterable[Awaitable[None]]) -> None:
    """Runs all jobs to their end, then raises the first error, so that none is cut in flight."""
    results = await asyncio.gather(*jobs, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result


def _digest(properties: Mapping[str, str]) -> str:
    encoded = json.dumps(properties, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(encoded.encode()).hexdigest()
