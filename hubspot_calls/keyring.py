"""The encryption keys at the start of `serve`: all that is stored opens, under the newest of them.

Knows the vault and what is sealed; a key is never printed.
"""

from __future__ import annotations

import logging
import stat

from hubspot_calls.rooms import Store
from target_hubspot_calls.store.sealed import check_sealed, reencrypt_sealed
from target_hubspot_calls.store.vault import Vault

logger = logging.getLogger("hubspot-calls")


def open_keyring(store: Store) -> Vault:
    """A vault that opens all that is stored, which from now on needs only its newest key.

    Raises WrongEncryptionKey, SettingsError, StoreUnavailable.
    """
    vault = store.open_vault(create=True)
    check_sealed(store.engine, vault)
    moved = reencrypt_sealed(store.engine, vault)
    if moved:
        logger.info(
            "the newest encryption key now protects all that is in the store (%d moved)", moved
        )
    _warn_of_open_file(store)
    return vault


def _warn_of_open_file(store: Store) -> None:
    if store.settings.encryption_key_list is not None:
        return
    path = store.settings.key_file
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return
    if mode & 0o077:
        logger.warning("others can read the key file %s (mode %o); chmod 600 it", path, mode)
