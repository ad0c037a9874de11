"""The SQLite file of the store written anew, so that nothing of what was deleted is left in it.

Must not know what the tables mean. A server's files are the server's business.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable

from sqlalchemy import Engine

from target_hubspot_calls.errors import StoreUnavailable
from target_hubspot_calls.store.database import is_shared

_TRY_AGAIN_S = 0.1


def write_file_anew(
    engine: Engine,
    *,
    wait_s: float = 30.0,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """True if the file and its log hold what the tables hold, and nothing else; False on a server.

    Deleted values stay in the free space of a SQLite file, and in its write-ahead log. Needs as
    much free disk space as the file takes, and keeps other writers waiting meanwhile. Raises
    StoreUnavailable.
    """
    if is_shared(engine):
        return False
    raw = engine.raw_connection()
    try:
        connection = raw.driver_connection
        assert isinstance(connection, sqlite3.Connection)  # noqa: S101  for the type checker
        connection.execute("PRAGMA query_only = OFF").close()
        connection.execute("VACUUM").close()
        give_up_at = monotonic() + wait_s
        while not _is_log_empty(connection):
            if monotonic() >= give_up_at:
                raise StoreUnavailable(
                    "The operational store's write-ahead log cannot be emptied: another process"
                    " has been reading the store for long. Stop it, or try again."
                )
            sleep(_TRY_AGAIN_S)
    except sqlite3.Error as err:
        raise StoreUnavailable(
            f"The operational store's file could not be written anew ({err}); it needs as much free"
            " disk space as the file takes, and a moment without other writers. Try again."
        ) from err
    finally:
        raw.close()
    return True


def _is_log_empty(connection: sqlite3.Connection) -> bool:
    """Empties the write-ahead log, unless somebody reads from it at this moment."""
    cursor = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    is_busy, *_ = cursor.fetchone()
    cursor.close()
    return not is_busy
