"""`hubspot-calls webhooks`: who may report calls, and what to paste into VAPI.

Knows the store's webhooks and VAPI's server settings; it must not know the receiver.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import click

from hubspot_calls.commands.options import json_option, owner_options, with_settings
from hubspot_calls.output import Column, print_json, print_table, say, to_json
from hubspot_calls.rooms import open_store, open_store_if_there
from hubspot_calls.settings import Settings
from target_hubspot_calls.addresses import is_loopback
from target_hubspot_calls.store.webhooks import WebhookAuth

WEBHOOK_PATH = "/api/webhooks/"


@click.group()
def webhooks() -> None:
    """Addresses that VAPI posts end-of-call reports to.

    \b
    Examples:
      hubspot-calls webhooks create --workspace acme
      hubspot-calls webhooks list
      hubspot-calls webhooks rotate WEBHOOK_ID
      hubspot-calls webhooks disable WEBHOOK_ID
    """


@webhooks.command()
@owner_options
@click.option(
    "--auth",
    type=click.Choice([auth.value for auth in WebhookAuth]),
    default="secret",
    show_default=True,
    help="How VAPI proves itself: X-Vapi-Secret header, or Authorization: Bearer.",
)
@json_option
@with_settings
def create(
    settings: Settings, /, user_id: str, workspace_id: str, auth: str, as_json: bool
) -> None:
    """Make a webhook; its secret is shown this once.

    \b
    Examples:
      hubspot-calls webhooks create
      hubspot-calls webhooks create --user ana --workspace acme --auth bearer
      hubspot-calls webhooks create --json
    """
    with open_store(settings) as store:
        webhook, secret = store.webhooks.create(user_id, workspace_id, WebhookAuth(auth))
    url = full_url(settings, webhook.id)
    if as_json:
        print_json({"webhook_id": webhook.id, "url": url, "auth": auth, "secret": secret})
        return
    click.echo(f"webhook id  {webhook.id}")
    click.echo(f"URL path    {WEBHOOK_PATH}{webhook.id}")
    click.echo(f"URL         {url}")
    click.echo(f"secret      {secret}")
    click.echo()
    if is_loopback(urlsplit(settings.public_url).hostname):
        say(
            "VAPI cannot reach this address: set HUBSPOT_CALLS_PUBLIC_URL to the one by which the"
            " outside reaches this machine, and use it in the url below."
        )
    click.echo(_vapi_steps(url, auth, secret))
    say("The secret is not shown again: only its digest is kept.")


@webhooks.command("list")
@json_option
@with_settings
def list_(settings: Settings, /, as_json: bool) -> None:
    """Show the webhooks, without their secrets."""
    with open_store_if_there(settings) as store:
        found = store.webhooks.list() if store else ()
    if not found:
        say(f"No webhook yet in {settings.data_dir}. Make one with: hubspot-calls webhooks create")
    if as_json:
        print_json(
            [
                {
                    "webhook_id": webhook.id,
                    "url": full_url(settings, webhook.id),
                    "user_id": webhook.user_id,
                    "workspace_id": webhook.workspace_id,
                    "auth": webhook.auth,
                    "created_at": webhook.created_at,
                    "disabled_at": webhook.disabled_at,
                }
                for webhook in found
            ]
        )
        return
    if not found:
        return
    print_table(
        [
            Column("webhook id"),
            Column("user"),
            Column("workspace"),
            Column("auth"),
            Column("state"),
            Column("made (UTC)"),
        ],
        [
            (
                webhook.id,
                webhook.user_id,
                webhook.workspace_id,
                webhook.auth,
                "disabled" if webhook.disabled_at else "active",
                webhook.created_at,
            )
            for webhook in found
        ],
    )


@webhooks.command()
@click.argument("webhook_id")
@click.option(
    "--keep-old",
    "keep_old_for_s",
    type=click.IntRange(0, 365 * 86_400),
    default=86_400,
    show_default=True,
    metavar="SECONDS",
    help="How long the old secret goes on working.",
)
@json_option
@with_settings
def rotate(settings: Settings, /, webhook_id: str, keep_old_for_s: int, as_json: bool) -> None:
    """Give a webhook a new secret; the old one works for a day unless told otherwise.

    \b
    Examples:
      hubspot-calls webhooks rotate WEBHOOK_ID
      hubspot-calls webhooks rotate WEBHOOK_ID --keep-old 0     (the old one leaked)
    """
    with open_store(settings) as store:
        webhook = store.webhooks.get(webhook_id)
        if webhook is not None and webhook.disabled_at is not None:
            raise click.ClickException(
                f"webhook {webhook_id} is disabled, which is final, so it needs no new secret;"
                " make another webhook: hubspot-calls webhooks create"
            )
        secret = store.webhooks.rotate(webhook_id, keep_old_for_s=keep_old_for_s)
    auth = webhook.auth if webhook else "secret"
    url = full_url(settings, webhook_id)
    if as_json:
        print_json({"webhook_id": webhook_id, "url": url, "auth": auth, "secret": secret})
        return
    click.echo(f"secret      {secret}")
    if keep_old_for_s:
        say(f"Paste it into VAPI; the old secret works for {keep_old_for_s} s more.")
    else:
        say("Paste it into VAPI now: the old secret has stopped working.")


@webhooks.command()
@click.argument("webhook_id")
@json_option
@with_settings
def disable(settings: Settings, /, webhook_id: str, as_json: bool) -> None:
    """Stop taking reports at a webhook, for good; the sender gets 404 from then on.

    This is final: a disabled webhook cannot be enabled again, nor get a new secret. Make another
    one with `hubspot-calls webhooks create`.
    """
    with open_store(settings) as store:
        store.webhooks.disable(webhook_id)
    if as_json:
        print_json({"webhook_id": webhook_id, "disabled": True})
        return
    say(f"Webhook {webhook_id} is disabled for good.")


def full_url(settings: Settings, webhook_id: str) -> str:
    """Where the outside reaches this webhook."""
    return f"{settings.public_url}{WEBHOOK_PATH}{webhook_id}"


def to_vapi_settings(url: str, auth: str, secret: str) -> dict[str, Any]:
    """The part of an assistant that makes VAPI report here.

    Source: VAPI's Server object; its `secret` field left the schema on 2025-05-20, while a custom
    header of the same name is taken by old and new accounts.
    """
    server: dict[str, Any] = {"url": url}
    if auth == "secret":
        server["headers"] = {"X-Vapi-Secret": secret}
    else:
        server["credentialId"] = "<id of the bearer credential>"
    # VAPI does not repeat a refused report unless a plan says so.
    server["backoffPlan"] = {"type": "exponential", "maxRetries": 5, "baseDelaySeconds": 2}
    return {"serverMessages": ["end-of-call-report"], "server": server}


def _vapi_steps(url: str, auth: str, secret: str) -> str:
    steps = []
    if auth == "bearer":
        steps.append(
            "In VAPI, make a custom credential of type Bearer Token with the secret as its token"
            " (header Authorization, Bearer prefix on), and put its id below."
        )
    steps.append("Paste into the settings of your VAPI assistant (PATCH /assistant/{id}):")
    return "\n".join([*steps, to_json(to_vapi_settings(url, auth, secret))])
