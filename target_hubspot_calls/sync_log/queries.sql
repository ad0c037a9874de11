-- name: create_table
-- One row per attempt outcome, append-only; no key, because a key would double the cost of a write.
CREATE TABLE IF NOT EXISTS hubspot_sync_logs (
    id VARCHAR NOT NULL,
    user_id VARCHAR,
    workspace_id VARCHAR,
    call_id VARCHAR,
    contact_id VARCHAR,
    engagement_id VARCHAR,
    engagement_type VARCHAR,
    file_id VARCHAR,
    status VARCHAR,
    reason VARCHAR,
    retryable BOOLEAN,
    error_message VARCHAR,
    phone_number VARCHAR,
    recording_status VARCHAR,
    contact_match VARCHAR,
    attempt INTEGER,
    correlation_id VARCHAR,
    portal_id BIGINT,
    call_started_at TIMESTAMP,
    created_at TIMESTAMP,
    run_id VARCHAR
);

-- name: create_call_status
-- Where each call stands: its latest row. Records without a call id stand each for themselves.
CREATE VIEW IF NOT EXISTS call_status AS
SELECT *
FROM hubspot_sync_logs
QUALIFY row_number() OVER (
    PARTITION BY user_id, workspace_id, coalesce(call_id, id) ORDER BY created_at DESC, id DESC
) = 1;

-- name: create_daily_summary
-- What a day brought each workspace; `attempts` counts rows, `calls` counts calls.
CREATE VIEW IF NOT EXISTS daily_summary AS
SELECT
    CAST(created_at AS DATE) AS day,
    user_id,
    workspace_id,
    status,
    reason,
    count(*) AS attempts,
    count(DISTINCT call_id) AS calls
FROM hubspot_sync_logs
GROUP BY ALL;

-- name: create_unmatched_numbers
-- Numbers that called and are no contact's, as things stand: whom to add to HubSpot.
CREATE VIEW IF NOT EXISTS unmatched_numbers AS
SELECT
    user_id,
    workspace_id,
    phone_number,
    count(*) AS calls,
    min(coalesce(call_started_at, created_at)) AS first_call_at,
    max(coalesce(call_started_at, created_at)) AS last_call_at
FROM call_status
WHERE status = 'skipped' AND reason = 'contact_not_found'
GROUP BY user_id, workspace_id, phone_number;

-- name: table_is_there
-- Whether anything was ever written here; a DuckDB file can be empty.
SELECT 1 FROM duckdb_tables() WHERE table_name = 'hubspot_sync_logs';

-- name: ids_already_there
-- Which rows of a batch were written before; the bounds let DuckDB skip all older row groups.
SELECT id
FROM hubspot_sync_logs
WHERE id BETWEEN $first_id AND $last_id AND id IN (SELECT unnest($ids));

-- name: count_history
-- How many rows a filter finds; goes before `matching`.
SELECT count(*) FROM hubspot_sync_logs

-- name: history_rows
-- The rows a filter finds; goes before `matching` and `newest_first`.
SELECT * FROM hubspot_sync_logs

-- name: call_status_rows
-- The latest row of each call; goes before `matching` and `newest_first`.
SELECT * FROM call_status

-- name: matching
-- A filter that is NULL lets everything pass; `digits` finds a number however it was written.
WHERE (CAST($user_id AS VARCHAR) IS NULL OR user_id = $user_id)
    AND (CAST($workspace_id AS VARCHAR) IS NULL OR workspace_id = $workspace_id)
    AND (CAST($status AS VARCHAR) IS NULL OR status = $status)
    AND (CAST($reason AS VARCHAR) IS NULL OR reason = $reason)
    AND (CAST($call_id AS VARCHAR) IS NULL OR call_id = $call_id)
    AND (CAST($since AS TIMESTAMP) IS NULL OR created_at >= $since)
    AND (CAST($until AS TIMESTAMP) IS NULL OR created_at < $until)
    AND (
        CAST($query AS VARCHAR) IS NULL
        OR contains(lower(call_id), lower($query))
        OR contains(phone_number, $query)
        OR contains(phone_number, CAST($digits AS VARCHAR))
        OR contains(lower(error_message), lower($query))
        OR contains(contact_id, $query)
    )

-- name: newest_first
-- One page, in an order that stays the same from page to page.
ORDER BY created_at DESC, id DESC LIMIT $limit OFFSET $offset
