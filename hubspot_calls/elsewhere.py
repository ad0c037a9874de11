"""What of some calls lies where no command of ours deletes it: in HubSpot and at VAPI.

Pure: names things by their ids, for a person who deletes them there. Must not know how.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from target_hubspot_calls.store.sought_calls import LedgerCall


@dataclass(frozen=True)
class Thing:
    """One thing in HubSpot; `link` leads to it, or to the contact it is found on."""

    kind: str
    id: str
    portal_id: int | None
    call_id: str | None = None
    link: str | None = None


@dataclass(frozen=True)
class Elsewhere:
    """What people delete by hand; of `unsure` calls HubSpot may have a note that we do not know."""

    contacts: tuple[Thing, ...]
    engagements: tuple[Thing, ...]
    files: tuple[Thing, ...]
    unsure: tuple[str, ...]
    vapi_call_ids: tuple[str, ...]

    def to_document(self) -> dict[str, Any]:
        """The same for `--json`."""
        return {
            "hubspot": {
                "contacts": [vars(each) for each in self.contacts],
                "engagements": [vars(each) for each in self.engagements],
                "files": [vars(each) for each in self.files],
                "calls_that_may_have_a_note": list(self.unsure),
            },
            "vapi": {"call_ids": list(self.vapi_call_ids)},
        }


def elsewhere_of(
    calls: Sequence[LedgerCall],
    call_ids: Iterable[str],
    created: Iterable[tuple[int, str]],
    *,
    app_url: str,
) -> Elsewhere:
    """What came of the calls; `created` are contacts that were made for their numbers."""
    from receiver.pages.hubspot_links import contact_link

    contacts = {(call.portal_id, call.contact_id) for call in calls if call.contact_id}
    contacts |= set(created)
    return Elsewhere(
        contacts=tuple(
            Thing(
                "contact", contact_id, portal_id, link=contact_link(app_url, portal_id, contact_id)
            )
            for portal_id, contact_id in sorted(contacts, key=str)
            if contact_id is not None
        ),
        engagements=tuple(
            Thing(
                call.engagement_type or "note",
                call.engagement_id,
                call.portal_id,
                call.key[1],
                contact_link(app_url, call.portal_id, call.contact_id),
            )
            for call in calls
            if call.engagement_id
        ),
        files=tuple(
            Thing("file", call.file_id, call.portal_id, call.key[1])
            for call in calls
            if call.file_id
        ),
        unsure=tuple(sorted(call.key[1] for call in calls if call.may_be_written)),
        vapi_call_ids=tuple(sorted(set(call_ids))),
    )
