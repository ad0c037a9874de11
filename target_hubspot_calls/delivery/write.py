"""Writes drafts of one portal to HubSpot in batches and says what became of each.

Knows the rules of a batch: who is whose answer, what may be sent again, what must be looked up
first. Knows nothing of the ledger's tables; announcing a write is somebody else's, passed in.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

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
    EngagementKind,
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
    kind: EngagementKind

    @property
    def call_id(self) -> str:
        """VAPI's id of the call."""
        return self.claim.call.id


@dataclass(frozen=True)
class Found:
    """HubSpot has the call already, by this write or an earlier one: its content may be older."""

    engagement_id: str


# What became of each draft, by call id: an outcome, or the error that explains it.
Results = dict[str, Outcome | HubSpotError]
CreateResults = dict[str, Outcome | HubSpotError | Found]
Result = TypeVar("Result")
Announce = Callable[[Sequence[Draft]], Awaitable[list[Draft]]]


class _NoLongerOurs(Exception):
    """Some of the drafts were taken by somebody else while their request was held back."""


async def create(
    portal: Portal,
    kind: EngagementKind,
    drafts: Sequence[Draft],
    announce: Announce,
    confirm: Announce,
) -> CreateResults:
    """What became of at most 100 new engagements of one kind.

    `announce` writes down what is about to be written, before each request, and says which drafts
    are still ours; the others are left out. `confirm` does the same right before the request
    leaves, which may be minutes later: the pace held it back, or HubSpot had asked us to wait.
    """
    held = await announce(drafts)
    by_id = {draft.call_id: draft for draft in held}
    if not by_id:
        return {}

    async def confirm_all() -> None:
        if len(await confirm(held)) < len(held):
            raise _NoLongerOurs

    try:
        result = await portal.client.create_engagements(
            kind,
            [_new_engagement(portal, draft) for draft in held],
            before_sending=confirm_all,
        )
    except _NoLongerOurs:
        # What has not left was not written: those that are still ours go without the others.
        return await create(portal, kind, held, announce, confirm)
    except AnswerLost as err:
        return await _look_up(portal, kind, by_id, err)
    except (TransientHubSpotError, PortalError) as err:
        return dict.fromkeys(by_id, err)
    except HubSpotError as err:
        if len(held) > 1:
            return await _split(held, lambda half: create(portal, kind, half, announce, confirm))
        if is_taken(err):
            return await _look_up(portal, kind, by_id, err)
        return dict.fromkeys(by_id, err)
    return await _read_result(portal, kind, by_id, result)


async def update(
    portal: Portal,
    kind: EngagementKind,
    drafts: Sequence[Draft],
    announce: Announce,
    confirm: Announce,
) -> Results:
    """What became of at most 100 changes to engagements of one kind that we wrote before.

    `announce` and `confirm` are as for `create`: a change that is no longer ours would put what is
    older in the place of what its new holder wrote.
    """
    held = await announce(drafts)
    by_id = {draft.call_id: draft for draft in held}
    if not by_id:
        return {}

    async def confirm_changes() -> None:
        if len(await confirm(held)) < len(held):
            raise _NoLongerOurs

    changes = [
        ChangedEngagement(
            trace_id=draft.call_id,
            id=draft.claim.engagement_id or "",
            properties=draft.properties,
        )
        for draft in held
    ]
    try:
        result = await portal.client.update_engagements(
            kind, changes, before_sending=confirm_changes
        )
    except _NoLongerOurs:
        return await update(portal, kind, held, announce, confirm)
    except (TransientHubSpotError, PortalError) as err:
        # The same change twice is the same change: nothing has to be looked up.
        return dict.fromkeys(by_id, err)
    except HubSpotError as err:
        if len(held) > 1:
            return await _split(held, lambda half: update(portal, kind, half, announce, confirm))
        return dict.fromkeys(by_id, err)
    results: Results = {}
    by_engagement = {draft.claim.engagement_id: draft for draft in held}
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
    if portal.is_unique(draft.kind):
        properties[CALL_ID_PROPERTY] = draft.call_id
    return NewEngagement(
        trace_id=draft.call_id, contact_id=draft.contact_id or "", properties=properties
    )


async def _read_result(
    portal: Portal, kind: EngagementKind, by_id: Mapping[str, Draft], result: BatchResult
) -> CreateResults:
    results: CreateResults = {}
    for engagement in result.engagements:
        call_id = engagement.trace_id or call_id_of(engagement, kind.body_property)
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
        results |= await _look_up(portal, kind, lost, _unexplained())
    return results


async def _look_up(
    portal: Portal, kind: EngagementKind, by_id: Mapping[str, Draft], error: HubSpotError
) -> CreateResults:
    """Which of the drafts HubSpot has after all; the others may still be on their way."""
    contact_ids = {call_id: draft.contact_id for call_id, draft in by_id.items()}
    try:
        found = await find_engagements(portal, kind, contact_ids)
    except HubSpotError:
        found = {}
    lost = AnswerLost(
        "HubSpot did not say whether it wrote this call; it is looked up before the next try.",
        correlation_id=error.correlation_id,
    )
    return {call_id: Found(found[call_id]) if call_id in found else lost for call_id in by_id}


async def _split(
    drafts: Sequence[Draft], write: Callable[[Sequence[Draft]], Awaitable[dict[str, Result]]]
) -> dict[str, Result]:
    """Halves a batch that was refused whole, until the draft at fault stands alone."""
    middle = len(drafts) // 2
    first = await write(drafts[:middle])
    refusal = next((r for r in first.values() if isinstance(r, PortalError)), None)
    if refusal is not None:
        return first | dict.fromkeys((draft.call_id for draft in drafts[middle:]), refusal)
    return first | await write(drafts[middle:])


def _unexplained() -> Unavailable:
    return Unavailable("HubSpot's answer leaves this call out.")
