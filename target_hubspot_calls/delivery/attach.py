"""Fetches recordings, uploads each once, and attaches them to notes that are already there.

Runs beside the writing of notes, which has its share of the pace whatever is uploaded. A recording
that cannot be had changes nothing but the call's `recording_status`.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from target_hubspot_calls.call import Workspace
from target_hubspot_calls.clock import Clock
from target_hubspot_calls.delivery import write
from target_hubspot_calls.delivery.drafts import Drafter
from target_hubspot_calls.delivery.leases import HeldElsewhere
from target_hubspot_calls.delivery.portals import Portal, Portals
from target_hubspot_calls.delivery.retry_line import retry_at
from target_hubspot_calls.delivery.round import batches
from target_hubspot_calls.delivery.together import all_or_first_error
from target_hubspot_calls.delivery.write import Draft
from target_hubspot_calls.errors import (
    CallOutcomeError,
    HubSpotError,
    MissingScope,
    NotConnected,
    PortalError,
    Unavailable,
)
from target_hubspot_calls.hubspot.files import FileUpload
from target_hubspot_calls.outcome import Outcome, RecordingOutcome
from target_hubspot_calls.recordings.source import RecordingSource
from target_hubspot_calls.recordings.status import RecordingError, RecordingStatus
from target_hubspot_calls.store.ledger import Ledger
from target_hubspot_calls.store.ledger_rows import Claim

FOLDER = "/vapi-call-recordings"
UPLOADS_AT_ONCE = 12
CLAIMED_AT_ONCE = 48
CLAIM_S = 900.0
MOST_ATTEMPTS = 5
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}\Z")


class Attacher:
    """Attaches the recordings that are due, for one run of one process."""

    def __init__(
        self,
        ledger: Ledger,
        portals: Portals,
        drafter: Drafter,
        source: RecordingSource,
        *,
        run_id: str,
        clock: Clock,
    ) -> None:
        self._ledger = ledger
        self._portals = portals
        self._drafter = drafter
        self._source = source
        self._run_id = run_id
        self._clock = clock
        self._numbers = itertools.count(1)

    async def attach_due(self, workspace: Workspace, *, is_stopping: Callable[[], bool]) -> None:
        """Returns when no recording of the workspace is due, or when it is time to stop.

        Raises HeldElsewhere.
        """
        while not is_stopping():
            # First of all: whoever has the portal needs the calls.
            try:
                portal: Portal | CallOutcomeError = await self._portals.open(workspace)
            except CallOutcomeError as err:
                portal = err
            holder = f"{self._run_id}/r{next(self._numbers)}"
            claims = await asyncio.to_thread(
                self._ledger.claim_recordings,
                workspace,
                holder=holder,
                limit=CLAIMED_AT_ONCE,
                for_s=CLAIM_S,
                now=self._clock.now(),
            )
            if not claims:
                return
            if isinstance(portal, CallOutcomeError):
                await self._settle(holder, [(c, self._failed(c, portal)) for c in claims])
                return
            try:
                await self._attach(portal, holder, claims, is_stopping)
            except HeldElsewhere:
                await self._give_back(holder, claims)
                raise

    async def _attach(
        self,
        portal: Portal,
        holder: str,
        claims: Sequence[Claim],
        is_stopping: Callable[[], bool],
    ) -> None:
        slots = asyncio.Semaphore(UPLOADS_AT_ONCE)
        failed = False

        async def one(claim: Claim) -> Claim | RecordingOutcome | None:
            nonlocal failed
            async with slots:
                if failed or is_stopping():
                    return None
                try:
                    return await self._uploaded(portal, holder, claim)
                except BaseException:
                    failed = True
                    raise

        # Where the store fails, what is in flight still ends and is noted, if it can be.
        results = await all_or_first_error(one(claim) for claim in claims)
        uploaded = [result for result in results if isinstance(result, Claim)]
        await self._settle(
            holder,
            [
                (claim, result)
                for claim, result in zip(claims, results, strict=True)
                if isinstance(result, RecordingOutcome)
            ],
        )
        await self._update_notes(portal, holder, uploaded)
        await self._give_back(
            holder,
            [claim for claim, result in zip(claims, results, strict=True) if result is None],
        )

    async def _give_back(self, holder: str, claims: Sequence[Claim]) -> None:
        await asyncio.to_thread(self._ledger.release, claims, holder=holder, now=self._clock.now())

    async def _uploaded(
        self, portal: Portal, holder: str, claim: Claim
    ) -> Claim | RecordingOutcome | None:
        """The claim with its file, or why there is none; None for a call that others have now."""
        if claim.file_id is not None:
            return claim
        if not await asyncio.to_thread(self._ledger.held, [claim], holder=holder):
            return None
        call = claim.call
        try:
            async with self._source.open(
                call.id,
                call.recording_url or "",
                call.recording_expires_at,
                may_ask_vapi=await asyncio.to_thread(
                    self._ledger.is_of_one, call.workspace, call.id
                ),
            ) as recording:
                file = await portal.client.upload_file(
                    FileUpload(
                        name=f"{_file_name(call.id)}.{recording.extension}",
                        folder_path=FOLDER,
                        content=recording,
                        content_type=recording.content_type,
                        size=recording.size,
                    )
                )
        except RecordingError as err:
            return self._unfetched(claim, err)
        except (HubSpotError, NotConnected) as err:
            if isinstance(err, PortalError) and not isinstance(err, MissingScope):
                await self._portals.park(portal, err)
            return self._failed(claim, err)
        await asyncio.to_thread(self._ledger.save_file, claim, file.id, now=self._clock.now())
        return replace(claim, file_id=file.id)

    async def _update_notes(self, portal: Portal, holder: str, claims: Sequence[Claim]) -> None:
        async def still_ours(batch: Sequence[Draft]) -> list[Draft]:
            claims = [draft.claim for draft in batch]
            held = await asyncio.to_thread(self._ledger.held, claims, holder=holder)
            return [draft for draft in batch if draft.call_id in held]

        drafts, refused = self._drafter.drafts(claims, {})
        await self._settle(
            holder,
            [(c, self._failed(c, refused[c.call.id])) for c in claims if c.call.id in refused],
        )
        for batch in batches(drafts):
            results: Mapping[str, Outcome | CallOutcomeError]
            try:
                # The same change twice is the same change; nothing needs to be announced.
                results = await write.update(portal, batch[0].kind, batch, still_ours, still_ours)
            except NotConnected as err:
                results = {draft.call_id: err for draft in batch}
            for result in results.values():
                if isinstance(result, PortalError):
                    await self._portals.park(portal, result)
                    break
            await self._settle(
                holder,
                [
                    (d.claim, self._attached(d, results[d.call_id]))
                    for d in batch
                    if d.call_id in results
                ],
            )

    def _attached(self, draft: Draft, result: Outcome | CallOutcomeError) -> RecordingOutcome:
        if isinstance(result, CallOutcomeError):
            return self._failed(draft.claim, result)
        return RecordingOutcome(
            RecordingStatus.ATTACHED, file_id=draft.claim.file_id, delivered_digest=draft.digest
        )

    def _unfetched(self, claim: Claim, error: RecordingError) -> RecordingOutcome:
        if not error.retryable or claim.recording_attempt + 1 >= MOST_ATTEMPTS:
            return RecordingOutcome(error.status, message=str(error))
        waiting = Unavailable(str(error), retry_after_s=error.retry_after_s)
        return self._failed(claim, waiting)

    def _failed(self, claim: Claim, error: CallOutcomeError) -> RecordingOutcome:
        """When to try again, or that uploading failed for good."""
        again_at = retry_at(
            error,
            claim.recording_attempt,
            now=self._clock.now(),
            random=self._clock.random,
        )
        if again_at is None or claim.recording_attempt + 1 >= MOST_ATTEMPTS:
            return RecordingOutcome(
                RecordingStatus.UPLOAD_FAILED, message=str(error), file_id=claim.file_id
            )
        return RecordingOutcome(None, file_id=claim.file_id, retry_at=again_at)

    async def _settle(self, holder: str, settled: Sequence[tuple[Claim, RecordingOutcome]]) -> None:
        await asyncio.to_thread(
            self._ledger.settle_recordings,
            settled,
            holder=holder,
            run_id=self._run_id,
            now=self._clock.now(),
        )


def _file_name(call_id: str) -> str:
    """A name that is the same for every try: the call id, or its fingerprint where it is odd."""
    if _PLAIN_NAME.match(call_id):
        return f"vapi-{call_id}"
    return f"vapi-{hashlib.sha256(call_id.encode()).hexdigest()[:40]}"
