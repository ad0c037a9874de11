"""Claims as drafts: what exactly is to stand in HubSpot, and where.

Pure but for the settings it is made with; sends nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from target_hubspot_calls.content import Content, engagement_content
from target_hubspot_calls.delivery.match import Match
from target_hubspot_calls.delivery.write import Draft
from target_hubspot_calls.engagement import EngagementType
from target_hubspot_calls.errors import CallOutcomeError, InvalidCallRecord
from target_hubspot_calls.hubspot.engagements import EngagementKind
from target_hubspot_calls.settings import TargetSettings
from target_hubspot_calls.store.ledger_rows import Claim


class Drafter:
    """Makes drafts by the settings of one run."""

    def __init__(self, settings: TargetSettings) -> None:
        self._settings = settings

    @property
    def kind(self) -> EngagementType:
        """What calls become that are not in HubSpot yet."""
        return self._settings.kind

    def drafts(
        self, claims: Sequence[Claim], matches: Mapping[str, Match]
    ) -> tuple[list[Draft], dict[str, CallOutcomeError]]:
        """The drafts, and by call id why a call cannot be one; `matches` are by call id too."""
        drafts: list[Draft] = []
        refused: dict[str, CallOutcomeError] = {}
        for claim in claims:
            match = matches.get(claim.call.id)
            try:
                content = self._content(claim)
            except InvalidCallRecord as err:
                refused[claim.call.id] = err
                continue
            drafts.append(
                Draft(
                    claim=claim,
                    properties=content.properties,
                    digest=content.digest,
                    contact_id=match.contact_id if match else claim.contact_id,
                    contact_match=match.rule if match else claim.contact_match,
                    kind=EngagementKind[content.kind.name],
                )
            )
        return drafts, refused

    def _content(self, claim: Claim) -> Content:
        # A call stays in HubSpot what it is there, whatever the settings say by now.
        kind = EngagementType(claim.engagement_type) if claim.engagement_type else self.kind
        return engagement_content(claim.call, kind, self._settings, file_id=claim.file_id)
