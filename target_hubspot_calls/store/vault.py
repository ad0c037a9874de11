"""Encryption at rest: the keys, and text in and out of them.

Knows no table and no token; what it is given it neither prints nor keeps.
"""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from target_hubspot_calls.errors import SettingsError, StoreUnavailable, WrongEncryptionKey


class Vault:
    """Encrypts with the first of its keys, decrypts with any of them. Raises SettingsError."""

    def __init__(self, keys: Sequence[str]) -> None:
        fernets = _fernets(keys)
        self._newest = fernets[0]
        self._keys = tuple(base64.urlsafe_b64decode(key.strip()) for key in keys)
        self._fernets = MultiFernet(fernets)

    def encrypt(self, text: str) -> bytes:
        """The text, readable only with the newest key; different at each call."""
        return self.encrypt_bytes(text.encode())

    def decrypt(self, sealed: bytes) -> str:
        """The text that was encrypted. Raises WrongEncryptionKey."""
        return self.decrypt_bytes(sealed).decode()

    def encrypt_bytes(self, data: bytes) -> bytes:
        """The same for bytes of any kind."""
        return self._fernets.encrypt(data)

    def decrypt_bytes(self, sealed: bytes) -> bytes:
        """The bytes that were encrypted. Raises WrongEncryptionKey."""
        try:
            return self._fernets.decrypt(sealed)
        except InvalidToken as err:
            raise WrongEncryptionKey(
                "Stored secrets (HubSpot tokens, webhook secrets or raw reports) do not open with"
                " the encryption keys given; bring back the key file or the"
                " HUBSPOT_CALLS_ENCRYPTION_KEYS they were stored with. Where those are lost,"
                " connect the portals again, rotate the webhooks' secrets, delete the raw reports."
            ) from err

    def is_newest(self, sealed: bytes) -> bool:
        """True if the newest key alone opens it."""
        try:
            self._newest.decrypt(sealed)
        except InvalidToken:
            return False
        return True

    def derive(self, purpose: str) -> tuple[bytes, ...]:
        """A key of 32 bytes for another purpose from each of the keys, newest first."""
        return tuple(
            HKDF(hashes.SHA256(), 32, salt=None, info=f"hubspot-calls {purpose}".encode()).derive(
                key
            )
            for key in self._keys
        )

    def reencrypt(self, sealed: bytes) -> bytes:
        """The same text under the newest key. Raises WrongEncryptionKey."""
        return self.encrypt(self.decrypt(sealed))


def load_vault(encryption_keys: str | None, key_file: Path, *, create: bool) -> Vault:
    """A vault with the keys of a comma list, newest first, or else of the key file.

    With `create`, a missing key file is made (0600, on disk before this returns); processes that
    do so at once get the same key. Without, it raises WrongEncryptionKey: callers ask for a new key
    only where nothing is stored yet. Raises SettingsError for malformed keys, StoreUnavailable.
    """
    if encryption_keys is not None and encryption_keys.strip():
        return Vault(encryption_keys.split(","))
    try:
        text = key_file.read_text("ascii")
    except FileNotFoundError as err:
        if not create:
            raise WrongEncryptionKey(
                f"The key file {key_file} is missing; bring it back from a backup, or set"
                " HUBSPOT_CALLS_ENCRYPTION_KEYS."
            ) from err
        text = _make_key_file(key_file)
    except (OSError, UnicodeDecodeError) as err:
        raise _unusable(key_file, err) from err
    return Vault([line for line in text.splitlines() if line.strip()])


def _fernets(keys: Sequence[str]) -> list[Fernet]:
    fernets, faults = [], []
    for position, key in enumerate(keys, start=1):
        try:
            fernets.append(Fernet(key.strip().encode()))
        except ValueError:
            faults.append(
                f"encryption key {position} of {len(keys)} is not 32 bytes in URL-safe base64"
            )
    if not keys:
        faults.append("there is no encryption key")
    if faults:
        # Not "from": the original error may quote the key.
        raise SettingsError(faults)
    return fernets


def _make_key_file(key_file: Path) -> str:
    """The key that is in the file afterwards, ours or that of whoever was first."""
    key = Fernet.generate_key().decode()
    draft = key_file.with_name(f".{key_file.name}.{secrets.token_hex(8)}")
    try:
        key_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write_durably(draft, key + "\n")
        try:
            # A link, unlike a write in place, never shows another process half a key, and unlike
            # a rename it fails if somebody was first.
            os.link(draft, key_file)
        except FileExistsError:
            key = key_file.read_text("ascii").strip()
        finally:
            draft.unlink()
        _fsync_directory(key_file.parent)
    except (OSError, UnicodeDecodeError) as err:
        raise _unusable(key_file, err) from err
    return key


def _write_durably(path: Path, text: str) -> None:
    file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        os.write(file, text.encode())
        os.fsync(file)
    finally:
        os.close(file)


def _fsync_directory(path: Path) -> None:
    directory = os.open(path, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _unusable(key_file: Path, err: Exception) -> StoreUnavailable:
    detail = err.strerror if isinstance(err, OSError) else "it is not text"
    return StoreUnavailable(
        f"The key file {key_file} cannot be used: {detail};"
        " check its path, its rights and the free space, or set HUBSPOT_CALLS_ENCRYPTION_KEYS."
    )
