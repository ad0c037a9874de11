"""One request as an operation sees it, and the strict reading of its body.

It knows nothing of routes; what a body must look like is in bodies.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import msgspec

from .answers import HubSpotError, validation_error
from .kinds import ObjectKind, kind_named

if TYPE_CHECKING:
    from .faults import PartialFailure
    from .oauth import Grant
    from .portal import Portal
    from .state import SimulatorState

T = TypeVar("T")


@dataclass
class Request:
    """What an operation needs to answer."""

    state: SimulatorState
    method: str
    path: str
    version: str
    params: dict[str, str]
    query: dict[str, list[str]]
    headers: dict[str, str]
    base_url: str
    grant: Grant | None = None
    body: bytes = b""
    partial_failure: PartialFailure | None = None
    input_count: int | None = field(default=None)

    @property
    def portal(self) -> Portal:
        """The portal that the caller's token opens."""
        if self.grant is None:
            raise HubSpotError(401, "No token", "INVALID_AUTHENTICATION")
        return self.state.portals[self.grant.portal_id]

    @property
    def kind(self) -> ObjectKind:
        """The kind of record the address names. Raises a 400."""
        return kind_named(self.params["kind"])

    def first(self, name: str) -> str | None:
        """A query parameter, or None."""
        values = self.query.get(name)
        return values[0] if values else None

    def listed(self, name: str) -> list[str]:
        """A query parameter that may be repeated or separated by commas."""
        return [
            part.strip()
            for value in self.query.get(name, [])
            for part in value.split(",")
            if part.strip()
        ]

    def whole_number(self, name: str, default: int, highest: int) -> int:
        """A query parameter that counts something. Raises a 400."""
        written = self.first(name)
        if written is None:
            return default
        if not written.isdigit() or not 0 < int(written) <= highest:
            raise validation_error(f"{name} must be a whole number between 1 and {highest}")
        return int(written)

    def json(self, shape: type[T]) -> T:
        """The body in one shape. Raises 415 where it is not JSON by its type, 400 by its text."""
        self.require_type("application/json")
        try:
            return msgspec.json.decode(self.body, type=shape)
        except (msgspec.DecodeError, UnicodeDecodeError) as err:
            raise validation_error(f"Invalid input JSON on line 1, column 1: {err}") from err

    def require_type(self, wanted: str) -> None:
        """Raises a 415 where the body is of another media type."""
        written = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if written != wanted:
            raise HubSpotError(
                415, f"HTTP 415 Unsupported Media Type: {written or 'none'}", "UNSUPPORTED_MEDIA"
            )
