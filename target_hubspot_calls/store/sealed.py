"""Everything that is encrypted at rest, wherever it lies: does it open, is it under the newest key.

Knows which columns are sealed and nothing of what is in them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Engine, exists, or_, select, update

from target_hubspot_calls.errors import WrongEncryptionKey
from target_hubspot_calls.store.database import reading, writing
from target_hubspot_calls.store.schema import connections, webhook_secrets
from target_hubspot_calls.store.vault import Vault


@dataclass(frozen=True)
class SealedColumn:
    """A column of sealed values, the key of its rows, and what people call one value."""

    key: Column[Any]
    sealed: Column[Any]
    words: str


TOKENS = SealedColumn(connections.c.id, connections.c.tokens, "the tokens of connection")
WEBHOOK_SECRETS = SealedColumn(
    webhook_secrets.c.id, webhook_secrets.c.sealed, "the secret of webhook secret"
)
_ALL = (TOKENS, WEBHOOK_SECRETS)


def holds_sealed(engine: Engine, *columns: SealedColumn) -> bool:
    """True if anything sealed is stored: then a missing key file must not be made anew.

    Looks everywhere, or in `columns`.
    """
    held = (exists(select(one.key).where(one.sealed.is_not(None))) for one in columns or _ALL)
    with reading(engine) as connection:
        return bool(connection.scalar(select(or_(*held))))


def check_sealed(engine: Engine, vault: Vault, *columns: SealedColumn) -> None:
    """Raises WrongEncryptionKey if any value does not open; looks everywhere, or in `columns`."""
    for one in columns or _ALL:
        with reading(engine) as connection:
            for value in connection.scalars(select(one.sealed).where(one.sealed.is_not(None))):
                vault.decrypt(value)


def reencrypt_sealed(engine: Engine, vault: Vault, *columns: SealedColumn) -> int:
    """How many values were put under the newest key; the others were already.

    Each is done by itself, so it may be broken off and started again. Raises WrongEncryptionKey,
    naming what no key opens, after all others are done.
    """
    done, closed = 0, []
    for one in columns or _ALL:
        with reading(engine) as connection:
            chosen = select(one.key).where(one.sealed.is_not(None)).order_by(one.key)
            keys = connection.scalars(chosen).all()
        for key in keys:
            try:
                done += _reencrypt(engine, vault, one, key)
            except WrongEncryptionKey:
                closed.append(f"{one.words} {key}")
    if closed:
        raise WrongEncryptionKey(
            f"None of the encryption keys opens {', '.join(closed)}; bring back the key they were"
            " stored with, or connect those workspaces and rotate those webhooks again."
        )
    return done


def _reencrypt(engine: Engine, vault: Vault, column: SealedColumn, key: str) -> bool:
    this_one = column.key == key
    with writing(engine) as connection:
        sealed = connection.scalar(select(column.sealed).where(this_one).with_for_update())
        if sealed is None or vault.is_newest(sealed):
            return False
        values = {column.sealed.name: vault.reencrypt(sealed)}
        connection.execute(update(column.sealed.table).where(this_one).values(values))
        return True
