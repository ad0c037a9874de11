"""A line of its own for recordings, and why a portal is blocked."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds when a call's recording is due, how often it was tried, and the block's reason."""
    with op.batch_alter_table("connections") as connections:
        connections.add_column(sa.Column("blocked_reason", sa.Text))
    with op.batch_alter_table("calls") as calls:
        calls.add_column(sa.Column("recording_due_at", sa.DateTime))
        calls.add_column(
            sa.Column("recording_attempt", sa.Integer, nullable=False, server_default="0")
        )
        calls.create_index(
            "ix_calls_user_id_workspace_id_recording_due_at",
            ["user_id", "workspace_id", "recording_due_at"],
        )
