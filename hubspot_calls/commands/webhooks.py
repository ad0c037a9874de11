"""`hubspot-calls webhooks`: who may report calls, and what to paste into VAPI.

Knows the store's webhooks and their counts; what it shows of either is in `webhook_views.py`.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from hubspot_calls.commands.auth_options import auth_options, read_auth_options
from hubspot_calls.commands.ids import whole_id
from hubspot_calls.commands.options import OwnerName, json_option, owner_options, with_settings
from hubspot_calls.commands.webhook_trial import to_trial_command
from hubspot_calls.output import print_json, say, to_json, to_utc_time
from hubspot_calls.rooms import open_store, open_store_if_there
from receiver.vapi_settings import to_credential, to_vapi_settings
from target_hubspot_calls.addresses import is_loopback
from target_hubspot_calls.store.webhook_auth import WebhookAuth, to_json_options

if TYPE_CHECKING:
    from hubspot_calls.rooms import Store
    from hubspot_calls.settings import Settings
    from target_hubspot_calls.store.webhooks import Webhook

WEBHOOK_PATH = "/api/webhooks/"

_assistants_option = click.option(
    "--assistant",
    "assistant_ids",
    type=OwnerName(),
    multiple=True,
    metavar="ID",
    help="Take reports of this VAPI assistant only; repeat it for several.",
)
_label_option = click.option("--label", type=OwnerName(), metavar="TEXT", help="A name for people.")


@click.group(short_help="Addresses that VAPI posts end-of-call reports to.")
def webhooks() -> None:
    """Addresses that VAPI posts end-of-call reports to.

    Make one for each workspace and paste what it prints into the settings of your VAPI assistant.
    Where a WEBHOOK_ID is asked for, its beginning will do, where no other begins so.

    \b
    Examples:
      hubspot-calls webhooks create --workspace acme
      hubspot-calls webhooks list
      hubspot-calls webhooks rotate WEBHOOK_ID
      hubspot-calls webhooks disable WEBHOOK_ID

    See also: serve (which answers there), connections (the other end), doctor.
    """


@webhooks.command(short_help="Make a webhook; its secret is shown this once.")
@owner_options
@auth_options
@_assistants_option
@_label_option
@json_option
@with_settings
def create(
    settings: Settings,
    /,
    user_id: str,
    workspace_id: str,
    auth: str,
    assistant_ids: tuple[str, ...],
    label: str | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Make a webhook; its secret is shown this once.

    What it prints is ready to paste into VAPI, with a test call to try it by. --auth secret is
    right for most; choose hmac where the body is to be signed.

    \b
    Examples:
      hubspot-calls webhooks create
      hubspot-calls webhooks create --user ana --workspace acme --auth bearer
      hubspot-calls webhooks create --auth header --header X-Acme-Secret
      hubspot-calls webhooks create --auth hmac --label "front desk"

    See also: webhooks list, webhooks rotate, serve.
    """
    from hubspot_calls.commands.webhook_views import warnings_of

    way = WebhookAuth(auth)
    options = read_auth_options(way, given)
    with open_store(settings) as store:
        webhook, secret = store.webhooks.create(
            user_id,
            workspace_id,
            way,
            options=options,
            assistant_ids=assistant_ids,
            label=label,
        )
    url = full_url(settings, webhook.id)
    for warning in warnings_of(webhook):
        say(f"Warning: {warning}.")
    if as_json:
        print_json(_to_created(webhook, url, secret))
        return
    click.echo(f"webhook id  {webhook.id}")
    click.echo(f"URL path    {WEBHOOK_PATH}{webhook.id}")
    click.echo(f"URL         {url}")
    if secret:
        click.echo(f"secret      {secret}")
    click.echo()
    if is_loopback(urlsplit(settings.public_url).hostname):
        say(
            "VAPI cannot reach this address: set HUBSPOT_CALLS_PUBLIC_URL to the one by which the"
            " outside reaches this machine, and use it in the url below."
        )
    click.echo("Try it, while `hubspot-calls serve` runs, with a test call (the answer is {}):")
    click.echo(to_trial_command(webhook, url, secret, at=datetime.now(UTC)))
    click.echo()
    click.echo(_vapi_steps(webhook, url, secret))
    if secret:
        kept = "it is kept encrypted" if way is WebhookAuth.HMAC else "only its digest is kept"
        say(f"The secret is not shown again: {kept}.")


@webhooks.command("list", short_help="Show the webhooks, what each took and refused.")
@json_option
@with_settings
def list_(settings: Settings, /, as_json: bool) -> None:
    """Show the webhooks without their secrets, and what each took and refused.

    Counts reach the list within seconds. "taken" are reports stored, "ignored" messages that are
    none or of other assistants, "refused" says why; "last heard" is the last that proved itself.

    \b
    Examples:
      hubspot-calls webhooks list
      hubspot-calls webhooks list --json | jq '.[].counts'

    See also: webhooks create, doctor (what to do where nothing is heard).
    """
    from hubspot_calls.commands.webhook_views import print_webhooks, to_listed

    with open_store_if_there(settings) as store:
        found = store.webhooks.list() if store else ()
        counts = store.webhook_counts.of([webhook.id for webhook in found]) if store else {}
    if not found:
        say(f"No webhook yet in {settings.data_dir}. Make one with: hubspot-calls webhooks create")
    if as_json:
        print_json(
            [
                to_listed(webhook, full_url(settings, webhook.id), counts[webhook.id])
                for webhook in found
            ]
        )
        return
    if found:
        print_webhooks([(webhook, counts[webhook.id]) for webhook in found])


@webhooks.command(short_help="Give a webhook a new secret; the old one works for a day.")
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
      hubspot-calls webhooks rotate WEBHOOK_ID --keep-old 0   (the old one leaked)

    See also: webhooks list, webhooks disable.
    """
    with open_store(settings) as store:
        webhook_id = _whole(store, webhook_id)
        webhook = store.webhooks.get(webhook_id)
        if webhook is not None and webhook.disabled_at is not None:
            raise click.ClickException(
                f"webhook {webhook_id} is disabled and needs no new secret; enable it first:"
                f" hubspot-calls webhooks enable {webhook_id}"
            )
        rotated_at = datetime.now(UTC)
        secret = store.webhooks.rotate(webhook_id, keep_old_for_s=keep_old_for_s)
    old_until = rotated_at + timedelta(seconds=keep_old_for_s) if keep_old_for_s else None
    auth = webhook.auth if webhook else "secret"
    url = full_url(settings, webhook_id)
    if as_json:
        made = {"webhook_id": webhook_id, "url": url, "auth": auth, "secret": secret}
        print_json({**made, "old_secret_until": old_until})
        return
    click.echo(f"secret      {secret}")
    if old_until is not None:
        say(f"Paste it into VAPI; the old secret works until {to_utc_time(old_until)} UTC.")
    else:
        say("Paste it into VAPI now: the old secret has stopped working.")


@webhooks.command(short_help="Stop taking reports at a webhook.")
@click.argument("webhook_id")
@json_option
@with_settings
def disable(settings: Settings, /, webhook_id: str, as_json: bool) -> None:
    """Stop taking reports at a webhook; the sender gets 404 from then on.

    It can be enabled again, with the secrets it had.

    \b
    Examples:
      hubspot-calls webhooks list                     (says its id)
      hubspot-calls webhooks disable WEBHOOK_ID

    See also: webhooks enable, webhooks rotate (where only its secret leaked).
    """
    with open_store(settings) as store:
        webhook_id = _whole(store, webhook_id)
        store.webhooks.disable(webhook_id)
    if as_json:
        print_json({"webhook_id": webhook_id, "disabled": True})
        return
    say(f"Webhook {webhook_id} is disabled.")


@webhooks.command(short_help="Take reports at a disabled webhook again.")
@click.argument("webhook_id")
@json_option
@with_settings
def enable(settings: Settings, /, webhook_id: str, as_json: bool) -> None:
    """Take reports at a disabled webhook again, with the secrets it has.

    If it was disabled because its secret leaked, rotate with --keep-old 0 right after.

    \b
    Examples:
      hubspot-calls webhooks enable WEBHOOK_ID
      hubspot-calls webhooks rotate WEBHOOK_ID --keep-old 0

    See also: webhooks disable, webhooks list.
    """
    with open_store(settings) as store:
        webhook_id = _whole(store, webhook_id)
        store.webhooks.enable(webhook_id)
    if as_json:
        print_json({"webhook_id": webhook_id, "disabled": False})
        return
    say(f"Webhook {webhook_id} takes reports again.")


@webhooks.command(short_help="Say anew whose reports a webhook takes, or its name.")
@click.argument("webhook_id")
@_assistants_option
@click.option("--any-assistant", is_flag=True, help="Take reports of every assistant again.")
@_label_option
@json_option
@with_settings
def change(
    settings: Settings,
    /,
    webhook_id: str,
    assistant_ids: tuple[str, ...],
    any_assistant: bool,
    label: str | None,
    as_json: bool,
) -> None:
    """Say anew whose reports a webhook takes, or what it is called.

    A report of an assistant that is not named, or that names none, is answered 200, so that VAPI
    does not send it again; nothing of it is stored, and it is counted as `other_assistant`.

    \b
    Examples:
      hubspot-calls webhooks change WEBHOOK_ID --assistant ID --assistant ID
      hubspot-calls webhooks change WEBHOOK_ID --any-assistant
      hubspot-calls webhooks change WEBHOOK_ID --label "front desk"

    See also: webhooks list (what was ignored).
    """
    if assistant_ids and any_assistant:
        raise click.UsageError("--assistant and --any-assistant exclude each other")
    if not assistant_ids and not any_assistant and label is None:
        raise click.UsageError("nothing to change: give --assistant, --any-assistant or --label")
    with open_store(settings) as store:
        webhook_id = _whole(store, webhook_id)
        if assistant_ids or any_assistant:
            store.webhooks.limit_to(webhook_id, assistant_ids)
        if label is not None:
            store.webhooks.set_label(webhook_id, label)
    if as_json:
        print_json({"webhook_id": webhook_id, "changed": True})
        return
    say(f"Webhook {webhook_id} is changed.")


@webhooks.command(short_help="Print the raw reports of a call, for support.")
@click.option("--call-id", metavar="ID", help="What VAPI sent of this call.")
@click.option(
    "--request-id", metavar="ID", help="What came with this request, as the log names it."
)
@json_option
@with_settings
def raw(settings: Settings, /, call_id: str | None, request_id: str | None, as_json: bool) -> None:
    """Print the raw reports of a call or a request, for support: always as JSON.

    They are kept only while HUBSPOT_CALLS_KEEP_RAW_REPORTS_DAYS is set, encrypted. They hold what
    was said, and may hold secrets of your VAPI account.

    \b
    Examples:
      hubspot-calls webhooks raw --call-id CALL_ID
      hubspot-calls webhooks raw --request-id REQUEST_ID > reports.json

    See also: history (what became of the call).
    """
    from hubspot_calls.commands.webhook_views import to_raw_document
    from receiver.raw_reports import read_raw_reports

    if (call_id is None) == (request_id is None):
        raise click.UsageError("give --call-id or --request-id")
    documents = []
    with open_store_if_there(settings) as store:
        if store is not None and settings.raw_reports_dir.is_dir():
            vault = store.open_vault(create=False)
            found = read_raw_reports(
                settings.raw_reports_dir, vault, call_id=call_id, request_id=request_id
            )
            documents = [to_raw_document(report) for report in found]
    if not documents:
        say("Nothing is kept of that; HUBSPOT_CALLS_KEEP_RAW_REPORTS_DAYS says for how long.")
    print_json(documents)


def full_url(settings: Settings, webhook_id: str) -> str:
    """Where the outside reaches this webhook."""
    return f"{settings.public_url}{WEBHOOK_PATH}{webhook_id}"


def _whole(store: Store, written: str) -> str:
    return whole_id(written, [webhook.id for webhook in store.webhooks.list()])


def _to_created(webhook: Webhook, url: str, secret: str) -> dict[str, Any]:
    """The contract's four fields, and what else was asked for."""
    made: dict[str, Any] = {
        "webhook_id": webhook.id,
        "url": url,
        "auth": webhook.auth,
        "secret": secret or None,
    }
    credential = to_credential(webhook.auth, webhook.options, secret)
    if webhook.auth is WebhookAuth.HEADER or credential is not None:
        made["auth_options"] = to_json_options(webhook.options)
    if credential is not None:
        made["vapi_credential"] = credential
    if webhook.assistant_ids:
        made["assistant_ids"] = webhook.assistant_ids
    if webhook.label is not None:
        made["label"] = webhook.label
    return made


def _vapi_steps(webhook: Webhook, url: str, secret: str) -> str:
    steps = []
    credential = to_credential(webhook.auth, webhook.options, secret)
    if credential is not None:
        steps += [
            "In VAPI, make a custom credential (Integrations > Server Configuration > Add Custom"
            " Credential, or POST /credential) with these settings, and put its id below:",
            json.dumps(credential),
        ]
    steps.append("Paste into the settings of your VAPI assistant (PATCH /assistant/{id}):")
    settings = to_vapi_settings(url, webhook.auth, webhook.options, secret)
    return "\n".join([*steps, to_json(settings)])
