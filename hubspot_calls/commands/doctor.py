"""`hubspot-calls doctor`: what works, what does not, and what to do about each.

Knows the order of the looks and how they are printed; what is looked at lives in `doctor/`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from hubspot_calls.commands.options import json_option
from hubspot_calls.doctor.findings import Finding, Verdict, problem
from hubspot_calls.output import count_of, print_json, stdout_console
from hubspot_calls.rooms import open_store_if_there
from target_hubspot_calls.errors import CallSyncError, SettingsError

if TYPE_CHECKING:
    from hubspot_calls.settings import Settings

_MARKS = {
    Verdict.OK: ("ok ", "green"),
    Verdict.ATTENTION: ("!  ", "yellow"),
    Verdict.PROBLEM: ("BAD", "bold red"),
}


@click.command(short_help="What works, what does not, and what to do about each.")
@click.option("--offline", is_flag=True, help="Look at this machine only; ask nobody else.")
@json_option
def doctor(offline: bool, as_json: bool) -> int:
    """Look at everything that calls need on their way, and say what to do.

    Run it after setting up, and first of all when calls do not arrive. Checks settings, data
    directory, store, encryption keys, call stream, sync log, webhooks, and asks HubSpot, VAPI and
    the receiver's public address. Changes nothing. Exit 1 if calls cannot arrive or cannot reach
    HubSpot; what merely should be known is no fault.

    \b
    Examples:
      hubspot-calls doctor
      hubspot-calls doctor --offline
      hubspot-calls doctor --json | jq '.findings[] | select(.advice != "")'

    See also: history (what became of single calls), webhooks list, connections list.
    """
    findings = []
    for finding in _look(offline=offline):
        findings.append(finding)
        if not as_json:
            _print(finding)
    problems = [each for each in findings if each.verdict is Verdict.PROBLEM]
    if as_json:
        print_json({"healthy": not problems, "findings": [vars(each) for each in findings]})
    else:
        known = sum(each.verdict is Verdict.ATTENTION for each in findings)
        said = count_of(len(problems), "problem") if problems else "No problem"
        click.echo(f"\n{said}, {count_of(known, 'thing')} to know of.")
    return 1 if problems else 0


def _look(*, offline: bool) -> Iterator[Finding]:
    from hubspot_calls.log_setup import set_up_logging
    from hubspot_calls.settings import load_settings, settings_from

    try:
        settings = load_settings()
    except SettingsError as err:
        set_up_logging(settings_from({"HUBSPOT_CALLS_LOG_LEVEL": "error"}))
        for fault in err.faults:
            yield problem("settings", f"{fault}.", "Mend it in the environment or in .env.")
        return
    # What it is told is in the findings; a warning between them would say the same less clearly.
    set_up_logging(settings.model_copy(update={"log_level": "error"}))
    yield from _look_with(settings, offline=offline)


def _look_with(settings: Settings, *, offline: bool) -> Iterator[Finding]:
    from hubspot_calls.doctor import here, jetstream, outside, workers

    yield from here.look_at_settings(settings)
    yield from here.look_at_data_dir(settings)
    with ExitStack() as opened:
        store = None
        try:
            store = opened.enter_context(open_store_if_there(settings))
        except CallSyncError as err:
            yield problem(
                "store",
                _sentence(err),
                "Until it opens, calls are taken but not delivered, and what is in it is not"
                " looked at here.",
            )
            is_open = False
        else:
            is_open = True
        opens = True
        if store is not None:
            yield from _guarded("store", here.look_at_store(store))
            for finding in _guarded("encryption keys", here.look_at_keys(store)):
                opens = opens and finding.verdict is not Verdict.PROBLEM
                yield finding
            yield from _guarded("webhooks", here.look_at_webhooks(store))
            yield from _guarded("workers", workers.look_at_workers(settings, store))
        yield from here.look_at_stream(settings)
        yield from jetstream.look_at_jetstream(settings)
        yield from _guarded("sync log", here.look_at_sync_log(settings, store))
        if not offline and is_open:
            looked = outside.look_at_hubspot(settings, store, opens=opens)
            yield from _guarded("HubSpot", looked)
    if not offline:
        yield from outside.look_at_vapi(settings)
        yield from outside.look_at_receiver(settings)


def _guarded(check: str, looked: Iterator[Finding]) -> Iterator[Finding]:
    """The findings; one more if the store fails while it is looked at."""
    try:
        yield from looked
    except CallSyncError as err:
        yield problem(check, _sentence(err), "The rest is looked at all the same.")


def _sentence(err: CallSyncError) -> str:
    return f"{str(err).rstrip('.')}."


def _print(finding: Finding) -> None:
    from rich.text import Text

    mark, style = _MARKS[finding.verdict]
    console = stdout_console()
    line = Text.assemble((mark, style), f"  {finding.check}: {finding.said}")
    console.print(line, soft_wrap=True)
    if finding.advice:
        console.print(Text(f"     {finding.advice}", style="dim"), soft_wrap=True)
