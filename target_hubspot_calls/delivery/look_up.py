"""Whether HubSpot already has a call, after a write whose answer was lost.

Search lags behind writes and is never asked. Where the portal refuses a call id twice, that
property is read; what it does not know may have been written before the portal had the property,
so then, and elsewhere always, the contact's engagements are read and their visible ids compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from target_hubspot_calls.delivery.portals import Portal
from target_hubspot_calls.engagement import call_id_of_body
from target_hubspot_calls.errors import Rejected
from target_hubspot_calls.hubspot.engagements import CALL_ID_PROPERTY, Engagement, EngagementKind


async def find_engagements(
    portal: Portal, kind: EngagementKind, contact_ids: Mapping[str, str | None]
) -> dict[str, str]:
    """By call id, the engagement of this kind that HubSpot has; calls without one are left out.

    `contact_ids` gives for each call id the contact it was to be written to. What the property
    does not find is looked for among the contact's engagements too: it may have been written
    before the portal had the property. Raises HubSpotError.
    """
    found: dict[str, str] = {}
    if portal.is_unique(kind):
        try:
            found = _by_property(
                await portal.client.read_engagements_by_call_id(kind, list(contact_ids))
            )
        except Rejected:
            # The portal no longer takes the property as a key; what it was for still holds.
            portal.unique_call_ids = False
    missing = {call_id: c for call_id, c in contact_ids.items() if call_id not in found}
    found |= await _find_by_body(portal, kind, missing)
    return {call_id: engagement for call_id, engagement in found.items() if call_id in contact_ids}


def call_id_of(engagement: Engagement, body_property: str) -> str | None:
    """The call id an engagement carries: in the property of its own, else in its body."""
    return engagement.properties.get(CALL_ID_PROPERTY) or call_id_of_body(
        engagement.properties.get(body_property)
    )


async def _find_by_body(
    portal: Portal, kind: EngagementKind, contact_ids: Mapping[str, str | None]
) -> dict[str, str]:
    contacts = sorted({contact_id for contact_id in contact_ids.values() if contact_id})
    if not contacts:
        return {}
    by_contact = await portal.client.read_contact_engagement_ids(kind, contacts)
    engagement_ids = list(dict.fromkeys(i for ids in by_contact.values() for i in ids))
    if not engagement_ids:
        return {}
    body = kind.body_property
    engagements = await portal.client.read_engagements(kind, engagement_ids, [body])
    found = {}
    for engagement in engagements:
        call_id = call_id_of(engagement, body)
        if call_id is not None:
            found[call_id] = engagement.id
    return found


def _by_property(engagements: Sequence[Engagement]) -> dict[str, str]:
    return {
        engagement.properties[CALL_ID_PROPERTY]: engagement.id
        for engagement in engagements
        if CALL_ID_PROPERTY in engagement.properties
    }
