"""Opens the operational store and lends connections for one transaction at a time.

The only module that knows which database is behind the URL; it must not know what the tables mean.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy import exc as sql_errors
from sqlalchemy.pool import ConnectionPoolEntry

from target_hubspot_calls.errors import StoreUnavailable
from target_hubspot_calls.store.migrations import NewerSchema, upgrade

BUSY_TIMEOUT_S = 30
_WRITING = "hubspot_calls_writing"
# Any constant does, as long as every version of this program uses the same one.
_POSTGRESQL_WRITERS = 0x68636D69


def open_database(url: str) -> Engine:
    """The store behind `url`, with the newest schema; a SQLite file is made (0600) if missing.

    Safe when several processes do it at once. Raises StoreUnavailable.
    """
    address = _parse(url)
    engine: Engine | None = None
    try:
        if address.get_backend_name() == "sqlite":
            path = Path(str(address.database))
            _create_private_file(path)
            engine = _sqlite_engine(address)
            with _alone_in(path.parent), writing(engine) as connection:
                upgrade(connection)
        else:
            engine = _postgresql_engine(address)
            with writing(engine) as connection:
                upgrade(connection)
    except BaseException as err:
        if engine is not None:
            engine.dispose()
        if isinstance(err, NewerSchema):
            raise StoreUnavailable(
                f"The {_place(address)} was made by a newer version of this program"
                f" (schema {err}); install that version or a later one."
            ) from err
        if isinstance(err, OSError):
            raise StoreUnavailable(
                f"The {_place(address)} cannot be opened: {err.strerror or type(err).__name__};"
                " check that its directory exists, is writable and has free space."
            ) from err
        raise
    return engine


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection in a transaction that sees one moment and cannot write.

    Raises StoreUnavailable for whatever the database refuses.
    """
    options: dict[str, Any] = {_WRITING: False}
    if engine.dialect.name == "postgresql":
        options |= {"postgresql_readonly": True, "isolation_level": "REPEATABLE READ"}
    with _wall(engine), engine.connect() as connection:
        connection = connection.execution_options(**options)
        with connection.begin():
            yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A connection in a transaction that is committed at the end, or undone by any exception.

    There is one writer at a time, from the start of the transaction (waiting up to 30 s), so
    whoever reads and then writes in here never loses to another process. Raises StoreUnavailable.
    """
    with _wall(engine), engine.connect() as connection:
        connection = connection.execution_options(**{_WRITING: True})
        with connection.begin():
            yield connection


def _parse(url: str) -> URL:
    try:
        address = make_url(url)
        backend = address.get_backend_name()
    except (sql_errors.ArgumentError, ValueError) as err:
        raise StoreUnavailable(
            "The database URL cannot be read; it must look like sqlite:////path/store.sqlite"
            " or postgresql://user:password@host/name."
        ) from err
    if backend in ("postgresql", "postgres"):
        return address.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        raise StoreUnavailable(
            f"The database URL names {backend}; use sqlite:////path/store.sqlite"
            " or postgresql://user:password@host/name."
        )
    if not address.database or address.database == ":memory:":
        raise StoreUnavailable(
            "The database URL names no file; use sqlite:////path/store.sqlite, because several"
            " processes share the store."
        )
    return address


def _place(address: URL) -> str:
    if address.get_backend_name() == "sqlite":
        return f"operational store {address.database}"
    return f"operational store (PostgreSQL {address.database} on {address.host or 'this machine'})"


def _create_private_file(path: Path) -> None:
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
def _alone_in(directory: Path) -> Iterator[None]:
    # Switching a new file to WAL fails now and then, without waiting, while another process does
    # the same (3 of 1,800 openings, six at once, SQLite 3.40), so openings take turns.
    handle = os.open(directory, os.O_RDONLY)
    try:
        give_up_at = time.monotonic() + BUSY_TIMEOUT_S
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


def _sqlite_engine(address: URL) -> Engine:
    engine = create_engine(address, hide_parameters=True)
    event.listen(engine, "connect", _prepare_sqlite_connection)
    event.listen(engine, "begin", _begin_sqlite_transaction)
    return engine


def _prepare_sqlite_connection(connection: Any, _entry: ConnectionPoolEntry) -> None:
    # None: the driver begins no transaction by itself, which it would do too late, at the first
    # write (docs.sqlalchemy.org, SQLite, "Serializable isolation / Savepoints").
    connection.isolation_level = None
    for setting in (
        f"busy_timeout = {BUSY_TIMEOUT_S * 1000}",
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
    ):
        connection.execute(f"PRAGMA {setting}").close()


def _begin_sqlite_transaction(connection: Connection) -> None:
    to_write = connection.get_execution_options().get(_WRITING, False)
    connection.exec_driver_sql(f"PRAGMA query_only = {'OFF' if to_write else 'ON'}")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if to_write else "BEGIN")


def _postgresql_engine(address: URL) -> Engine:
    try:
        engine = create_engine(address, hide_parameters=True, pool_pre_ping=True)
    except ModuleNotFoundError as err:
        raise StoreUnavailable(
            "The database URL names PostgreSQL and its driver is not installed:"
            " pip install 'psycopg[binary]'."
        ) from err
    event.listen(engine, "begin", _begin_postgresql_transaction)
    return engine


def _begin_postgresql_transaction(connection: Connection) -> None:
    # As SQLite does it: else two processes that take over a call at once both insert it, and one
    # of them fails.
    if connection.get_execution_options().get(_WRITING, False):
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{BUSY_TIMEOUT_S}s'")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_POSTGRESQL_WRITERS})")


@contextmanager
def _wall(engine: Engine) -> Iterator[None]:
    """Turns what the database refuses into StoreUnavailable; mistakes in our code stay as is."""
    try:
        yield
    except sql_errors.TimeoutError as err:
        raise StoreUnavailable(
            f"The {_place(engine.url)} has no connection free; try again, or start fewer at once."
        ) from err
    except sql_errors.DBAPIError as err:
        raise StoreUnavailable(f"The {_place(engine.url)} {_refusal(err)}") from err


def _refusal(err: sql_errors.DBAPIError) -> str:
    # Only the first line, and for PostgreSQL only of connection troubles: the rest of a driver's
    # message may quote the values of a row.
    text = str(err.orig).partition("\n")[0]
    if "database is locked" in text or "due to lock timeout" in text:
        return (
            f"is held by another writer for more than {BUSY_TIMEOUT_S} s; stop that process"
            " or try again."
        )
    if "file is not a database" in text or "malformed" in text:
        return f"is damaged ({text}); put the file aside and restore it from a backup."
    if "disk is full" in text:
        return "cannot write, the disk is full; free some space and try again."
    if "readonly" in text:
        return "cannot be written; check the rights of the file and its directory."
    if type(err.orig).__module__.startswith("sqlite3") or isinstance(
        err, sql_errors.OperationalError
    ):
        return f"refused: {text}; check the file or the server and try again."
    return f"refused with {type(err.orig).__name__}; check the server's log."
