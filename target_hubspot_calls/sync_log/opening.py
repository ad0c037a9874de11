"""Opens the DuckDB file of the sync log, briefly, and waits its turn when another process has it.

Must not know what is in the file beyond the statements that a new one is made with.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb

from target_hubspot_calls.errors import CallSyncError
from target_hubspot_calls.sync_log.turns import turns_of

# DuckDB takes 80 % of the memory and every core unless told otherwise. The storage version lets
# DuckDB 1.5 read the file; extensions are never fetched over the network.
_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "storage_compatibility_version": "v1.5.0",
    "memory_limit": "512MB",
    "threads": 2,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}
# DuckDB keeps other processes out and lets threads of one process in together; two threads
# that looked for the same row before writing it would both write it. Also guards the umask.
_ONE_WRITER = threading.Lock()
# The last two are another thread of this process that opens or closes the file just now.
_LOCKED = re.compile(
    r"Could not set lock|Conflicting lock|different configuration|already attached by database"
)
# Its own, as whoever seeds the common one wants nobody else to use it up.
_DICE = random.Random()
_HOLDER = re.compile(r"\(PID (\d+)\)")


class SyncLogError(CallSyncError):
    """The sync log cannot be read or written now; deliveries go on and rows wait in the outbox."""


class SyncLogBusy(SyncLogError):
    """Another program has the file open; the same may work a little later."""


class SyncLogUnavailable(SyncLogError):
    """The file cannot be used until somebody does something about it."""


class SyncLogFile:
    """The file, opened late and closed early; `wait_s` bounds the wait for other processes."""

    def __init__(
        self,
        path: Path,
        *,
        wait_s: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.path = path
        self._wait_s = wait_s
        self._clock = clock
        self._sleep = sleep
        self._turns = turns_of(path)

    @contextmanager
    def reading(self) -> Iterator[duckdb.DuckDBPyConnection | None]:
        """A connection that cannot write, or None if there is no file yet.

        Raises SyncLogBusy, SyncLogUnavailable.
        """
        with self._wall():
            if not self.path.exists():
                yield None
                return
            with self._turns.turn(self._wait_s) as entered:
                if not entered:
                    raise self._busy(None)
                with self._connect(read_only=True) as connection:
                    yield connection

    @contextmanager
    def writing(self, setup: Sequence[str]) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection in a transaction; `setup` makes what is missing in the file.

        All of it is on disk, in the file itself, when this is over; an exception undoes it. Raises
        SyncLogBusy, SyncLogUnavailable.
        """
        if not _ONE_WRITER.acquire(timeout=self._wait_s):
            raise self._busy(None)
        try:
            with self._wall(), _private_files():
                if not self.path.exists():
                    _make_file(self.path, setup)
                with self._connect(read_only=False) as connection:
                    connection.begin()
                    for statement in setup:
                        connection.execute(statement)
                    yield connection
                    connection.commit()
                    # Closing does this too, and would keep quiet about a failure.
                    connection.execute("CHECKPOINT")
        finally:
            _ONE_WRITER.release()

    @contextmanager
    def attached(self, attach: str, draft: Path) -> Iterator[duckdb.DuckDBPyConnection | None]:
        """A connection that has the file attached by this statement, or None if there is no file.

        Nobody else has it open meanwhile. `draft` is the path of another file that is to take its
        place; what a killed process left there is gone. Raises SyncLogBusy, SyncLogUnavailable.
        """
        if not _ONE_WRITER.acquire(timeout=self._wait_s):
            raise self._busy(None)
        try:
            with self._wall(), _private_files():
                if not self.path.exists():
                    yield None
                    return
                with self._once_free(lambda: _attached(attach, self.path)) as connection:
                    for left in (draft, Path(f"{draft}.wal")):
                        left.unlink(missing_ok=True)
                    yield connection
        finally:
            _ONE_WRITER.release()

    def version(self) -> object:
        """Another value whenever something was written. Raises SyncLogUnavailable."""
        with self._wall():
            return tuple(_stamp(path) for path in (self.path, Path(f"{self.path}.wal")))

    def _connect(self, *, read_only: bool) -> duckdb.DuckDBPyConnection:
        return self._once_free(
            lambda: duckdb.connect(self.path, read_only=read_only, config=_CONFIG)
        )

    def _once_free(
        self, connect: Callable[[], duckdb.DuckDBPyConnection]
    ) -> duckdb.DuckDBPyConnection:
        give_up_at = self._clock() + self._wait_s
        while True:
            try:
                return connect()
            except duckdb.Error as err:
                if not _LOCKED.search(str(err)):
                    raise
                if self._clock() >= give_up_at:
                    raise self._busy(err) from err
            self._sleep(_DICE.uniform(0.002, 0.05))

    def _busy(self, err: duckdb.Error | None) -> SyncLogBusy:
        holder = _HOLDER.search(str(err))
        program = f"another program (PID {holder[1]})" if holder else "another task"
        return SyncLogBusy(
            f"The sync log {self.path} is open in {program}; history rows wait until it is closed."
        )

    @contextmanager
    def _wall(self) -> Iterator[None]:
        """Turns what DuckDB and the system refuse into a sentence that quotes no row."""
        try:
            yield
        except duckdb.Error as err:
            # Only the messages about the file itself are known to quote no value.
            known = isinstance(err, duckdb.IOException)
            reason = str(err).partition("\n")[0] if known else type(err).__name__
            advice = "check its path, its rights and the free space"
            if "not a valid DuckDB database" in reason:
                advice = "put it aside and a new one is started"
            if str(err).startswith("Corrupt database file"):
                reason, advice = "it is damaged", "put it aside and a new one is started"
            raise SyncLogUnavailable(
                f"The sync log {self.path} cannot be used: {reason.rstrip('!.')}; {advice}."
            ) from err
        except OSError as err:
            raise SyncLogUnavailable(
                f"The sync log {self.path} cannot be used: {err.strerror or type(err).__name__};"
                " check its path, its rights and the free space."
            ) from err
        except RuntimeError as err:
            # What DuckDB makes of Ctrl-C in the middle of a statement.
            if str(err) == "Query interrupted":
                raise KeyboardInterrupt from None
            raise


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


@contextmanager
def _private_files() -> Iterator[None]:
    # DuckDB has no setting for the rights of its files, and it makes a WAL at each write.
    previous = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(previous)


def _attached(attach: str, path: Path) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config=_CONFIG)
    try:
        connection.execute(attach, {"path": str(path)})
    except BaseException:
        connection.close()
        raise
    return connection


def _make_file(path: Path, setup: Sequence[str]) -> None:
    """Makes the file beside its place and moves it there whole, unless another was first."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        made = draft / path.name
        with duckdb.connect(made, config=_CONFIG) as connection:
            for statement in setup:
                connection.execute(statement)
        try:
            os.link(made, path)
        except FileExistsError:
            return
    finally:
        shutil.rmtree(draft)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
