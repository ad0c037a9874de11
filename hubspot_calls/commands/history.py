"""`hubspot-calls history`: what became of the calls.

Knows the sync log and the outbox that feeds it; how rows are shown lives beside it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from hubspot_calls.commands.options import (
    REASONS,
    call_filter_options,
    check_times,
    json_option,
    with_settings,
)
from hubspot_calls.output import count_of, print_json, say
from hubspot_calls.signals import ended_by_ctrl_c

if TYPE_CHECKING:
    from hubspot_calls.rooms import Store
    from hubspot_calls.settings import Settings
    from target_hubspot_calls.sync_log.log import HistoryFilter, HistoryReader

_FIRST_ROWS = 50
_FOLLOWED_ROWS = 10
_MOST_ROWS = 10_000
_OWNER = ("user_id", "workspace_id")


@click.command(
    short_help="What became of the calls, newest first.", epilog=f"Reasons: {', '.join(REASONS)}."
)
@call_filter_options()
@click.option(
    "--limit",
    type=click.IntRange(1, _MOST_ROWS),
    metavar="N",
    help=f"So many rows; {_FIRST_ROWS} by default, with --csv all.",
)
@click.option("--follow", "-f", is_flag=True, help="Go on with new outcomes until Ctrl-C.")
@click.option(
    "--csv",
    "as_csv",
    is_flag=True,
    help="Print CSV for a spreadsheet: ' stands before what it would take for a formula, so before"
    " every number (+1...).",
)
@json_option
@with_settings
def history(
    settings: Settings,
    /,
    limit: int | None,
    follow: bool,
    as_csv: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Show what became of the calls, newest first: one row for every try.

    Times are this machine's on a terminal, and UTC in a pipe. With --call-id alone it tells that
    call's whole story: when it came, how its contact was found, every try, and what comes next.

    \b
    Examples:
      hubspot-calls history --since 24h
      hubspot-calls history --status skipped --reason contact_not_found
      hubspot-calls history --number 0123 --since yesterday
      hubspot-calls history --call-id 01a1f97c-7301
      hubspot-calls history --follow --status error
      hubspot-calls history --since 30d --csv > calls.csv
      hubspot-calls history --json | jq '.logs[].reason'

    See also: retry (try calls again), doctor (why nothing arrives).
    """
    check_times(given["since"], given["until"])
    _check_together(follow=follow, as_csv=as_csv, as_json=as_json)
    with ended_by_ctrl_c():
        import target_hubspot_calls.sync_log.log  # noqa: F401 - loaded here, asked later
        from hubspot_calls.rooms import open_store_if_there, open_sync_log

    with open_store_if_there(settings) as store:
        log = open_sync_log(settings, store=store)
        waiting = _take_over_waiting_rows(settings, store)
        wanted = _filter_of(log, given)
        if as_csv:
            _print_csv(log, wanted, limit)
        elif follow:
            _follow(settings, store, log, wanted, limit or _FOLLOWED_ROWS)
        elif not as_json and wanted.call_id and _is_story(given):
            _tell_story(settings, store, log, wanted)
        else:
            _show(settings, log, wanted, limit or _FIRST_ROWS, as_json=as_json)
    if waiting:
        wait = "waits" if waiting == 1 else "wait"
        say(f"{count_of(waiting, 'newer outcome')} {wait} until the sync log can be written.")


def _check_together(*, follow: bool, as_csv: bool, as_json: bool) -> None:
    chosen = [name for name, is_set in (("--csv", as_csv), ("--json", as_json)) if is_set]
    if follow:
        chosen.insert(0, "--follow")
    if len(chosen) > 1:
        raise click.UsageError(f"{' and '.join(chosen)} exclude each other")


def _filter_of(log: HistoryReader, given: dict[str, Any]) -> HistoryFilter:
    from hubspot_calls.call_ids import find_call_id
    from target_hubspot_calls.sync_log.filters import HistoryFilter

    chosen = {name: value for name, value in given.items() if name != "number"}
    if chosen["call_id"]:
        owner = {name: chosen[name] for name in _OWNER}
        chosen["call_id"] = find_call_id(log, chosen["call_id"], owner)
    return HistoryFilter(**chosen, phone_number=given["number"])


def _is_story(given: dict[str, Any]) -> bool:
    """True if nothing but the call is asked for."""
    return not any(value for name, value in given.items() if name not in ("call_id", *_OWNER))


def _show(
    settings: Settings, log: HistoryReader, wanted: HistoryFilter, limit: int, *, as_json: bool
) -> None:
    from hubspot_calls.commands.history_table import print_history, say_totals

    view = log.view(wanted, limit=limit)
    page = view.page
    if not page.rows:
        say(_nothing_found(settings, is_filtered=any(vars(wanted).values())))
    if as_json:
        print_json(
            {
                "logs": page.rows,
                "total": page.total,
                "limit": limit,
                "by_status": dict(view.by_status),
            }
        )
        return
    if page.rows:
        print_history(page.rows, now=datetime.now(UTC))
        say_totals(view, wanted.status)


def _print_csv(log: HistoryReader, wanted: HistoryFilter, limit: int | None) -> None:
    from receiver.csv_export import csv_head, csv_lines

    # In pieces, as it may be all there is; later ones do not see what is written meanwhile.
    left = limit
    click.echo(csv_head(), nl=False)
    as_of, last = None, None
    while left is None or left > 0:
        size = _MOST_ROWS if left is None else min(left, _MOST_ROWS)
        piece = log.rows_behind(wanted, as_of=as_of, last=last, limit=size)
        click.echo(csv_lines(piece.rows), nl=False)
        if len(piece.rows) < size:
            return
        as_of, last = piece.as_of, piece.rows[-1]
        left = None if left is None else left - size


def _follow(
    settings: Settings, store: Store | None, log: HistoryReader, wanted: HistoryFilter, limit: int
) -> None:
    from hubspot_calls.commands.history_follow import follow_history

    follow_history(
        log,
        wanted,
        limit=limit,
        take_over=lambda: _take_over_waiting_rows(settings, store),
    )


def _tell_story(
    settings: Settings, store: Store | None, log: HistoryReader, wanted: HistoryFilter
) -> None:
    from hubspot_calls.commands.history_story import tell_stories

    if not tell_stories(store, log, wanted, now=datetime.now(UTC)):
        where = "no data directory" if not settings.data_dir.exists() else "nothing of such a call"
        raise click.ClickException(
            f"there is {where} in {settings.data_dir} ({wanted.call_id}); `hubspot-calls history`"
            " shows the ids of the newest, and a call that VAPI has just reported comes with the"
            " next sync"
        )


def _nothing_found(settings: Settings, *, is_filtered: bool) -> str:
    if not settings.data_dir.exists():
        return f"Nothing has been synced yet: there is no data directory at {settings.data_dir}."
    if is_filtered:
        return f"No outcome matches in {settings.data_dir}."
    return f"No outcome yet: no call has been synced so far in {settings.data_dir}."


def _take_over_waiting_rows(settings: Settings, store: Store | None) -> int:
    """Bring outcomes from the outbox into the sync log; how many it could not take just now.

    Several hosts read their history where it was written, and one of them fills the file.
    """
    from hubspot_calls.rooms import open_sync_log_file
    from target_hubspot_calls.store.database import is_shared
    from target_hubspot_calls.sync_log.log import SyncLogError, drain

    if store is None or is_shared(store.engine):
        return 0
    try:
        drain(store.outbox, open_sync_log_file(settings, wait_s=1.0))
    except SyncLogError:
        return store.outbox.count()
    return 0
