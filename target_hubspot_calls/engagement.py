"""A call as the properties of a HubSpot note or call engagement.

Pure: the only room that knows HubSpot's property names. Everything from outside is escaped here,
and a body never passes HubSpot's limit.
"""

from __future__ import annotations

import html
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from target_hubspot_calls.call import Call
from target_hubspot_calls.errors import CallOutcomeError, InvalidCallRecord
from target_hubspot_calls.phone import display_number, parse_number

# HubSpot docs, notes guide: hs_note_body holds up to 65,536 characters, as every string property.
# Counted in UTF-16 units, the stricter reading of "characters".
LONGEST_BODY = 65_536
# All in UTF-16 units of the finished HTML: together with the call id and our own words they stay
# below LONGEST_BODY, so that only the transcript has to take what is left.
LONGEST_FACT = 500
LONGEST_SUMMARY = 20_000
LONGEST_LABEL = 100
LONGEST_CELL = 500
LONGEST_LINK = 8_000
MOST_ROWS = 40
DEEPEST_VALUE = 4
CALL_ID_LABEL = "Call ID:"
CUT_MARK = "… [cut]"

DIRECTION_WORDS = {"inbound": "Inbound call", "outbound": "Outbound call", "web": "Web call"}
OUTCOME_WORDS = {
    "completed": "completed",
    "no_answer": "no answer",
    "busy": "busy",
    "voicemail": "voicemail",
    "failed": "failed",
    "canceled": "canceled",
}
CALL_STATUS = {
    "completed": "COMPLETED",
    "no_answer": "NO_ANSWER",
    "busy": "BUSY",
    "voicemail": "COMPLETED",
    "failed": "FAILED",
    "canceled": "CANCELED",
}
# Invisible direction controls can turn the rest of a note around; HubSpot needs none of them.
DIRECTION_CONTROLS = dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A)))
CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


class EngagementType(Enum):
    """What a call becomes in HubSpot."""

    NOTE = "note"
    CALL = "call"


@dataclass(frozen=True)
class RecordingNote:
    """What the body says of the recording: a file attached here, or a link that stays good."""

    file_id: str | None = None
    link: str | None = None


def engagement_properties(
    call: Call,
    kind: EngagementType,
    recording: RecordingNote,
    *,
    include_transcript: bool,
    default_region: str,
) -> dict[str, str]:
    """HubSpot properties of the call, all values text, as HubSpot takes them.

    Raises InvalidCallRecord for a call without any time: HubSpot requires hs_timestamp.
    """
    if call.happened_at is None:
        raise InvalidCallRecord("The record has no time of any kind.")
    body = build_body(
        call, recording, include_transcript=include_transcript, default_region=default_region
    )
    properties = {"hs_timestamp": _epoch_ms(call.happened_at)}
    if recording.file_id:
        properties["hs_attachment_ids"] = recording.file_id
    if kind is EngagementType.NOTE:
        return properties | {"hs_note_body": body}
    return properties | {"hs_call_body": body} | _call_properties(call, recording)


def build_body(
    call: Call, recording: RecordingNote, *, include_transcript: bool, default_region: str
) -> str:
    """The HTML people read: title, facts, summary, extracted data, recording, last the call id.

    Only p, br, strong, table markup and one link of ours; at most 65,536 UTF-16 units.
    """
    end = f"<p>{CALL_ID_LABEL} {_escaped(call.id)}</p>"
    parts = [
        f"<p><strong>{_escaped(title(call))}</strong><br>{_facts(call, default_region)}</p>",
        _summary(call),
        _table(call.structured_data),
        _recording(recording),
    ]
    if include_transcript:
        taken = _utf16_length("".join(parts)) + _utf16_length(end)
        parts.append(_section("Transcript", call.transcript, LONGEST_BODY - taken))
    return "".join(parts) + end


def title(call: Call) -> str:
    """One line that says what kind of call it was: "Inbound call, completed"."""
    kind = DIRECTION_WORDS.get(call.direction or "", "Call")
    return f"{kind}, {OUTCOME_WORDS[call.outcome]}" if call.outcome in OUTCOME_WORDS else kind


def call_id_of_body(body: str | None) -> str | None:
    """The call id a body carries: its last "Call ID:" line, whatever HubSpot did to the markup."""
    if not body or CALL_ID_LABEL not in body:
        return None
    tail = body.rpartition(CALL_ID_LABEL)[2]
    line = re.split(r"<(?:/p|/div|br)\b", tail, maxsplit=1, flags=re.IGNORECASE)[0]
    return html.unescape(re.sub(r"<[^>]*>", "", line)).strip() or None


def _call_properties(call: Call, recording: RecordingNote) -> dict[str, str]:
    ours, theirs = call.phone_number, call.customer_number
    outbound = call.direction == "outbound"
    properties = {
        "hs_call_title": title(call),
        "hs_call_direction": "OUTBOUND" if outbound else "INBOUND",
        "hs_call_status": CALL_STATUS.get(call.outcome or "", "COMPLETED"),
        "hs_call_duration": None if call.duration_ms is None else str(call.duration_ms),
        "hs_call_from_number": ours if outbound else theirs,
        "hs_call_to_number": theirs if outbound else ours,
        # Written, searchable, not unique: lets people find the call by VAPI's id.
        "hs_call_external_id": call.id,
        "hs_call_recording_url": recording.link
        if recording.link and recording.link.startswith("https://")
        else None,
    }
    return {name: value for name, value in properties.items() if value}


def _facts(call: Call, default_region: str) -> str:
    facts = []
    when = call.started_at or call.happened_at
    if when is not None:
        facts.append(when.strftime("%-d %b %Y, %H:%M UTC"))
    if call.duration_ms:
        facts.append(format_duration(call.duration_ms))
    party = " ".join(filter(None, (call.customer_name, _shown_number(call, default_region))))
    if party:
        facts.append(f"with {party}")
    if call.assistant_name:
        facts.append(f"by {call.assistant_name}")
    if call.ended_reason:
        # VAPI's dotted reasons are codes for its own faults, no words.
        words = call.ended_reason
        facts.append(f"ended: {words if '.' in words else words.replace('-', ' ')}")
    if call.success_evaluation:
        said = {"true": "yes", "false": "no"}.get(call.success_evaluation.lower())
        facts.append(f"goal reached: {said or call.success_evaluation}")
    return " · ".join(_fitted(_one_line(fact), LONGEST_FACT) for fact in facts)


def format_duration(duration_ms: int) -> str:
    """The duration as people say it: "1 h 2 min", "1 min 16 s", "16 s"."""
    minutes, seconds = divmod(round(duration_ms / 1000), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def _shown_number(call: Call, default_region: str) -> str | None:
    try:
        return display_number(parse_number(call.customer_number, default_region))
    except CallOutcomeError:
        return call.customer_number


def _summary(call: Call) -> str:
    if not call.summary and call.transcript:
        return "<p>No summary was given.</p>"
    return _section("Summary", call.summary, LONGEST_SUMMARY)


def _section(heading: str, text: str | None, budget: int) -> str:
    if not text or not text.strip():
        return ""
    opening, closing = f"<p><strong>{heading}</strong><br>", "</p>"
    room = budget - len(opening) - len(closing)
    return f"{opening}{_fitted(text.strip(), room)}{closing}" if room > len(CUT_MARK) else ""


def _table(data: Mapping[str, Any] | None) -> str:
    if not data:
        return ""
    rows = []
    for name, value in list(data.items())[:MOST_ROWS]:
        label = _fitted(_shown_name(name), LONGEST_LABEL)
        cell = _fitted(_shown_value(value), LONGEST_CELL)
        rows.append(f"<tr><td><strong>{label}:</strong> </td><td>{cell}</td></tr>")
    if len(data) > MOST_ROWS:
        rows.append(f"<tr><td>{len(data) - MOST_ROWS} more</td><td>{CUT_MARK}</td></tr>")
    heading = "<p><strong>Extracted by the assistant</strong></p>"
    return f"{heading}<table><tbody>{''.join(rows)}</tbody></table>"


def _shown_value(value: object, depth: int = 0) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if depth > DEEPEST_VALUE:
        return CUT_MARK
    if isinstance(value, list):
        return ", ".join(_shown_value(item, depth + 1) for item in value)
    if isinstance(value, Mapping):
        return ", ".join(
            f"{_shown_name(name)}: {_shown_value(item, depth + 1)}" for name, item in value.items()
        )
    return str(value)


def _shown_name(name: str) -> str:
    """A field's name as words: "new_patient" is "New patient"."""
    words = _one_line(name.replace("_", " "))
    return words[:1].upper() + words[1:]


def _recording(recording: RecordingNote) -> str:
    if recording.file_id:
        return "<p>Recording: attached to this record</p>"
    link = _escaped(recording.link or "")
    # Half a link leads nowhere.
    if not link or _utf16_length(link) > LONGEST_LINK:
        return ""
    return f'<p>Recording: <a href="{link}">listen</a></p>'


def _fitted(text: str, room: int) -> str:
    """`text` escaped with line breaks as HTML, cut so that it takes at most `room` UTF-16 units."""
    cleaned = _clean(text)
    # No character takes less than one unit, so what lies further behind cannot matter.
    start = cleaned[: room + 1]
    rendered = _rendered(start)
    if _utf16_length(rendered) <= room:
        return rendered
    end = bisect_right(
        range(len(start)),
        room - _utf16_length(CUT_MARK),
        key=lambda count: _utf16_length(_rendered(start[:count])),
    )
    return _rendered(_whole_characters(cleaned, end - 1)) + CUT_MARK


def _whole_characters(text: str, end: int) -> str:
    """`text[:end]`, shortened further where that would split an accent or an emoji sequence."""
    while 0 < end < len(text) and (_joins(text[end]) or text[end - 1] == "\u200d"):
        end -= 1
    return text[:end]


def _joins(char: str) -> bool:
    return (
        char == "\u200d"
        or "\ufe00" <= char <= "\ufe0f"
        or "\U0001f3fb" <= char <= "\U0001f3ff"
        or unicodedata.combining(char) != 0
    )


def _rendered(cleaned: str) -> str:
    return html.escape(cleaned, quote=True).replace("\n", "<br>")


def _escaped(text: str) -> str:
    return html.escape(_clean(text), quote=True)


def _clean(text: str) -> str:
    unified = text.replace("\r\n", "\n").replace("\r", "\n")
    if not unified.isascii():
        unified = unified.translate(DIRECTION_CONTROLS)
    return unified if unified.isprintable() else CONTROL_CHARACTERS.sub("", unified)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _utf16_length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def _epoch_ms(moment: datetime) -> str:
    return str(round(moment.timestamp() * 1000))
