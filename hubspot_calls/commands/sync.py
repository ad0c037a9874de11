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
@click.option(
    "--from-start",
    is_flag=True,
    help="Read all that is kept again; no call gets a second note.",
)
@json_option
@with_settings
def sync(settings: Settings, /, from_start: bool, as_json: bool) -> int:
    """Send every stored call to HubSpot once, and say what became of them.

    The same as `tap-vapi | target-hubspot-calls`, with the place it stopped at kept in the data
    directory, or in the store where several hosts share the stream. While `hubspot-calls serve` or
    `work` runs there is no need for it. Where another host reads the shared stream, it waits until
    that one has taken over all that is stored, and then tries here too what is due.

    \b
    Examples:
      hubspot-calls sync
      hubspot-calls sync --json

    See also: history (what became of each call), retry, serve.
    """
    warn_of_strangers()
    counts = RunCounts()
    with shown_progress(settings) as progress:
        end = run_once(settings, from_start=from_start, progress=progress, on_line=counts.hear)
    if end.read_elsewhere is not None:
        say(f"The stream is read by {end.read_elsewhere}; only what was due was sent from here.")
    if as_json:
        print_json(
            {
                "outcomes": [
                    {"status": status, "reason": reason, "count": count}
                    for status, reason, count in counts.rows()
                ],
                "waiting": counts.waiting,
                "stopped": end.stopped,
                "read_elsewhere": end.read_elsewhere,
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
