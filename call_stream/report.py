"""What a VAPI body says about one call, looked up in the order in which its eras put things.

Knows the shapes of bodies only; it must not know the call record, the stream, or any clock.
Source: the VAPI API reference for `ServerMessageEndOfCallReport` and `Call`, read 2026-11-22.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from call_stream.values import (
    NAME_LIMIT,
    NUMBER_LIMIT,
    SUMMARY_LIMIT,
    TRANSCRIPT_LIMIT,
    JsonObject,
    to_contact_id,
    to_moment,
    to_number,
    to_object,
    to_text,
    to_token,
    to_web_address,
)

Places = Sequence[JsonObject]
"""Objects that describe the same call, the most trustworthy first: the message, then its call."""

T = TypeVar("T")
Read = Callable[[Any], T | None]
"""What a value says; None where it is of no use."""

_LONGEST_CALL_MS = 366 * 24 * 60 * 60 * 1000
_CONTACT_HINT_NAMES = ("hubspot_contact_id", "hubspotContactId", "contact_id")
_SPEAKERS = {"assistant": "AI", "bot": "AI", "user": "User", "customer": "User"}
_WORD = re.compile(r"[a-z0-9]+")


def first(values: Iterable[Any], read: Read[T]) -> T | None:
    """The first value that can be read, or None."""
    for value in values:
        known = read(value)
        if known is not None:
            return known
    return None


def told(places: Places, name: str, read: Read[T]) -> T | None:
    """The first value of the name that can be read, in the order of the places, or None."""
    for place in places:
        value = place.get(name)
        if value is not None and (known := read(value)) is not None:
            return known
    return None


def told_in(places: Places, part: str, name: str, read: Read[T]) -> T | None:
    """The same of a name inside a part of each place."""
    for place in places:
        inner = place.get(part)
        if isinstance(inner, dict):
            value = inner.get(name)
            if value is not None and (known := read(value)) is not None:
                return known
    return None


def told_around(places: Places, part: str, name: str, read: Read[T]) -> T | None:
    """The same of a name that is in each place first inside the part, then beside it."""
    for place in places:
        for holder in (place.get(part), place):
            if isinstance(holder, dict):
                value = holder.get(name)
                if value is not None and (known := read(value)) is not None:
                    return known
    return None


def _all_around(places: Places, part: str, name: str) -> list[Any]:
    holders = [holder for place in places for holder in (to_object(place.get(part)), place)]
    return [value for holder in holders if (value := holder.get(name)) is not None]


def duration_ms(places: Places) -> int | None:
    """Talk time in milliseconds as told, else the time between start and end."""
    duration = told(places, "durationMs", to_number)
    if duration is None:
        seconds = told(places, "durationSeconds", to_number)
        duration = None if seconds is None else seconds * 1000
    if duration is None:
        started = told(places, "startedAt", to_moment)
        ended = told(places, "endedAt", to_moment)
        if started is None or ended is None or ended < started:
            return None
        duration = (ended - started) / timedelta(milliseconds=1)
    return round(duration) if duration <= _LONGEST_CALL_MS else None


def transcript(places: Places) -> str | None:
    """The transcript, also where it came as a list of turns."""
    return told_around(places, "artifact", "transcript", _to_transcript)


def _to_transcript(value: object) -> str | None:
    if isinstance(value, list):
        value = "".join(_turn(to_object(turn)) for turn in value)
    return to_text(value, TRANSCRIPT_LIMIT)


def _turn(turn: JsonObject) -> str:
    speaker = _SPEAKERS.get(str(turn.get("role")).lower())
    said = first((turn.get("message"), turn.get("content")), _to_line)
    return f"{speaker}: {said}\n" if speaker and said else ""


def _to_line(value: object) -> str | None:
    return to_text(value, TRANSCRIPT_LIMIT)


def mono_recording(places: Places) -> tuple[str | None, datetime | None]:
    """The address of the mono recording, and when it expires if it is a presigned one.

    A raw address of VAPI's own storage cannot be fetched, so the presigned one goes first.
    """
    presigned = told_around(places, "artifact", "presignedMonoUrl", to_web_address)
    if presigned is not None:
        expires = told_around(places, "artifact", "presignedUrlsExpiresAt", to_moment)
        return presigned, expires
    return _raw_recording(places, "recordingUrl", _mono_address), None


def stereo_recording(places: Places) -> str | None:
    """The address of the stereo recording, the presigned one first."""
    presigned = told_around(places, "artifact", "presignedStereoUrl", to_web_address)
    return presigned or _raw_recording(places, "stereoRecordingUrl", _stereo_address)


def _raw_recording(places: Places, flat_name: str, read: Read[str]) -> str | None:
    for place in places:
        for holder in (to_object(place.get("artifact")), place):
            address = read(holder.get("recording")) or to_web_address(holder.get(flat_name))
            if address is not None:
                return address
    return None


def _mono_address(recording: object) -> str | None:
    if isinstance(recording, str):
        return to_web_address(recording)
    parts = to_object(recording)
    addresses = (to_object(parts.get("mono")).get("combinedUrl"), parts.get("monoUrl"))
    return first(addresses, to_web_address)


def _stereo_address(recording: object) -> str | None:
    return to_web_address(to_object(recording).get("stereoUrl"))


def success_evaluation(places: Places) -> str | None:
    """VAPI's verdict as text; some versions send a bare true, false or score."""
    return told_around(places, "analysis", "successEvaluation", _to_verdict)


def _to_verdict(value: object) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    number = to_number(value)
    return f"{number:g}" if number is not None else to_text(value, SUMMARY_LIMIT)


def structured_outputs(places: Places) -> dict[str, Any]:
    """What the assistant extracted, by output name; outputs without a result are left out."""
    outputs: dict[str, Any] = {}
    for entries in _all_around(places, "artifact", "structuredOutputs"):
        for key, output in _output_entries(entries):
            name = to_text(to_object(output).get("name"), NAME_LIMIT) or key
            result = to_object(output).get("result")
            if name and result is not None:
                outputs.setdefault(name, result)
    return outputs


def _output_entries(entries: object) -> list[tuple[str | None, object]]:
    if isinstance(entries, list):
        return [(None, output) for output in entries]
    return [(to_text(key, NAME_LIMIT), output) for key, output in to_object(entries).items()]


def structured_data(places: Places) -> dict[str, Any] | None:
    """The structured outputs, and what the older `analysis.structuredData` adds to them."""
    older = told_around(places, "analysis", "structuredData", _to_filled_object)
    outputs = structured_outputs(places)
    return {**(older or {}), **outputs} or None


def _to_filled_object(value: object) -> JsonObject | None:
    return to_object(value) or None


def summary(places: Places) -> str | None:
    """The summary, else the structured output that is named like one."""
    written = told_around(places, "analysis", "summary", _to_summary)
    if written is not None:
        return written
    for name, result in structured_outputs(places).items():
        if "summary" in _WORD.findall(name.lower()):
            said = _to_summary(result) or _to_summary(to_object(result).get("summary"))
            if said is not None:
                return said
    return None


def _to_summary(value: object) -> str | None:
    return to_text(value, SUMMARY_LIMIT)


def contact_hint(places: Places) -> str | None:
    """The HubSpot contact id that the caller of VAPI's API put in the call's variables.

    `customer.externalId` may be the id of any system, so it counts only where there is no number
    to find the contact by.
    """
    variables = [
        values
        for part in ("assistantOverrides", "artifact")
        for place in places
        if isinstance(values := to_object(place.get(part)).get("variableValues"), dict)
    ]
    for name in _CONTACT_HINT_NAMES if variables else ():
        hint = told(variables, name, to_contact_id)
        if hint is not None:
            return hint
    if customer_number(places) is not None:
        return None
    return told_in(places, "customer", "externalId", to_contact_id)


def customer_number(places: Places) -> str | None:
    """The number of the other party as written."""
    return told_in(places, "customer", "number", _to_written_number)


def phone_number(places: Places) -> str | None:
    """The number of our line as written."""
    return told_in(places, "phoneNumber", "number", _to_written_number)


def _to_written_number(value: object) -> str | None:
    return to_token(value, NUMBER_LIMIT)


def assistant(places: Places) -> tuple[str | None, str | None]:
    """Id and name of the assistant; of a squad, the last one that spoke."""
    assistant_id = told_in(places, "assistant", "id", _to_id)
    name = told_in(places, "assistant", "name", _to_name)
    if assistant_id is None or name is None:
        active = [
            to_object(activation)
            for activations in _all_around(places, "artifact", "assistantActivations")
            if isinstance(activations, list)
            for activation in reversed(activations)
        ]
        name = name or told(active, "assistantName", _to_name)
        assistant_id = assistant_id or told(active, "assistantId", _to_id)
        assistant_id = assistant_id or told(places, "assistantId", _to_id)
    return assistant_id, name


def _to_id(value: object) -> str | None:
    return to_token(value, NAME_LIMIT)


def _to_name(value: object) -> str | None:
    return to_text(value, NAME_LIMIT)


def cost_usd(places: Places) -> float | None:
    """The cost in dollars; a report's inner call always says 0, so a 0 there says nothing."""
    cost, *stale = (to_number(place.get("cost")) for place in places)
    return cost if cost is not None else next((other for other in stale if other), None)
