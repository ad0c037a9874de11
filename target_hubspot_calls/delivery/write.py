"""Writes drafts of one portal to HubSpot in batches and says what became of each.

Knows the rules of a batch: who is whose answer, what may be sent again, what must be looked up
first. Knows nothing of the ledger's tables; announcing a write is somebody else's, passed in.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from target_hubspot_calls.delivery.look_up import call_id_of, find_engagements
from target_hubspot_calls.delivery.portals import Portal
from target_hubspot_calls.errors import (
    AnswerLost,
    HubSpotError,
    PortalError,
    Reason,
    Status,
    TransientHubSpotError,
    Unavailable,
)
from target_hubspot_calls.hubspot.batches import BatchResult
from target_hubspot_calls.hubspot.engagements import (
    CALL_ID_PROPERTY,
    ChangedEngagement,
    NewEngagement,
)
from target_hubspot_calls.hubspot.failures import is_taken
from target_hubspot_calls.outcome import Outcome
from target_hubspot_calls.store.ledger_rows import Claim

MAX_BATCH = 100


@dataclass(frozen=True)
class Draft:
    """A call ready to be written: its properties, their fingerprint, and where it goes."""

    claim: Claim
    properties: Mapping[str, str]
    digest: str
    contact_id: str | None
    contact_match: str | None

    @property
    def call_id(self) -> str:
        """VAPI's id of the call."""
        return self.claim.call.id


# What became of each draft, by call id: an outcome, or the error that explains it.
Results = dict[str, Outcome | HubSpotError]


async def create(portal: Portal, drafts: Sequence[Draft]) -> Results:
    """What became of at most 100 new engagements. Raises PortalError: then nothing was written."""
    by_id = {draft.call_id: draft for draft in drafts}
    try:
        result = await portal.client.create_engagements(
            portal.kind, [_new_engagement(portal, draft) for draft in drafts]
        )
    except AnswerLost as err:
        return await _look_up(portal, by_id, err)
    except TransientHubSpotError as err:
        return dict.fromkeys(by_id, err)
    except PortalError:
        raise
    except HubSpotError as err:
        return await _split(portal, drafts, err, create)
    return await _read_result(portal, by_id, result)


async def update(portal: Portal, drafts: Sequence[Draft]) -> Results:
    """What became of at most 100 changes to engagements we wrote before. Raises PortalError."""
    by_id = {draft.call_id: draft for draft in drafts}
    changes = [
        ChangedEngagement(
            trace_id=draft.call_id,
            id=draft.claim.engagement_id or "",
            properties=draft.properties,
        )
        for draft in drafts
    ]
    try:
        result = await portal.client.update_engagements(portal.kind, changes)
    except TransientHubSpotError as err:
        # The same change twice is the same change: nothing has to be looked up.
        return dict.fromkeys(by_id, err)
    except PortalError:
        raise
    except HubSpotError as err:
        return await _split(portal, drafts, err, update)
    results: Results = {}
    by_engagement = {draft.claim.engagement_id: draft for draft in drafts}
    for engagement in result.engagements:
        draft = by_engagement.get(engagement.id)
        if draft is not None:
            results[draft.call_id] = written(draft, engagement.id, Reason.UPDATED)
    unnamed = result.unnamed_errors[0] if result.unnamed_errors else _unexplained()
    return {
        call_id: results.get(call_id) or result.errors.get(call_id) or unnamed for call_id in by_id
    }


def written(draft: Draft, engagement_id: str, reason: Reason) -> Outcome:
    """The outcome of a call that HubSpot has."""
    return Outcome(
        Status.SUCCESS,
        reason,
        contact_id=draft.contact_id,
        contact_match=draft.contact_match,
        engagement_id=engagement_id,
        delivered_digest=draft.digest,
    )


def _new_engagement(portal: Portal, draft: Draft) -> NewEngagement:
    properties = dict(draft.properties)
    if portal.unique_call_ids:
        properties[CALL_ID_PROPERTY] = draft.call_id
    return NewEngagement(
        trace_id=draft.call_id, contact_id=draft.contact_id or "", properties=properties
    )


async def _read_result(portal: Portal, by_id: Mapping[str, Draft], result: BatchResult) -> Results:
    results: Results = {}
    for engagement in result.engagements:
        call_id = engagement.trace_id or call_id_of(engagement, portal.kind.body_property)
        if call_id is not None and call_id in by_id:
            results[call_id] = written(by_id[call_id], engagement.id, Reason.CREATED)
    lost: dict[str, Draft] = {}
    for call_id, draft in by_id.items():
        error = result.errors.get(call_id)
        if call_id in results:
            continue
        if error is None or is_taken(error):
            lost[call_id] = draft
        else:
            results[call_id] = error
    if lost:
        results |= await _look_up(portal, lost, _unexplained())
    return results


async def _look_up(portal: Portal, by_id: Mapping[str, Draft], error: HubSpotError) -> Results:
    """Which of the drafts HubSpot has after all; the others may still be on their way."""
    contact_ids = {call_id: draft.contact_id for call_id, draft in by_id.items()}
    try:
        found = await find_engagements(portal, contact_ids)
    except HubSpotError:
        found = {}
    lost = AnswerLost(
        "HubSpot did not say whether it wrote this call; it is looked up before the next try.",
        correlation_id=error.correlation_id,
    )
    return {
        call_id: written(draft, found[call_id], Reason.CREATED) if call_id in found else lost
        for call_id, draft in by_id.items()
    }


async def _split(
    portal: Portal,
    drafts: Sequence[Draft],
    error: HubSpotError,
    write: Callable[[Portal, Sequence[Draft]], Awaitable[Results]],
) -> Results:
    """Halves a batch that was refused whole, until the draft at fault stands alone."""
    if len(drafts) == 1:
        (draft,) = drafts
        if write is create and is_taken(error):
            return await _look_up(portal, {draft.call_id: draft}, error)
        return {draft.call_id: error}
    middle = len(drafts) // 2
    return await write(portal, drafts[:middle]) | await write(portal, drafts[middle:])


def _unexplained() -> Unavailable:
    return Unavailable("HubSpot's answer leaves this call out.")
