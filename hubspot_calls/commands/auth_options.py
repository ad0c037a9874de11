"""The options of `webhooks create` that say how VAPI proves itself, and what they amount to.

Knows click and the ways of proof; it must not know the store.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ParamSpec, TypeVar

import click

from hubspot_calls.commands.options import OneOf
from target_hubspot_calls.errors import SettingsError
from target_hubspot_calls.store.webhook_auth import (
    STANDARD_WEBHOOKS,
    AuthOptions,
    HmacAlgorithm,
    HmacEncoding,
    HmacPlan,
    Part,
    SecretHeader,
    WebhookAuth,
)

P = ParamSpec("P")
R = TypeVar("R")

_OPTIONS = (
    click.option(
        "--auth",
        type=OneOf([auth.value for auth in WebhookAuth]),
        default="secret",
        show_default=True,
        help="How VAPI proves itself: X-Vapi-Secret header, Authorization: Bearer, a header of"
        " your own, a signature (hmac), or not at all.",
    ),
    click.option(
        "--header",
        metavar="NAME",
        help="bearer, header: the header that carries the secret. hmac: the one that carries the"
        " signature, x-signature by default.",
    ),
    click.option(
        "--no-bearer-prefix", is_flag=True, help="bearer: the token stands alone, without Bearer."
    ),
    click.option(
        "--standard-webhooks",
        is_flag=True,
        help="hmac: the form of standardwebhooks.com (webhook-id, -timestamp, -signature).",
    ),
    click.option(
        "--algorithm",
        type=OneOf([each.value for each in HmacAlgorithm]),
        help="hmac: sha256 by default.",
    ),
    click.option(
        "--encoding",
        type=OneOf([each.value for each in HmacEncoding]),
        help="hmac: how the signature is written, hex by default.",
    ),
    click.option(
        "--prefix", metavar="TEXT", help="hmac: what stands before the signature, as sha256= or v1,"
    ),
    click.option(
        "--timestamp-header", metavar="NAME", help="hmac: x-timestamp by default; seconds or ms."
    ),
    click.option(
        "--no-timestamp",
        is_flag=True,
        help="hmac: no timestamp is signed, so a captured request never grows too old.",
    ),
    click.option(
        "--payload-format",
        metavar="TEMPLATE",
        help=f"hmac: what is signed, of {' '.join(Part)}; {{timestamp}}.{{body}} by default.",
    ),
    click.option(
        "--message-id-header",
        metavar="NAME",
        help="hmac: the header of {svix-id}, svix-id by default where the payload names it.",
    ),
    click.option(
        "--secret-base64", is_flag=True, help="hmac: the secret is bytes, written in base64."
    ),
)


def auth_options(command: Callable[P, R]) -> Callable[P, R]:
    """Add --auth and the options of each way."""
    for decorate in reversed(_OPTIONS):
        command = decorate(command)
    return command


def read_auth_options(auth: WebhookAuth, given: Mapping[str, Any]) -> AuthOptions:
    """The options of this way, None for its defaults. Raises UsageError."""
    said = {name: value for name, value in given.items() if value not in (None, False)}
    if auth is WebhookAuth.HEADER and "header" not in said:
        raise click.UsageError("--auth header needs --header NAME")
    foreign = sorted(said.keys() - _fitting(auth))
    if foreign:
        names = ", ".join("--" + name.replace("_", "-") for name in foreign)
        raise click.UsageError(f"--auth {auth} does not take {names}")
    try:
        if auth is WebhookAuth.HMAC:
            return _to_plan(said)
        if auth is WebhookAuth.BEARER:
            return SecretHeader(
                said.get("header", "Authorization"), bearer_prefix="no_bearer_prefix" not in said
            )
        return SecretHeader(said["header"]) if auth is WebhookAuth.HEADER else None
    except SettingsError as err:
        raise click.UsageError("; ".join(err.faults)) from None


def _fitting(auth: WebhookAuth) -> frozenset[str]:
    of_hmac = frozenset(
        {"header", "standard_webhooks", "algorithm", "encoding", "prefix", "timestamp_header"}
        | {"no_timestamp", "payload_format", "message_id_header", "secret_base64"}
    )
    return {
        WebhookAuth.BEARER: frozenset({"header", "no_bearer_prefix"}),
        WebhookAuth.HEADER: frozenset({"header"}),
        WebhookAuth.HMAC: of_hmac,
    }.get(auth, frozenset())


def _to_plan(said: Mapping[str, Any]) -> HmacPlan:
    plan = STANDARD_WEBHOOKS if "standard_webhooks" in said else HmacPlan()
    words = ("algorithm", "encoding", "prefix", "timestamp_header", "payload_format")
    changes: dict[str, Any] = {
        name: said[name] for name in (*words, "message_id_header") if name in said
    }
    if "header" in said:
        changes["signature_header"] = said["header"]
    if "secret_base64" in said:
        changes["secret_is_base64"] = True
    if "no_timestamp" in said:
        changes["include_timestamp"] = False
        untimed = plan.payload_format.replace(f"{Part.TIMESTAMP}.", "")
        changes.setdefault("payload_format", untimed)
    payload = changes.get("payload_format", plan.payload_format)
    if Part.MESSAGE_ID in payload and plan.message_id_header is None:
        changes.setdefault("message_id_header", "svix-id")
    return replace(plan, **changes)
