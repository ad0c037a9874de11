"""Opens the rooms that the settings describe: operational store, sync log, call stream.

Knows how settings become constructor arguments; heavy rooms are imported when opened, so that
`--help` and shell completion stay quick. It must not know any subcommand.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hubspot_calls.data_dir import check_data_dir, make_data_dir

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from hubspot_calls.settings import Settings
    from target_hubspot_calls.store.connections import Connections
    from target_hubspot_calls.store.keys import AccessKeys
    from target_hubspot_calls.store.ledger import Ledger
    from target_hubspot_calls.store.outbox import Outbox
    from target_hubspot_calls.store.retries import Retries
    from target_hubspot_calls.store.vault import Vault
    from target_hubspot_calls.store.webhook_counts import WebhookCounts
    from target_hubspot_calls.store.webhooks import Webhooks
    from target_hubspot_calls.sync_log.face import HistoryReader
    from target_hubspot_calls.sync_log.log import SyncLog


@dataclass(frozen=True)
class Store:
    """The operational store, opened; each property is one of its doors."""

    settings: Settings
    engine: Engine

    @property
    def webhooks(self) -> Webhooks:
        """Who may report calls, and for whom."""
        from target_hubspot_calls.store.webhooks import Webhooks

        return Webhooks(self.engine, open_vault=self.open_vault)

    @property
    def webhook_counts(self) -> WebhookCounts:
        """What each webhook took, ignored and refused."""
        from target_hubspot_calls.store.webhook_counts import WebhookCounts

        return WebhookCounts(self.engine)

    @property
    def keys(self) -> AccessKeys:
        """Access keys for API and pages."""
        from target_hubspot_calls.store.keys import AccessKeys

        return AccessKeys(self.engine)

    @property
    def outbox(self) -> Outbox:
        """Outcomes on their way to the sync log."""
        from target_hubspot_calls.store.outbox import Outbox

        return Outbox(self.engine)

    @property
    def ledger(self) -> Ledger:
        """Where each call stands."""
        from target_hubspot_calls.store.ledger import Ledger

        return Ledger(self.engine)

    @property
    def retries(self) -> Retries:
        """Calls put back in line."""
        from target_hubspot_calls.store.retries import Retries

        return Retries(self.engine)

    @property
    def has_connections(self) -> bool:
        """Whether any portal is connected; unlike `connections` it needs, and makes, no key."""
        from target_hubspot_calls.store.sealed import TOKENS, holds_sealed

        return holds_sealed(self.engine, TOKENS)

    @property
    def connections(self) -> Connections:
        """Connected portals. Raises SettingsError or WrongEncryptionKey."""
        from target_hubspot_calls.store.connections import Connections

        return Connections(self.engine, self.open_vault(create=True))

    def open_vault(self, *, create: bool) -> Vault:
        """The encryption keys; with `create` a first one is made, but only where nothing is sealed.

        Raises SettingsError, WrongEncryptionKey, StoreUnavailable.
        """
        from target_hubspot_calls.store.sealed import holds_sealed
        from target_hubspot_calls.store.vault import load_vault

        return load_vault(
            self.settings.encryption_key_list,
            self.settings.key_file,
            create=create and not holds_sealed(self.engine),
        )


@contextmanager
def open_store(settings: Settings) -> Iterator[Store]:
    """The operational store, made with its data directory (0700) where missing.

    Raises StoreUnavailable, DataDirUnusable.
    """
    from target_hubspot_calls.store.database import open_database

    make_data_dir(settings.data_dir)
    engine = open_database(settings.database_url.get_secret_value())
    try:
        yield Store(settings, engine)
    finally:
        engine.dispose()


@contextmanager
def open_store_if_there(settings: Settings) -> Iterator[Store | None]:
    """The operational store, or None where there is none yet; nothing is made.

    Raises StoreUnavailable, DataDirUnusable.
    """
    check_data_dir(settings.data_dir)
    if _store_is_missing(settings.database_url.get_secret_value()):
        yield None
        return
    with open_store(settings) as store:
        yield store


def is_empty(settings: Settings) -> bool:
    """True if there can be nothing here: no data directory, and no server. Raises DataDirUnusable.

    Where only the store is missing there may still be a call stream and a history.
    """
    check_data_dir(settings.data_dir)
    return _store_is_missing(settings.database_url.get_secret_value()) and not (
        settings.data_dir.exists()
    )


def _store_is_missing(url: str) -> bool:
    """True for a SQLite file that is not there; of a server only opening can tell."""
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        address = make_url(url)
    except (ArgumentError, ValueError):
        return False
    is_file = address.get_backend_name() == "sqlite" and bool(address.database)
    return is_file and not Path(str(address.database)).exists()


def _is_file(url: str) -> bool:
    """True for a store that is one host's; the settings let nothing pass but files and servers."""
    return url.lower().startswith("sqlite")


def open_sync_log(
    settings: Settings, *, wait_s: float = 5.0, store: Store | None = None
) -> HistoryReader:
    """The history: of one host in a file, which is opened when asked something; of several in
    their database, through `store` where it is open.

    Raises StoreUnavailable for a database that has to be opened and cannot be.
    """
    url = settings.database_url.get_secret_value()
    if _is_file(url):
        return open_sync_log_file(settings, wait_s=wait_s)
    from target_hubspot_calls.shared_history.history import SharedHistory
    from target_hubspot_calls.store.database import open_database

    return SharedHistory(store.engine if store is not None else open_database(url))


def open_sync_log_file(settings: Settings, *, wait_s: float = 5.0) -> SyncLog:
    """The sync log in this host's own file, for those who fill it."""
    from target_hubspot_calls.sync_log.log import SyncLog

    return SyncLog(settings.sync_log, wait_s=wait_s)
