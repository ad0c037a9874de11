"""Asks HubSpot, VAPI and the receiver itself whether they can be reached and let us in.

Reads only; a token that is about to end may be renewed, as `serve` would. Prints no secret.
"""

from __future__ import annotations

import asyncio
import json
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx

from call_stream.stream import directory_of
from call_stream.writer_lock import is_written
from hubspot_calls.doctor.findings import Finding, attention, good, problem
from hubspot_calls.front import oauth_app
from hubspot_calls.rooms import Store
from hubspot_calls.settings import Settings
from receiver.consent import missing_scopes
from tap_vapi.vapi import Vapi, VapiError, VapiUnreachable
from target_hubspot_calls.errors import CallSyncError, MissingScope, ReconnectRequired
from target_hubspot_calls.hubspot.auth import PortalAuth, StaticTokens, TokenStore
from target_hubspot_calls.hubspot.client import open_client
from target_hubspot_calls.hubspot.engagements import CALL_ID_PROPERTY, EngagementKind
from target_hubspot_calls.hubspot.retry import RetryPolicy
from target_hubspot_calls.store.connections import Connection, ConnectionKind, ConnectionState

_PATIENCE = RetryPolicy(tries=2, total_wait_s=5.0)
_ANSWER_S = 5.0
# A number kept for fiction: nobody's contact has it.
_NOBODYS_NUMBER = "2025550100"


def look_at_hubspot(
    settings: Settings, store: Store | None, *, opens: bool = True
) -> Iterator[Finding]:
    """Each portal that calls may go to: reached, open to us, able to refuse a second note.

    `opens` is False where the stored tokens cannot be read.
    """
    if settings.service_key is not None:
        key = settings.service_key.get_secret_value()
        what = "the service key of the settings"
        again = "Make a new key in HubSpot, and put it into HUBSPOT_SERVICE_KEY."
        yield from _ask(settings, StaticTokens(key), what, "", again)
        return
    if not opens:
        yield problem(
            "HubSpot", "It is not asked: the stored tokens do not open.", "Mend the keys first."
        )
        return
    found = store.connections.list() if store is not None and store.has_connections else ()
    if not found:
        yield problem(
            "HubSpot",
            "No portal is connected, so that calls wait.",
            f"{_by_page(settings)}hubspot-calls connections add --service-key-stdin < key.txt",
        )
    for connection in found:
        yield from _look_at_connection(settings, store, connection)


def _look_at_connection(
    settings: Settings, store: Store | None, connection: Connection
) -> Iterator[Finding]:
    name = f"user {connection.user_id}, workspace {connection.workspace_id}"
    again = _connect_again(settings, connection)
    if connection.state is ConnectionState.RECONNECT_REQUIRED:
        yield problem(
            "HubSpot",
            f"The connection of {name} is no longer accepted.",
            again,
        )
        return
    missing = missing_scopes(connection.scopes)
    if missing or connection.state is ConnectionState.MISSING_SCOPE:
        lacking = ", ".join(missing) or connection.state_detail or "a permission"
        yield problem(
            "HubSpot",
            f"The connection of {name} lacks {lacking.rstrip('.')}.",
            f"Grant all that is asked for. {again}",
        )
        return
    if store is not None:
        tokens = store.connections.tokens(connection.id)
        yield from _ask(settings, tokens, f"the connection of {name}", name, again)


def _by_page(settings: Settings) -> str:
    """Where people connect by themselves; nothing where no OAuth app is set up."""
    return f"Open {settings.public_url}/ and connect, or " if settings.client_id else ""


def _connect_again(settings: Settings, connection: Connection) -> str:
    """What connects this workspace once more, in the way in which it was connected."""
    if connection.kind == ConnectionKind.OAUTH:
        return f"Sign in at {settings.public_url}/ for this workspace, and connect HubSpot again."
    owner = shlex.join(["--user", connection.user_id, "--workspace", connection.workspace_id])
    return f"hubspot-calls connections add {owner} --service-key-stdin < key.txt"


def _ask(
    settings: Settings, tokens: TokenStore, what: str, name: str, again: str
) -> Iterator[Finding]:
    whose = f" for {name}" if name else ""
    try:
        portal_id, is_unique = asyncio.run(_ask_portal(settings, tokens))
    except ReconnectRequired:
        yield problem("HubSpot", f"HubSpot refuses {what}.", again)
    except MissingScope as err:
        yield problem(
            "HubSpot",
            f"HubSpot lets {what} do too little: {str(err).rstrip('.')}.",
            f"It needs crm.objects.contacts.read, crm.objects.contacts.write and files. {again}",
        )
    except CallSyncError as err:
        yield problem(
            "HubSpot",
            f"{settings.hubspot_api_url} cannot be used{whose}: {str(err).rstrip('.')}.",
            "Calls wait and are tried again by themselves; check network and status.hubspot.com.",
        )
    else:
        yield good("HubSpot", f"Portal {portal_id} is reached{whose}.")
        if not is_unique:
            yield attention(
                "HubSpot",
                f"Portal {portal_id} has no unique property {CALL_ID_PROPERTY}: after a lost answer"
                " a call is looked up among the contact's notes.",
                "Grant crm.schemas.contacts.write, and it is made at the next sync.",
            )


async def _ask_portal(settings: Settings, tokens: TokenStore) -> tuple[int, bool]:
    """The portal's id, and whether HubSpot itself refuses a second engagement of a call."""
    app = oauth_app(settings)
    client = open_client(settings.hubspot_api_url, PortalAuth(tokens, app), retry=_PATIENCE)
    kind = EngagementKind.CALL if settings.activity_type == "call" else EngagementKind.NOTE
    async with client:
        portal_id = (await client.fetch_account()).portal_id
        await client.search_contacts([_NOBODYS_NUMBER])
        known = await client.fetch_property(kind, CALL_ID_PROPERTY)
    return portal_id, bool(known and known.get("hasUniqueValue"))


def look_at_vapi(settings: Settings) -> Iterator[Finding]:
    """VAPI's REST API, where a key is set."""
    if settings.vapi_api_key is None:
        yield attention(
            "VAPI",
            "VAPI_API_KEY is not set: calls whose report got lost stay lost, and recordings whose"
            " link has expired cannot be had.",
            "Set it to a private key of VAPI's dashboard.",
        )
        return
    now = datetime.now(UTC)
    key = settings.vapi_api_key.get_secret_value()
    try:
        with Vapi(key, settings.vapi_api_url, tries=2) as vapi:
            vapi.list_calls(updated_ge=now - timedelta(hours=1), updated_le=now, limit=1)
    except VapiUnreachable as err:
        sentence, _, advice = str(err).partition(" Check ")
        yield problem("VAPI", sentence, f"Check {advice}")
    except VapiError as err:
        yield problem(
            "VAPI",
            f"{err}",
            "Compare VAPI_API_KEY with the private key in VAPI's dashboard (not the public one);"
            f" try: curl -sS -o /dev/null -w '%{{http_code}}' {settings.vapi_api_url}/call",
        )
    else:
        yield good("VAPI", f"{settings.vapi_api_url} takes the key.")


def look_at_receiver(settings: Settings) -> Iterator[Finding]:
    """The receiver as the outside reaches it."""
    address = f"{settings.public_url}/readyz"
    try:
        answer = httpx.get(address, timeout=_ANSWER_S, trust_env=False)
    except httpx.HTTPError as err:
        yield attention(
            "receiver",
            f"Nobody answers at {settings.public_url} from here ({type(err).__name__}).",
            "Start `hubspot-calls serve`, and check the proxy; some networks do not let a machine"
            " reach its own public address.",
        )
        return
    if answer.status_code == 200 and _serves(settings):
        yield good("receiver", f"{settings.public_url} is ready.")
    elif answer.status_code == 200:
        yield attention(
            "receiver",
            f"Something answers at {settings.public_url}, but no `hubspot-calls serve` runs with"
            f" the data directory {settings.data_dir}.",
            "Start `hubspot-calls serve` here; if another installation has this address, give this"
            " one its own (--port, and HUBSPOT_CALLS_PUBLIC_URL).",
        )
    else:
        yield problem(
            "receiver",
            f"{address} answers {answer.status_code}{_parts(answer)}.",
            "The log of `hubspot-calls serve` says why; behind a proxy, check where it leads.",
        )


def _serves(settings: Settings) -> bool:
    """Whether a receiver writes to the stream of these settings; of a shared one any host may."""
    if not settings.stream_url.startswith("file:"):
        return True
    return is_written(directory_of(settings.stream_url))


def _parts(answer: httpx.Response) -> str:
    try:
        told = answer.json()
    except (json.JSONDecodeError, UnicodeDecodeError):
        told = None
    if not isinstance(told, dict):
        return ", not as the receiver does"
    parts = [f"{k} {v}" for k, v in told.items() if isinstance(v, str)]
    return f" ({', '.join(parts)})" if parts else ""
