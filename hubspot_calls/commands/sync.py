"""`hubspot-calls sync`: one pass from the call stream to HubSpot.

Knows the pipeline and how to show that it moves; it must not know how a call is delivered.
"""

from __future__ import annotations

import click

from hubspot_calls.commands.options import json_option, with_settings
from hubspot_calls.output import Column, print_json, print_table, say
from hubspot_calls.pipeline import run_once
from hubspot_calls.progress import RunCounts, shown_progress
from hubspot_calls.settings import Settings
from target_hubspot_calls.errors import Reason


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
        _print_counts(counts)
    if end.signum is not None:
        say("Stopped before the end; the next sync goes on from there.")
        return 128 + end.signum
    return 0


def _print_counts(counts: RunCounts) -> None:
    if counts.by_reason:
        print_table([Column("status"), Column("reason"), Column("calls")], counts.rows())
    else:
        say("Nothing new: every call has its outcome already.")
    if Reason.NOT_CONNECTED in counts.by_reason:
        say("Connect HubSpot: hubspot-calls connections add --service-key-stdin < key.txt")
    if counts.waiting:
        say(f"{counts.waiting} calls wait for their next try; hubspot-calls history says why.")
