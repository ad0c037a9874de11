"""A PostgreSQL server of the tests' own: a new cluster in a temporary folder, on a socket there.

Knows nothing of our tables. It keeps nothing and, unless asked to, flushes nothing, so that it is
quick.
"""

from __future__ import annotations

import getpass
import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg

# Debian keeps the server's programs out of PATH.
_DEBIAN = Path("/usr/lib/postgresql")
_START_S = 30.0
# The server will not run as root: then it runs as one of these.
_OTHER_USERS = ("postgres", "nobody")


class NoPostgreSQL(Exception):
    """There is no server program on this machine."""


class PostgreSQLServer:
    """A running server, and the databases on it."""

    def __init__(self, folder: Path, user: str) -> None:
        self._folder = folder
        self._user = user
        self._numbers = itertools.count(1)

    def url(self, database: str) -> str:
        """The address of a database, as our settings take it."""
        return f"postgresql://{self._user}@/{database}?host={self._folder}"

    def run(self, statement: str, database: str = "postgres") -> list[str]:
        """The first column of what a statement gives, run outside any transaction."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return [str(row[0]) for row in cursor.fetchall()] if cursor.description else []

    def new_database(self) -> str:
        """The address of a database with nothing in it."""
        name = f"new_{next(self._numbers)}"
        self.run(f"CREATE DATABASE {name}")
        return self.url(name)

    def empty(self, database: str) -> None:
        """Cuts off whoever is connected, and empties every table but the migrations' own."""
        others = "datname = current_database() AND pid <> pg_backend_pid()"
        self.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}", database)
        tables = self.run("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", database)
        emptied = ", ".join(name for name in tables if name != "alembic_version")
        self.run(f"TRUNCATE {emptied}", database)


@contextmanager
def postgresql_server(**changes: str) -> Iterator[PostgreSQLServer]:
    """A server while the block runs; its settings can be changed. Raises NoPostgreSQL."""
    programs = _programs()
    user = _user()
    # Short, as a socket's path has at most 107 bytes; and not below a folder only root may enter.
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    try:
        shutil.chown(folder, user)
        data = folder / "data"
        words = ["-U", user, "-A", "trust", "-E", "UTF8", "--locale", "C", "--no-sync"]
        _run(user, [programs / "initdb", "-D", data, *words])
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(folder),
            "unix_socket_permissions": "0777",
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "shared_buffers": "16MB",
            "max_connections": "60",
            # Not the zone that ours are kept in: who leaves that to the server is caught.
            "timezone": "Asia/Kolkata",
            **changes,
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [programs / "postgres", "-D", data, *options],
                stdout=log,
                stderr=log,
                cwd="/",
                **_as(user),
            )
        try:
            server = PostgreSQLServer(folder, user)
            _wait_for(server, process, folder / "log")
            yield server
        finally:
            # The fast way to stop: connections are cut.
            process.send_signal(2)
            process.wait(_START_S)
    finally:
        shutil.rmtree(folder)


def _programs() -> Path:
    """The folder of the newest server's programs."""
    found = [path.parent for path in _DEBIAN.glob("*/bin/postgres")]
    if found:
        return max(found, key=lambda path: int(path.parent.name))
    program = shutil.which("postgres")
    if program is None:
        raise NoPostgreSQL("no PostgreSQL server is installed (Debian: apt-get install postgresql)")
    return Path(program).resolve().parent


def _user() -> str:
    if os.geteuid() != 0:
        return getpass.getuser()
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in _OTHER_USERS if name in known)


def _as(user: str) -> dict[str, object]:
    return {"user": user, "extra_groups": []} if os.geteuid() == 0 else {}


def _run(user: str, command: Sequence[str | Path]) -> None:
    subprocess.run(command, check=True, capture_output=True, cwd="/", **_as(user))


def _wait_for(server: PostgreSQLServer, process: subprocess.Popen[bytes], log: Path) -> None:
    give_up_at = time.monotonic() + _START_S
    while True:
        try:
            server.run("SELECT 1")
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > give_up_at:
                raise RuntimeError(f"the server did not start:\n{log.read_text()}") from None
            time.sleep(0.05)
        else:
            return
