"""How a workspace stands with HubSpot, in one word, for programs and for pages.

Pure: looks at a stored connection and a clock; must not know a request, a page or a token.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from receiver.consent import missing_scopes
from target_hubspot_calls.store.connections import Connection, ConnectionState


class Health(StrEnum):
    """What matters most about a connection."""

    BY_SETTINGS = "by_settings"
    NOT_CONNECTED = "not_connected"
    RECONNECT_REQUIRED = "reconnect_required"
    MISSING_SCOPE = "missing_scope"
    BLOCKED = "blocked"
    GOOD = "good"


@dataclass(frozen=True)
class Standing:
    """A workspace's connection at one moment; `by_settings` says that the settings name a key.

    `blocked_until` is None once that is past.
    """

    connection: Connection | None
    by_settings: bool = False
    missing_scopes: tuple[str, ...] = ()
    blocked_until: datetime | None = None

    @property
    def health(self) -> Health:
        """What matters most, the worst first."""
        if self.by_settings:
            return Health.BY_SETTINGS
        if self.connection is None:
            return Health.NOT_CONNECTED
        if self.connection.state is ConnectionState.RECONNECT_REQUIRED:
            return Health.RECONNECT_REQUIRED
        if self.missing_scopes or self.connection.state is ConnectionState.MISSING_SCOPE:
            return Health.MISSING_SCOPE
        return Health.BLOCKED if self.blocked_until is not None else Health.GOOD

    @property
    def is_connected(self) -> bool:
        """False where nothing can be sent to HubSpot."""
        return self.health not in (Health.NOT_CONNECTED, Health.RECONNECT_REQUIRED)

    @property
    def needs_reconnect(self) -> bool:
        """True if a person must connect again."""
        return self.health in (Health.RECONNECT_REQUIRED, Health.MISSING_SCOPE)


def standing_of(connection: Connection | None, *, service_key: bool, now: datetime) -> Standing:
    """How the connection stands; delivery looks at nothing stored where the settings have a key."""
    if service_key or connection is None:
        return Standing(None, by_settings=service_key)
    until = connection.blocked_until
    return Standing(
        connection,
        missing_scopes=missing_scopes(connection.scopes),
        blocked_until=until if until is not None and until > now else None,
    )
