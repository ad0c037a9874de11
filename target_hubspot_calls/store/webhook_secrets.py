"""Secrets of webhooks: made, and kept as digests or sealed.

Knows the table of secrets; whose webhook it is and how long a secret lives is decided elsewhere.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection, insert
from uuid_utils import uuid7

from target_hubspot_calls.store.schema import webhook_secrets
from target_hubspot_calls.store.webhook_auth import AuthOptions, HmacPlan


@dataclass(frozen=True)
class LentSecret:
    """A secret for a moment; `signing_key` is what an hmac webhook signs with."""

    id: str
    text: str = field(repr=False)
    signing_key: bytes = field(repr=False)


def new_secret(options: AuthOptions) -> str:
    """A secret of 256 random bits, written as the way of proof wants it."""
    if isinstance(options, HmacPlan) and options.secret_is_base64:
        return base64.b64encode(secrets.token_bytes(32)).decode()
    return secrets.token_urlsafe(32)


def signing_keys(options: AuthOptions, texts: Sequence[str]) -> tuple[bytes, ...]:
    """The bytes that signatures are made with."""
    if not isinstance(options, HmacPlan):
        return ()
    if options.secret_is_base64:
        return tuple(base64.b64decode(text, validate=True) for text in texts)
    return tuple(text.encode() for text in texts)


def insert_secret(
    connection: Connection,
    webhook_id: str,
    secret: str,
    sealed: bytes | None,
    now: datetime,
    expires_at: datetime | None = None,
) -> str:
    """Stores the secret, and returns the id of its row."""
    secret_id = str(uuid7())
    connection.execute(
        insert(webhook_secrets).values(
            id=secret_id,
            webhook_id=webhook_id,
            digest=digest_of(secret),
            created_at=now,
            expires_at=expires_at,
            sealed=sealed,
        )
    )
    return secret_id


def digest_of(secret: str) -> bytes:
    """The secret as it is stored."""
    return hashlib.sha256(secret.encode()).digest()
