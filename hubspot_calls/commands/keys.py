"""`hubspot-calls keys`: access keys for what the receiver shows of a workspace.

Knows the store's access keys; it must not know what they open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hubspot_calls.commands.ids import whole_id
from hubspot_calls.commands.options import json_option, owner_options, with_settings
from hubspot_calls.output import Column, print_json, print_table, say
from hubspot_calls.rooms import open_store, open_store_if_there

if TYPE_CHECKING:
    from hubspot_calls.settings import Settings


@click.group(short_help="Access keys to a workspace's pages, API and recordings.")
def keys() -> None:
    """Access keys: who may see and steer which workspace through the receiver.

    With a key people sign in to the pages, at the public URL, and programs call the API. It opens
    all of its workspace: history, retries, connecting and disconnecting HubSpot, the links to
    recordings that notes carry, and on the pages the webhooks. Give it to nobody who should only
    look. Programs show it as Authorization: Bearer; a browser that asks for a password at a
    recording takes it too.

    \b
    Examples:
      hubspot-calls keys create --user ana --workspace acme
      hubspot-calls keys list
      hubspot-calls keys revoke KEY_ID

    See also: serve (where they are used), webhooks (VAPI's way in, which takes no such key).
    """


@keys.command(short_help="Make an access key; it is shown this once.")
@owner_options
@json_option
@with_settings
def create(settings: Settings, /, user_id: str, workspace_id: str, as_json: bool) -> None:
    """Make an access key, to sign in to the pages with; it is shown this once.

    \b
    Examples:
      hubspot-calls keys create
      hubspot-calls keys create --user ana --workspace acme
      curl -H "Authorization: Bearer $KEY" \\
        http://127.0.0.1:8000/api/hubspot/status

    See also: keys list, keys revoke.
    """
    with open_store(settings) as store:
        access_key, text = store.keys.create(user_id, workspace_id)
    if as_json:
        print_json({"key_id": access_key.id, "key": text})
        return
    click.echo(f"key id  {access_key.id}")
    click.echo(f"key     {text}")
    say(
        f"People sign in with it at {settings.public_url}, programs show it as bearer token. It"
        " opens this workspace: history, retries, the connection to HubSpot and recordings."
    )
    say("The key is not shown again: only its digest is kept.")


@keys.command("list", short_help="Show the access keys by id and last four characters.")
@json_option
@with_settings
def list_(settings: Settings, /, as_json: bool) -> None:
    """Show the access keys by id and last four characters; the keys themselves are not kept.

    \b
    Examples:
      hubspot-calls keys list
      hubspot-calls keys list --json | jq '.[] | select(.revoked_at == null)'

    See also: keys create, keys revoke.
    """
    with open_store_if_there(settings) as store:
        found = store.keys.list() if store else ()
    if not found:
        say(f"No access key yet in {settings.data_dir}. Make one with: hubspot-calls keys create")
    if as_json:
        print_json(
            [
                {
                    "key_id": key.id,
                    "user_id": key.user_id,
                    "workspace_id": key.workspace_id,
                    "hint": key.hint,
                    "created_at": key.created_at,
                    "revoked_at": key.revoked_at,
                }
                for key in found
            ]
        )
        return
    if not found:
        return
    print_table(
        [
            Column("key id"),
            Column("user"),
            Column("workspace"),
            Column("ends in"),
            Column("state"),
            Column("made (UTC)"),
        ],
        [
            (
                key.id,
                key.user_id,
                key.workspace_id,
                key.hint,
                "revoked" if key.revoked_at else "active",
                key.created_at,
            )
            for key in found
        ],
        stacks=True,
    )


@keys.command(short_help="Make an access key worthless, at once and for good.")
@click.argument("key_id")
@json_option
@with_settings
def revoke(settings: Settings, /, key_id: str, as_json: bool) -> None:
    """Make an access key worthless, at once and for good; who is signed in with it is out, too.

    The beginning of an id will do, where no other begins so.

    \b
    Examples:
      hubspot-calls keys list                     (says its id)
      hubspot-calls keys revoke KEY_ID

    See also: keys create (for another one).
    """
    with open_store(settings) as store:
        key_id = whole_id(key_id, [key.id for key in store.keys.list()])
        store.keys.revoke(key_id)
    if as_json:
        print_json({"key_id": key_id, "revoked": True})
        return
    say(f"Key {key_id} is revoked.")
