"""`hubspot-calls demo`: the whole line on this machine, without any account.

Knows its options; what happens lives in `hubspot_calls.demo`, how it is shown in `demo_show.py`.
"""

from __future__ import annotations

from pathlib import Path

import click

from hubspot_calls.commands.options import json_option


@click.command(short_help="See it work here, without any account.")
@click.option(
    "--calls",
    type=click.IntRange(1, 1_000_000),
    metavar="N",
    help="Post N calls in all: the samples first, then more like them.",
)
@click.option("--once", is_flag=True, help="End when every call has its outcome.")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    default=Path("hubspot-calls-demo"),
    show_default=True,
    help="Where the demo keeps its data; made anew each time.",
)
@click.option(
    "--sync-command",
    metavar="COMMAND",
    help="Sync by this command instead, e.g. 'meltano run tap-vapi target-hubspot-calls'; it finds"
    " the settings of tap and target in its environment.",
)
@json_option
def demo(
    calls: int | None, once: bool, data_dir: Path, sync_command: str | None, as_json: bool
) -> int:
    """See calls become HubSpot notes on this machine, without any account.

    Starts a pretend HubSpot portal with contacts and the receiver, posts VAPI reports over HTTP,
    syncs them through tap-vapi | target-hubspot-calls, and checks that each call became what it
    must. Settings and .env are not read. Without --once it stays up for calls of your own.

    \b
    Examples:
      hubspot-calls demo --once
      hubspot-calls demo
      hubspot-calls demo --once --calls 1000

    See also: simulator (the portal alone), history (it says how to read the demo's).
    """
    from hubspot_calls.commands.demo_show import show_demo

    return show_demo(calls, data_dir, once=once, sync_command=sync_command, as_json=as_json)
