"""Addresses in HubSpot that pages lead to, by the portal's id.

Pure. Only forms that HubSpot itself hands out are here: a contact has one (its API's `url`, seen
2026), a note has none, so people find it on its contact.
"""

from __future__ import annotations

from urllib.parse import quote

_CONTACT = "0-1"


def contact_link(app_url: str, portal_id: int | None, contact_id: str | None) -> str | None:
    """The contact's page in HubSpot; None where not both ids are known."""
    if portal_id is None or not contact_id:
        return None
    return f"{app_url}/contacts/{portal_id}/record/{_CONTACT}/{quote(contact_id, safe='')}"


def contacts_link(app_url: str, portal_id: int | None) -> str | None:
    """All contacts of the portal, where new ones are made; None where its id is not known."""
    if portal_id is None:
        return None
    return f"{app_url}/contacts/{portal_id}/objects/{_CONTACT}/views/all/list"
