"""Claims as drafts: what exactly is to stand in HubSpot, and its fingerprint.

Pure but for the settings it is made with; sends nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from urllib.parse import quote, urlsplit

from target_hubspot_calls.addresses import is_loopback
from target_hubspot_calls.delivery.match import Match
from target_hubspot_calls.delivery.write import Draft
from target_hubspot_calls.engagement import EngagementType, RecordingNote, engagement_properties
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
                    kind=EngagementKind[self._kind_of(claim).name],
                )
            )
        return drafts, refused

    def _kind_of(self, claim: Claim) -> EngagementType:
        """What the call is in HubSpot, whatever the settings say by now."""
        return EngagementType(claim.engagement_type) if claim.engagement_type else self.kind

    def _properties(self, claim: Claim) -> dict[str, str]:
        return engagement_properties(
            claim.call,
            self._kind_of(claim),
            RecordingNote(file_id=claim.file_id, link=self._recording_link(claim)),
            include_transcript=self._settings.include_transcript,
            default_region=self._settings.default_region,
        )

    def _recording_link(self, claim: Claim) -> str | None:
        """The receiver's lasting link; none where only this machine could follow it."""
        public_url = self._settings.public_url
        if not claim.call.recording_url or is_loopback(urlsplit(public_url).hostname):
            return None
        return f"{public_url}/recordings/{quote(claim.call.id, safe='')}"


def _digest(properties: Mapping[str, str]) -> str:
    encoded = json.dumps(properties, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(encoded.encode()).hexdigest()
