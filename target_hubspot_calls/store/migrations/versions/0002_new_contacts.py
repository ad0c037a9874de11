"""Remembers the contacts we create, so that a lagging search index never makes a second one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Creates the table of created contacts."""
    op.create_table(
        "new_contacts",
        sa.Column("portal_id", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("number", sa.Text, nullable=False),
        sa.Column("contact_id", sa.Text),
        sa.Column("intended_at", sa.DateTime, nullable=False),
        sa.PrimaryKeyConstraint("portal_id", "number", name="pk_new_contacts"),
    )
