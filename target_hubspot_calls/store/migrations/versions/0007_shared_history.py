"""History of several hosts: what became of each call, for the pages of all of them.

On SQLite there is one host and its history is in DuckDB: an empty table of the same name beside it
would only mislead, so nothing is made there.
"""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# Text is compared byte by byte, as DuckDB does it. `position` grows with each row that is written,
# within one workspace in the order in which rows are committed. `superseded_at` is when the call's
# next row was created: what a call came to at some moment is found without its other rows.
_TABLE = """
CREATE TABLE hubspot_sync_logs (
    id TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C",
    workspace_id TEXT COLLATE "C",
    call_id TEXT COLLATE "C",
    contact_id TEXT COLLATE "C",
    engagement_id TEXT COLLATE "C",
    engagement_type TEXT COLLATE "C",
    file_id TEXT COLLATE "C",
    status TEXT COLLATE "C",
    reason TEXT COLLATE "C",
    retryable BOOLEAN,
    error_message TEXT COLLATE "C",
    phone_number TEXT COLLATE "C",
    recording_status TEXT COLLATE "C",
    contact_match TEXT COLLATE "C",
    attempt INTEGER,
    correlation_id TEXT COLLATE "C",
    portal_id BIGINT,
    call_started_at TIMESTAMP,
    created_at TIMESTAMP,
    run_id TEXT COLLATE "C",
    position BIGINT GENERATED ALWAYS AS IDENTITY,
    superseded_at TIMESTAMP,
    CONSTRAINT pk_hubspot_sync_logs PRIMARY KEY (position),
    CONSTRAINT uq_hubspot_sync_logs_id UNIQUE (id)
)
"""

# Rows are only added, so that the server's own thresholds would let a million of them pass before
# pages can be answered from an index alone.
_UPKEEP = """
ALTER TABLE hubspot_sync_logs SET (
    autovacuum_vacuum_insert_scale_factor = 0.02,
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_analyze_scale_factor = 0.02
)
"""

# An entry holds at most a third of a page (2,704 bytes): what stands in one is bounded where it
# comes in, numbers by the writer of this table.
_INDEXES = (
    # Rows in the order of time, with what charts and far pages count.
    "CREATE INDEX ix_hubspot_sync_logs_time ON hubspot_sync_logs"
    " (user_id, workspace_id, created_at DESC NULLS LAST, id DESC)"
    " INCLUDE (position, status, superseded_at)",
    # The same of all workspaces, for the operator.
    "CREATE INDEX ix_hubspot_sync_logs_created_at ON hubspot_sync_logs"
    " (created_at DESC NULLS LAST, id DESC)",
    # The row written last, what was written since, and how many there are of each status.
    "CREATE INDEX ix_hubspot_sync_logs_written ON hubspot_sync_logs"
    " (user_id, workspace_id, position) INCLUDE (status)",
    # One call's story, and which of its rows comes after which.
    "CREATE INDEX ix_hubspot_sync_logs_call ON hubspot_sync_logs (call_id, created_at, position)",
    # Counts and pages of one outcome.
    "CREATE INDEX ix_hubspot_sync_logs_outcome ON hubspot_sync_logs"
    " (user_id, workspace_id, status, created_at DESC NULLS LAST, id DESC)"
    " INCLUDE (reason, position)",
    # Numbers by their end.
    "CREATE INDEX ix_hubspot_sync_logs_number ON hubspot_sync_logs"
    " (user_id, workspace_id, reverse(phone_number))",
    # Numbers that are no contact's, as things stand.
    "CREATE INDEX ix_hubspot_sync_logs_missed ON hubspot_sync_logs"
    " (user_id, workspace_id, phone_number) INCLUDE (created_at, call_started_at)"
    " WHERE superseded_at IS NULL AND status = 'skipped' AND reason = 'contact_not_found'",
)

# Searches use this index where the server has the extension and lets the owner of a database make
# it, which PostgreSQL itself does; they read all rows of a workspace otherwise.
_SEARCH = """
DO $$
BEGIN
    CREATE EXTENSION IF NOT EXISTS pg_trgm;
    CREATE INDEX ix_hubspot_sync_logs_text ON hubspot_sync_logs USING gin (
        (lower(
            coalesce(call_id, '') || ' ' || coalesce(phone_number, '') || ' '
            || coalesce(contact_id, '') || ' ' || coalesce(error_message, '')
        )) gin_trgm_ops
    );
EXCEPTION WHEN OTHERS THEN
    NULL;
END
$$
"""

# How many rows each outcome of each workspace has, so that no page counts a million. Triggers keep
# it right whoever adds or deletes rows; whoever adds many locks these in one order.
_COUNTS = (
    """
CREATE TABLE hubspot_sync_logs_counts (
    user_id TEXT COLLATE "C",
    workspace_id TEXT COLLATE "C",
    status TEXT COLLATE "C",
    reason TEXT COLLATE "C",
    rows BIGINT NOT NULL
) WITH (fillfactor = 50)
""",
    """
CREATE UNIQUE INDEX uq_hubspot_sync_logs_counts ON hubspot_sync_logs_counts (
    user_id, workspace_id, coalesce(status, E'\\x01'), coalesce(reason, E'\\x01')
)
""",
    """
CREATE FUNCTION hubspot_sync_logs_counted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO hubspot_sync_logs_counts AS known (user_id, workspace_id, status, reason, rows)
    SELECT
        coalesce(user_id, E'\\x01'), coalesce(workspace_id, E'\\x01'), status, reason,
        CASE TG_OP WHEN 'INSERT' THEN count(*) ELSE -count(*) END
    FROM changed
    GROUP BY 1, 2, 3, 4
    ORDER BY 1, 2, 3, 4
    ON CONFLICT (
        user_id, workspace_id, coalesce(status, E'\\x01'), coalesce(reason, E'\\x01')
    ) DO UPDATE SET rows = known.rows + excluded.rows;
    RETURN NULL;
END
$$
""",
    """
CREATE TRIGGER added AFTER INSERT ON hubspot_sync_logs
REFERENCING NEW TABLE AS changed
FOR EACH STATEMENT EXECUTE FUNCTION hubspot_sync_logs_counted()
""",
    """
CREATE TRIGGER deleted AFTER DELETE ON hubspot_sync_logs
REFERENCING OLD TABLE AS changed
FOR EACH STATEMENT EXECUTE FUNCTION hubspot_sync_logs_counted()
""",
)

# The views of the DuckDB file, with the same columns.
_VIEWS = (
    """
CREATE VIEW call_status AS
SELECT DISTINCT ON (user_id, workspace_id, coalesce(call_id, id))
    id, user_id, workspace_id, call_id, contact_id, engagement_id, engagement_type, file_id,
    status, reason, retryable, error_message, phone_number, recording_status, contact_match,
    attempt, correlation_id, portal_id, call_started_at, created_at, run_id
FROM hubspot_sync_logs
ORDER BY
    user_id, workspace_id, coalesce(call_id, id), created_at DESC NULLS LAST, id DESC
""",
    """
CREATE VIEW daily_summary AS
SELECT
    CAST(created_at AS DATE) AS day,
    user_id,
    workspace_id,
    status,
    reason,
    count(*) AS attempts,
    count(DISTINCT call_id) AS calls
FROM hubspot_sync_logs
GROUP BY CAST(created_at AS DATE), user_id, workspace_id, status, reason
""",
    """
CREATE VIEW unmatched_numbers AS
SELECT
    user_id,
    workspace_id,
    phone_number,
    count(*) AS calls,
    min(coalesce(call_started_at, created_at)) AS first_call_at,
    max(coalesce(call_started_at, created_at)) AS last_call_at
FROM call_status
WHERE status = 'skipped' AND reason = 'contact_not_found'
GROUP BY user_id, workspace_id, phone_number
""",
)


def upgrade() -> None:
    """Creates tables, indexes, counts and views on PostgreSQL, and nothing on SQLite."""
    connection = op.get_bind()
    if connection.dialect.name != "postgresql":
        return
    for statement in (_TABLE, _UPKEEP, *_INDEXES, _SEARCH, *_COUNTS, *_VIEWS):
        connection.exec_driver_sql(statement)
