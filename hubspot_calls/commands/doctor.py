"""`hubspot-calls doctor`: what works, what does not, and what to do about each.

Knows the order of the looks and how they are printed; what is looked at lives in `doctor/`.
"""

from __future__ import annotations

from collections.abc import Iterator

import click
from rich.text import Text

from hubspot_calls.commands.options import json_option
from hubspot_calls.doctor.findings import Finding, Verdict, problem
from hubspot_calls.log_setup import set_up_logging
from hubspot_calls.output import count_of, print_json, stdout_console
from hubspot_calls.rooms import open_store_if_there
from hubspot_calls.settings import Settings, load_settings, settings_from
from target_hubspot_calls.errors import CallSyncError, SettingsError

_MARKS = {
    Verdict.OK: ("ok ", "green"),
    Verdict.ATTENTION: ("!  ", "yellow"),
    Verdict.PROBLEM: ("BAD", "bold red"),
}


@click.command()
@click.option("--offline", is_flag=True, help="Look at this machine only; ask nobody else.")
@json_option
def doctor(offline: bool, as_json: bool) -> int:
    """Look at everything that calls need on their way, and say what to do.

    Checks settings, data directory, store, encryption keys, call stream, sync log, webhooks, and
    asks HubSpot, VAPI and the receiver's public address. Changes nothing. Exit 1 if calls cannot
    arrive or cannot reach HubSpot.

    \b
    Examples:
      hubspot-calls doctor
      hubspot-calls doctor --offline --json
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
    try:
        settings = load_settings()
    except SettingsError as err:
        set_up_logging(settings_from({"HUBSPOT_CALLS_LOG_LEVEL": "error"}))
        for fault in err.faults:
            yield problem("settings", f"{fault}.", "Mend it in the environment or in .env.")
        return
    set_up_logging(settings)
    yield from _look_with(settings, offline=offline)


def _look_with(settings: Settings, *, offline: bool) -> Iterator[Finding]:
    from hubspot_calls.doctor import here, outside

    yield from here.look_at_settings(settings)
    yield from here.look_at_data_dir(settings)
    try:
        with open_store_if_there(settings) as store:
            if store is not None:
                yield from here.look_at_store(store)
                yield from here.look_at_keys(store)
                yield from here.look_at_webhooks(store)
            yield from here.look_at_stream(settings)
            yield from here.look_at_sync_log(settings, store)
            if not offline:
                yield from outside.look_at_hubspot(settings, store)
    except CallSyncError as err:
        yield problem("store", str(err), "The others that need the store were not looked at.")
    if not offline:
        yield from outside.look_at_vapi(settings)
        yield from outside.look_at_receiver(settings)


def _print(finding: Finding) -> None:
    mark, style = _MARKS[finding.verdict]
    console = stdout_console()
    line = Text.assemble((mark, style), f"  {finding.check}: {finding.said}")
    console.print(line, soft_wrap=True)
    if finding.advice:
        console.print(Text(f"     {finding.advice}", style="dim"), soft_wrap=True)
