"""`hubspot-calls history`: what became of the calls.

Knows the sync log and the outbox that feeds it; it must not know HubSpot.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from hubspot_calls.commands.options import OwnerName, json_option, with_settings
from hubspot_calls.output import (
    Column,
    count_of,
    is_wide,
    print_json,
    print_table,
    say,
    to_utc_time,
)
from hubspot_calls.rooms import open_store_if_there, open_sync_log
from hubspot_calls.settings import Settings
from target_hubspot_calls.errors import Reason, Status
from target_hubspot_calls.sync_log.log import SyncLogError, drain

_SHORT_ID = 8
_UNITS_S = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_STATUS_STYLE = {"success": "green", "error": "red", "skipped": "yellow"}


class Moment(click.ParamType[datetime]):
    """A date, a date and time (UTC unless it says otherwise), or how long ago: 30m, 12h, 7d."""

    name = "time"

    def convert(
        self, value: str | datetime, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """The moment as an aware datetime in UTC; fails with what the forms are."""
        if isinstance(value, datetime):
            return value
        if value[-1:] in _UNITS_S and value[:-1].isdigit():
            try:
                return datetime.now(UTC) - timedelta(seconds=int(value[:-1]) * _UNITS_S[value[-1]])
            except OverflowError:
                self.fail(f"{value} is longer ago than there are dates", param, ctx)
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(
                f"{value!r} is no time; write 2026-11-22, 2026-11-22T09:30 or 12h", param, ctx
            )
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


@click.command()
@click.option("--status", type=click.Choice([status.value for status in Status]))
@click.option("--reason", type=click.Choice([reason.value for reason in Reason]), metavar="R")
@click.option("--since", type=Moment(), help="From then on: 2026-11-22, 2026-11-22T09:30, 12h, 7d.")
@click.option("--until", type=Moment(), help="Up to then, in the same forms.")
@click.option("--call-id", help="One call, by its whole id.")
@click.option("--user", "user_id", type=OwnerName(), metavar="U", help="Only this user's calls.")
@click.option(
    "--workspace",
    "workspace_id",
    type=OwnerName(),
    metavar="W",
    help="Only this workspace's calls.",
)
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, metavar="N")
@json_option
@with_settings
def history(
    settings: Settings,
    /,
    status: str | None,
    reason: str | None,
    since: datetime | None,
    until: datetime | None,
    call_id: str | None,
    user_id: str | None,
    workspace_id: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """Show outcomes from the sync log, newest first.

    \b
    Examples:
      hubspot-calls history --since 24h
      hubspot-calls history --status skipped --reason contact_not_found
      hubspot-calls history --call-id CALL_ID --json
    """
    waiting = _take_over_waiting_rows(settings)
    page = open_sync_log(settings).history(
        user_id=user_id,
        workspace_id=workspace_id,
        status=status,
        reason=reason,
        call_id=call_id,
        since=since,
        until=until,
        limit=limit,
    )
    if waiting:
        wait = "waits" if waiting == 1 else "wait"
        say(f"{count_of(waiting, 'newer outcome')} {wait} until the sync log can be written.")
    if not page.rows:
        asked = (status, reason, since, until, call_id, user_id, workspace_id)
        say(_nothing_found(settings, is_filtered=any(asked)))
    if as_json:
        print_json({"logs": page.rows, "total": page.total, "limit": limit})
        return
    if page.rows:
        print_history(page.rows)
    if page.total > len(page.rows):
        say(f"The newest {len(page.rows)} of {page.total}; --limit shows more.")


def _nothing_found(settings: Settings, *, is_filtered: bool) -> str:
    if not settings.data_dir.exists():
        return f"Nothing has been synced yet: there is no data directory at {settings.data_dir}."
    if is_filtered:
        return f"No outcome matches in {settings.data_dir}."
    return f"No outcome yet: no call has been synced so far in {settings.data_dir}."


def print_history(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print outcomes as a table; on a narrow terminal the sentence moves under the reason."""
    short = shorten_ids([row["call_id"] for row in rows if row["call_id"] is not None])
    wide = is_wide()
    columns = [
        Column("time (UTC)"),
        Column("call"),
        Column("number"),
        Column("contact"),
        Column("note"),
        Column("outcome", fold=True),
    ]
    if wide:
        columns[-1:] = [Column("status"), Column("reason"), Column("message", fold=True)]
    print_table(columns, [_to_cells(row, short, wide=wide) for row in rows])


def shorten_ids(call_ids: Sequence[str]) -> dict[str, str]:
    """Each id cut to 8 characters or more that none of the others has: its beginning or its end."""
    distinct = sorted(set(call_ids))
    begins = _shortest_apart(distinct, lambda call_id, length: call_id[:length])
    ends = _shortest_apart(distinct, lambda call_id, length: f"…{call_id[-length:]}")
    shorter = ends if sum(map(len, ends)) < sum(map(len, begins)) else begins
    return dict(zip(distinct, shorter, strict=True))


def _shortest_apart(ids: Sequence[str], cut: Callable[[str, int], str]) -> list[str]:
    longest = max(map(len, ids), default=0)
    for length in range(_SHORT_ID, longest):
        short = [cut(call_id, length) for call_id in ids]
        if len(set(short)) == len(ids):
            return short
    return list(ids)


def _to_cells(row: Mapping[str, Any], short: Mapping[str, str], *, wide: bool) -> list[object]:
    time = to_utc_time(row["created_at"])
    # A record that could not be used may have named no call.
    call_id = row["call_id"]
    cells: list[object] = [
        time if wide else time[5:16],
        call_id if wide else short.get(call_id),
        row["phone_number"],
        row["contact_id"],
        row["engagement_id"],
    ]
    status, reason, message = row["status"], row["reason"], row["error_message"]
    if wide:
        return [*cells, status, reason, message]
    return [*cells, "\n".join(filter(None, (f"{status} {reason}", message)))]


def _take_over_waiting_rows(settings: Settings) -> int:
    """Bring outcomes from the outbox into the sync log; how many it could not take just now."""
    with open_store_if_there(settings) as store:
        if store is None:
            return 0
        try:
            drain(store.outbox, open_sync_log(settings, wait_s=1.0))
        except SyncLogError:
            return store.outbox.count()
    return 0
