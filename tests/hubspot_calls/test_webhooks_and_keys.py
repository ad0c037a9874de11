"""`webhooks` and `keys`: what is shown once, and what never again."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import click
import pytest

from hubspot_calls.commands import webhooks
from hubspot_calls.commands.ids import whole_id
from hubspot_calls.rooms import open_store
from hubspot_calls.settings import Settings

HubSpotCalls = Callable[..., Any]
MINUTE = timedelta(minutes=1)


def test_a_created_webhook_is_printed_as_the_contract_says(hubspot_calls: HubSpotCalls) -> None:
    ended = hubspot_calls("webhooks", "create", "--json")

    made = json.loads(ended.out)
    assert ended.code == 0
    assert list(made) == ["webhook_id", "url", "auth", "secret"]
    assert made["url"] == f"http://127.0.0.1:8000/api/webhooks/{made['webhook_id']}"
    assert made["auth"] == "secret"


def test_the_printed_secret_opens_the_webhook_of_that_user(
    hubspot_calls: HubSpotCalls, settings: Settings
) -> None:
    made = json.loads(
        hubspot_calls(*("webhooks", "create", "--user", "ana", "--workspace", "acme", "--json")).out
    )

    with open_store(settings) as store:
        webhook = store.webhooks.get(made["webhook_id"])

    assert webhook is not None
    assert (webhook.user_id, webhook.workspace_id) == ("ana", "acme")
    assert webhook.accepts(made["secret"].encode())


@pytest.mark.parametrize(
    ("auth", "server"),
    [
        ("secret", {"headers": {"X-Vapi-Secret": "SECRET"}}),
        ("bearer", {"credentialId": "<id of the bearer credential>"}),
    ],
    ids=["secret", "bearer"],
)
def test_people_get_the_vapi_settings_to_paste(
    hubspot_calls: HubSpotCalls, auth: str, server: dict[str, object]
) -> None:
    out = hubspot_calls("webhooks", "create", "--auth", auth).out

    shown = dict(line.split(None, 1) for line in out.splitlines()[:4] if " " in line)
    pasted = json.loads(out[out.index("{\n") :])
    assert pasted == {
        "serverMessages": ["end-of-call-report"],
        "server": {
            "url": shown["URL"] if "http" in shown["URL"] else pasted["server"]["url"],
            **json.loads(json.dumps(server).replace("SECRET", shown["secret"])),
            "backoffPlan": {"type": "exponential", "maxRetries": 5, "baseDelaySeconds": 2},
        },
    }


def test_the_list_shows_no_secret(hubspot_calls: HubSpotCalls) -> None:
    made = json.loads(hubspot_calls("webhooks", "create", "--json").out)

    table = hubspot_calls("webhooks", "list").out
    listed = hubspot_calls("webhooks", "list", "--json").out

    assert made["webhook_id"] in table
    assert json.loads(listed)[0]["webhook_id"] == made["webhook_id"]
    assert made["secret"] not in table + listed


def test_rotating_prints_a_new_secret_and_keeps_the_old_for_a_while(
    hubspot_calls: HubSpotCalls, settings: Settings
) -> None:
    made = json.loads(hubspot_calls("webhooks", "create", "--json").out)

    turned = json.loads(hubspot_calls("webhooks", "rotate", made["webhook_id"], "--json").out)

    with open_store(settings) as store:
        webhook = store.webhooks.get(made["webhook_id"])
    assert webhook is not None
    assert turned["secret"] != made["secret"]
    assert webhook.accepts(made["secret"].encode())
    assert webhook.accepts(turned["secret"].encode())


def test_a_leaked_secret_can_be_ended_at_once(
    hubspot_calls: HubSpotCalls, settings: Settings
) -> None:
    made = json.loads(hubspot_calls("webhooks", "create", "--json").out)

    hubspot_calls("webhooks", "rotate", made["webhook_id"], "--keep-old", "0")

    with open_store(settings) as store:
        webhook = store.webhooks.get(made["webhook_id"])
    assert webhook is not None
    assert not webhook.accepts(made["secret"].encode())


def test_a_disabled_webhook_is_listed_as_such(hubspot_calls: HubSpotCalls) -> None:
    made = json.loads(hubspot_calls("webhooks", "create", "--json").out)

    ended = hubspot_calls("webhooks", "disable", made["webhook_id"], "--json")

    assert json.loads(ended.out) == {"webhook_id": made["webhook_id"], "disabled": True}
    assert " disabled " in hubspot_calls("webhooks", "list").out


def test_a_disabled_webhook_gets_no_new_secret(hubspot_calls: HubSpotCalls) -> None:
    made = json.loads(hubspot_calls("webhooks", "create", "--json").out)
    hubspot_calls("webhooks", "disable", made["webhook_id"])

    ended = hubspot_calls("webhooks", "rotate", made["webhook_id"])

    assert (ended.code, ended.out) == (1, "")
    assert "is disabled and needs no new secret" in ended.err


def test_an_address_of_this_machine_is_warned_of_before_what_to_paste(
    hubspot_calls: HubSpotCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(webhooks, "say", said.append)
    monkeypatch.setattr(webhooks.click, "echo", lambda text="": said.append(text))

    hubspot_calls("webhooks", "create")

    order = [text.split()[0] for text in said if text]
    assert order.index("VAPI") < order.index("Paste")


@pytest.mark.parametrize("action", ["rotate", "disable"])
def test_an_unknown_webhook_is_named(hubspot_calls: HubSpotCalls, action: str) -> None:
    ended = hubspot_calls("webhooks", action, "nobody")

    assert ended.code == 1
    assert ended.err.startswith("hubspot-calls: There is no webhook nobody")


def test_a_created_key_is_printed_once_and_works(
    hubspot_calls: HubSpotCalls, settings: Settings
) -> None:
    made = json.loads(
        hubspot_calls("keys", "create", "--user", "ana", "--workspace", "acme", "--json").out
    )

    with open_store(settings) as store:
        owner = store.keys.authenticate(made["key"])

    assert list(made) == ["key_id", "key"]
    assert owner is not None
    assert (owner.id, owner.user_id, owner.workspace_id) == (made["key_id"], "ana", "acme")
    assert made["key"] not in hubspot_calls("keys", "list").out
    assert made["key"] not in hubspot_calls("keys", "list", "--json").out


def test_a_revoked_key_opens_nothing(hubspot_calls: HubSpotCalls, settings: Settings) -> None:
    made = json.loads(hubspot_calls("keys", "create", "--json").out)

    ended = hubspot_calls("keys", "revoke", made["key_id"])

    with open_store(settings) as store:
        assert store.keys.authenticate(made["key"]) is None
    assert ended.code == 0


def test_empty_lists_say_what_to_do_and_print_no_data(hubspot_calls: HubSpotCalls) -> None:
    for what in ("webhooks", "keys", "connections"):
        people = hubspot_calls(what, "list")
        scripts = hubspot_calls(what, "list", "--json")

        assert people.out == ""
        assert f"hubspot-calls {what} " in people.err
        assert json.loads(scripts.out) == []


def test_a_rotation_says_until_when_the_old_secret_works(hubspot_calls: HubSpotCalls) -> None:
    made = json.loads(hubspot_calls("webhooks", "create", "--json").out)
    before = datetime.now(UTC)

    told = hubspot_calls("webhooks", "rotate", made["webhook_id"], "--keep-old", "7200").err
    as_json = hubspot_calls("webhooks", "rotate", made["webhook_id"], "--json").out
    at_once = hubspot_calls("webhooks", "rotate", made["webhook_id"], "--keep-old", "0", "--json")

    written = re.search(r"the old secret works until ([-0-9]+ [0-9:]+) UTC\.", told)
    assert written is not None
    until = datetime.fromisoformat(f"{written[1]}+00:00")
    assert timedelta(0) <= until - before.replace(microsecond=0) - timedelta(hours=2) < MINUTE
    day_on = datetime.fromisoformat(json.loads(as_json)["old_secret_until"])
    assert timedelta(0) <= day_on - before - timedelta(days=1) < MINUTE
    assert json.loads(at_once.out)["old_secret_until"] is None


@pytest.mark.parametrize("what", ["webhooks", "keys"])
def test_a_narrow_terminal_shows_every_id_whole(
    what: str,
    hubspot_calls: HubSpotCalls,
    environment: dict[str, str],
    on_a_terminal: Callable[..., str],
) -> None:
    made = [json.loads(hubspot_calls(what, "create", "--json").out) for _ in range(2)]

    shown = on_a_terminal(environment | {"NO_COLOR": "1"}, what, "list")

    ids = [each["webhook_id" if what == "webhooks" else "key_id"] for each in made]
    assert all(each in shown for each in ids)
    assert "made (UTC)" in shown
    assert "…" not in shown
    assert max(len(line) for line in shown.splitlines()) <= 80


def test_the_beginning_of_an_id_will_do(hubspot_calls: HubSpotCalls) -> None:
    webhook_id = json.loads(hubspot_calls("webhooks", "create", "--json").out)["webhook_id"]
    key_id = json.loads(hubspot_calls("keys", "create", "--json").out)["key_id"]

    disabled = hubspot_calls("webhooks", "disable", "--json", "--", webhook_id[:6])
    revoked = hubspot_calls("keys", "revoke", "--json", "--", key_id[:6])

    assert json.loads(disabled.out)["webhook_id"] == webhook_id
    assert json.loads(revoked.out)["key_id"] == key_id


def test_a_beginning_that_several_ids_share_is_refused() -> None:
    with pytest.raises(click.UsageError, match="abcd may be any of abcd1, abcd2"):
        whole_id("abcd", ["abcd1", "abcd2", "xyz"])
