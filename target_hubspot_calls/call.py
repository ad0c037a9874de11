"""The call as the target knows it, and how two reports of one call become one.

Pure: takes a Singer record from any source, does no I/O and reads no clock. Checks what arrives
here, because the SDK's own validator prints the value that failed: a transcript, a number.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from target_hubspot_calls.errors import InvalidCallRecord

LONGEST_CALL_ID = 200
LONGEST_REFUSAL = 500
# Epoch values above this are milliseconds: as seconds it is the year 5138.
FIRST_EPOCH_IN_MS = 100_000_000_000


@dataclass(frozen=True, order=True)
class Workspace:
    """Whose call it is; nothing crosses from one workspace to another."""

    user_id: str
    workspace_id: str


@dataclass(frozen=True)
class Call:
    """One call, with the field names of the Singer stream `calls` (contract, chapter 5).

    Times are aware and UTC, `duration_ms` is milliseconds, `cost_usd` US dollars. Only `id`,
    `user_id` and `workspace_id` are always there.
    """

    id: str
    user_id: str
    workspace_id: str
    webhook_id: str | None = None
    source: str | None = None
    type: str | None = None
    direction: str | None = None
    customer_number: str | None = None
    customer_name: str | None = None
    customer_email: str | None = None
    hubspot_contact_id: str | None = None
    phone_number: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    duration_ms: int | None = None
    ended_reason: str | None = None
    outcome: str | None = None
    summary: str | None = None
    transcript: str | None = None
    recording_url: str | None = None
    recording_expires_at: datetime | None = None
    stereo_recording_url: str | None = None
    success_evaluation: str | None = None
    structured_data: Mapping[str, Any] | None = None
    cost_usd: float | None = None
    assistant_id: str | None = None
    assistant_name: str | None = None
    received_at: datetime | None = None
    updated_at: datetime | None = None

    @property
    def workspace(self) -> Workspace:
        """The workspace this call belongs to."""
        return Workspace(self.user_id, self.workspace_id)

    @property
    def happened_at(self) -> datetime | None:
        """When the call was: its end, else its start, else when its report arrived."""
        return self.ended_at or self.started_at or self.received_at or self.updated_at


TEXT_FIELDS = frozenset(
    {
        "webhook_id", "source", "type", "direction", "customer_number", "customer_name",
        "customer_email", "hubspot_contact_id", "phone_number", "ended_reason", "outcome",
        "summary", "transcript", "recording_url", "stereo_recording_url", "success_evaluation",
        "assistant_id", "assistant_name",
    }
)  # fmt: skip
TIME_FIELDS = frozenset(
    {"started_at", "ended_at", "recording_expires_at", "received_at", "updated_at"}
)
# They differ between two deliveries of the same report and say nothing new about the call.
VOLATILE_FIELDS = frozenset(
    {"webhook_id", "source", "received_at", "updated_at", "recording_expires_at"}
)
LINK_FIELDS = frozenset({"recording_url", "stereo_recording_url"})


def parse_call(record: Mapping[str, Any], default: Workspace) -> Call:
    """The call of a Singer record; `default` is for records that name no user or workspace.

    A field of a wrong type counts as missing. Raises InvalidCallRecord when there is no usable id,
    or the source says itself that it is no call.
    """
    _refuse_unusable(record)
    values: dict[str, Any] = {name: _text(record.get(name)) for name in TEXT_FIELDS}
    values |= {name: _time(record.get(name)) for name in TIME_FIELDS}
    values["duration_ms"] = _whole(record.get("duration_ms"))
    values["cost_usd"] = _number(record.get("cost_usd"))
    values["structured_data"] = _object(record.get("structured_data"))
    workspace = parse_workspace(record, default)
    return Call(
        id=parse_call_id(record),
        user_id=workspace.user_id,
        workspace_id=workspace.workspace_id,
        **values,
    )


def parse_workspace(record: Mapping[str, Any], default: Workspace) -> Workspace:
    """Whose record it is; what it does not name is the default's."""
    return Workspace(
        _text(record.get("user_id")) or default.user_id,
        _text(record.get("workspace_id")) or default.workspace_id,
    )


def _refuse_unusable(record: Mapping[str, Any]) -> None:
    why = _text(record.get("unusable"))
    if why is None:
        return
    known = {"webhook": record.get("webhook_id"), "received": record.get("received_at")}
    where = ", ".join(f"{name} {text}" for name, told in known.items() if (text := _text(told)))
    sentence = f"A report cannot become a call: {why}" + (f" ({where})" if where else "")
    raise InvalidCallRecord(" ".join(sentence.split())[:LONGEST_REFUSAL])


def parse_call_id(record: Mapping[str, Any]) -> str:
    """The record's id. Raises InvalidCallRecord when it is missing, too long or not printable."""
    call_id = _text(record.get("id"))
    if call_id is None:
        raise InvalidCallRecord("The record has no id.")
    if len(call_id) > LONGEST_CALL_ID:
        raise InvalidCallRecord(f"The record's id is longer than {LONGEST_CALL_ID} characters.")
    if not call_id.isprintable():
        raise InvalidCallRecord("The record's id has characters that cannot be printed.")
    return call_id


def merge_calls(earlier: Call, later: Call) -> Call:
    """One call from two reports of it: the fuller value of each field, never a blank over a value.

    Of two summaries or transcripts the longer is the fuller one; extracted data is united; of two
    links the one that lives longer is kept; of other values the one reported later.
    """
    first, second = sorted((earlier, later), key=_reported_at)
    merged: dict[str, Any] = {}
    for field in fields(Call):
        old, new = getattr(first, field.name), getattr(second, field.name)
        merged[field.name] = old if new is None else new
    for name in ("summary", "transcript"):
        merged[name] = max(getattr(first, name) or "", getattr(second, name) or "", key=len) or None
    if first.structured_data and second.structured_data:
        merged["structured_data"] = {**first.structured_data, **second.structured_data}
    merged |= _longest_lived_links(first, second)
    return Call(**merged)


def call_digest(call: Call) -> str:
    """Fingerprint of what the reports say; equal for two deliveries of the same report."""
    told = {
        name: _bare_link(value) if name in LINK_FIELDS else value
        for name, value in call_to_json(call).items()
        if name not in VOLATILE_FIELDS
    }
    encoded = json.dumps(told, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(encoded.encode("utf-8", "surrogatepass")).hexdigest()


def call_to_json(call: Call) -> dict[str, Any]:
    """The call as JSON-ready values, without its blanks; `call_from_json` reads it back."""
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in vars(call).items()
        if value is not None
    }


def call_from_json(values: Mapping[str, Any]) -> Call:
    """The call whose `call_to_json` this is, of any version; nothing is checked again."""
    known: dict[str, Any] = {
        name: datetime.fromisoformat(value) if name in TIME_FIELDS else value
        for name, value in values.items()
        if name in Call.__dataclass_fields__
    }
    return Call(**known)


def _reported_at(call: Call) -> tuple[datetime, datetime]:
    beginning = datetime.min.replace(tzinfo=UTC)
    return (call.updated_at or beginning, call.received_at or beginning)


def _longest_lived_links(first: Call, second: Call) -> dict[str, Any]:
    with_link = [call for call in (first, second) if call.recording_url]
    if len(with_link) < 2:
        kept = with_link[0] if with_link else second
    else:
        kept = max(
            reversed(with_link),
            key=lambda call: call.recording_expires_at or datetime.min.replace(tzinfo=UTC),
        )
    return {"recording_url": kept.recording_url, "recording_expires_at": kept.recording_expires_at}


def _bare_link(link: str) -> str:
    """The link without its signature, which changes with every delivery."""
    try:
        parts = urlsplit(link)
    except ValueError:
        return link
    return urlunsplit(parts._replace(query="", fragment=""))


def _text(value: object) -> str | None:
    if isinstance(value, bool) or value is None:
        return None if value is None else str(value).lower()
    if isinstance(value, int | float | Decimal):
        return str(value)
    if not isinstance(value, str):
        return None
    text = value.replace("\x00", "")
    if not text.isascii():
        # A lone surrogate can enter by a JSON escape and could never be written to the store again.
        text = text.encode("utf-8", "replace").decode("utf-8")
    return text.strip() or None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _whole(value: object) -> int | None:
    number = _number(value)
    return None if number is None or number < 0 or number > 2**53 else round(number)


def _time(value: object) -> datetime | None:
    if isinstance(value, datetime):
        moment = value
    elif isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return _epoch(float(value))
    elif isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value.strip())
        except ValueError:
            number = _number(value)
            return None if number is None else _epoch(number)
    else:
        return None
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (OverflowError, ValueError):
        return None


def _epoch(value: float) -> datetime | None:
    try:
        return datetime.fromtimestamp(value / 1000 if value >= FIRST_EPOCH_IN_MS else value, UTC)
    except (OverflowError, ValueError, OSError):
        return None


def _object(value: object) -> Mapping[str, Any] | None:
    if not isinstance(value, Mapping) or not value:
        return None
    try:
        return {_text(str(key)) or "": _plain(item) for key, item in value.items()}
    except RecursionError:
        return None


def _plain(value: object) -> Any:
    """JSON-ready copy of a value a Singer reader produced: Decimals and datetimes made plain."""
    if isinstance(value, Mapping):
        return {_text(str(key)) or "": _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, str):
        return _text(value) or ""
    number = _number(value)
    if number is None:
        return str(value)
    return int(number) if number.is_integer() and abs(number) < 2**53 else number
