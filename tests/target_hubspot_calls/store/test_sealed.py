"""Rotation of encryption keys over everything that is sealed, at each stage and broken off."""

from __future__ import annotations

import os
import stat

import pytest
from cryptography.fernet import Fernet

from target_hubspot_calls.errors import WrongEncryptionKey
from target_hubspot_calls.store.connections import Connections
from target_hubspot_calls.store.database import writing
from target_hubspot_calls.store.schema import webhook_secrets
from target_hubspot_calls.store.sealed import check_sealed, holds_sealed, reencrypt_sealed
from target_hubspot_calls.store.vault import Vault, load_vault
from target_hubspot_calls.store.webhooks import Webhooks
from target_hubspot_calls.tokens import TokenSet

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


def seal_everywhere(engine, vault, times=2):
    """Connections, and webhooks whose secret is sealed."""
    for n in range(times):
        Connections(engine, vault).add_oauth(
            "ada", f"w{n}", TokenSet("canary-access", "canary-refresh", None, (), n)
        )
        Webhooks(engine).create("ada", f"w{n}", "secret")
    with writing(engine) as connection:
        connection.execute(
            webhook_secrets.update().values(sealed=vault.encrypt("canary-webhook-secret"))
        )


def test_nothing_is_sealed_at_first(engine):
    before = holds_sealed(engine)
    Webhooks(engine).create("ada", "sales", "secret")
    with_digest = holds_sealed(engine)
    seal_everywhere(engine, Vault([OLD]), times=1)

    assert (before, with_digest, holds_sealed(engine)) == (False, False, True)


def test_what_is_stored_is_unreadable_without_the_key(engine, store_path):
    seal_everywhere(engine, Vault([OLD]))
    engine.dispose()

    stored = b"".join(path.read_bytes() for path in store_path.parent.iterdir())

    assert b"canary" not in stored
    assert {stat.S_IMODE(path.stat().st_mode) for path in store_path.parent.iterdir()} == {0o600}


def test_keys_are_rotated_without_a_moment_in_which_nothing_opens(engine):
    seal_everywhere(engine, Vault([OLD]))
    both = Vault([NEW, OLD])

    check_sealed(engine, both)
    moved = reencrypt_sealed(engine, both)
    again = reencrypt_sealed(engine, both)

    assert (moved, again) == (4, 0)
    check_sealed(engine, Vault([NEW]))
    with pytest.raises(WrongEncryptionKey):
        check_sealed(engine, Vault([OLD]))


@pytest.mark.parametrize("done", range(4))
def test_a_rotation_that_broke_off_anywhere_goes_on_where_it_was(engine, done):
    seal_everywhere(engine, Vault([OLD]))

    class BreaksOff(Vault):
        left = done

        def reencrypt(self, sealed):
            if not self.left:
                raise KeyboardInterrupt
            self.left -= 1
            return super().reencrypt(sealed)

    with pytest.raises(KeyboardInterrupt):
        reencrypt_sealed(engine, BreaksOff([NEW, OLD]))
    both = Vault([NEW, OLD])
    check_sealed(engine, both)

    moved = reencrypt_sealed(engine, both)

    assert moved == 4 - done
    check_sealed(engine, Vault([NEW]))


def test_a_wrong_key_is_told_and_nothing_is_changed(engine):
    seal_everywhere(engine, Vault([OLD]))

    with pytest.raises(WrongEncryptionKey, match="HUBSPOT_CALLS_ENCRYPTION_KEYS"):
        check_sealed(engine, Vault([NEW]))
    with pytest.raises(WrongEncryptionKey) as raised:
        reencrypt_sealed(engine, Vault([NEW]))

    assert "the tokens of connection" in str(raised.value)
    assert "canary" not in str(raised.value)
    check_sealed(engine, Vault([OLD]))


def test_keys_for_other_purposes_follow_the_keys_and_differ(tmp_path):
    derived = Vault([NEW, OLD]).derive("cookies")

    assert derived == (*Vault([NEW]).derive("cookies"), *Vault([OLD]).derive("cookies"))
    assert {len(key) for key in derived} == {32}
    assert set(derived).isdisjoint(Vault([NEW, OLD]).derive("another"))


def test_a_key_file_is_for_its_owner_alone(tmp_path):
    before = os.umask(0)
    try:
        load_vault(None, tmp_path / "secret.key", create=True)
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "secret.key").stat().st_mode) == 0o600
