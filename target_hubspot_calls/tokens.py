"""The tokens of one portal, as a value.

Pure: knows no store, no HTTP and no clock; printing it shows no secret.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True)
class TokenSet:
    """Access token of one portal and how to renew it.

    `refresh_token` and `expires_at` are None for a service key, which neither expires nor renews.
    """

    access_token: str
    refresh_token: str | None = None
    expires_at: datetime | None = None
    scopes: tuple[str, ...] = ()
    portal_id: int | None = None

    def expires_within(self, margin_s: float, *, now: datetime) -> bool:
        """True if the access token is dead within `margin_s` seconds after `now` (aware, UTC)."""
        return self.expires_at is not None and self.expires_at - now <= timedelta(seconds=margin_s)

    def bearer(self) -> str:
        """The value of the Authorization header."""
        return f"Bearer {self.access_token}"

    def __repr__(self) -> str:
        return f"TokenSet(access_token=***, refresh_token=***, expires_at={self.expires_at!r})"
