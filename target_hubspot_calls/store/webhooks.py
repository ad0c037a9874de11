"""Webhooks: whose calls arrive where, and which secrets prove it.

Keeps only SHA-256 digests of secrets, and must not know how a request carries one.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Engine, Insert, delete, exists, insert, or_, select, update
from uuid_utils import uuid7

from target_hubspot_calls.errors import CallSyncError
from target_hubspot_calls.store.database import reading, writing
from target_hubspot_calls.store.schema import webhook_secrets, webhooks


class UnknownWebhook(CallSyncError):
    """No webhook has this id."""

    def __init__(self, webhook_id: str) -> None:
        super().__init__(f"There is no webhook {webhook_id}; `hubspot-calls webhooks list` shows.")


class WebhookAuth(StrEnum):
    """How a sender proves itself: VAPI's own secret header, or a bearer token."""

    SECRET = "secret"  # noqa: S105 - a word of the contract
    BEARER = "bearer"


@dataclass(frozen=True)
class Webhook:
    """One address for one workspace's reports."""

    id: str
    user_id: str
    workspace_id: str
    auth: WebhookAuth
    secret_digests: tuple[bytes, ...] = field(repr=False)
    created_at: datetime
    disabled_at: datetime | None

    def accepts(self, presented: bytes) -> bool:
        """True if `presented` is one of the secrets in force; takes as long for each answer."""
        digest = hashlib.sha256(presented).digest()
        accepted = False
        for known in self.secret_digests:
            accepted |= hmac.compare_digest(digest, known)
        return accepted and self.disabled_at is None


_SHOWN = tuple(webhooks.c[name] for name in Webhook.__dataclass_fields__ if name in webhooks.c)


class Webhooks:
    """The webhooks of all workspaces. Every method raises StoreUnavailable."""

    def __init__(
        self, engine: Engine, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._engine = engine
        self._clock = clock

    def create(
        self, user_id: str, workspace_id: str, auth: str = WebhookAuth.SECRET
    ) -> tuple[Webhook, str]:
        """A new webhook and its secret, which can be had only now. Raises ValueError for `auth`."""
        secret = secrets.token_urlsafe(32)
        webhook = Webhook(
            id=_new_id(),
            user_id=user_id,
            workspace_id=workspace_id,
            auth=WebhookAuth(auth),
            secret_digests=(_digest(secret),),
            created_at=self._clock(),
            disabled_at=None,
        )
        fields = {**vars(webhook)}
        del fields["secret_digests"]
        with writing(self._engine) as connection:
            connection.execute(insert(webhooks).values(fields))
            connection.execute(_insertion(webhook.id, secret, webhook.created_at))
        return webhook, secret

    def get(self, webhook_id: str) -> Webhook | None:
        """The webhook, disabled or not, with the secrets in force now; None if there is none."""
        found = self._select(webhooks.c.id == webhook_id)
        return found[0] if found else None

    def list(
        self, user_id: str | None = None, workspace_id: str | None = None
    ) -> tuple[Webhook, ...]:
        """All webhooks, or those of a user or workspace, oldest first."""
        conditions = []
        if user_id is not None:
            conditions.append(webhooks.c.user_id == user_id)
        if workspace_id is not None:
            conditions.append(webhooks.c.workspace_id == workspace_id)
        return self._select(*conditions)

    def rotate(self, webhook_id: str, keep_old_for_s: float = 86400) -> str:
        """A new secret; those before it stay in force for `keep_old_for_s` seconds.

        Raises UnknownWebhook.
        """
        secret = secrets.token_urlsafe(32)
        now = self._clock()
        keep_until = now + timedelta(seconds=keep_old_for_s)
        of_this = webhook_secrets.c.webhook_id == webhook_id
        expires_at = webhook_secrets.c.expires_at
        with writing(self._engine) as connection:
            if not connection.scalar(select(exists().where(webhooks.c.id == webhook_id))):
                raise UnknownWebhook(webhook_id)
            connection.execute(
                update(webhook_secrets)
                .where(of_this, or_(expires_at.is_(None), expires_at > keep_until))
                .values(expires_at=keep_until)
            )
            connection.execute(delete(webhook_secrets).where(of_this, expires_at <= now))
            connection.execute(_insertion(webhook_id, secret, now))
        return secret

    def disable(self, webhook_id: str) -> None:
        """Takes the webhook out of use; once disabled, it stays so. Raises UnknownWebhook."""
        this_one = webhooks.c.id == webhook_id
        with writing(self._engine) as connection:
            if not connection.scalar(select(exists().where(this_one))):
                raise UnknownWebhook(webhook_id)
            connection.execute(
                update(webhooks)
                .where(this_one, webhooks.c.disabled_at.is_(None))
                .values(disabled_at=self._clock())
            )

    def _select(self, *conditions: Any) -> tuple[Webhook, ...]:
        in_force = or_(
            webhook_secrets.c.expires_at.is_(None), webhook_secrets.c.expires_at > self._clock()
        )
        chosen = (
            select(*_SHOWN, webhook_secrets.c.digest)
            .outerjoin(webhook_secrets, (webhook_secrets.c.webhook_id == webhooks.c.id) & in_force)
            .where(*conditions)
            .order_by(webhooks.c.created_at, webhooks.c.id, webhook_secrets.c.id.desc())
        )
        found: dict[str, dict[str, Any]] = {}
        digests: dict[str, tuple[bytes, ...]] = {}
        with reading(self._engine) as connection:
            for row in connection.execute(chosen):
                fields = dict(row._mapping)
                digest = fields.pop("digest")
                found[row.id] = fields
                digests[row.id] = digests.get(row.id, ()) + ((digest,) if digest else ())
        return tuple(
            Webhook(
                **{**fields, "auth": WebhookAuth(fields["auth"])},
                secret_digests=digests[webhook_id],
            )
            for webhook_id, fields in found.items()
        )


def _new_id() -> str:
    """Not to be guessed, and never taken for an option on a command line."""
    while (webhook_id := secrets.token_urlsafe(24)).startswith("-"):
        pass
    return webhook_id


def _insertion(webhook_id: str, secret: str, now: datetime) -> Insert:
    return insert(webhook_secrets).values(
        id=str(uuid7()), webhook_id=webhook_id, digest=_digest(secret), created_at=now
    )


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
