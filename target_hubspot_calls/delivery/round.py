"""One round of delivery: some claimed calls of one portal, brought to an outcome each.

Look up what an earlier attempt may have written, match, write, settle. Knows which announced
writes are accounted for; only those lose their announcement.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from target_hubspot_calls.clock import Clock
from target_hubspot_calls.delivery import write
from target_hubspot_calls.delivery.drafts import Drafter
from target_hubspot_calls.delivery.look_up import find_engagements
from target_hubspot_calls.delivery.match import Match
from target_hubspot_calls.delivery.portals import Portal, Portals
from target_hubspot_calls.delivery.retry_line import retry_at
from target_hubspot_calls.delivery.together import all_or_first_error
from target_hubspot_calls.delivery.write import CreateResults, Draft, Found
from target_hubspot_calls.errors import (
    AnswerLost,
    CallOutcomeError,
    HubSpotError,
    NotConnected,
    PortalError,
    Reason,
    Rejected,
    Status,
)
from target_hubspot_calls.hubspot.engagements import EngagementKind
from target_hubspot_calls.outcome import Outcome, outcome_of_error
from target_hubspot_calls.recordings.status import RecordingStatus
from target_hubspot_calls.store.ledger import Ledger
from target_hubspot_calls.store.ledger_rows import Claim

logger = logging.getLogger(__name__)

# Longer than a write may take with its retries; a dead holder's calls are free after that.
CLAIM_S = 300.0
# HubSpot may work on a request for 100 s before it gives up itself (524): until then a call that
# is not there may still come, where nothing but us keeps it from being written twice.
LATE_WRITE_S = 120.0
# Of that, what a request may wait between its announcement and its sending without being
# announced anew; a full window of the pace costs one more write to the ledger for each batch.
ANNOUNCED_FOR_S = 5.0


@dataclass
class Tally:
    """How many calls got which outcome in this run."""

    by_reason: Counter[str] = field(default_factory=Counter)

    def add(self, outcomes: Iterable[Outcome]) -> None:
        """Counts more outcomes."""
        self.by_reason.update(outcome.reason.value for outcome in outcomes)


@dataclass(frozen=True)
class Tools:
    """What all rounds of a run share."""

    ledger: Ledger
    portals: Portals
    drafter: Drafter
    tally: Tally
    clock: Clock
    run_id: str
    uploads_recordings: bool
    is_stopping: Callable[[], bool]


@dataclass(frozen=True)
class Intent:
    """An announced create: what kind, and whether HubSpot itself would refuse a second one."""

    kind: EngagementKind
    unique: bool

    def __str__(self) -> str:
        return f"create:{self.kind.name}:{'unique' if self.unique else 'visible'}"

    @classmethod
    def of(cls, claim: Claim) -> Intent | None:
        """The create an earlier attempt announced, None if there is nothing to look up."""
        words = (claim.intent or "").split(":")
        if words[0] != "create" or claim.engagement_id is not None:
            return None
        return cls(EngagementKind[words[1]], words[2] == "unique")


class Round:
    """The claims of one holder; `run` may be called once."""

    def __init__(self, tools: Tools, holder: str, claims: Sequence[Claim]) -> None:
        self._tools = tools
        self._holder = holder
        self._open = {claim.call.id: claim for claim in claims}
        self._workspace = claims[0].call.workspace
        # Calls with an announced create of which nobody knows whether HubSpot did it.
        self._unaccounted = {claim.call.id for claim in claims if Intent.of(claim)}
        # When each write was announced last.
        self._announced_at: dict[str, datetime] = {}
        self._refusal: PortalError | NotConnected | None = None
        self._portal: Portal

    async def run(self, portal: Portal) -> None:
        """Settles every call, but what a stop leaves undone: that is given back."""
        self._portal = portal
        try:
            await self._write_all(await self._find_lost())
        except PortalError as err:
            await self._heed([err])
        except NotConnected as err:
            # Somebody disconnected the workspace, or connected it anew, meanwhile.
            self._refusal = self._refusal or err
        finally:
            if self._refusal is not None:
                await self.settle(dict.fromkeys(list(self._open), self._refusal))
            await self.give_back()

    async def give_back(self) -> None:
        """Lets anybody have the calls that have no outcome yet."""
        await asyncio.to_thread(
            self._tools.ledger.release,
            list(self._open.values()),
            holder=self._holder,
            now=self._tools.clock.now(),
        )

    async def refuse(self, error: CallOutcomeError) -> None:
        """Settles every call with the error that keeps its portal from being opened."""
        await self.settle(dict.fromkeys(list(self._open), error))

    async def settle(self, results: Mapping[str, Outcome | CallOutcomeError]) -> None:
        """Writes these results down, by call id; calls that are settled already stay so."""
        claims = [self._open.pop(call_id) for call_id in results if call_id in self._open]
        if not claims:
            return
        now = self._tools.clock.now()
        settled = [(claim, self._outcome(claim, results[claim.call.id], now)) for claim in claims]
        await asyncio.to_thread(
            self._tools.ledger.settle,
            settled,
            holder=self._holder,
            kind=self._tools.drafter.kind.value,
            run_id=self._tools.run_id,
            now=now,
        )
        self._tools.tally.add(outcome for _, outcome in settled)
        _tell([outcome for _, outcome in settled])

    async def _find_lost(self) -> list[Claim]:
        """The claims, with the engagement of those whose announced create did happen."""
        by_kind: dict[EngagementKind, list[Claim]] = {}
        for claim in self._open.values():
            if intent := Intent.of(claim):
                by_kind.setdefault(intent.kind, []).append(claim)
        found: dict[str, Claim] = {}
        for kind, claims in by_kind.items():
            found |= await self._find_lost_of(kind, claims)
        return [found.get(claim.call.id, claim) for claim in self._open.values()]

    async def _find_lost_of(
        self, kind: EngagementKind, claims: Sequence[Claim]
    ) -> dict[str, Claim]:
        contact_ids = {claim.call.id: claim.intent_contact_id for claim in claims}
        try:
            there = await find_engagements(self._portal, kind, contact_ids)
        except PortalError:
            raise
        except HubSpotError as err:
            self._tools.portals.note_trouble(self._portal, err)
            await self.settle(dict.fromkeys(contact_ids, err))
            return {}
        found = {
            claim.call.id: replace(
                claim,
                engagement_id=there[claim.call.id],
                engagement_type=kind.name.lower(),
                contact_id=claim.intent_contact_id,
            )
            for claim in claims
            if claim.call.id in there
        }
        self._open |= found
        await self._wait_for_late([c for c in claims if c.call.id not in found])
        return found

    async def _wait_for_late(self, claims: Iterable[Claim]) -> None:
        """Puts those back in line whose create may still be on its way inside HubSpot."""
        now = self._tools.clock.now()
        late: dict[str, CallOutcomeError] = {}
        for claim in claims:
            intent = Intent.of(claim)
            announced_at = claim.intent_at or now
            over_at = announced_at + timedelta(seconds=LATE_WRITE_S)
            if intent is not None and not intent.unique and now < over_at:
                late[claim.call.id] = AnswerLost(
                    "HubSpot may still be writing this call; it is looked up again.",
                    retry_after_s=(over_at - now).total_seconds(),
                )
            else:
                self._unaccounted.discard(claim.call.id)
        await self.settle(late)

    async def _write_all(self, claims: Sequence[Claim]) -> None:
        still_open = [claim for claim in claims if claim.call.id in self._open]
        changed = [claim for claim in still_open if claim.engagement_id is not None]
        new = [claim for claim in still_open if claim.engagement_id is None]
        drafts, refused = self._tools.drafter.drafts(changed, {})
        same = [draft for draft in drafts if draft.digest == draft.claim.delivered_digest]
        await self.settle(
            refused
            | {
                draft.call_id: write.written(
                    draft, draft.claim.engagement_id or "", Reason.UNCHANGED
                )
                for draft in same
            }
        )
        updates = [draft for draft in drafts if draft.digest != draft.claim.delivered_digest]
        creates = await self._matched(new)
        jobs = [self._update(batch) for batch in batches(updates)]
        jobs += [self._create(batch) for batch in batches(creates)]
        await all_or_first_error(jobs)

    async def _matched(self, claims: Sequence[Claim]) -> list[Draft]:
        if not claims:
            return []
        # They come again because a person asked for it, or because there is more to go by.
        self._portal.matcher.ask_again(
            claim.call for claim in claims if claim.reason == Reason.CONTACT_NOT_FOUND
        )
        try:
            matches = await self._portal.matcher.match([claim.call for claim in claims])
        except PortalError:
            raise
        except HubSpotError as err:
            self._tools.portals.note_trouble(self._portal, err)
            await self.settle(dict.fromkeys((claim.call.id for claim in claims), err))
            return []
        found = {call_id: m for call_id, m in matches.items() if isinstance(m, Match)}
        missed = {call_id: m for call_id, m in matches.items() if not isinstance(m, Match)}
        drafts, refused = self._tools.drafter.drafts(
            [claim for claim in claims if claim.call.id in found], found
        )
        await self.settle(refused | missed)
        return drafts

    async def _update(self, drafts: Sequence[Draft]) -> None:
        if self._is_over():
            return
        results = await write.update(
            self._portal, drafts[0].kind, drafts, self._announce_update, self._confirm_update
        )
        await self._heed(results.values())
        await self.settle(results)
        await self._hasten_others(results.values())

    async def _create(self, drafts: Sequence[Draft], *, match_again: bool = True) -> None:
        if self._is_over():
            return
        results = await write.create(
            self._portal, drafts[0].kind, drafts, self._announce_create, self._confirm_create
        )
        # An error is the answer to the write itself, so the write did not happen; only a lost
        # answer leaves it open. What did happen is accounted for once the ledger says so.
        self._unaccounted -= {
            call_id
            for call_id, result in results.items()
            if isinstance(result, HubSpotError) and not isinstance(result, AnswerLost)
        }
        lost = [d for d in drafts if isinstance(results.get(d.call_id), AnswerLost)]
        if lost:
            # It may have left us long after it was announced: the wait for it begins only now.
            await self._announce_create(lost)
        await self._heed(results.values())
        gone = await self._whose_contact_has_gone(drafts, results) if match_again else {}
        found = {k: r for k, r in results.items() if isinstance(r, Found)}
        await self.settle(
            {k: r for k, r in results.items() if k not in gone and not isinstance(r, Found)}
        )
        await self._hasten_others(results.values())
        await self._update_found([d for d in drafts if d.call_id in found], found)
        if gone:
            claims = [draft.claim for draft in gone.values()]
            await self._portal.matcher.forget(claim.call for claim in claims)
            for batch in batches(await self._matched(claims)):
                await self._create(batch, match_again=False)

    async def _update_found(self, drafts: Sequence[Draft], found: Mapping[str, Found]) -> None:
        """Brings engagements that were there already up to date; for people they were created."""
        if not drafts:
            return
        known = []
        for draft in drafts:
            claim = replace(
                draft.claim,
                engagement_id=found[draft.call_id].engagement_id,
                engagement_type=draft.kind.name.lower(),
                contact_id=draft.contact_id,
                contact_match=draft.contact_match,
            )
            self._open[draft.call_id] = claim
            known.append(replace(draft, claim=claim))
        results = await write.update(
            self._portal, known[0].kind, known, self._announce_update, self._confirm_update
        )
        await self._heed(results.values())
        await self.settle(
            {
                call_id: replace(result, reason=Reason.CREATED)
                if isinstance(result, Outcome)
                else result
                for call_id, result in results.items()
            }
        )

    async def _whose_contact_has_gone(
        self, drafts: Sequence[Draft], results: CreateResults
    ) -> dict[str, Draft]:
        """The refused drafts whose contact was deleted or merged since it was matched."""
        refused = {d.call_id: d for d in drafts if isinstance(results.get(d.call_id), Rejected)}
        if not refused:
            return {}
        try:
            contacts = await self._portal.client.read_contacts(
                ids={draft.contact_id for draft in refused.values() if draft.contact_id}
            )
        except HubSpotError:
            return {}
        existing = {contact.id for contact in contacts}
        return {k: d for k, d in refused.items() if d.contact_id not in existing}

    async def _announce_create(self, drafts: Sequence[Draft]) -> list[Draft]:
        kind = drafts[0].kind
        held = await self._announce(drafts, str(Intent(kind, self._portal.is_unique(kind))))
        self._unaccounted |= {draft.call_id for draft in held}
        return held

    async def _confirm_create(self, drafts: Sequence[Draft]) -> list[Draft]:
        """Announces anew what was announced too long ago: the wait for it begins as it leaves."""
        if self._is_fresh(drafts):
            return list(drafts)
        return await self._announce_create(drafts)

    async def _announce_update(self, drafts: Sequence[Draft]) -> list[Draft]:
        return await self._announce(drafts, "update")

    async def _confirm_update(self, drafts: Sequence[Draft]) -> list[Draft]:
        """Asks again whether a change is ours that was held back."""
        if self._is_fresh(drafts):
            return list(drafts)
        return await self._announce_update(drafts)

    def _is_fresh(self, drafts: Sequence[Draft]) -> bool:
        now = self._tools.clock.now()
        oldest_s = max((now - self._announced_at[d.call_id]).total_seconds() for d in drafts)
        return 0 <= oldest_s <= ANNOUNCED_FOR_S

    async def _announce(self, drafts: Sequence[Draft], intent: str) -> list[Draft]:
        """The drafts that are still ours to write, now that the ledger says so."""
        now = self._tools.clock.now()
        held = await asyncio.to_thread(
            self._tools.ledger.announce,
            {draft.call_id: draft.claim for draft in drafts},
            {draft.call_id: draft.contact_id for draft in drafts if draft.contact_id},
            intent,
            holder=self._holder,
            for_s=CLAIM_S,
            now=now,
        )
        self._announced_at |= dict.fromkeys(held, now)
        return [draft for draft in drafts if draft.call_id in held]

    async def _hasten_others(self, results: Iterable[object]) -> None:
        """Has the calls tried again at once that found HubSpot down, now that it writes again."""
        if not any(isinstance(result, Outcome) for result in results):
            return
        portals = self._tools.portals
        if portals.note_working(self._portal):
            await asyncio.to_thread(
                self._tools.ledger.hasten,
                # The one portal of the settings was down for everybody.
                None if portals.is_given else self._workspace,
                Reason.UNAVAILABLE.value,
                now=self._tools.clock.now(),
            )

    async def _heed(self, results: Iterable[object]) -> None:
        """Parks the portal if it refused: nothing more is asked of it in this round."""
        for result in results:
            if isinstance(result, PortalError) and self._refusal is None:
                self._refusal = result
                await self._tools.portals.park(self._portal, result)

    def _is_over(self) -> bool:
        return self._tools.is_stopping() or self._refusal is not None

    def _outcome(self, claim: Claim, result: Outcome | CallOutcomeError, now: datetime) -> Outcome:
        outcome = result
        if isinstance(outcome, CallOutcomeError):
            again_at = retry_at(outcome, claim.attempt, now=now, random=self._tools.clock.random)
            outcome = replace(
                outcome_of_error(outcome, retry_at=again_at),
                write_unknown=claim.call.id in self._unaccounted,
            )
        portal = getattr(self, "_portal", None)
        return self._with_recording(
            claim, replace(outcome, portal_id=portal.portal_id if portal else None)
        )

    def _with_recording(self, claim: Claim, outcome: Outcome) -> Outcome:
        """Says where the recording stands; of a written call it is put in line."""
        if not claim.call.recording_url:
            return replace(outcome, recording_status=RecordingStatus.NONE)
        if not self._tools.uploads_recordings:
            return replace(outcome, recording_status=RecordingStatus.DISABLED)
        if claim.file_id is not None:
            return replace(outcome, recording_status=RecordingStatus.ATTACHED)
        return replace(outcome, recording_due=outcome.engagement_id is not None)


def _tell(outcomes: Sequence[Outcome]) -> None:
    """One log line for each reason; an error is a warning, with what HubSpot or we said of it."""
    first: dict[Reason, Outcome] = {}
    for outcome in outcomes:
        first.setdefault(outcome.reason, outcome)
    counts = Counter(outcome.reason for outcome in outcomes)
    for reason, outcome in first.items():
        calls = "1 call" if counts[reason] == 1 else f"{counts[reason]} calls"
        if outcome.status is Status.ERROR:
            logger.warning("%s: %s: %s", calls, reason, outcome.message)
        else:
            logger.info("%s: %s", calls, reason)


def batches(drafts: Sequence[Draft]) -> list[Sequence[Draft]]:
    """The drafts in batches of one kind each."""
    by_kind: dict[EngagementKind, list[Draft]] = {}
    for draft in drafts:
        by_kind.setdefault(draft.kind, []).append(draft)
    return [
        same[i : i + write.MAX_BATCH]
        for same in by_kind.values()
        for i in range(0, len(same), write.MAX_BATCH)
    ]
