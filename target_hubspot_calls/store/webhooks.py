"""Webhooks: whose calls arrive where, and which secrets prove it.

Keeps SHA-256 digests of secrets, and sealed those that signatures are made with; must not know how
a request carries either.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from sqlalchemy import Connection, Engine, Row, delete, exists, insert, or_, select, update

from target_hubspot_calls.errors import (
    CallSyncError,
    SettingsError,
    StoreUnavailable,
    WrongEncryptionKey,
)
from target_hubspot_calls.store.database import reading, writing
from target_hubspot_calls.store.schema import webhook_secrets, webhooks
from target_hubspot_calls.store.vault import Vault
from target_hubspot_calls.store.webhook_auth import (
    AuthOptions,
    HmacPlan,
    WebhookAuth,
    parse_options,
    settle_options,
    to_json_options,
)
from target_hubspot_calls.store.webhook_secrets import (
    LentSecret,
    digest_of,
    insert_secret,
    new_secret,
    signing_keys,
)

__all__ = ["LentSecret", "OpenVault", "UnknownWebhook", "Webhook", "WebhookAuth", "Webhooks"]


class UnknownWebhook(CallSyncError):
    """No webhook has this id."""

    def __init__(self, webhook_id: str) -> None:
        super().__init__(f"There is no webhook {webhook_id}; `hubspot-calls webhooks list` shows.")


class NoSecretToRotate(CallSyncError):
    """The webhook takes calls from anyone, so it has no secret."""

    def __init__(self, webhook_id: str) -> None:
        super().__init__(
            f"Webhook {webhook_id} was made with auth none and has no secret; make another with"
            " `hubspot-calls webhooks create`."
        )


class OpenVault(Protocol):
    """The way to the encryption keys, which most webhooks never need."""

    def __call__(self, *, create: bool) -> Vault:
        """The vault; `create` lets it make the first key.

        Raises WrongEncryptionKey, SettingsError, StoreUnavailable.
        """


@dataclass(frozen=True)
class Webhook:
    """One address for one workspace's reports.

    `signing_secrets` are the keys of an hmac webhook, newest first. Where `is_readable` is false,
    some secret does not open, or the options are of another version: that is no sender's fault.
    """

    id: str
    user_id: str
    workspace_id: str
    auth: WebhookAuth
    secret_digests: tuple[bytes, ...] = field(repr=False)
    created_at: datetime
    disabled_at: datetime | None
    options: AuthOptions = None
    assistant_ids: tuple[str, ...] = ()
    label: str | None = None
    signing_secrets: tuple[bytes, ...] = field(default=(), repr=False)
    is_readable: bool = True

    def accepts(self, presented: bytes) -> bool:
        """True if `presented` is one of the secrets in force; takes as long for each answer."""
        digest = hashlib.sha256(presented).digest()
        accepted = False
        for known in self.secret_digests:
            accepted |= hmac.compare_digest(digest, known)
        return accepted and self.disabled_at is None


class Webhooks:
    """The webhooks of all workspaces. Every method raises StoreUnavailable."""

    def __init__(
        self,
        engine: Engine,
        *,
        open_vault: OpenVault | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._engine = engine
        self._open_vault = open_vault
        self._clock = clock

    def create(
        self,
        user_id: str,
        workspace_id: str,
        auth: str = WebhookAuth.SECRET,
        *,
        options: AuthOptions = None,
        assistant_ids: Sequence[str] = (),
        label: str | None = None,
    ) -> tuple[Webhook, str]:
        """A new webhook and its secret, which can be had only now; an empty one for auth none.

        Raises ValueError for `auth`, SettingsError, and WrongEncryptionKey for auth hmac.
        """
        way = WebhookAuth(auth)
        options = settle_options(way, options)
        secret = "" if way is WebhookAuth.NONE else new_secret(options)
        sealed = self._seal(secret, create=True) if isinstance(options, HmacPlan) else None
        webhook = Webhook(
            id=_new_id(),
            user_id=user_id,
            workspace_id=workspace_id,
            auth=way,
            secret_digests=(digest_of(secret),) if secret and sealed is None else (),
            created_at=self._clock(),
            disabled_at=None,
            options=options,
            assistant_ids=tuple(assistant_ids),
            label=label,
            signing_secrets=signing_keys(options, [secret]),
        )
        with writing(self._engine) as connection:
            connection.execute(insert(webhooks).values(_row(webhook)))
            if secret:
                insert_secret(connection, webhook.id, secret, sealed, webhook.created_at)
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

        Raises UnknownWebhook, NoSecretToRotate, and WrongEncryptionKey for auth hmac.
        """
        secret, sealed, _ = self._another_secret(webhook_id)
        now = self._clock()
        keep_until = now + timedelta(seconds=keep_old_for_s)
        of_this = webhook_secrets.c.webhook_id == webhook_id
        expires_at = webhook_secrets.c.expires_at
        with writing(self._engine) as connection:
            connection.execute(
                update(webhook_secrets)
                .where(of_this, or_(expires_at.is_(None), expires_at > keep_until))
                .values(expires_at=keep_until)
            )
            connection.execute(delete(webhook_secrets).where(of_this, expires_at <= now))
            insert_secret(connection, webhook_id, secret, sealed, now)
        return secret

    def lend_secret(self, webhook_id: str, for_s: float) -> LentSecret:
        """A secret beside those the webhook has, which ends by itself after `for_s` seconds.

        Raises UnknownWebhook, NoSecretToRotate, and WrongEncryptionKey for auth hmac.
        """
        text, sealed, options = self._another_secret(webhook_id)
        now = self._clock()
        expires_at = now + timedelta(seconds=for_s)
        is_over = webhook_secrets.c.expires_at <= now
        with writing(self._engine) as connection:
            # What was never taken back, because somebody pulled the plug.
            connection.execute(
                delete(webhook_secrets).where(webhook_secrets.c.webhook_id == webhook_id, is_over)
            )
            secret_id = insert_secret(connection, webhook_id, text, sealed, now, expires_at)
        (signing_key,) = signing_keys(options, [text]) or (b"",)
        return LentSecret(secret_id, text, signing_key)

    def _another_secret(self, webhook_id: str) -> tuple[str, bytes | None, AuthOptions]:
        """A secret that nobody has yet, sealed where signatures are made with it, and the options.

        Raises UnknownWebhook, NoSecretToRotate, and WrongEncryptionKey for auth hmac.
        """
        way, options = self._way_of(webhook_id)
        if way is WebhookAuth.NONE:
            raise NoSecretToRotate(webhook_id)
        secret = new_secret(options)
        sealed = self._seal(secret, create=False) if isinstance(options, HmacPlan) else None
        return secret, sealed, options

    def take_back(self, lent: LentSecret) -> None:
        """Ends a lent secret before its time."""
        with writing(self._engine) as connection:
            connection.execute(delete(webhook_secrets).where(webhook_secrets.c.id == lent.id))

    def disable(self, webhook_id: str) -> None:
        """Takes the webhook out of use until it is enabled. Raises UnknownWebhook."""
        with writing(self._engine) as connection:
            _must_exist(connection, webhook_id)
            connection.execute(
                update(webhooks)
                .where(webhooks.c.id == webhook_id, webhooks.c.disabled_at.is_(None))
                .values(disabled_at=self._clock())
            )

    def enable(self, webhook_id: str) -> None:
        """Takes the webhook into use again, with the secrets in force. Raises UnknownWebhook."""
        self._change(webhook_id, disabled_at=None)

    def limit_to(self, webhook_id: str, assistant_ids: Sequence[str]) -> None:
        """Takes reports of these assistants only, of all if none. Raises UnknownWebhook."""
        self._change(webhook_id, assistant_ids=list(assistant_ids))

    def set_label(self, webhook_id: str, label: str | None) -> None:
        """Gives the webhook a name for people. Raises UnknownWebhook."""
        self._change(webhook_id, label=label)

    def _change(self, webhook_id: str, **values: object) -> None:
        with writing(self._engine) as connection:
            _must_exist(connection, webhook_id)
            connection.execute(update(webhooks).where(webhooks.c.id == webhook_id).values(values))

    def _seal(self, secret: str, *, create: bool) -> bytes:
        if self._open_vault is None:
            raise SettingsError(["an hmac webhook needs encryption keys to keep its secret"])
        return self._open_vault(create=create).encrypt(secret)

    def _way_of(self, webhook_id: str) -> tuple[WebhookAuth, AuthOptions]:
        chosen = select(webhooks.c.auth, webhooks.c.auth_options).where(webhooks.c.id == webhook_id)
        with reading(self._engine) as connection:
            row = connection.execute(chosen).first()
        if row is None:
            raise UnknownWebhook(webhook_id)
        way = WebhookAuth(row.auth)
        return way, parse_options(way, row.auth_options)

    def _select(self, *conditions: Any) -> tuple[Webhook, ...]:
        in_force = or_(
            webhook_secrets.c.expires_at.is_(None), webhook_secrets.c.expires_at > self._clock()
        )
        chosen = (
            select(webhooks, webhook_secrets.c.digest, webhook_secrets.c.sealed)
            .outerjoin(webhook_secrets, (webhook_secrets.c.webhook_id == webhooks.c.id) & in_force)
            .where(*conditions)
            .order_by(webhooks.c.created_at, webhooks.c.id, webhook_secrets.c.id.desc())
        )
        rows: dict[str, list[Row[Any]]] = {}
        with reading(self._engine) as connection:
            for row in connection.execute(chosen):
                rows.setdefault(row.id, []).append(row)
        vault = None
        if any(row.sealed is not None for found in rows.values() for row in found):
            vault = self._vault_if_there()
        return tuple(_webhook(found, vault) for found in rows.values())

    def _vault_if_there(self) -> Vault | None:
        """The vault; None when its keys cannot be had, which closes hmac webhooks and no other."""
        if self._open_vault is None:
            return None
        try:
            return self._open_vault(create=False)
        except (WrongEncryptionKey, SettingsError, StoreUnavailable):
            return None


def _webhook(rows: Sequence[Row[Any]], vault: Vault | None) -> Webhook:
    """The webhook that these rows tell of, one for each secret in force."""
    first = rows[0]
    is_readable = True
    options: AuthOptions = None
    auth = WebhookAuth(first.auth)
    try:
        options = parse_options(auth, first.auth_options)
    except SettingsError:
        is_readable = False
    opened: list[str] = []
    for row in rows:
        if row.sealed is not None:
            try:
                if vault is None:
                    raise WrongEncryptionKey
                opened.append(vault.decrypt(row.sealed))
            except WrongEncryptionKey:
                is_readable = False
    digests = [row.digest for row in rows if row.digest is not None and row.sealed is None]
    return Webhook(
        id=first.id,
        user_id=first.user_id,
        workspace_id=first.workspace_id,
        auth=auth,
        secret_digests=tuple(digests) if auth is not WebhookAuth.HMAC else (),
        created_at=first.created_at,
        disabled_at=first.disabled_at,
        options=options,
        assistant_ids=tuple(first.assistant_ids or ()),
        label=first.label,
        signing_secrets=signing_keys(options, opened),
        is_readable=is_readable,
    )


def _row(webhook: Webhook) -> dict[str, Any]:
    return {
        "id": webhook.id,
        "user_id": webhook.user_id,
        "workspace_id": webhook.workspace_id,
        "auth": webhook.auth,
        "created_at": webhook.created_at,
        "disabled_at": webhook.disabled_at,
        "auth_options": to_json_options(webhook.options),
        "assistant_ids": list(webhook.assistant_ids),
        "label": webhook.label,
    }


def _must_exist(connection: Connection, webhook_id: str) -> None:
    if not connection.scalar(select(exists().where(webhooks.c.id == webhook_id))):
        raise UnknownWebhook(webhook_id)


def _new_id() -> str:
    """Not to be guessed, and never taken for an option on a command line."""
    while (webhook_id := secrets.token_urlsafe(24)).startswith("-"):
        pass
    return webhook_id
