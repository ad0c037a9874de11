"""Opens the operational store and lends connections for one transaction at a time.

With its two engines and `row_locks.py` all that knows which database is behind the URL; it must
not know what the tables mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, func, inspect, make_url, select
from sqlalchemy import exc as sql_errors

from target_hubspot_calls.errors import StoreUnavailable
from target_hubspot_calls.store.migrations import NewerSchema, upgrade
from target_hubspot_calls.store.postgresql_engine import postgresql_engine
from target_hubspot_calls.store.sqlite_engine import alone_in, create_private_file, sqlite_engine

BUSY_TIMEOUT_S = 30
_WRITING = "hubspot_calls_writing"
# Any constants do, as long as every version of this program uses the same ones.
_WRITERS = 0x68636D69
_ACCEPTERS = 0x68636D6A


def open_database(url: str) -> Engine:
    """The store behind `url`, with the newest schema; a SQLite file is made (0600) if missing.

    Safe when several processes do it at once. Raises StoreUnavailable.
    """
    address = _parse(url)
    engine: Engine | None = None
    try:
        if address.get_backend_name() == "sqlite":
            path = Path(str(address.database))
            create_private_file(path)
            engine = sqlite_engine(address, writing=_WRITING, wait_s=BUSY_TIMEOUT_S)
            with alone_in(path.parent, wait_s=BUSY_TIMEOUT_S), writing(engine) as connection:
                upgrade(connection)
        else:
            engine = postgresql_engine(address, lock_wait_s=BUSY_TIMEOUT_S)
            with writing(engine) as connection:
                upgrade(connection, begin=lambda: _keep_out_others(connection))
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
    if is_shared(engine):
        options |= {"postgresql_readonly": True, "isolation_level": "REPEATABLE READ"}
    with _wall(engine), engine.connect() as connection:
        connection = connection.execution_options(**options)
        with connection.begin():
            yield connection


@contextmanager
def writing(engine: Engine, *, by_rows: bool = False) -> Iterator[Connection]:
    """A connection in a transaction that is committed at the end, or undone by any exception.

    There is one such writer at a time, from the start of the transaction (waiting up to 30 s), so
    whoever reads and then writes in here never loses to another process. Those that write
    `by_rows` are let in beside it, and beside each other, where the database locks rows: they
    keep to what `row_locks.py` says. Raises StoreUnavailable.
    """
    with _wall(engine), engine.connect() as connection:
        connection = connection.execution_options(**{_WRITING: True})
        with connection.begin():
            if not by_rows:
                _take_turn(connection, _WRITERS)
            yield connection


def take_turn_to_accept(connection: Connection) -> None:
    """Makes this transaction, until its end, the only one that adds calls to the ledger."""
    _take_turn(connection, _ACCEPTERS)


def server_time(connection: Connection) -> datetime | None:
    """What the database server's clock says now; None where this machine's clock is the only one.

    Hosts whose own clocks disagree agree on this one.
    """
    if not is_shared(connection.engine):
        return None
    now: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
    return now.astimezone(UTC)


def is_shared(engine: Engine) -> bool:
    """True if the store may be used by several hosts; a file is one machine's."""
    return engine.dialect.name == "postgresql"


def beside(engine: Engine, *, statement_s: float) -> Engine:
    """One more connection to a shared store, for what must not wait until one is free.

    Its statements, and what they wait for, take no longer than so many seconds each.
    """
    return postgresql_engine(
        engine.url, lock_wait_s=statement_s, statement_s=statement_s, kept=1, more=0
    )


def _keep_out_others(connection: Connection) -> None:
    """Makes a migration wait for all who write by rows, and them for it, in no circle.

    They lock a call before what is written about it, so that is the order here too.
    """
    connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
    tables = sorted(inspect(connection).get_table_names(), key=lambda name: (name != "calls", name))
    if tables:
        connection.exec_driver_sql(f"LOCK TABLE {', '.join(tables)} IN ACCESS EXCLUSIVE MODE")


def _take_turn(connection: Connection, queue: int) -> None:
    """Waits for whoever is before us in this queue; a file has one writer at a time anyway."""
    if is_shared(connection.engine):
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({queue})")


def _parse(url: str) -> URL:
    try:
        address = make_url(url)
        backend = address.get_backend_name()
    except (sql_errors.ArgumentError, ValueError):
        # Not "from": the original error may quote the password.
        raise StoreUnavailable(
            "The database URL cannot be read; it must look like sqlite:////path/store.sqlite"
            " or postgresql://user:password@host/name."
        ) from None
    if backend in ("postgresql", "postgres"):
        if url.count("@") > 1 or "@" in f"{address.host}{address.database}":
            # Where a password ends would be a guess, and a wrong one shows a part of it as a host
            # or a name.
            raise StoreUnavailable(
                "The database URL has an '@' too many: one stands before the host; in a user,"
                " password or name write %40 for it, %2F for '/' and %3A for ':'."
            )
        return address.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        raise StoreUnavailable(
            f"The database URL names {backend}; use sqlite:////path/store.sqlite"
            " or postgresql://user:password@host/name."
        )
    if address.host or address.username or address.password:
        raise StoreUnavailable(
            "The database URL names a host or a user for SQLite; it must look like"
            " sqlite:////path/store.sqlite."
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
