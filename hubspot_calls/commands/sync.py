"""`hubspot-calls sync`: one pass from the call stream to HubSpot.

Knows the pipeline and how to show that it moves; it must not know how a call is delivered.
"""

from __future__ import annotations

import click

from hubspot_calls.commands.options import json_option, warn_of_strangers, with_settings
from hubspot_calls.output import Column, print_json, print_table, say
from hubspot_calls.pipeline import run_once
from hubspot_calls.progress import RunCounts, shown_progress
from hubspot_calls.settings import Settings
from hubspot_calls.waiting import WaitingCalls, load_waiting


@click.command(short_help="Send every stored call to HubSpot once.")
@json_option
@with_settings
def sync(settings: Settings, /, as_json: bool) -> int:
    """Send every stored call to HubSpot once, and say what became of them.

    The same as `tap-vapi | target-hubspot-calls`, with the place it stopped at kept in the data
    directory. While `hubspot-calls serve` runs there is no need for it.

    \b
    Examples:
      hubspot-calls sync
      hubspot-calls sync --json
    """
    warn_of_strangers()
    counts = RunCounts()
    with shown_progress(settings) as progress:
        end = run_once(settings, progress=progress, on_line=counts.hear)
    if as_json:
        print_json(
            {
                "outcomes": [
                    {"status": status, "reason": reason, "count": count}
                    for status, reason, count in counts.rows()
                ],
                "waiting": counts.waiting,
                "stopped": end.stopped,
            }
        )
    else:
        _print_counts(counts, load_waiting(settings), stopped=end.stopped)
    if end.signum is not None:
        say("Stopped before the end; the next sync goes on from there.")
        return 128 + end.signum
    return 0


def _print_counts(counts: RunCounts, waiting: WaitingCalls, *, stopped: bool) -> None:
    waits = waiting.in_words()
    if counts.by_reason:
        print_table([Column("status"), Column("reason"), Column("calls")], counts.rows())
        if waits:
            say(waits)
    elif waits:
        say(f"Nothing to send now: {waits}")
    elif not waiting.known:
        say("Nothing to send: no call has been received yet.")
    elif not stopped:
        say("Nothing new: every call has its outcome already.")
