"""Who asks: the user and workspace that an access key opens.

Knows the two ways a key is shown, as a bearer token and as a password; no route and no page.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from typing import Protocol

from starlette.requests import Request

from receiver.answers import Refusal
from target_hubspot_calls.call import Workspace

CHALLENGE = 'Basic realm="hubspot-calls"'
_LONGEST_HEADER = 1_000


class AccessKey(Protocol):
    """What the receiver needs to know of an access key."""

    @property
    def user_id(self) -> str:
        """Whose key it is."""

    @property
    def workspace_id(self) -> str:
        """What it opens."""


class AccessKeyDirectory(Protocol):
    """What the receiver asks for access keys; may block. Raises StoreUnavailable."""

    def authenticate(self, key: str, /) -> AccessKey | None:
        """What the key opens, None if it is unknown or revoked."""


async def authenticated(request: Request, keys: AccessKeyDirectory) -> Workspace:
    """The workspace of the request's access key. Raises Refusal (401), StoreUnavailable."""
    text = _shown_key(request.headers.get("authorization", ""))
    key = await asyncio.to_thread(keys.authenticate, text) if text else None
    if key is None:
        raise Refusal(
            401,
            "unauthorized",
            "This address needs an access key, as a bearer token or as the password.",
            {"WWW-Authenticate": CHALLENGE},
        )
    return Workspace(key.user_id, key.workspace_id)


def _shown_key(header: str) -> str | None:
    scheme, _, value = header.strip().partition(" ")
    value = value.strip()
    if len(header) > _LONGEST_HEADER:
        return None
    if scheme.lower() == "bearer":
        return value
    return _password(value) if scheme.lower() == "basic" else None


def _password(credentials: str) -> str | None:
    try:
        decoded = base64.b64decode(credentials, validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    return decoded.partition(":")[2]
