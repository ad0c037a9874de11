"""Runs the steps a database lacks, with Alembic.

Knows no URL, no file and no settings; is imported only where a step is missing.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from target_hubspot_calls.store.migrations import NewerSchema

# What it says at INFO tells an operator nothing.
logging.getLogger("alembic").setLevel(logging.WARNING)


def run_missing_steps(connection: Connection) -> None:
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
