"""What every test would otherwise do again: begin a store, read the certificates of the world.

Nothing that is tested here is cut short: who tests the making of a store makes it the long way.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import certifi

from target_hubspot_calls.store.database import open_database
from target_hubspot_calls.store.sqlite_engine import create_private_file

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", re.DOTALL)


def one_authority(folder: Path) -> Path:
    """A file with one of the authorities that HTTP clients trust: reading all takes 40 ms."""
    found = _CERTIFICATE.search(Path(certifi.where()).read_text())
    assert found is not None
    file = folder / "authority.pem"
    file.write_text(found[0])
    return file


def empty_store(folder: Path) -> bytes:
    """The bytes of a SQLite store with all of its tables: the migrations take 60 ms."""
    file = folder / "empty.db"
    open_database(f"sqlite:///{file}").dispose()
    return file.read_bytes()


def creation_from(content: bytes) -> Callable[[Path], None]:
    """Makes a store's file as it is made, but for what is in it."""

    def create(path: Path) -> None:
        if path.exists():
            return
        # Whole from the first moment, as others may open it.
        draft = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
        create_private_file(draft)
        draft.write_bytes(content)
        with suppress(FileExistsError):
            os.link(draft, path)
        draft.unlink()

    return create
