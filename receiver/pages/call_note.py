"""The note of a call as HubSpot was given it, or as it would be given now, cleaned for a page.

Pure: builds the text by the sync's own settings and compares fingerprints; it asks nobody.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import nh3

from receiver.pages.call_words import noun_of
from target_hubspot_calls.content import Content, engagement_content
from target_hubspot_calls.engagement import EngagementType
from target_hubspot_calls.errors import InvalidCallRecord, Reason, Status
from target_hubspot_calls.settings import TargetSettings
from target_hubspot_calls.store.known_calls import KnownCall

RECORDINGS = "/recordings/"
_TAGS = {"p", "br", "strong", "table", "tbody", "tr", "td", "a"}
_LONG = 6_000


@dataclass(frozen=True)
class Note:
    """What stands in HubSpot or would; `html` is clean, `why` says why it is not what stands there.

    `is_long` asks for a frame that scrolls.
    """

    heading: str
    why: str
    html: str

    @property
    def is_long(self) -> bool:
        """True for what would make the page endless."""
        return len(self.html) > _LONG


def note_of(known: KnownCall, settings: TargetSettings) -> Note | None:
    """The note of the call, None where none can be made of it."""
    kind = EngagementType(known.engagement_type) if known.engagement_type else settings.kind
    noun = noun_of(kind.value)
    try:
        drafts = list(_drafts(known, kind, settings))
    except InvalidCallRecord:
        return None
    written = next((draft for draft in drafts if draft.digest == known.delivered_digest), None)
    if written is not None:
        return Note(f"The {noun} as it was written", "", clean(written.body, settings.public_url))
    html = clean(drafts[0].body, settings.public_url)
    if known.engagement_id is not None:
        return Note(f"What the {noun} would say now", _why_another(known, noun), html)
    why = f"Nothing is in HubSpot yet. Once it is, the {noun} says this."
    if known.intent is not None or known.reason == Reason.ANSWER_LOST:
        why = f"The {noun} was sent, and HubSpot has not confirmed it yet."
    return Note(f"What the {noun} will say", why, html)


def clean(html: str, public_url: str) -> str:
    """The HTML with the tags a note has, and links to https and to our recordings only."""

    def filtered(tag: str, name: str, value: str) -> str | None:
        # The other attribute is `rel`, which is ours.
        return own_link(value, public_url) if name == "href" else value

    return nh3.clean(
        html,
        tags=_TAGS,
        attributes={"a": {"href"}},
        attribute_filter=filtered,
        url_schemes={"https", "http"},
        link_rel="noopener noreferrer",
    )


def own_link(href: str, public_url: str) -> str | None:
    """The link if a page may lead there: by https, or to a recording at this address."""
    of_ours = f"{public_url}{RECORDINGS}"
    if href.startswith(of_ours):
        return href.removeprefix(public_url)
    if href.startswith(RECORDINGS):
        return href
    try:
        parts = urlsplit(href)
    except ValueError:
        return None
    return href if parts.scheme == "https" and parts.netloc else None


def _drafts(known: KnownCall, kind: EngagementType, settings: TargetSettings) -> Iterator[Content]:
    """What the settings ask for, then what they may have asked for when the note was written."""
    without_transcript = settings.model_copy(update={"include_transcript": False})
    # A file is noted as soon as it is uploaded, its note a moment later.
    for file_id in dict.fromkeys((known.file_id, None)):
        for told in (settings, without_transcript):
            yield engagement_content(known.call, kind, told, file_id=file_id)


def _why_another(known: KnownCall, noun: str) -> str:
    if known.is_due:
        return (
            f"A later report said more than what was written; the {noun} is filled in as soon as"
            " its turn comes."
        )
    if known.status != Status.SUCCESS:
        return f"A later report said more; the {noun} could not be filled in with it."
    return (
        f"What was written reads differently, as settings or this program have changed since. A"
        f" {noun} that is written stays as it is until a later report fills it in."
    )
