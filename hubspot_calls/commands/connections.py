"""`hubspot-calls connections`: which HubSpot portal each workspace writes to.

Knows the store's connections and one question to HubSpot; a token never leaves it again.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from hubspot_calls.commands.options import json_option, owner_options, with_settings
from hubspot_calls.output import Column, print_json, print_table, say
from hubspot_calls.rooms import open_store, open_store_if_there

if TYPE_CHECKING:
    from hubspot_calls.settings import Settings
    from target_hubspot_calls.store.connections import Connection

_LONGEST_KEY = 1000


@click.group(short_help="HubSpot portals, one for each user and workspace.")
def connections() -> None:
    """HubSpot portals, one for each user and workspace.

    Calls of a workspace go to its portal; calls of one without wait until it is connected. People
    can also connect by themselves, on the receiver's page, where an OAuth app is set up.

    \b
    Examples:
      hubspot-calls connections add --workspace acme --service-key-stdin < key.txt
      hubspot-calls connections list
      hubspot-calls connections remove --workspace acme

    See also: doctor (asks HubSpot whether each connection works), webhooks (the other end).
    """


@connections.command(short_help="Connect a portal with a service key.")
@owner_options
@click.option(
    "--service-key-stdin",
    is_flag=True,
    required=True,
    help="Read the portal's service key from stdin, never from the command line.",
)
@click.option("--no-check", is_flag=True, help="Store the key without asking HubSpot first.")
@json_option
@with_settings
def add(
    settings: Settings,
    /,
    user_id: str,
    workspace_id: str,
    service_key_stdin: bool,
    no_check: bool,
    as_json: bool,
) -> None:
    """Connect a portal with a service key; one that was there before is replaced.

    Make the key in HubSpot under Development > Keys > Service keys, with the scopes
    crm.objects.contacts.read, crm.objects.contacts.write and files.

    \b
    Examples:
      hubspot-calls connections add --service-key-stdin < key.txt
      hubspot-calls connections add --service-key-stdin      (it asks for the key)
      pass show hubspot/acme \\
        | hubspot-calls connections add --workspace acme --service-key-stdin

    See also: connections list, doctor (checks it again later).
    """
    from hubspot_calls.portal import fetch_portal_id

    key = _read_key()
    portal_id = None if no_check else fetch_portal_id(settings, key)
    with open_store(settings) as store:
        connection = store.connections.add_service_key(user_id, workspace_id, key)
        if portal_id is not None:
            store.connections.set_portal(connection.id, portal_id)
            connection = store.connections.get(user_id, workspace_id) or connection
    if as_json:
        print_json(_to_document(connection))
        return
    where = f"portal {portal_id}" if portal_id is not None else "a portal (not checked)"
    say(f"User {user_id}, workspace {workspace_id} is connected to {where}.")


@connections.command("list", short_help="Show each connection and how it stands.")
@json_option
@with_settings
def list_(settings: Settings, /, as_json: bool) -> None:
    """Show each connection, its portal, state, scopes and expiry; never a token.

    \b
    Examples:
      hubspot-calls connections list
      hubspot-calls connections list --json | jq '.[] | .state'

    See also: connections add, doctor (asks HubSpot whether they work).
    """
    with open_store_if_there(settings) as store:
        found = store.connections.list() if store and store.has_connections else ()
    if not found:
        say(
            f"No connection yet in {settings.data_dir}. Add one with:"
            " hubspot-calls connections add --service-key-stdin < key.txt"
        )
    if as_json:
        print_json([_to_document(connection) for connection in found])
        return
    if not found:
        return
    print_table(
        [
            Column("user"),
            Column("workspace"),
            Column("portal"),
            Column("kind"),
            Column("state", fold=True),
            Column("token expires (UTC)", fold=True),
            Column("scopes", fold=True),
        ],
        [
            (
                connection.user_id,
                connection.workspace_id,
                connection.portal_id,
                connection.kind.replace("_", " "),
                _state_words(connection),
                connection.expires_at or "never",
                " ".join(connection.scopes) or "as the key has",
            )
            for connection in found
        ],
        stacks=True,
    )


@connections.command(short_help="Forget a connection and its tokens.")
@owner_options
@json_option
@with_settings
def remove(settings: Settings, /, user_id: str, workspace_id: str, as_json: bool) -> None:
    """Forget a connection and its tokens; calls wait until the workspace connects again.

    To write to another portal there is no need of this: `connections add` replaces it.

    \b
    Examples:
      hubspot-calls connections remove
      hubspot-calls connections remove --user ana --workspace acme

    See also: connections list, connections add.
    """
    with open_store(settings) as store:
        removed = store.connections.remove(user_id, workspace_id)
    if not removed:
        raise click.ClickException(
            f"user {user_id}, workspace {workspace_id} has no connection;"
            " see hubspot-calls connections list"
        )
    if as_json:
        print_json({"user_id": user_id, "workspace_id": workspace_id, "removed": True})
        return
    say(f"The connection of user {user_id}, workspace {workspace_id} is removed.")


def _read_key() -> str:
    """The service key from stdin; on a terminal it is asked for without showing it."""
    if sys.stdin.isatty():
        text = str(click.prompt("Service key", hide_input=True, err=True))
    else:
        text = sys.stdin.read(_LONGEST_KEY + 1)
    key = text.strip()
    if not key:
        raise click.ClickException("stdin holds no service key; give it as in `... < key.txt`")
    if len(key) > _LONGEST_KEY or not key.isascii() or any(c.isspace() for c in key):
        raise click.ClickException(
            "stdin holds something other than one service key; give the key alone, on one line"
        )
    return key


def _state_words(connection: Connection) -> str:
    state = connection.state.replace("_", " ")
    return f"{state}: {connection.state_detail}" if connection.state_detail else state


def _to_document(connection: Connection) -> dict[str, object]:
    return {
        "id": connection.id,
        "user_id": connection.user_id,
        "workspace_id": connection.workspace_id,
        "kind": connection.kind,
        "portal_id": connection.portal_id,
        "scopes": connection.scopes,
        "expires_at": connection.expires_at,
        "state": connection.state,
        "state_detail": connection.state_detail,
        "blocked_until": connection.blocked_until,
        "created_at": connection.created_at,
        "updated_at": connection.updated_at,
    }
