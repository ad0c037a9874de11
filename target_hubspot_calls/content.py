"""What exactly is to stand in HubSpot for a call by the settings, and its fingerprint.

Pure: delivery writes it and a page shows it, so that both speak of the same words.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from target_hubspot_calls.addresses import is_loopback
from target_hubspot_calls.call import Call
from target_hubspot_calls.engagement import EngagementType, RecordingNote, engagement_properties
from target_hubspot_calls.settings import TargetSettings

_BODIES = {EngagementType.NOTE: "hs_note_body", EngagementType.CALL: "hs_call_body"}


@dataclass(frozen=True)
class Content:
    """HubSpot properties of a call; `digest` is another one whenever any of them is."""

    kind: EngagementType
    properties: Mapping[str, str]
    digest: str

    @property
    def body(self) -> str:
        """The HTML that people read in HubSpot."""
        return self.properties[_BODIES[self.kind]]


def engagement_content(
    call: Call, kind: EngagementType, settings: TargetSettings, *, file_id: str | None
) -> Content:
    """What is to be written; `file_id` is the uploaded recording's.

    Raises InvalidCallRecord for a call without any time.
    """
    properties = engagement_properties(
        call,
        kind,
        RecordingNote(file_id=file_id, link=_recording_link(call, settings.public_url)),
        include_transcript=settings.include_transcript,
        default_region=settings.default_region,
    )
    return Content(kind, properties, _digest(properties))


def _recording_link(call: Call, public_url: str) -> str | None:
    """The receiver's lasting link; none where only this machine could follow it."""
    if not call.recording_url or is_loopback(urlsplit(public_url).hostname):
        return None
    return f"{public_url}/recordings/{quote(call.id, safe='')}"


def _digest(properties: Mapping[str, str]) -> str:
    encoded = json.dumps(properties, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(encoded.encode()).hexdigest()
