"""Who takes a portal over learns what was spent of its pace; due recordings are found at once."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds to the leases what their last holder left, and indexes of due recordings."""
    with op.batch_alter_table("portal_leases") as leases:
        leases.add_column(sa.Column("given_back_at", sa.DateTime))
        leases.add_column(sa.Column("free_after_s", sa.JSON))
    is_due = sa.text("recording_due_at IS NOT NULL")
    op.drop_index("ix_calls_user_id_workspace_id_recording_due_at", "calls")
    for name, columns in (
        ("ix_calls_recording_due", []),
        ("ix_calls_workspace_recording_due", ["user_id", "workspace_id"]),
    ):
        op.create_index(
            name,
            "calls",
            [*columns, "state", "recording_due_at"],
            sqlite_where=is_due,
            postgresql_where=is_due,
        )
