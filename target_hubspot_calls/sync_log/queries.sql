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
-- Fails where nothing was ever written; asking DuckDB for its tables would count their rows first.
SELECT id FROM hubspot_sync_logs LIMIT 0;

-- name: ids_already_there
-- Which rows of a batch were written before; the bounds let DuckDB skip all older row groups.
SELECT id
FROM hubspot_sync_logs
WHERE id BETWEEN $first_id AND $last_id AND id IN (SELECT unnest($ids));

-- name: rows_per_hour
-- How many rows each hour has, and a sum over their ids that tells if they are the same rows.
SELECT
    date_trunc('hour', created_at) AS hour,
    count(*) AS rows,
    sum(CAST('0x' || substr(md5(id), 1, 8) AS BIGINT)) AS digest
FROM hubspot_sync_logs
WHERE created_at >= $since AND created_at < $until
GROUP BY hour;

-- name: matching
-- A filter that is NULL lets everything pass; a query without letters spares the rows lower().
(CAST($user_id AS VARCHAR) IS NULL OR user_id = $user_id)
    AND (CAST($workspace_id AS VARCHAR) IS NULL OR workspace_id = $workspace_id)
    AND (CAST($status AS VARCHAR) IS NULL OR status = $status)
    AND (CAST($reason AS VARCHAR) IS NULL OR reason = $reason)
    AND (CAST($call_id AS VARCHAR) IS NULL OR call_id = $call_id)
    AND (CAST($since AS TIMESTAMP) IS NULL OR created_at >= $since)
    AND (CAST($until AS TIMESTAMP) IS NULL OR created_at < $until)
    AND (
        CAST($numbers AS VARCHAR[]) IS NULL
        OR list_contains(CAST($numbers AS VARCHAR[]), phone_number)
        OR ends_with(phone_number, CAST($number_end AS VARCHAR))
    )
    AND (
        CAST($query AS VARCHAR) IS NULL
        OR contains(contact_id, $query)
        OR contains(phone_number, $query)
        OR contains(phone_number, CAST($digits AS VARCHAR))
        OR contains(call_id, CAST($caseless AS VARCHAR))
        OR contains(error_message, CAST($caseless AS VARCHAR))
        OR contains(lower(call_id), CAST($lower_case AS VARCHAR))
        OR contains(lower(error_message), CAST($lower_case AS VARCHAR))
    )

-- name: matching_then
-- The same among the rows that were there when the first page was asked for.
@matching
    AND (CAST($last_position AS BIGINT) IS NULL OR rowid <= $last_position)

-- name: newest_row
-- The row of a workspace that was written last: a page is pinned to what was there then.
SELECT id, rowid
FROM hubspot_sync_logs
WHERE rowid = (
    SELECT max(rowid)
    FROM hubspot_sync_logs
    WHERE (CAST($user_id AS VARCHAR) IS NULL OR user_id = $user_id)
        AND (CAST($workspace_id AS VARCHAR) IS NULL OR workspace_id = $workspace_id)
);

-- name: position_of_row
-- Where a row stands in the table: what is written later stands behind it, however old its times.
SELECT id, rowid
FROM hubspot_sync_logs
WHERE id = $id
    AND (CAST($user_id AS VARCHAR) IS NULL OR user_id = $user_id)
    AND (CAST($workspace_id AS VARCHAR) IS NULL OR workspace_id = $workspace_id);

-- name: row_with_id
-- One row of a workspace.
SELECT *
FROM hubspot_sync_logs
WHERE id = $id AND user_id = $user_id AND workspace_id = $workspace_id;

-- name: rows_of_call
-- One call's story in the order in which it happened; of a very long one its end, as that counts.
SELECT *
FROM (
    SELECT *
    FROM hubspot_sync_logs
    WHERE call_id = $call_id AND user_id = $user_id AND workspace_id = $workspace_id
    ORDER BY created_at DESC, id DESC
    LIMIT $limit
)
ORDER BY created_at, id;

-- name: status_counts
-- How many rows there are of each status.
SELECT status, count(*) FROM hubspot_sync_logs WHERE @matching_then GROUP BY status;

-- name: count_newer
-- How many rows were written since the first page was asked for.
SELECT count(*) FROM hubspot_sync_logs WHERE @matching AND rowid > $last_position;

-- name: far_page
-- When the rows of a far page were written, and how many are newer; times alone are sorted fast.
WITH page AS (
    SELECT created_at
    FROM hubspot_sync_logs
    WHERE @matching_then
    ORDER BY created_at DESC
    LIMIT $limit OFFSET $offset
)
SELECT
    max(created_at) AS newest,
    CASE WHEN count(created_at) = count(*) THEN min(created_at) END AS oldest,
    (
        SELECT count(*)
        FROM hubspot_sync_logs
        WHERE @matching_then AND created_at > (SELECT max(created_at) FROM page)
    ) AS ahead
FROM page;

-- name: history_rows
-- One page, sorted by few columns; the others are read only for its rows.
SELECT *
FROM hubspot_sync_logs
WHERE rowid IN (
    SELECT rowid
    FROM hubspot_sync_logs
    WHERE @matching_then
        AND (CAST($oldest AS TIMESTAMP) IS NULL OR created_at >= $oldest)
        AND (
            CAST($newest AS TIMESTAMP) IS NULL OR created_at <= $newest OR created_at IS NULL
        )
    ORDER BY created_at DESC, id DESC
    LIMIT $limit OFFSET $offset
)
ORDER BY created_at DESC, id DESC;

-- name: find_rows
-- A search reads every row's text, so what it finds is kept for both the count and the page.
CREATE OR REPLACE TEMP TABLE found_rows AS
SELECT rowid AS position, id, created_at, status FROM hubspot_sync_logs WHERE @matching_then;

-- name: found_status_counts
-- How many rows of each status the search found.
SELECT status, count(*) FROM found_rows GROUP BY status;

-- name: found_page
-- One page of what the search found, or of what it found with one status.
SELECT *
FROM hubspot_sync_logs
WHERE rowid IN (
    SELECT position
    FROM found_rows
    WHERE CAST($status AS VARCHAR) IS NULL OR status = $status
    ORDER BY created_at DESC, id DESC
    LIMIT $limit OFFSET $offset
)
ORDER BY created_at DESC, id DESC;

-- name: rows_behind
-- The rows after the last one of the piece before, for an export in pieces.
SELECT *
FROM hubspot_sync_logs
WHERE rowid IN (
    SELECT rowid
    FROM hubspot_sync_logs
    WHERE @matching_then
        AND (
            CAST($behind_id AS VARCHAR) IS NULL
            OR created_at < $behind_created_at
            OR (created_at = $behind_created_at AND id < $behind_id)
        )
    ORDER BY created_at DESC, id DESC
    LIMIT $limit
)
ORDER BY created_at DESC, id DESC;

-- name: outcome_counts
-- How many rows there are of each outcome, most frequent first.
SELECT status, reason, count(*) AS count
FROM hubspot_sync_logs
WHERE @matching
GROUP BY status, reason
ORDER BY count DESC, status, reason;

-- name: order_of_rows
-- Later rows have a larger one: by their time, and of one moment by where they stand.
CAST(epoch_us(created_at) AS HUGEINT) * 1099511627776 + rowid

-- name: calls_per_day
-- Calls by the day and the status of their latest row, in days of 24 hours from some hour on.
SELECT
    CAST(created_at + to_minutes(CAST($utc_offset_min AS BIGINT)) AS DATE) AS day,
    status,
    count(*) AS calls
FROM (
    SELECT max(created_at) AS created_at, arg_max(status, @order_of_rows) AS status
    FROM hubspot_sync_logs
    WHERE @matching
    GROUP BY coalesce(call_id, id)
)
GROUP BY day, status
ORDER BY day, status;

-- name: latest_of_call
-- What a call's latest row says, of all its rows.
max(created_at) AS created_at,
    arg_max(status, @order_of_rows) AS status,
    arg_max(reason, @order_of_rows) AS reason

-- name: by_span
-- Each span lasts until the next one begins, and may have any length: not all days have 24 hours.
ASOF JOIN (SELECT unnest(CAST($begins AS TIMESTAMP[])) AS begins_at) ON created_at >= begins_at
WHERE (CAST($latest_status AS VARCHAR) IS NULL OR status = $latest_status)
    AND (CAST($latest_reason AS VARCHAR) IS NULL OR reason = $latest_reason)
GROUP BY begins_at, status
ORDER BY begins_at, status

-- name: calls_per_span
-- Calls by the span and the status of their latest row.
SELECT begins_at, status, count(*) AS calls
FROM (
    SELECT @latest_of_call
    FROM hubspot_sync_logs
    WHERE @matching
    GROUP BY coalesce(call_id, id)
)
@by_span

-- name: calls_per_span_found
-- The same of calls that a search found by any of their rows; their latest row need not match.
SELECT begins_at, status, count(*) AS calls
FROM (
    SELECT @latest_of_call
    FROM hubspot_sync_logs
    WHERE (CAST($user_id AS VARCHAR) IS NULL OR user_id = $user_id)
        AND (CAST($workspace_id AS VARCHAR) IS NULL OR workspace_id = $workspace_id)
        AND (CAST($since AS TIMESTAMP) IS NULL OR created_at >= $since)
        AND (CAST($until AS TIMESTAMP) IS NULL OR created_at < $until)
        AND coalesce(call_id, id) IN (
            SELECT coalesce(call_id, id) FROM hubspot_sync_logs WHERE @matching
        )
    GROUP BY coalesce(call_id, id)
)
@by_span

-- name: is_missed
-- Of a call that found no contact.
status = 'skipped' AND reason = 'contact_not_found'

-- name: latest_of_missed_calls
-- Where the latest row stands of each call that was missed once; hashes leave few others to group.
SELECT arg_max(rowid, @order_of_rows)
FROM hubspot_sync_logs
WHERE @matching
    AND hash(coalesce(call_id, id)) IN (
        SELECT hash(coalesce(call_id, id)) FROM hubspot_sync_logs WHERE @matching AND @is_missed
    )
GROUP BY coalesce(call_id, id)

-- name: calls_per_number
-- Numbers whose calls found no contact, as things stand, most calls first, with how many there are.
SELECT
    phone_number,
    count(*) AS calls,
    min(coalesce(call_started_at, created_at)) AS first_call_at,
    max(coalesce(call_started_at, created_at)) AS last_call_at,
    arg_max(call_id, coalesce(call_started_at, created_at)) AS last_call_id,
    count(*) OVER () AS total
FROM hubspot_sync_logs
WHERE @is_missed AND rowid IN (@latest_of_missed_calls)
GROUP BY phone_number
ORDER BY calls DESC, last_call_at DESC, phone_number
LIMIT $limit OFFSET $offset;

-- name: call_status_rows
-- The latest row of each call, newest first.
SELECT *
FROM call_status
WHERE @matching
ORDER BY created_at DESC, id DESC
LIMIT $limit OFFSET $offset;

-- name: calls_of_number
-- Calls of numbers that have these digits in this order, whatever is written between them.
SELECT DISTINCT user_id, workspace_id, call_id, phone_number
FROM hubspot_sync_logs
WHERE call_id IS NOT NULL AND phone_number LIKE $pattern;

-- name: is_of_calls
-- The rows of some calls.
(user_id, workspace_id, call_id) IN (
    SELECT unnest($user_ids), unnest($workspace_ids), unnest($call_ids)
)

-- name: tells_of_a_person
-- Rows that have not lost what they say of a person.
coalesce(contact_id, error_message, phone_number, contact_match) IS NOT NULL

-- name: count_of_calls
-- How many rows there are of some calls, and how many of them tell of a person.
SELECT count(*), count(*) FILTER (@tells_of_a_person)
FROM hubspot_sync_logs
WHERE @is_of_calls;

-- name: attach_to_forget
-- The file under a name of ours, whatever it is called.
ATTACH $path AS kept;

-- name: enter_kept
-- Makes it the one that the other statements are about.
USE kept;

-- name: forget_calls
-- The one change of rows that are there: a person asked for their data to be deleted.
UPDATE hubspot_sync_logs
SET contact_id = NULL, error_message = NULL, phone_number = NULL, contact_match = NULL
WHERE @tells_of_a_person AND @is_of_calls;

-- name: attach_draft
-- The file that is to take its place, which DuckDB 1.5 can read too.
ATTACH $path AS draft (STORAGE_VERSION 'v1.5.0');

-- name: copy_to_draft
-- All that is in the file, in the order in which it was written.
COPY FROM DATABASE kept TO draft;

-- name: detach_draft
-- Closes it, with all of it on disk.
DETACH draft;
