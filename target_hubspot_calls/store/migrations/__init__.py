"""Brings a database to the newest schema, step by step, inside the caller's transaction.

Knows no URL, no file and no settings. A step that has been released is never edited: a change is a
new step, which alters tables through `op.batch_alter_table` so that it works on SQLite too.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

# What it says at INFO at each opening tells an operator nothing.
logging.getLogger("alembic").setLevel(logging.WARNING)


class NewerSchema(Exception):
    """The database was made by a newer version of this program."""


def upgrade(connection: Connection) -> None:
    """Runs every step the database lacks. Raises NewerSchema for a step this code does not know."""
    steps = ScriptDirectory(str(Path(__file__).parent))

    def missing_steps(revision: Any, context: MigrationContext) -> Any:
        return steps._upgrade_revs("head", revision)

    context = MigrationContext.configure(connection=connection, opts={"fn": missing_steps})
    current = context.get_current_revision()
    if current == steps.get_current_head():
        return
    if current is not None and current not in {step.revision for step in steps.walk_revisions()}:
        raise NewerSchema(current)
    with Operations.context(context):
        context.run_migrations()
