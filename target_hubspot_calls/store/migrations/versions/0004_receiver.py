"""What the receiver needs on the internet: ways to sign, counts, consent under way, sessions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds options and counts of webhooks, states of consent under way, and page sessions."""
    with op.batch_alter_table("webhooks") as webhooks:
        webhooks.add_column(sa.Column("auth_options", sa.JSON))
        webhooks.add_column(sa.Column("assistant_ids", sa.JSON))
        webhooks.add_column(sa.Column("label", sa.Text))
    with op.batch_alter_table("webhook_secrets") as webhook_secrets:
        webhook_secrets.add_column(sa.Column("sealed", sa.LargeBinary))
    op.create_table(
        "webhook_counts",
        sa.Column(
            "webhook_id",
            sa.Text,
            sa.ForeignKey(
                "webhooks.id",
                name="fk_webhook_counts_webhook_id_webhooks",
                ondelete="CASCADE",
            ),
            nullable=False,
        ),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.Column("last_at", sa.DateTime, nullable=False),
        sa.PrimaryKeyConstraint("webhook_id", "outcome", name="pk_webhook_counts"),
    )
    op.create_table(
        "oauth_states",
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("workspace_id", sa.Text, nullable=False),
        sa.Column("browser_digest", sa.LargeBinary),
        sa.Column("options", sa.JSON),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("expires_at", sa.DateTime, nullable=False),
        sa.Column("used_at", sa.DateTime),
        sa.PrimaryKeyConstraint("digest", name="pk_oauth_states"),
    )
    op.create_index("ix_oauth_states_expires_at", "oauth_states", ["expires_at"])
    op.create_table(
        "sessions",
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column(
            "access_key_id",
            sa.Text,
            sa.ForeignKey(
                "access_keys.id",
                name="fk_sessions_access_key_id_access_keys",
                ondelete="CASCADE",
            ),
            nullable=False,
        ),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("seen_at", sa.DateTime, nullable=False),
        sa.Column("expires_at", sa.DateTime, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_sessions"),
    )
    op.create_index("ix_sessions_access_key_id", "sessions", ["access_key_id"])
    op.create_index("ix_sessions_expires_at", "sessions", ["expires_at"])
