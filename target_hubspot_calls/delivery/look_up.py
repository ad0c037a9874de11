"""Whether HubSpot already has a call, after a write whose answer was lost.

Search lags behind writes and is never asked. Where the portal refuses a call id twice, that
property is read; elsewhere the contact's engagements are read and their visible call ids compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from target_hubspot_calls.delivery.portals import Portal
from target_hubspot_calls.engagement import call_id_of_body
from target_hubspot_calls.errors import Rejected
from target_hubspot_calls.hubspot.engagements import CALL_ID_PROPERTY, Engagement


async def find_engagements(portal: Portal, contact_ids: Mapping[str, str | None]) -> dict[str, str]:
    """By call id, the engagement HubSpot has; calls without one are left out.

    `contact_ids` gives for each call id the contact it was to be written to. Raises HubSpotError.
    """
    found: dict[str, str] = {}
    if portal.unique_call_ids:
        try:
            found = _by_property(
                await portal.client.read_engagements_by_call_id(portal.kind, list(contact_ids))
            )
        except Rejected:
            # The portal no longer takes the property as a key; what it was for still holds.
            portal.unique_call_ids = False
    if not portal.unique_call_ids:
        found |= await _find_by_body(portal, contact_ids)
    return {call_id: engagement for call_id, engagement in found.items() if call_id in contact_ids}


def call_id_of(engagement: Engagement, body_property: str) -> str | None:
    """The call id an engagement carries: in the property of its own, else in its body."""
    return engagement.properties.get(CALL_ID_PROPERTY) or call_id_of_body(
        engagement.properties.get(body_property)
    )


async def _find_by_body(portal: Portal, contact_ids: Mapping[str, str | None]) -> dict[str, str]:
    contacts = sorted({contact_id for contact_id in contact_ids.values() if contact_id})
    if not contacts:
        return {}
    by_contact = await portal.client.read_contact_engagement_ids(portal.kind, contacts)
    engagement_ids = list(dict.fromkeys(i for ids in by_contact.values() for i in ids))
    if not engagement_ids:
        return {}
    body = portal.kind.body_property
    engagements = await portal.client.read_engagements(portal.kind, engagement_ids, [body])
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
