-- name: columns
-- The contract's columns, as every row is handed out.
id, user_id, workspace_id, call_id, contact_id, engagement_id, engagement_type, file_id, status,
    reason, retryable, error_message, phone_number, recording_status, contact_match, attempt,
    correlation_id, portal_id, call_started_at, created_at, run_id

-- name: prepare
-- Plans for the very values that are asked for, and whether searches have an index (not all have).
SELECT
    set_config('plan_cache_mode', 'force_custom_plan', true),
    set_config('jit', 'off', true),
    set_config('random_page_cost', '1.1', true),
    set_config('work_mem', '32MB', true),
    to_regclass('ix_hubspot_sync_logs_text') IS NOT NULL AS has_text_index;

-- name: snapshot
-- What is committed: another word after every write of anybody.
SELECT CAST(pg_current_snapshot() AS TEXT);

-- name: times
-- From when to when there are rows.
SELECT min(created_at) AS first, max(created_at) AS last FROM hubspot_sync_logs;

-- name: rows_per_hour
-- How many rows each hour has, and a sum over their ids that tells if they are the same rows.
SELECT
    date_trunc('hour', created_at) AS hour,
    count(*) AS rows,
    sum(CAST(CAST('x' || substr(md5(id), 1, 8) AS BIT(32)) AS BIGINT)) AS digest
FROM hubspot_sync_logs
WHERE created_at >= :since AND created_at < :until
GROUP BY hour
ORDER BY hour;

-- name: next_rows
-- The next piece of a span of time, oldest first and of one moment as they were written.
SELECT @columns, position
FROM hubspot_sync_logs
WHERE created_at >= :since
    AND created_at < :until
    AND (created_at > :since OR position > :last_position)
ORDER BY created_at NULLS FIRST, position
LIMIT :limit;

-- name: of_owner
-- Rows of a user and workspace; what is NULL lets everything pass.
(CAST(:user_id AS TEXT) IS NULL OR user_id = :user_id)
    AND (CAST(:workspace_id AS TEXT) IS NULL OR workspace_id = :workspace_id)

-- name: in_time
-- Rows of a span of time.
(CAST(:since AS TIMESTAMP) IS NULL OR created_at >= :since)
    AND (CAST(:until AS TIMESTAMP) IS NULL OR created_at < :until)

-- name: text_of_row
-- Word for word the expression of the index for searches.
lower(
    coalesce(call_id, '') || ' ' || coalesce(phone_number, '') || ' '
    || coalesce(contact_id, '') || ' ' || coalesce(error_message, '')
)

-- name: matching
-- A filter that is NULL lets everything pass. A search first asks the index for more than it finds.
@of_owner
    AND @in_time
    AND (CAST(:status AS TEXT) IS NULL OR status = :status)
    AND (CAST(:reason AS TEXT) IS NULL OR reason = :reason)
    AND (CAST(:call_id AS TEXT) IS NULL OR call_id = :call_id)
    AND (
        CAST(:written_backwards AS TEXT[]) IS NULL
        OR reverse(phone_number) = ANY (CAST(:written_backwards AS TEXT[]))
        OR reverse(phone_number) LIKE CAST(:end_backwards AS TEXT)
    )
    AND (
        CAST(:pattern AS TEXT) IS NULL
        OR @text_of_row LIKE :pattern
        OR @text_of_row LIKE CAST(:digits_pattern AS TEXT)
    )
    AND (
        CAST(:query AS TEXT) IS NULL
        OR strpos(contact_id, :query) > 0
        OR strpos(phone_number, :query) > 0
        OR strpos(phone_number, CAST(:digits AS TEXT)) > 0
        OR strpos(call_id, CAST(:caseless AS TEXT)) > 0
        OR strpos(error_message, CAST(:caseless AS TEXT)) > 0
        OR strpos(
            translate(lower(call_id), CAST(:capitals AS TEXT), :small_letters),
            CAST(:lower_case AS TEXT)
        ) > 0
        OR strpos(
            translate(lower(error_message), CAST(:capitals AS TEXT), :small_letters),
            CAST(:lower_case AS TEXT)
        ) > 0
    )

-- name: matching_then
-- The same among the rows that were there when the first page was asked for.
@matching
    AND (CAST(:last_position AS BIGINT) IS NULL OR position <= :last_position)

-- name: newest_row
-- The row of a workspace that was written last: a page is pinned to what was there then.
SELECT id, position FROM hubspot_sync_logs WHERE @of_owner ORDER BY position DESC LIMIT 1;

-- name: position_of_row
-- Where a row stands in the table: what is committed later stands behind it.
SELECT id, position FROM hubspot_sync_logs WHERE id = :id AND @of_owner;

-- name: row_with_id
-- One row of a workspace.
SELECT @columns
FROM hubspot_sync_logs
WHERE id = :id AND user_id = :user_id AND workspace_id = :workspace_id;

-- name: rows_of_call
-- One call's story in the order in which it happened; of a very long one its end, as that counts.
SELECT *
FROM (
    SELECT @columns
    FROM hubspot_sync_logs
    WHERE call_id = :call_id AND user_id = :user_id AND workspace_id = :workspace_id
    ORDER BY created_at DESC NULLS LAST, id DESC
    LIMIT :limit
) AS story
ORDER BY created_at, id;

-- name: status_counts
-- How many rows there are of each status.
SELECT status, count(*) AS rows
FROM hubspot_sync_logs
WHERE @matching_then
GROUP BY status;

-- name: counted_statuses
-- The same without other filters, from the counts that are kept, less what was written since.
SELECT status, CAST(sum(rows) AS BIGINT) AS rows
FROM (
    SELECT status, rows
    FROM hubspot_sync_logs_counts
    WHERE @of_owner AND (CAST(:reason AS TEXT) IS NULL OR reason = :reason)
    UNION ALL
    SELECT status, -count(*) AS rows
    FROM hubspot_sync_logs
    WHERE @matching AND position > :last_position
    GROUP BY status
) AS counted
GROUP BY status
HAVING sum(rows) > 0;

-- name: count_newer
-- How many rows were written since the first page was asked for.
SELECT count(*) FROM hubspot_sync_logs WHERE @matching AND position > :last_position;

-- name: page_positions
-- Where the rows of a page stand; an index tells, however far the page is behind.
SELECT position
FROM hubspot_sync_logs
WHERE @matching_then
ORDER BY created_at DESC NULLS LAST, id DESC
LIMIT :limit OFFSET :offset;

-- name: found_view
-- A search looks at many rows' text, so what it finds serves both the counts and the page.
WITH found AS MATERIALIZED (
    SELECT position, id, created_at, status FROM hubspot_sync_logs WHERE @matching_then
),
page AS (
    SELECT position
    FROM found
    WHERE CAST(:shown_status AS TEXT) IS NULL OR status = :shown_status
    ORDER BY created_at DESC NULLS LAST, id DESC
    LIMIT :limit OFFSET :offset
)
SELECT NULL AS position, status, count(*) AS rows FROM found GROUP BY status
UNION ALL
SELECT position, NULL, NULL FROM page;

-- name: rows_behind
-- The rows after the last one of the piece before, for an export in pieces.
SELECT @columns
FROM hubspot_sync_logs
WHERE @matching_then
    AND (
        CAST(:behind_id AS TEXT) IS NULL
        OR created_at < :behind_created_at
        OR (created_at = :behind_created_at AND id < :behind_id)
    )
    AND (CAST(:behind_created_at AS TIMESTAMP) IS NULL OR created_at <= :behind_created_at)
ORDER BY created_at DESC NULLS LAST, id DESC
LIMIT :limit;

-- name: rows_at
-- Rows by where they stand, newest first.
SELECT @columns
FROM hubspot_sync_logs
WHERE position = ANY (CAST(:positions AS BIGINT[]))
ORDER BY created_at DESC NULLS LAST, id DESC;

-- name: outcome_counts
-- How many rows there are of each outcome, most frequent first.
SELECT status, reason, count(*) AS rows
FROM hubspot_sync_logs
WHERE @matching
GROUP BY status, reason
ORDER BY rows DESC, status, reason;

-- name: counted_outcomes
-- The same from the counts that are kept.
SELECT status, reason, CAST(sum(rows) AS BIGINT) AS rows
FROM hubspot_sync_logs_counts
WHERE @of_owner
    AND (CAST(:status AS TEXT) IS NULL OR status = :status)
    AND (CAST(:reason AS TEXT) IS NULL OR reason = :reason)
GROUP BY status, reason
HAVING sum(rows) > 0
ORDER BY rows DESC, status, reason;

-- name: latest_rows
-- The latest of each call's rows among those that the filter finds.
(
    SELECT DISTINCT ON (coalesce(call_id, id))
        call_id, status, reason, phone_number, created_at, call_started_at
    FROM hubspot_sync_logs
    WHERE @matching
    ORDER BY coalesce(call_id, id), created_at DESC NULLS LAST, position DESC
) AS latest

-- name: latest_rows_found
-- The latest of each call's rows in the time, of calls that a search finds by any of their rows.
(
    SELECT DISTINCT ON (coalesce(call_id, id)) status, reason, created_at
    FROM hubspot_sync_logs
    WHERE @of_owner
        AND @in_time
        AND coalesce(call_id, id) IN (
            SELECT coalesce(call_id, id) FROM hubspot_sync_logs WHERE @matching
        )
    ORDER BY coalesce(call_id, id), created_at DESC NULLS LAST, position DESC
) AS latest

-- name: standing_rows
-- The same of one workspace without looking at a call's other rows: the next came later, or never.
(
    SELECT id, call_id, status, reason, phone_number, created_at, call_started_at
    FROM hubspot_sync_logs
    WHERE user_id = :user_id
        AND workspace_id = :workspace_id
        AND @in_time
        AND created_at IS NOT NULL
        AND (superseded_at IS NULL OR superseded_at >= CAST(:until AS TIMESTAMP))
        AND (CAST(:call_id AS TEXT) IS NULL OR call_id = :call_id)
) AS latest

-- name: calls_by_day
-- Calls by the day and the status of their latest row, in days of 24 hours from some hour on.
SELECT
    CAST(created_at + make_interval(mins => :utc_offset_min) AS DATE) AS day,
    status,
    count(*) AS calls

-- name: calls_per_day
-- Days of what any filter finds.
@calls_by_day
FROM @latest_rows
GROUP BY day, status
ORDER BY day, status;

-- name: calls_per_day_standing
-- Days of a workspace.
@calls_by_day
FROM @standing_rows
GROUP BY day, status
ORDER BY day, status;

-- name: calls_by_span
-- Each span lasts until the next one begins, and may have any length: not all days have 24 hours.
SELECT (CAST(:begins AS TIMESTAMP[]))[span] AS begins_at, status, calls

-- name: counted_by_span
-- Calls by the number of their span; those before the first one are in none.
SELECT width_bucket(created_at, CAST(:begins AS TIMESTAMP[])) AS span, status, count(*) AS calls

-- name: with_latest
-- What the latest row must say.
(CAST(:latest_status AS TEXT) IS NULL OR status = :latest_status)
    AND (CAST(:latest_reason AS TEXT) IS NULL OR reason = :latest_reason)
    AND created_at >= (CAST(:begins AS TIMESTAMP[]))[1]

-- name: calls_per_span
-- Calls by the span and the status of their latest row.
@calls_by_span
FROM (@counted_by_span FROM @latest_rows WHERE @with_latest GROUP BY span, status) AS counted
ORDER BY begins_at, status;

-- name: calls_per_span_found
-- The same of calls that a search found by any of their rows; their latest row need not match.
@calls_by_span
FROM (@counted_by_span FROM @latest_rows_found WHERE @with_latest GROUP BY span, status) AS counted
ORDER BY begins_at, status;

-- name: calls_per_span_standing
-- Spans of a workspace.
@calls_by_span
FROM (@counted_by_span FROM @standing_rows WHERE @with_latest GROUP BY span, status) AS counted
ORDER BY begins_at, status;

-- name: calls_per_span_standing_found
-- Spans of a workspace, of calls that a search found by any of their rows.
@calls_by_span
FROM (
    @counted_by_span
    FROM @standing_rows
    WHERE @with_latest
        AND coalesce(call_id, id) IN (
            SELECT coalesce(call_id, id) FROM hubspot_sync_logs WHERE @matching
        )
    GROUP BY span, status
) AS counted
ORDER BY begins_at, status;

-- name: is_missed
-- Of a call that found no contact.
status = 'skipped' AND reason = 'contact_not_found'

-- name: by_number
-- What is told of a number, with how many numbers there are.
SELECT
    phone_number,
    count(*) AS calls,
    min(coalesce(call_started_at, created_at)) AS first_call_at,
    max(coalesce(call_started_at, created_at)) AS last_call_at,
    count(*) OVER () AS total

-- name: most_calls_first
-- One page of numbers.
GROUP BY phone_number
ORDER BY calls DESC, last_call_at DESC, phone_number
LIMIT :limit OFFSET :offset

-- name: calls_per_number
-- Numbers whose calls found no contact, as things stand among what any filter finds.
@by_number
FROM @latest_rows
WHERE @is_missed
@most_calls_first;

-- name: calls_per_number_standing
-- The same of a workspace.
@by_number
FROM @standing_rows
WHERE @is_missed
@most_calls_first;

-- name: last_call_of_number
-- A number's last call that has an id.
SELECT DISTINCT ON (phone_number) phone_number, call_id

-- name: of_numbers
-- Calls of the numbers of a page.
(phone_number = ANY (CAST(:numbers AS TEXT[])) OR (:with_none AND phone_number IS NULL))
    AND call_id IS NOT NULL
ORDER BY phone_number, coalesce(call_started_at, created_at) DESC

-- name: last_calls
-- The last calls of a page of numbers.
@last_call_of_number
FROM @latest_rows
WHERE @is_missed AND @of_numbers;

-- name: last_calls_standing
-- The same of a workspace.
@last_call_of_number
FROM @standing_rows
WHERE @is_missed AND @of_numbers;

-- name: call_status_rows
-- The latest row of each call, newest first.
SELECT @columns
FROM call_status
WHERE @matching
ORDER BY created_at DESC NULLS LAST, id DESC
LIMIT :limit OFFSET :offset;
