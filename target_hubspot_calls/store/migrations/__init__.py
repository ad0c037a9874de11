"""Brings a database to the newest schema, step by step, inside the caller's transaction.

Knows no URL, no file and no settings. A step that has been released is never edited: a change is a
new step, which alters tables through `op.batch_alter_table` so that it works on SQLite too.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection, inspect

_VERSIONS = Path(__file__).parent / "versions"


class NewerSchema(Exception):
    """The database was made by a newer version of this program."""


def upgrade(connection: Connection, *, begin: Callable[[], None] = lambda: None) -> None:
    """Runs every step the database lacks, after `begin` where there is one.

    Raises NewerSchema for a step this code does not know.
    """
    if _current_revision(connection) == _newest_revision():
        return
    begin()
    # Imported when needed: Alembic takes a fifth of a second, and nearly every start needs none.
    from target_hubspot_calls.store.migrations.steps import run_missing_steps

    run_missing_steps(connection)


def _newest_revision() -> str:
    """Every step's file begins with its number, which is its revision."""
    return max(path.name.partition("_")[0] for path in _VERSIONS.glob("[0-9]*.py"))


def _current_revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalars().all()
    return str(found[0]) if len(found) == 1 else None
