"""What a VAPI body says about one call, looked up in the order in which its eras put things.

Knows the shapes of bodies only; it must not know the call record, the stream, or any clock.
Source: the VAPI API reference for `ServerMessageEndOfCallReport` and `Call`, read 2026-11-22.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from call_stream.values import (
    NAME_LIMIT,
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

_LONGEST_CALL_MS = 366 * 24 * 60 * 60 * 1000
_CONTACT_HINT_NAMES = ("hubspot_contact_id", "hubspotContactId", "contact_id")
_SPEAKERS = {"assistant": "AI", "bot": "AI", "user": "User", "customer": "User"}
_WORD = re.compile(r"[a-z0-9]+")


def found(places: Places, *path: str) -> Iterator[Any]:
    """Every value at the path, in the order of the places."""
    for place in places:
        value: Any = place
        for name in path:
            value = to_object(value).get(name)
        if value is not None:
            yield value


def inside(places: Places, part: str, name: str) -> Iterator[Any]:
    """Every value of the name, in each place first inside the part, then beside it."""
    for place in places:
        yield from found((to_object(place.get(part)), place), name)


def first(values: Iterable[Any], read: Callable[[Any], T | None]) -> T | None:
    """The first value that can be read, or None."""
    return next((known for known in map(read, values) if known is not None), None)


def duration_ms(places: Places) -> int | None:
    """Talk time in milliseconds as told, else the time between start and end."""
    told = first(found(places, "durationMs"), to_number)
    if told is None:
        seconds = first(found(places, "durationSeconds"), to_number)
        told = None if seconds is None else seconds * 1000
    if told is None:
        started = first(found(places, "startedAt"), to_moment)
        ended = first(found(places, "endedAt"), to_moment)
        if started is None or ended is None or ended < started:
            return None
        told = (ended - started) / timedelta(milliseconds=1)
    return round(told) if told <= _LONGEST_CALL_MS else None


def transcript(places: Places) -> str | None:
    """The transcript, also where it came as a list of turns."""
    return first(inside(places, "artifact", "transcript"), _to_transcript)


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
    presigned = first(inside(places, "artifact", "presignedMonoUrl"), to_web_address)
    if presigned is not None:
        expires = first(inside(places, "artifact", "presignedUrlsExpiresAt"), to_moment)
        return presigned, expires
    return _raw_recording(places, "recordingUrl", _mono_address), None


def stereo_recording(places: Places) -> str | None:
    """The address of the stereo recording, the presigned one first."""
    presigned = first(inside(places, "artifact", "presignedStereoUrl"), to_web_address)
    return presigned or _raw_recording(places, "stereoRecordingUrl", _stereo_address)


def _raw_recording(
    places: Places, flat_name: str, read: Callable[[object], str | None]
) -> str | None:
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
    return first(inside(places, "analysis", "successEvaluation"), _to_verdict)


def _to_verdict(value: object) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    number = to_number(value)
    return f"{number:g}" if number is not None else to_text(value, SUMMARY_LIMIT)


def structured_outputs(places: Places) -> dict[str, Any]:
    """What the assistant extracted, by output name; outputs without a result are left out."""
    outputs: dict[str, Any] = {}
    for told in inside(places, "artifact", "structuredOutputs"):
        for key, output in _output_entries(told):
            name = to_text(to_object(output).get("name"), NAME_LIMIT) or key
            result = to_object(output).get("result")
            if name and result is not None:
                outputs.setdefault(name, result)
    return outputs


def _output_entries(told: object) -> list[tuple[str | None, object]]:
    if isinstance(told, list):
        return [(None, output) for output in told]
    return [(to_text(key, NAME_LIMIT), output) for key, output in to_object(told).items()]


def structured_data(places: Places) -> dict[str, Any] | None:
    """The structured outputs, and what the older `analysis.structuredData` adds to them."""
    told = first(
        inside(places, "analysis", "structuredData"), lambda value: to_object(value) or None
    )
    merged = {**(told or {}), **structured_outputs(places)}
    return merged or None


def summary(places: Places) -> str | None:
    """The summary, else the structured output that is named like one."""
    told = first(inside(places, "analysis", "summary"), _to_summary)
    if told is not None:
        return told
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
    for name in _CONTACT_HINT_NAMES:
        for holder in ("assistantOverrides", "artifact"):
            hint = first(found(places, holder, "variableValues", name), to_contact_id)
            if hint is not None:
                return hint
    if any(found(places, "customer", "number")):
        return None
    return first(found(places, "customer", "externalId"), to_contact_id)


def assistant(places: Places) -> tuple[str | None, str | None]:
    """Id and name of the assistant; of a squad, the last one that spoke."""
    told = [to_object(value) for value in found(places, "assistant")]
    active = [
        {"id": activation.get("assistantId"), "name": activation.get("assistantName")}
        for activations in inside(places, "artifact", "assistantActivations")
        if isinstance(activations, list)
        for activation in map(to_object, reversed(activations))
    ]
    by_id = [{"id": value} for value in found(places, "assistantId")]
    candidates = [*told, *active, *by_id]
    return (
        first(found(candidates, "id"), lambda value: to_token(value, NAME_LIMIT)),
        first(found(candidates, "name"), lambda value: to_text(value, NAME_LIMIT)),
    )


def cost_usd(places: Places) -> float | None:
    """The cost in dollars; a report's inner call always says 0, so a 0 there says nothing."""
    told, *stale = (to_number(place.get("cost")) for place in places)
    return told if told is not None else next((cost for cost in stale if cost), None)
