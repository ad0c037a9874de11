"""SQLite: a private file with one writer at a time, settings that keep data safe.

Must not know what the tables mean, nor that there is another database.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.pool import ConnectionPoolEntry


def sqlite_engine(address: URL, *, writing: str, wait_s: float) -> Engine:
    """Lends connections to the file; the execution option `writing` says which are to write.

    A writer waits `wait_s` seconds for the one before it.
    """

    def prepare(connection: Any, _entry: ConnectionPoolEntry) -> None:
        # None: the driver begins no transaction by itself, which it would do too late, at the first
        # write (docs.sqlalchemy.org, SQLite, "Serializable isolation / Savepoints").
        connection.isolation_level = None
        for setting in (
            f"busy_timeout = {int(wait_s * 1000)}",
            "journal_mode = WAL",
            "synchronous = FULL",
            "foreign_keys = ON",
        ):
            connection.execute(f"PRAGMA {setting}").close()

    def begin(connection: Connection) -> None:
        to_write = connection.get_execution_options().get(writing, False)
        connection.exec_driver_sql(f"PRAGMA query_only = {'OFF' if to_write else 'ON'}")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if to_write else "BEGIN")

    engine = create_engine(address, hide_parameters=True)
    event.listen(engine, "connect", prepare)
    event.listen(engine, "begin", begin)
    return engine


def create_private_file(path: Path) -> None:
    """Makes the file (0600) and its directory (0700) where they are missing. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        # An existing file is not opened here: closing it again would drop the locks that SQLite
        # holds on it elsewhere in this process (sqlite.org/howtocorrupt.html, 2.2).
        made = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    except FileExistsError:
        return
    os.close(made)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


@contextmanager
def alone_in(directory: Path, *, wait_s: float) -> Iterator[None]:
    """The only process that opens a file of this directory. Raises BlockingIOError."""
    # Switching a new file to WAL fails now and then, without waiting, while another process does
    # the same (3 of 1,800 openings, six at once, SQLite 3.40), so openings take turns.
    handle = os.open(directory, os.O_RDONLY)
    try:
        give_up_at = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > give_up_at:
                    raise
                time.sleep(0.02)
        yield
    finally:
        os.close(handle)
