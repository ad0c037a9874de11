"""The HubSpot card: what a connection's state means in words, and what somebody can do about it.

Pure. Decides what is said and which buttons there are; the template prints it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from receiver.connection_standing import Health, Standing
from receiver.connection_status import WorkspaceStatus
from receiver.pages.words import Words, words_of_reason
from target_hubspot_calls.hubspot.oauth import OPTIONAL_SCOPES, REQUIRED_SCOPES
from target_hubspot_calls.store.connections import Connection, ConnectionKind

LATE_AFTER_S = 120
"""Reports that nobody has looked at for so long say that live sync does not run."""


@dataclass(frozen=True)
class Look:
    """A state's name with the colour and the shape that stand for it."""

    label: str
    colour: str
    mark: str


_LOOKS: Mapping[Health, Look] = {
    Health.GOOD: Look("Connected", "success", "tick"),
    Health.BY_SETTINGS: Look("Connected by the settings", "success", "tick"),
    Health.NOT_CONNECTED: Look("Not connected", "waiting", "dash"),
    Health.RECONNECT_REQUIRED: Look("Reconnect needed", "error", "alert"),
    Health.MISSING_SCOPE: Look("Permission missing", "error", "alert"),
    Health.BLOCKED: Look("On hold", "skipped", "clock"),
}
_MEANT: Mapping[Health, str] = {
    Health.GOOD: "Each finished call is written to its contact's record.",
    Health.BY_SETTINGS: (
        "The settings of this installation name a service key. The calls of every workspace go to"
        " the one HubSpot account that it belongs to, so nobody needs to connect anything here."
    ),
    Health.NOT_CONNECTED: (
        "Connect your HubSpot account, and each finished call is written to its contact's record."
        " Calls that arrive before that wait; nothing is lost."
    ),
    Health.RECONNECT_REQUIRED: (
        "HubSpot no longer accepts this connection. Calls wait until somebody connects again, and"
        " then go there by themselves."
    ),
    Health.MISSING_SCOPE: (
        "HubSpot does not let us do all that is needed. Connect again and grant all that is asked"
        " for; calls that wait then go there by themselves."
    ),
    Health.BLOCKED: "",
}
_NOT_SET_UP = (
    "Nobody can connect HubSpot here yet: whoever runs this installation must set the client id and"
    " secret of a HubSpot app (HUBSPOT_CLIENT_ID and HUBSPOT_CLIENT_SECRET). Calls that arrive"
    " meanwhile wait; nothing is lost."
)
_KEY_REFUSED = (
    "HubSpot no longer accepts the service key of this workspace. Calls wait until whoever runs"
    " this installation stores a new one with `hubspot-calls connections add`."
)

_PERMISSIONS: Mapping[str, Words] = {
    "oauth": Words("Sign in", "Know which HubSpot account this is"),
    "crm.objects.contacts.read": Words("Read contacts", "Find the contact of a call by its number"),
    "crm.objects.contacts.write": Words("Write to contacts", "Write calls to contacts' records"),
    "files": Words("Files", "Put recordings into HubSpot as private files"),
    "crm.schemas.contacts.write": Words(
        "Contact fields", "Mark notes with their call, so that none is ever written twice"
    ),
}


class Grant(StrEnum):
    """Whether a permission was granted."""

    GRANTED = "granted"
    MISSING = "missing"
    LEFT_OUT = "left_out"


@dataclass(frozen=True)
class Permission:
    """One permission in plain words; `code` is HubSpot's name for it."""

    code: str
    words: Words
    grant: Grant


@dataclass(frozen=True)
class ConnectionCard:
    """What the card says; `connect` is the word on the button, empty where there is none."""

    status: WorkspaceStatus
    look: Look
    meaning: str
    permissions: Sequence[Permission]
    connect: str
    is_urgent: bool
    is_late: bool

    @property
    def standing(self) -> Standing:
        """How the workspace stands."""
        return self.status.standing

    @property
    def connection(self) -> Connection | None:
        """What is stored of the connection."""
        return self.status.standing.connection

    @property
    def has_service_key(self) -> bool:
        """Whether the stored connection is a key that ends only by hand."""
        kind = self.connection.kind if self.connection else None
        return kind is ConnectionKind.SERVICE_KEY

    def token_lives(self, now: datetime) -> bool:
        """Whether the token at hand is good at that time."""
        expires_at = self.connection.expires_at if self.connection else None
        return expires_at is not None and expires_at > now


def connection_card(status: WorkspaceStatus) -> ConnectionCard:
    """The card of a workspace that stands so."""
    health = status.standing.health
    connection = status.standing.connection
    behind_s = status.stream_behind_s
    is_urgent = not status.standing.is_connected or status.standing.needs_reconnect
    return ConnectionCard(
        status,
        look=_LOOKS[health],
        meaning=_meaning(status),
        permissions=_permissions(connection.scopes) if connection and connection.scopes else (),
        connect=_button(health) if status.can_connect else "",
        is_urgent=is_urgent,
        is_late=behind_s is not None and behind_s >= LATE_AFTER_S,
    )


def mark_of(*parts: object) -> str:
    """A word that is another one as soon as any of the parts is."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _meaning(status: WorkspaceStatus) -> str:
    standing = status.standing
    connection = standing.connection
    if standing.health is Health.NOT_CONNECTED and not status.can_connect:
        return _NOT_SET_UP
    if connection is None:
        return _MEANT[standing.health]
    if standing.health is Health.BLOCKED:
        return words_of_reason(connection.blocked_reason).meaning
    is_key = connection.kind is ConnectionKind.SERVICE_KEY
    if standing.health is Health.RECONNECT_REQUIRED and is_key:
        return _KEY_REFUSED
    return _MEANT[standing.health]


def _button(health: Health) -> str:
    if health is Health.BY_SETTINGS:
        return ""
    if health is Health.NOT_CONNECTED:
        return "Connect HubSpot"
    is_needed = health in (Health.RECONNECT_REQUIRED, Health.MISSING_SCOPE)
    return "Reconnect HubSpot" if is_needed else "Reconnect"


def _permissions(granted: Sequence[str]) -> tuple[Permission, ...]:
    """What we ask for, granted or not, and what was granted beyond."""
    others = [code for code in granted if code not in REQUIRED_SCOPES + OPTIONAL_SCOPES]
    found = []
    for code in (*REQUIRED_SCOPES, *OPTIONAL_SCOPES, *others):
        lacking = Grant.MISSING if code in REQUIRED_SCOPES else Grant.LEFT_OUT
        words = _PERMISSIONS.get(code, Words(code, code))
        found.append(Permission(code, words, Grant.GRANTED if code in granted else lacking))
    return tuple(found)
