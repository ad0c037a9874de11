"""`webhooks`: every way of proof, what to paste into VAPI, counts, raw reports."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from hubspot_calls.commands.serve import _announce
from hubspot_calls.rooms import open_store
from hubspot_calls.settings import Settings
from receiver.raw_reports import RawReport, RawReports
from receiver.reports import Arrival
from target_hubspot_calls.store.webhook_auth import STANDARD_WEBHOOKS, HmacPlan, SecretHeader

HubSpotCalls = Callable[..., Any]
NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def create(hubspot_calls: HubSpotCalls, *arguments: str) -> dict[str, Any]:
    ended = hubspot_calls("webhooks", "create", *arguments, "--json")
    assert ended.code == 0, ended.err
    made: dict[str, Any] = json.loads(ended.out)
    return made


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ("bearer --header X-Token", SecretHeader("X-Token", bearer_prefix=True)),
        ("bearer --header X-Vapi-Secret --no-bearer-prefix", SecretHeader("X-Vapi-Secret")),
        ("header --header X-Acme", SecretHeader("X-Acme")),
        ("hmac", HmacPlan()),
        (
            "hmac --algorithm sha512 --encoding base64 --prefix v1, --header X-Sig"
            " --timestamp-header X-Time --payload-format {timestamp}:{body} --secret-base64",
            HmacPlan(
                algorithm="sha512",
                encoding="base64",
                prefix="v1,",
                signature_header="X-Sig",
                timestamp_header="X-Time",
                payload_format="{timestamp}:{body}",
                secret_is_base64=True,
            ),
        ),
        (
            "hmac --payload-format {svix-id}.{timestamp}.{body}",
            HmacPlan(payload_format="{svix-id}.{timestamp}.{body}", message_id_header="svix-id"),
        ),
        ("hmac --no-timestamp", HmacPlan(include_timestamp=False, payload_format="{body}")),
        ("hmac --standard-webhooks", STANDARD_WEBHOOKS),
    ],
)
def test_each_way_is_made_as_it_was_asked_for(
    hubspot_calls: HubSpotCalls, settings: Settings, arguments: str, options: object
) -> None:
    made = create(hubspot_calls, "--auth", *arguments.split())

    with open_store(settings) as store:
        webhook = store.webhooks.get(made["webhook_id"])
    assert webhook is not None
    assert webhook.options == options
    assert made["secret"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("secret --header X-A", "--auth secret does not take --header"),
        ("header", "needs --header NAME"),
        ("header --header Host", "cannot be Host"),
        ("bearer --algorithm sha1", "does not take --algorithm"),
        ("none --prefix x --header y", "does not take --header, --prefix"),
        ("hmac --no-bearer-prefix", "does not take --no-bearer-prefix"),
        ("hmac --payload-format {timestamp}", "must name {body} once"),
        ("hmac --no-timestamp --payload-format {timestamp}.{body}", "no timestamp is sent"),
    ],
)
def test_options_that_do_not_fit_are_wrong_use(
    hubspot_calls: HubSpotCalls, arguments: str, says: str
) -> None:
    ended = hubspot_calls("webhooks", "create", "--auth", *arguments.split())

    assert (ended.code, ended.out) == (2, "")
    assert says in ended.err


def test_people_get_the_whole_credential_to_paste(hubspot_calls: HubSpotCalls) -> None:
    out = hubspot_calls("webhooks", "create", "--auth", "hmac", "--standard-webhooks").out

    shown = dict(line.split(None, 1) for line in out.splitlines()[:4] if " " in line)
    (credential,) = (json.loads(line) for line in out.splitlines() if line.startswith('{"'))
    pasted = json.loads(out[out.index("{\n") :])
    assert credential == {
        "provider": "custom-credential",
        "name": "hubspot-calls",
        "authenticationPlan": {
            "type": "hmac",
            "secretKey": shown["secret"],
            "secretIsBase64": True,
            "algorithm": "sha256",
            "signatureHeader": "webhook-signature",
            "signatureEncoding": "base64",
            "includeTimestamp": True,
            "payloadFormat": "{svix-id}.{timestamp}.{body}",
            "timestampHeader": "webhook-timestamp",
            "signaturePrefix": "v1,",
            "messageIdHeader": "webhook-id",
        },
    }
    assert pasted["server"]["credentialId"] == "<id of the hmac credential>"


def test_vapis_own_models_take_the_credentials(hubspot_calls: HubSpotCalls) -> None:
    from vapi.types import BearerAuthenticationPlan, HmacAuthenticationPlan

    models = {"hmac": HmacAuthenticationPlan, "bearer": BearerAuthenticationPlan}
    for auth, model in models.items():
        plan = create(hubspot_calls, "--auth", auth)["vapi_credential"]["authenticationPlan"]
        known = {field.alias or name for name, field in model.model_fields.items()}

        assert plan.pop("type") == auth
        assert plan.keys() <= known
        model.model_validate(plan)


def test_a_header_of_ones_own_needs_no_credential(hubspot_calls: HubSpotCalls) -> None:
    out = hubspot_calls("webhooks", "create", "--auth", "header", "--header", "X-Acme").out

    shown = dict(line.split(None, 1) for line in out.splitlines()[:4] if " " in line)
    assert json.loads(out[out.index("{\n") :])["server"]["headers"] == {"X-Acme": shown["secret"]}


def test_auth_none_is_warned_of_when_made_and_when_served(
    hubspot_calls: HubSpotCalls, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = hubspot_calls("webhooks", "create", "--auth", "none", "--json")

    made = json.loads(ended.out)
    with open_store(settings) as store:
        _announce(settings, store, "http://127.0.0.1:1", live=False)
    said = capsys.readouterr().err
    assert made["secret"] is None
    assert "takes calls from anyone who knows its address (auth none)" in ended.err
    assert f"webhook {made['webhook_id']} takes calls from anyone" in said


def test_a_plan_without_a_timestamp_is_warned_of(hubspot_calls: HubSpotCalls) -> None:
    ended = hubspot_calls("webhooks", "create", "--auth", "hmac", "--no-timestamp")

    assert "a captured request never grows too old" in ended.err


def test_a_lost_key_is_said_by_list_and_serve_and_never_made_anew(
    hubspot_calls: HubSpotCalls, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    create(hubspot_calls, "--auth", "hmac")
    settings.key_file.unlink()

    listed = json.loads(hubspot_calls("webhooks", "list", "--json").out)
    another = hubspot_calls("webhooks", "create", "--auth", "hmac")
    with open_store(settings) as store:
        _announce(settings, store, "http://127.0.0.1:1", live=False)
    said = capsys.readouterr().err

    assert listed[0]["state"] == "unreadable secret"
    assert another.code == 1
    assert "is missing; bring it back" in another.err
    assert "answers 503: its secret does not open" in said
    assert not settings.key_file.exists()


def test_rotating_a_signed_webhook_keeps_its_plan(
    hubspot_calls: HubSpotCalls, settings: Settings
) -> None:
    made = create(hubspot_calls, "--auth", "hmac", "--standard-webhooks")

    turned = json.loads(hubspot_calls("webhooks", "rotate", made["webhook_id"], "--json").out)

    with open_store(settings) as store:
        webhook = store.webhooks.get(made["webhook_id"])
    assert webhook is not None
    assert webhook.options == STANDARD_WEBHOOKS
    assert len(webhook.signing_secrets) == 2
    assert (turned["auth"], turned["secret"] != made["secret"]) == ("hmac", True)


def test_a_webhook_open_to_anyone_cannot_be_rotated(hubspot_calls: HubSpotCalls) -> None:
    made = create(hubspot_calls, "--auth", "none")

    ended = hubspot_calls("webhooks", "rotate", made["webhook_id"])

    assert (ended.code, ended.out) == (1, "")
    assert "has no secret" in ended.err


def test_a_disabled_webhook_can_be_enabled(hubspot_calls: HubSpotCalls) -> None:
    made = create(hubspot_calls)
    hubspot_calls("webhooks", "disable", made["webhook_id"])

    ended = hubspot_calls("webhooks", "enable", made["webhook_id"], "--json")

    listed = json.loads(hubspot_calls("webhooks", "list", "--json").out)
    assert json.loads(ended.out) == {"webhook_id": made["webhook_id"], "disabled": False}
    assert (listed[0]["state"], listed[0]["disabled_at"]) == ("active", None)


def test_label_and_assistants_are_listed_and_can_be_changed(hubspot_calls: HubSpotCalls) -> None:
    made = create(hubspot_calls, "--assistant", "a", "--assistant", "b", "--label", "front desk")
    before = json.loads(hubspot_calls("webhooks", "list", "--json").out)[0]

    ended = hubspot_calls("webhooks", "change", made["webhook_id"], "--any-assistant")

    after = json.loads(hubspot_calls("webhooks", "list", "--json").out)[0]
    assert (made["assistant_ids"], made["label"]) == (["a", "b"], "front desk")
    assert (before["assistant_ids"], before["label"]) == (["a", "b"], "front desk")
    assert (ended.code, after["assistant_ids"], after["label"]) == (0, [], "front desk")


@pytest.mark.parametrize("arguments", [(), ("--assistant", "a", "--any-assistant")])
def test_a_change_of_nothing_or_of_both_is_wrong_use(
    hubspot_calls: HubSpotCalls, arguments: tuple[str, ...]
) -> None:
    made = create(hubspot_calls)

    assert hubspot_calls("webhooks", "change", made["webhook_id"], *arguments).code == 2


def test_the_list_shows_what_was_taken_and_why_not(
    hubspot_calls: HubSpotCalls, settings: Settings
) -> None:
    made = create(hubspot_calls)
    key = made["webhook_id"]
    counted = {"stored": 12, "other_assistant": 3, "wrong_secret": 4, "stale_timestamp": 1}
    with open_store(settings) as store:
        store.webhook_counts.add({(key, word): (n, NOON) for word, n in counted.items()})

    table = hubspot_calls("webhooks", "list").out
    listed = json.loads(hubspot_calls("webhooks", "list", "--json").out)[0]

    row = table.splitlines()[1]
    assert "12 " in row
    assert "5: wrong_secret 4, stale_timestamp 1" in row
    assert "2026-11-20 12:00:00" in row
    assert listed["counts"] == counted
    assert (listed["last_heard_at"], listed["last_refused_at"]) == (
        "2026-11-20T12:00:00Z",
        "2026-11-20T12:00:00Z",
    )


def test_raw_reports_are_printed_by_call_and_by_request(
    hubspot_calls: HubSpotCalls, settings: Settings
) -> None:
    async def keep(*reports: RawReport) -> None:
        async with RawReports(
            settings.raw_reports_dir, store.open_vault(create=True), days=1, clock=lambda: NOON
        ) as raw:
            for report in reports:
                raw.keep(report)

    create(hubspot_calls, "--auth", "hmac")
    arrival = Arrival("w", "ada", "sales", NOON)
    with open_store(settings) as store:
        asyncio.run(
            keep(
                RawReport(arrival, "r-1", "call-1", "stored", b'{"a": 1}'),
                RawReport(arrival, "r-2", None, "invalid_json", b"\xff{"),
            )
        )

    by_call = json.loads(hubspot_calls("webhooks", "raw", "--call-id", "call-1").out)
    by_request = json.loads(hubspot_calls("webhooks", "raw", "--request-id", "r-2").out)
    of_nothing = hubspot_calls("webhooks", "raw", "--call-id", "other", "--json")

    assert by_call == [
        {
            "received_at": "2026-11-20T12:00:00Z",
            "webhook_id": "w",
            "user_id": "ada",
            "workspace_id": "sales",
            "request_id": "r-1",
            "call_id": "call-1",
            "outcome": "stored",
            "body": {"a": 1},
        }
    ]
    assert by_request[0]["body_text"] == "\\xff{"
    assert (of_nothing.code, json.loads(of_nothing.out)) == (0, [])
    assert "Nothing is kept of that" in of_nothing.err
    assert hubspot_calls("webhooks", "raw").code == 2
