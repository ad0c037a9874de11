"""`hubspot-calls retry`: puts calls that stand at error or skipped back in line.

Knows the store's door for that; it must not know how a call is delivered.
"""

from __future__ import annotations

from datetime import UTC, datetime

import click

from hubspot_calls.commands.options import OwnerName, json_option, with_settings
from hubspot_calls.output import count_of, print_json, say
from hubspot_calls.rooms import open_store_if_there
from hubspot_calls.settings import Settings
from target_hubspot_calls.errors import Reason, Status
from target_hubspot_calls.store.retries import Retried, RetryFilter

_UNDONE = [Status.ERROR.value, Status.SKIPPED.value]
_WRITTEN_REASONS = {Reason.CREATED, Reason.UPDATED, Reason.UNCHANGED}
_REASONS = [reason.value for reason in Reason if reason not in _WRITTEN_REASONS]


@click.command(short_help="Try calls again that were skipped or failed.")
@click.option("--call-id", help="One call, by its whole id.")
@click.option("--status", type=click.Choice(_UNDONE), help="Only calls that stand at this.")
@click.option("--reason", type=click.Choice(_REASONS), metavar="R", help="Only for this reason.")
@click.option("--user", "user_id", type=OwnerName(), metavar="U", help="Only this user's calls.")
@click.option(
    "--workspace",
    "workspace_id",
    type=OwnerName(),
    metavar="W",
    help="Only this workspace's calls.",
)
@click.option("--dry-run", is_flag=True, help="Only say how many calls it would be.")
@json_option
@with_settings
def retry(
    settings: Settings,
    /,
    call_id: str | None,
    status: str | None,
    reason: str | None,
    user_id: str | None,
    workspace_id: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Put calls that were skipped or failed back in line, due now.

    Without options, all of them. Calls that are in HubSpot are left alone, and asking twice changes
    nothing. `hubspot-calls serve` takes them within seconds, `hubspot-calls sync` at its next run.

    \b
    Examples:
      hubspot-calls retry --reason contact_not_found
      hubspot-calls retry --call-id 01a1f97c-7301-7aa2-9c10-5f3a2b6d8e01
      hubspot-calls retry --status error --dry-run
    """
    wanted = RetryFilter(user_id, workspace_id, call_id, status, reason)
    with open_store_if_there(settings) as store:
        counts = Retried(0, 0, 0)
        if store is not None:
            ask = store.retries.count if dry_run else store.retries.put_back
            counts = ask(wanted, now=datetime.now(UTC))
    if as_json:
        print_json({**vars(counts), "dry_run": dry_run})
        return
    say(_in_words(counts, one_call=call_id is not None, dry_run=dry_run))


def _in_words(counts: Retried, *, one_call: bool, dry_run: bool) -> str:
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
    advice = "" if dry_run else " `serve` takes them within seconds, or run `hubspot-calls sync`."
    return f"{count_of(counts.queued, 'call')} {verb}{more}.{advice}"
