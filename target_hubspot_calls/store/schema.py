"""The tables of the operational store, for SQLite and PostgreSQL alike.

What is written into them is the business of the modules beside this one; nothing here does I/O.
Tables change only together with a new step in `migrations/versions`.
"""

from __future__ import annotations

from collections.abc import Callable
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
    text,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.types import TypeEngine


class _SqliteDateTime(sqlite.DATETIME):
    """SQLAlchemy's own text form of times, "2026-11-20 15:04:06.000000", made with less work."""

    def bind_processor(self, dialect: Dialect) -> Callable[[datetime | None], str | None]:
        """Naive UTC to text."""

        def to_text(value: datetime | None) -> str | None:
            return None if value is None else value.isoformat(" ", "microseconds")

        return to_text


class UtcDateTime(TypeDecorator[datetime]):
    """Aware UTC datetimes in Python, naive UTC in the table. Raises ValueError for a naive one."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[datetime]:
        """The database's own type."""
        own: type[DateTime] = _SqliteDateTime if dialect.name == "sqlite" else DateTime
        return dialect.type_descriptor(own())

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
    Column("auth_options", JSON),
    Column("assistant_ids", JSON),
    Column("label", Text),
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
    Column("sealed", LargeBinary),
)

# What each webhook took, ignored and refused: one row per word for it, counted.
webhook_counts = Table(
    "webhook_counts",
    metadata,
    Column("webhook_id", Text, ForeignKey("webhooks.id", ondelete="CASCADE"), primary_key=True),
    Column("outcome", Text, primary_key=True),
    Column("count", BigInteger, nullable=False),
    Column("last_at", UtcDateTime, nullable=False),
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

# Consent under way at HubSpot. A row is used once; `browser_digest` binds it to one browser.
oauth_states = Table(
    "oauth_states",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("user_id", Text, nullable=False),
    Column("workspace_id", Text, nullable=False),
    Column("browser_digest", LargeBinary),
    Column("options", JSON),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False, index=True),
    Column("used_at", UtcDateTime),
)

# People signed in to the pages; what a session opens is what its access key opens.
sessions = Table(
    "sessions",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column(
        "access_key_id",
        Text,
        ForeignKey("access_keys.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    Column("created_at", UtcDateTime, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False, index=True),
)

# A query has to say this word for word, or a database will not use the index of such calls.
UNDONE = "status IN ('error', 'skipped')"

RECORDING_DUE = "recording_due_at IS NOT NULL"

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
    # As it was written; cut where it is longer than any number.
    Column("customer_number", Text),
    Index(None, "state", "due_at"),
    Index(None, "user_id", "workspace_id", "state", "due_at"),
    # Of few calls a recording is due: they are found without a look at the others.
    *(
        Index(
            name,
            *columns,
            "state",
            "recording_due_at",
            sqlite_where=text(RECORDING_DUE),
            postgresql_where=text(RECORDING_DUE),
        )
        for name, columns in (
            ("ix_calls_recording_due", ()),
            ("ix_calls_workspace_recording_due", ("user_id", "workspace_id")),
        )
    ),
    Index(None, "user_id", "workspace_id", "settled_at"),
    Index(None, "call_id"),
    # Few calls are undone, so that the others need not pay for an index of all that is asked of
    # them. Columns of it that a delivery changes would make it one more thing to write.
    Index(
        "ix_calls_undone",
        "user_id",
        "workspace_id",
        "call_id",
        "customer_number",
        "status",
        "reason",
        "settled_at",
        sqlite_where=text(UNDONE),
        postgresql_where=text(UNDONE),
    ),
)

# One process at a time paces and writes a portal; another may once the lease has expired.
portal_leases = Table(
    "portal_leases",
    metadata,
    Column("portal_id", BigInteger, primary_key=True, autoincrement=False),
    Column("holder", Text, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    # What its last holder left of the pace when it gave the portal back.
    Column("given_back_at", UtcDateTime),
    Column("free_after_s", JSON),
)

# Runs of several hosts say here that they live, by the server's clock.
runs = Table(
    "runs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("seen_at", UtcDateTime, nullable=False),
)

# Work that one process at a time may do for all hosts; another may once this has expired.
elections = Table(
    "elections",
    metadata,
    Column("office", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
)

# How far a stream that several hosts share has been read: the Singer state its target confirmed.
sync_states = Table(
    "sync_states",
    metadata,
    Column("stream", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
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
