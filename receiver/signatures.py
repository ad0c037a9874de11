"""Whether a request proves that it comes from whom the webhook was made for.

Works on raw bytes and in constant time; must not parse a body or know how secrets are kept.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Protocol


class Webhook(Protocol):
    """What the receiver needs of a webhook; the store's own class has it."""

    @property
    def auth(self) -> str:
        """How a sender proves itself: `secret` or `bearer`."""

    @property
    def user_id(self) -> str:
        """Whose calls arrive here."""

    @property
    def workspace_id(self) -> str:
        """The workspace they belong to."""

    @property
    def disabled_at(self) -> datetime | None:
        """When it was taken out of use; None while it is in use."""

    def accepts(self, presented: bytes) -> bool:
        """True if `presented` is one of the secrets in force."""


def is_authentic(webhook: Webhook, headers: Mapping[bytes, bytes]) -> bool:
    """Whether the headers carry a secret that the webhook accepts; unknown ways never do."""
    presented = _presented_secret(webhook.auth, headers)
    accepted = webhook.accepts(presented)
    return accepted and bool(presented)


def refuse_unknown(headers: Mapping[bytes, bytes]) -> None:
    """Does the work of a check for a webhook that is not there, so that time tells nothing."""
    presented = _presented_secret("secret", headers)
    hmac.compare_digest(hashlib.sha256(presented).digest(), _NOBODYS_DIGEST)


_NOBODYS_DIGEST = secrets.token_bytes(32)


def _presented_secret(auth: str, headers: Mapping[bytes, bytes]) -> bytes:
    """The secret as the sender gave it; empty when there is none."""
    if auth == "secret":
        return headers.get(b"x-vapi-secret", b"")
    if auth == "bearer":
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        return token.strip() if scheme.lower() == b"bearer" else b""
    return b""
