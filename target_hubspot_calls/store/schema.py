"""The tables of the operational store, for SQLite and PostgreSQL alike.

What is written into them is the business of the modules beside this one; nothing here does I/O.
Tables change only together with a new step in `migrations/versions`.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)


class UtcDateTime(TypeDecorator[datetime]):
    """Aware UTC datetimes in Python, naive UTC in the table. Raises ValueError for a naive one."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """The naive UTC time to store."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a time zone cannot be stored")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """The aware UTC time that was stored."""
        return None if value is None else value.replace(tzinfo=UTC)


# Every constraint has a name, because a later migration can only change what it can name.
metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

connections = Table(
    "connections",
    metadata,
    Column("id", Text, primary_key=True),
    Column("user_id", Text, nullable=False),
    Column("workspace_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("portal_id", BigInteger),
    Column("tokens", LargeBinary, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("scopes", JSON, nullable=False),
    Column("state", Text, nullable=False),
    Column("state_detail", Text),
    Column("blocked_until", UtcDateTime),
    Column("refresh_holder", Text),
    Column("refresh_until", UtcDateTime),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("blocked_reason", Text),
    UniqueConstraint("user_id", "workspace_id"),
)

webhooks = Table(
    "webhooks",
    metadata,
    Column("id", Text, primary_key=True),
    Column("user_id", Text, nullable=False),
    Column("workspace_id", Text, nullable=False),
    Column("auth", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("disabled_at", UtcDateTime),
)

webhook_secrets = Table(
    "webhook_secrets",
    metadata,
    Column("id", Text, primary_key=True),
    Column(
        "webhook_id",
        Text,
        ForeignKey("webhooks.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    Column("digest", LargeBinary, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
)

access_keys = Table(
    "access_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("user_id", Text, nullable=False),
    Column("workspace_id", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("hint", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("revoked_at", UtcDateTime),
    UniqueConstraint("digest"),
)

# The ledger: one row per call, kept until and after it is settled.
calls = Table(
    "calls",
    metadata,
    Column("user_id", Text, primary_key=True),
    Column("workspace_id", Text, primary_key=True),
    Column("call_id", Text, primary_key=True),
    Column("record", Text, nullable=False),
    Column("record_digest", Text, nullable=False),
    Column("engagement_type", Text),
    Column("recording_url_expires_at", UtcDateTime),
    Column("state", Text, nullable=False),
    Column("due_at", UtcDateTime),
    Column("attempt", Integer, nullable=False, default=0, server_default="0"),
    Column("claimed_by", Text),
    Column("claimed_until", UtcDateTime),
    Column("intent", Text),
    Column("intent_at", UtcDateTime),
    Column("intent_contact_id", Text),
    Column("contact_id", Text),
    Column("contact_match", Text),
    Column("engagement_id", Text),
    Column("delivered_digest", Text),
    Column("portal_id", BigInteger),
    Column("file_id", Text),
    Column("recording_status", Text),
    Column("status", Text),
    Column("reason", Text),
    Column("retryable", Boolean),
    Column("error_message", Text),
    Column("correlation_id", Text),
    Column("call_started_at", UtcDateTime),
    Column("accepted_at", UtcDateTime, nullable=False),
    Column("settled_at", UtcDateTime),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("recording_due_at", UtcDateTime),
    Column("recording_attempt", Integer, nullable=False, default=0, server_default="0"),
    Index(None, "state", "due_at"),
    Index(None, "user_id", "workspace_id", "state", "due_at"),
    Index(None, "user_id", "workspace_id", "recording_due_at"),
)

# Contacts we created or are about to, by E.164 number: HubSpot's search shows them only later.
new_contacts = Table(
    "new_contacts",
    metadata,
    Column("portal_id", BigInteger, primary_key=True, autoincrement=False),
    Column("number", Text, primary_key=True),
    Column("contact_id", Text),
    Column("intended_at", UtcDateTime, nullable=False),
)

# Sync log rows on their way to DuckDB; written in the transaction that changes the ledger.
outbox = Table(
    "outbox",
    metadata,
    Column("id", Text, primary_key=True),
    Column("row", JSON, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)
