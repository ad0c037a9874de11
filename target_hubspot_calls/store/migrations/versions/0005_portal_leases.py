"""One process at a time paces and writes a portal; a workspace's last sync is found at once."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Creates the table of leases, and indexes of what was settled last and whose a call is."""
    op.create_table(
        "portal_leases",
        sa.Column("portal_id", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("expires_at", sa.DateTime, nullable=False),
        sa.PrimaryKeyConstraint("portal_id", name="pk_portal_leases"),
    )
    op.create_index(
        "ix_calls_user_id_workspace_id_settled_at",
        "calls",
        ["user_id", "workspace_id", "settled_at"],
    )
    op.create_index("ix_calls_call_id", "calls", ["call_id"])
