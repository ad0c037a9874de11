"""`hubspot-calls forget`: one caller's data deleted here, and told where else it lies.

Knows words and questions; what is deleted where, and in which order, is in `forgetting.py`.
"""

from __future__ import annotations

import sys
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from hubspot_calls.commands.options import OwnerName, json_option, with_settings
from hubspot_calls.moments import Moment
from hubspot_calls.output import count_of, print_json, say

if TYPE_CHECKING:
    from hubspot_calls.elsewhere import Elsewhere, Thing
    from hubspot_calls.forget_plan import Asked, Done, Places, Plan
    from hubspot_calls.settings import Settings

# In the order in which people look for it; the second is what one of them is called.
_PLACES = (
    ("ledger_rows", "call", "in the store"),
    ("outbox_rows", "row", "on its way to the sync log"),
    ("shared_history_rows", "row", "in the history in PostgreSQL"),
    ("sync_log_rows", "row", "in the sync log"),
    ("stream_entries", "entry", "in the call stream"),
    ("raw_reports", "raw report", "kept for support"),
    ("created_contacts", "contact", "noted as created by us"),
)
_MOST_LISTED = 20
_BACKUPS = (
    "Backups of these files, and copies of the sync log that people made, still have it: delete"
    " those, or let them expire."
)
_OTHER_HOSTS = (
    "Other hosts of this store have files of their own: run this on each that keeps a call stream,"
    " raw reports or a sync log. PostgreSQL keeps old versions of rows until it vacuums."
)


@click.command(short_help="Delete one caller's data everywhere here.")
@click.argument("number", required=False)
@click.option("--email", metavar="E", help="Also the calls that name this e-mail address.")
@click.option("--call-id", "call_ids", metavar="ID", multiple=True, help="Also this call.")
@click.option(
    "--older-than",
    "settled_before",
    type=Moment(),
    metavar="AGE",
    help="Instead of one caller's: all calls whose outcome is older, 90d or 2026-11-22.",
)
@click.option("--user", "user_id", type=OwnerName(), metavar="U", help="Only this user's calls.")
@click.option(
    "--workspace", "workspace_id", type=OwnerName(), metavar="W", help="Only this workspace's."
)
@click.option("--dry-run", is_flag=True, help="Only say what there is.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@json_option
@with_settings
def forget(settings: Settings, /, dry_run: bool, yes: bool, as_json: bool, **given: Any) -> int:
    """Delete what is stored here of one caller, and say what lies elsewhere.

    Takes their number, name, e-mail address, transcripts, summaries and links out of the call
    stream, the store, the sync log and raw reports. What stays says that there was a call and what
    came of it, to nobody, so that counts stay right and no report brings a call back. Notes, files
    and contacts in HubSpot, and calls at VAPI, are listed for you to delete there.

    Exit code 1: something could not be reached. It says what; the same command goes on from there.

    \b
    Examples:
      hubspot-calls forget +14155550123 --dry-run
      hubspot-calls forget "(415) 555-0123" --email iris@example.com
      hubspot-calls forget --call-id 01a1f97c-7301-7aa2-9c10-5f3a2b6d8e01 --yes
      hubspot-calls forget --older-than 90d --yes --json

    See also: history --number (which calls there are).
    """
    asked = _asked(settings, **given)
    if not (dry_run or yes or _is_somebody_there()):
        raise click.UsageError("nobody is there to be asked: add --yes, or --dry-run to look first")
    plan, done = _run(settings, asked, dry_run=dry_run, yes=yes, as_json=as_json)
    left = [] if done is None else done.left
    if as_json:
        print_json(_document(plan, done, dry_run=dry_run))
    for sentence in left:
        say(sentence)
    return 1 if left else 0


def _asked(
    settings: Settings,
    *,
    number: str | None,
    email: str | None,
    call_ids: tuple[str, ...],
    settled_before: datetime | None,
    user_id: str | None,
    workspace_id: str | None,
) -> Asked:
    """What is meant. Raises UsageError, which repeats no number."""
    from hubspot_calls.forget_plan import DEFAULT_REGION, Asked
    from target_hubspot_calls.errors import CallOutcomeError
    from target_hubspot_calls.phone import parse_number

    names_one = bool(number or (email or "").strip() or any(call_ids))
    if names_one == (settled_before is not None):
        raise click.UsageError("name a number, --email or --call-id; or --older-than alone")
    if not all(call_id.strip() for call_id in call_ids):
        raise click.UsageError("--call-id is blank")
    region = settings.default_region or DEFAULT_REGION
    try:
        parsed = parse_number(number, region) if number else None
    except CallOutcomeError:
        raise click.UsageError(
            f"NUMBER is no phone number; write it with its country code, or as in {region}"
        ) from None
    return Asked(
        number=parsed,
        email=(email or "").strip() or None,
        call_ids=call_ids,
        settled_before=settled_before,
        user_id=user_id,
        workspace_id=workspace_id,
        default_region=region,
    )


def _is_somebody_there() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _run(
    settings: Settings, asked: Asked, *, dry_run: bool, yes: bool, as_json: bool
) -> tuple[Plan | None, Done | None]:
    """What there was, and what was deleted of it; None for what never came to be."""
    from hubspot_calls.forgetting import Forgetter
    from hubspot_calls.rooms import is_empty, open_store

    if is_empty(settings):
        if not as_json:
            say("Nothing is stored here yet.")
        return None, None
    with open_store(settings) as store:
        forgetter = Forgetter(store)
        plan = forgetter.look(asked)
        if not as_json:
            _say_what_there_is(plan, asked)
        if dry_run or not plan.keys:
            return plan, None
        if not yes:
            click.confirm("Delete it? Nothing brings it back.", default=False, abort=True, err=True)
        done = forgetter.carry_out(plan)
        if not as_json:
            _say_what_was_done(done)
            if not settings.database_url.get_secret_value().startswith("sqlite"):
                say(_OTHER_HOSTS)
        return plan, done


def _say_what_there_is(plan: Plan, asked: Asked) -> None:
    if not plan.keys:
        say("Nothing of it is stored here.")
        return
    who = "of" if asked.settled_before is None else "that are old enough, of"
    workspaces = count_of(len({owner for owner, _ in plan.keys}), "workspace")
    click.echo(f"{count_of(len(plan.keys), 'call')} {who} {workspaces}:")
    _print_places(plan.there)
    if plan.unfinished:
        click.echo(f"  {count_of(plan.unfinished, 'call')} that an earlier run began with")
    _print_elsewhere(plan.elsewhere)


def _print_places(places: Places) -> None:
    for name, noun, where in _PLACES:
        count = getattr(places, name)
        if count:
            nouns = "entries" if noun == "entry" and count != 1 else noun
            told = f"{count:,} {nouns}" if nouns == "entries" else count_of(count, noun)
            click.echo(f"  {told} {where}")


def _print_elsewhere(elsewhere: Elsewhere) -> None:
    things = (*elsewhere.contacts, *elsewhere.engagements, *elsewhere.files)
    if things:
        click.echo("In HubSpot, to be deleted there by you:")
        _print_some([_in_words(thing) for thing in things])
    if elsewhere.unsure:
        click.echo("In HubSpot there may be a note that we do not know of; search it for:")
        _print_some([f"call {call_id}" for call_id in elsewhere.unsure])
    if elsewhere.vapi_call_ids:
        click.echo("At VAPI, to be deleted there by you (DELETE /call/ID, or its dashboard):")
        _print_some([f"call {call_id}" for call_id in elsewhere.vapi_call_ids])


def _print_some(lines: list[str]) -> None:
    for line in lines[:_MOST_LISTED]:
        click.echo(f"  {line}")
    if len(lines) > _MOST_LISTED:
        click.echo(f"  and {len(lines) - _MOST_LISTED:,} more: --json lists them all")


def _in_words(thing: Thing) -> str:
    portal = f" in portal {thing.portal_id}" if thing.portal_id is not None else ""
    of_call = f" of call {thing.call_id}" if thing.call_id else ""
    link = f"  {thing.link}" if thing.link else ""
    return f"{thing.kind} {thing.id}{of_call}{portal}{link}"


def _say_what_was_done(done: Done) -> None:
    click.echo("Deleted here:")
    _print_places(done.deleted)
    if not any(vars(done.deleted).values()):
        click.echo("  nothing that was still there")
    say(_BACKUPS)


def _document(plan: Plan | None, done: Done | None, *, dry_run: bool) -> dict[str, Any]:
    nothing: dict[str, Any] = {"hubspot": {}, "vapi": {"call_ids": []}}
    return {
        "dry_run": dry_run,
        "calls": len(plan.keys) if plan else 0,
        "found": vars(plan.there) if plan else {},
        "deleted": vars(done.deleted) if done else {},
        "left": done.left if done else [],
        "complete": not dry_run and not (done.left if done else []),
        **(plan.elsewhere.to_document() if plan else nothing),
    }
