"""`hubspot-calls retry`: puts calls that stand at error or skipped back in line.

Knows the store's door for that; it must not know how a call is delivered.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from hubspot_calls.commands.options import (
    call_filter_options,
    check_times,
    json_option,
    with_settings,
)
from hubspot_calls.output import Column, count_of, print_json, print_table, say
from target_hubspot_calls.errors import Reason, Status

if TYPE_CHECKING:
    from hubspot_calls.rooms import Store
    from hubspot_calls.settings import Settings
    from target_hubspot_calls.store.retries import CallKey, Retried, RetryFilter, UndoneGroup

_UNDONE = (Status.ERROR.value, Status.SKIPPED.value)
_WRITTEN_REASONS = {Reason.CREATED, Reason.UPDATED, Reason.UNCHANGED}
_REASONS = tuple(reason.value for reason in Reason if reason not in _WRITTEN_REASONS)
_LISTED = ", ".join(_REASONS)
_LONGEST_WAIT_S = 86_400


@click.command(
    short_help="Try calls again that were skipped or failed.", epilog=f"Reasons: {_LISTED}."
)
@call_filter_options(_UNDONE, _REASONS)
@click.option("--all", "take_all", is_flag=True, help="All that are skipped or failed.")
@click.option("--dry-run", is_flag=True, help="Only say how many calls it would be, and why.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option(
    "--wait",
    "wait_s",
    type=click.IntRange(1, _LONGEST_WAIT_S),
    is_flag=False,
    flag_value=300,
    metavar="SECONDS",
    help="Say what becomes of them as it happens, for so long at most; 300 if no number is given.",
)
@json_option
@with_settings
def retry(
    settings: Settings,
    /,
    take_all: bool,
    dry_run: bool,
    yes: bool,
    wait_s: int | None,
    as_json: bool,
    **given: Any,
) -> int:
    """Put calls that were skipped or failed back in line, due now.

    Without a filter, all of them. On a terminal it says first how many calls that is, by workspace
    and reason, and asks. Calls that are in HubSpot are left alone, and asking twice changes
    nothing. `hubspot-calls serve` takes them within seconds, `hubspot-calls sync` at its next run.

    \b
    Examples:
      hubspot-calls retry --reason contact_not_found     (they are in HubSpot now)
      hubspot-calls retry --number 0123 --wait
      hubspot-calls retry --call-id 01a1f97c-7313
      hubspot-calls retry --status error --since yesterday --dry-run
      hubspot-calls retry --all --yes

    See also: history (what became of them), doctor (why calls wait).
    """
    check_times(given["since"], given["until"])
    _check_together(take_all=take_all, dry_run=dry_run, wait_s=wait_s, given=given)
    from hubspot_calls.rooms import open_store_if_there

    now = datetime.now(UTC)
    with open_store_if_there(settings) as store:
        wanted = _filter_of(settings, store, given)
        groups = store.retries.groups(wanted, now=now) if store is not None else []
        ready = sum(group.queued for group in groups)
        if not as_json and (dry_run or _is_asked(yes, groups)):
            _print_groups(groups)
        is_asked = not dry_run and not as_json and ready > 1 and _is_asked(yes, groups)
        if is_asked and not click.confirm(f"Put {count_of(ready, 'call')} back in line?", err=True):
            say("Nothing was changed.")
            return 1
        counts, keys = _put_back(store, wanted, groups, now, dry_run=dry_run, keep=bool(wait_s))
        told: dict[str, Any] = {**vars(counts), "dry_run": dry_run}
        if not as_json:
            one_call = given["call_id"] is not None
            say(_in_words(counts, one_call=one_call, dry_run=dry_run, waits=bool(wait_s)))
        if wait_s and store is not None:
            told |= _wait_for(store, keys, now, wait_s, as_json=as_json)
    if as_json:
        print_json(told | {"groups": [_to_document(group) for group in groups]})
    return 0


def _check_together(
    *, take_all: bool, dry_run: bool, wait_s: int | None, given: dict[str, Any]
) -> None:
    filters = [name for name, value in given.items() if value is not None]
    if take_all and set(filters) - {"user_id", "workspace_id"}:
        raise click.UsageError("--all takes no filter but --user and --workspace")
    if dry_run and wait_s:
        raise click.UsageError("--dry-run and --wait exclude each other")


def _is_asked(yes: bool, groups: Sequence[UndoneGroup]) -> bool:
    """True where somebody sits in front of it; a script never waits for an answer."""
    return bool(groups) and not yes and sys.stdin.isatty() and sys.stderr.isatty()


def _filter_of(settings: Settings, store: Store | None, given: dict[str, Any]) -> RetryFilter:
    from hubspot_calls.call_ids import find_call_id
    from hubspot_calls.rooms import open_sync_log
    from receiver.retries import to_retry_filter
    from target_hubspot_calls.sync_log.filters import HistoryFilter
    from target_hubspot_calls.sync_log.log import SyncLogError

    chosen = {name: value for name, value in given.items() if name != "number"}
    if chosen["call_id"]:
        owner = {name: chosen[name] for name in ("user_id", "workspace_id")}
        # The history only helps to find a call by a part of its id.
        with contextlib.suppress(SyncLogError):
            log = open_sync_log(settings, store=store)
            chosen["call_id"] = find_call_id(log, chosen["call_id"], owner)
    return to_retry_filter(HistoryFilter(**chosen, phone_number=given["number"]))


def _put_back(
    store: Store | None,
    wanted: RetryFilter,
    groups: Sequence[UndoneGroup],
    now: datetime,
    *,
    dry_run: bool,
    keep: bool,
) -> tuple[Retried, list[CallKey]]:
    """What it came to, and which calls were put in line, where somebody wants to know."""
    from target_hubspot_calls.store.retries import total_of

    counted = total_of(groups)
    if store is None or dry_run or not counted.queued:
        return counted, []
    keys: list[CallKey] = []

    def tell(piece: Sequence[CallKey]) -> None:
        if keep:
            keys.extend(piece)

    return store.retries.put_back(wanted, now=now, tell=tell), keys


def _wait_for(
    store: Store, keys: list[CallKey], since: datetime, wait_s: int, *, as_json: bool
) -> dict[str, Any]:
    from hubspot_calls.commands.retry_wait import wait_for_outcomes

    seen = wait_for_outcomes(store.retries, keys, since=since, wait_s=wait_s, quiet=as_json)
    return {
        "outcomes": [
            {"status": status, "reason": reason, "count": count}
            for (status, reason), count in seen.counts.most_common()
        ],
        "still_waiting": seen.still_waiting,
    }


def _print_groups(groups: Sequence[UndoneGroup]) -> None:
    if not groups:
        return
    columns = [Column(title) for title in ("user", "workspace", "status", "reason")]
    counts = [Column(title, justify="right") for title in ("to retry", "in line already")]
    print_table(
        [*columns, *counts],
        [
            (
                group.workspace.user_id,
                group.workspace.workspace_id,
                group.status,
                group.reason,
                f"{group.queued:,}",
                f"{group.in_line:,}",
            )
            for group in groups
        ],
    )


def _to_document(group: UndoneGroup) -> dict[str, Any]:
    return {
        "user_id": group.workspace.user_id,
        "workspace_id": group.workspace.workspace_id,
        "status": group.status,
        "reason": group.reason,
        "queued": group.queued,
        "in_line": group.in_line,
    }


def _in_words(counts: Retried, *, one_call: bool, dry_run: bool, waits: bool) -> str:
    if not counts.matched:
        if one_call:
            return (
                "Nothing to retry: no call of this id stands at error or skipped"
                " (hubspot-calls history --call-id ID says how it stands)."
            )
        return "Nothing to retry: no call that matches stands at error or skipped."
    in_line = f"{count_of(counts.in_line, 'call')} in line already" if counts.in_line else ""
    if not counts.queued:
        return f"Nothing to do: {in_line}."
    verb = "would be put back in line" if dry_run else "put back in line"
    more = f", {in_line}" if in_line else ""
    advice = " `serve` takes them within seconds, or run `hubspot-calls sync`."
    return f"{count_of(counts.queued, 'call')} {verb}{more}.{'' if dry_run or waits else advice}"
