"""Keys, where they come from, and what they open."""

from __future__ import annotations

import os
import stat

import pytest
from cryptography.fernet import Fernet

from target_hubspot_calls.errors import SettingsError, StoreUnavailable, WrongEncryptionKey
from target_hubspot_calls.store.vault import Vault, load_vault

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()

SEAL = """
import sys
from pathlib import Path
from target_hubspot_calls.store.vault import load_vault
print("ready", flush=True)
sys.stdin.readline()
print(load_vault(None, Path(sys.argv[1]), create=True).encrypt("a token").decode())
"""


def test_what_was_encrypted_opens_again():
    vault = Vault([OLD])

    assert vault.decrypt(vault.encrypt("geheim ✓")) == "geheim ✓"


def test_a_new_key_in_front_opens_what_the_old_one_sealed():
    sealed = Vault([OLD]).encrypt("a token")

    assert Vault([NEW, OLD]).decrypt(sealed) == "a token"


def test_new_text_is_sealed_with_the_newest_key():
    sealed = Vault([NEW, OLD]).encrypt("a token")

    assert Vault([NEW]).decrypt(sealed) == "a token"


def test_another_key_is_a_clear_error():
    sealed = Vault([OLD]).encrypt("a token")

    with pytest.raises(WrongEncryptionKey, match="HUBSPOT_CALLS_ENCRYPTION_KEYS") as raised:
        Vault([NEW]).decrypt(sealed)

    assert "(HubSpot tokens, webhook secrets or raw reports)" in str(raised.value)


def test_malformed_keys_are_counted_and_not_shown():
    with pytest.raises(SettingsError) as raised:
        load_vault(f"{NEW}, canary ,{OLD},canary2", os.devnull, create=False)  # type: ignore[arg-type]

    assert raised.value.faults == [
        "encryption key 2 of 4 is not 32 bytes in URL-safe base64",
        "encryption key 4 of 4 is not 32 bytes in URL-safe base64",
    ]
    assert raised.value.__context__ is None


def test_keys_of_the_settings_win_over_the_file(tmp_path):
    sealed = load_vault(f"{NEW}, {OLD}", tmp_path / "secret.key", create=True).encrypt("a token")

    assert Vault([NEW]).decrypt(sealed) == "a token"
    assert list(tmp_path.iterdir()) == []


def test_the_key_file_is_made_once_private_and_alone(tmp_path):
    key_file = tmp_path / "data" / "secret.key"
    previous = os.umask(0)
    try:
        sealed = load_vault(None, key_file, create=True).encrypt("a token")
    finally:
        os.umask(previous)

    opened = load_vault(None, key_file, create=True).decrypt(sealed)

    assert opened == "a token"
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(key_file.parent.stat().st_mode) == 0o700
    assert list(key_file.parent.iterdir()) == [key_file]


def test_processes_that_make_the_key_file_at_once_get_the_same_key(tmp_path, start_python):
    key_file = tmp_path / "data" / "secret.key"
    processes = [start_python(SEAL, key_file) for _ in range(4)]

    for process in processes:
        process.stdout.readline()

    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    sealed = [process.communicate()[0].strip() for process in processes]

    vault = load_vault(None, key_file, create=False)
    assert [vault.decrypt(one.encode()) for one in sealed] == ["a token"] * 4


def test_a_missing_key_file_is_not_made_where_tokens_are_stored_already(tmp_path):
    with pytest.raises(WrongEncryptionKey, match=r"secret\.key is missing"):
        load_vault(None, tmp_path / "secret.key", create=False)

    assert list(tmp_path.iterdir()) == []


def test_a_key_file_may_hold_several_keys_newest_first(tmp_path):
    key_file = tmp_path / "secret.key"
    key_file.write_text(f"{NEW}\n{OLD}\n")

    vault = load_vault(None, key_file, create=False)

    assert vault.decrypt(Vault([OLD]).encrypt("a token")) == "a token"
    assert vault.is_newest(vault.encrypt("a token"))


def test_an_empty_key_file_is_refused(tmp_path):
    key_file = tmp_path / "secret.key"
    key_file.write_text("\n")

    with pytest.raises(SettingsError, match="there is no encryption key"):
        load_vault(None, key_file, create=True)


@pytest.mark.parametrize("create", [True, False])
def test_a_directory_in_place_of_the_key_file_is_said(tmp_path, create):
    with pytest.raises(StoreUnavailable, match="cannot be used: Is a directory; check"):
        load_vault(None, tmp_path, create=create)


def test_a_key_file_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "data").write_text("in the way")

    with pytest.raises(StoreUnavailable, match="Not a directory"):
        load_vault(None, tmp_path / "data" / "secret.key", create=True)
